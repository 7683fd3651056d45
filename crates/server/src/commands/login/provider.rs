//! Signing in at the server's identity provider from a command line: the browser does it, and brings a code to a listener
//! on this machine (RFC 8252), which only this program can redeem (RFC 7636).

use super::keep;
use crate::{
    client::{Client, encode},
    failure::{Doing as _, Exit, Failure, Outcome},
    runtime::within,
    terminal::Terminal,
};
use bailiwick_identity::{OsRandom, Pkce};
use serde_json::json;
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a browser may take over a request. Some open connections that they use later, or never.
const REQUEST: Duration = Duration::from_secs(2);
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 * 1024;

pub(super) async fn sign_in(client: &Client, organisation: Option<&str>, terminal: Terminal) -> Outcome {
    let pkce = Pkce::draw(&OsRandom);
    let listener = listen().await.doing(|| "listen on this machine for the browser".to_owned())?;
    let port = listener.local_addr().doing(|| "listen on this machine for the browser".to_owned())?.port();
    let redirect = format!("http://127.0.0.1:{port}/");
    let organisation = organisation.map(|named| format!("&organisation={}", encode(named))).unwrap_or_default();
    let url = format!(
        "{}/bailiwick/v1/sign-in/provider?redirect_uri={}&state={}&code_challenge={}&code_challenge_method=S256{organisation}",
        client.base(),
        encode(&redirect),
        encode(&pkce.state),
        encode(&pkce.challenge),
    );
    terminal.progress(format!("open this in a browser on this machine to sign in:\n  {url}"));
    let Some(code) = within(PATIENCE, code(&listener, &pkce.state)).await else {
        return Err(Failure::new(Exit::TimedOut, "nobody signed in within ten minutes")
            .help("try again, or sign in with a password: bailiwick login --password"));
    };
    let body = json!({"code": code, "code_verifier": pkce.verifier.expose()});
    let signed = client.post("/bailiwick/v1/sign-in/provider/redeem", &body).await?;
    keep(client, signed, terminal)
}

/// On any free port of loopback, where nobody else's machine can reach it.
#[allow(clippy::disallowed_methods, reason = "the one listener of the client commands")]
async fn listen() -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

/// Waits for the browser that brings a code with our own `state`.
async fn code(listener: &TcpListener, state: &str) -> String {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Some(Some(target)) = within(REQUEST, target(&mut stream)).await else { continue };
        let code = brought(&target, state);
        let text = match code {
            Some(_) => "You are signed in. Close this page and go back to the command line.\n",
            None => "This is not the answer that the command line waits for.\n",
        };
        let status = if code.is_some() { "200 OK" } else { "404 Not Found" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
             referrer-policy: no-referrer\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        // The browser may be gone already; what it brought is here.
        let _ = within(REQUEST, stream.write_all(answer.as_bytes())).await;
        let _ = within(REQUEST, stream.shutdown()).await;
        if let Some(code) = code {
            return code;
        }
    }
}

/// What a GET asks for.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 || head.len() + read > MAX_HEAD {
            return None;
        }
        head.extend_from_slice(&piece[..read]);
    }
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let target = line.strip_prefix("GET ")?.split(' ').next()?;
    Some(target.to_owned())
}

fn brought(target: &str, state: &str) -> Option<String> {
    let query = target.strip_prefix("/?")?;
    let find = |name: &str| {
        let mut named = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
        let first = named.next()?.1;
        named.next().is_none().then_some(first)
    };
    // Codes are letters and digits, and nothing of ours needs decoding.
    let plain = |code: &&str| (1..=512).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    find("code").filter(|_| find("state") == Some(state)).filter(plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_sign_in_is_taken() {
        assert_eq!(brought("/?code=abc&state=s", "s").as_deref(), Some("abc"));
        for other in [
            "/",
            "/favicon.ico",
            "/?code=abc",
            "/?code=abc&state=t",
            "/?code=a&code=b&state=s",
            "/?code=%41&state=s",
            "/x?code=a&state=s",
        ] {
            assert_eq!(brought(other, "s"), None, "{other}");
        }
    }
}
