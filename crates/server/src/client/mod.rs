//! A small client of the server's own API, over TCP or the administration socket. The only user of `reqwest` here.
//!
//! It reads answers leniently (as JSON values), so that a client and a server of different versions get along.

mod events;
mod saved;
mod socket;

pub use events::{Event, EventStream};
pub use saved::SavedLogin;
pub use socket::{SOCKET_NAME, SocketPath};

use crate::{
    cli::Target,
    failure::{Exit, Failure, Outcome},
    runtime::within,
    variables,
};
use bailiwick_types::Secret;
use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const DEFAULT_SERVER: &str = "http://127.0.0.1:7700";
const CONNECT: Duration = Duration::from_secs(10);
/// Silence after which a plain request is given up.
const SILENCE: Duration = Duration::from_secs(120);
/// The largest answer that is read whole.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Items of a list that are asked for at once, and pages that are read at most.
const PAGE: u32 = 100;
const MAX_PAGES: usize = 1000;

/// Where a client's requests go.
#[derive(Debug, Clone)]
enum Way {
    Tcp { server: String },
    Socket { data: PathBuf },
}

/// One server.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<Secret>,
    way: Way,
    /// Holds a long path's folder open while the client lives.
    _socket: Option<SocketPath>,
}

impl Client {
    /// The server that the options, else the environment, else the default name.
    pub fn of(target: &Target) -> Outcome<Self> {
        if let Some(data) = &target.data {
            return Self::local(data);
        }
        let server = target.server.clone().or_else(|| variables::read("BAILIWICK_SERVER"));
        let key = target.key.clone().or_else(|| variables::read("BAILIWICK_KEY"));
        let mut client = Self::remote(&server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()), key.map(Secret::new))?;
        if client.key.is_none() {
            client.key = SavedLogin::find(&client.base);
        }
        Ok(client)
    }

    /// The same server for somebody who is about to sign in.
    pub fn stranger(target: &Target) -> Outcome<Self> {
        let server = target.server.clone().or_else(|| variables::read("BAILIWICK_SERVER"));
        Self::remote(&server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()), None)
    }

    /// The server's URL, without a path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The server on this machine whose data folder this is.
    pub fn local(data: &Path) -> Outcome<Self> {
        let socket = SocketPath::find(data).map_err(|problem| not_running(data, &problem))?;
        let http = builder().unix_socket(socket.path()).build();
        let http = http.map_err(|error| Failure::failed(format!("no client could be made: {error}")))?;
        let way = Way::Socket { data: data.to_owned() };
        Ok(Self { http, base: "http://localhost".into(), key: None, way, _socket: Some(socket) })
    }

    /// A server by its URL.
    pub fn remote(server: &str, key: Option<Secret>) -> Outcome<Self> {
        let base = server.trim_end_matches('/');
        // Clients of the API write its URL with the version.
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        match reqwest::Url::parse(&base) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() => {}
            _ => {
                return Err(Failure::usage(format!("`{server}` is not the URL of a server"))
                    .help("write it like http://127.0.0.1:7700"));
            }
        }
        let http = builder().build().map_err(|error| Failure::failed(format!("no client could be made: {error}")))?;
        Ok(Self { http, way: Way::Tcp { server: base.clone() }, base, key, _socket: None })
    }

    pub async fn get(&self, path: &str) -> Outcome<Value> {
        self.json(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.json(with_json(self.request(Method::POST, path), body)).await
    }

    /// Only the status of a GET, whatever it is.
    pub async fn status(&self, path: &str) -> Outcome<u16> {
        match within(SILENCE, self.request(Method::GET, path).send()).await {
            Some(Ok(response)) => Ok(response.status().as_u16()),
            Some(Err(error)) => Err(self.unreachable(&error)),
            None => Err(Failure::new(Exit::TimedOut, "the server did not answer in time")),
        }
    }

    pub async fn delete(&self, path: &str) -> Outcome<Value> {
        self.json(self.request(Method::DELETE, path)).await
    }

    /// Deletes, and says why.
    pub async fn delete_because(&self, path: &str, reason: &str) -> Outcome<Value> {
        let reason = reqwest::header::HeaderValue::from_bytes(reason.as_bytes());
        let reason = reason.map_err(|_| Failure::usage("a reason must be on one line, without control characters"))?;
        self.json(self.request(Method::DELETE, path).header("bailiwick-reason", reason)).await
    }

    /// All of a cursor list, in the server's order, at most `most`. `path` may hold a query.
    pub async fn list(&self, path: &str, most: usize) -> Outcome<Vec<Value>> {
        let mut found: Vec<Value> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let limit = PAGE.min(u32::try_from(most - found.len()).unwrap_or(PAGE));
            let joint = if path.contains('?') { '&' } else { '?' };
            let cursor = after.as_deref().map(|id| format!("&after={}", encode(id))).unwrap_or_default();
            let mut page = self.get(&format!("{path}{joint}limit={limit}{cursor}")).await?;
            let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else {
                return Err(Failure::failed(format!("the server's answer to {path} is no list")));
            };
            let more = page["has_more"].as_bool().unwrap_or(false) && !data.is_empty();
            let last = data.last().and_then(|last| last["id"].as_str()).or(page["last_id"].as_str());
            after = last.map(str::to_owned);
            found.extend(data);
            if !more || found.len() >= most || after.is_none() {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// Uploads a file and gives its id.
    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> Outcome<String> {
        let file = self.send_form("/v1/files", &[("purpose", "user_data")], ("file", name), bytes).await?;
        match file["id"].as_str() {
            Some(id) => Ok(id.to_owned()),
            None => Err(Failure::failed("the server's answer to an upload has no `id`")),
        }
    }

    /// Sends a form with these texts and one file, which has a field and a name.
    pub async fn send_form(
        &self,
        path: &str,
        texts: &[(&str, &str)],
        file: (&str, &str),
        bytes: Vec<u8>,
    ) -> Outcome<Value> {
        let (kind, body) = multipart(texts, file, bytes);
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, kind).body(body);
        self.json(request.timeout(Duration::from_secs(600))).await
    }

    /// What `path` answers, as text.
    pub async fn text(&self, path: &str) -> Outcome<String> {
        let mut response = self.send(self.request(Method::GET, path)).await?;
        Ok(String::from_utf8_lossy(&self.whole(&mut response).await?).into_owned())
    }

    /// Writes what `path` answers into `to`, and gives its size.
    pub async fn download(&self, path: &str, mut to: impl std::io::Write) -> Outcome<u64> {
        let mut response = self.send(self.request(Method::GET, path)).await?;
        let mut size = 0;
        while let Some(piece) = self.piece(&mut response).await? {
            to.write_all(&piece).map_err(|error| Failure::failed(format!("cannot write: {error}")))?;
            size += piece.len() as u64;
        }
        to.flush().map_err(|error| Failure::failed(format!("cannot write: {error}")))?;
        Ok(size)
    }

    /// A session's events, after the one with id `after`; from now without one.
    pub async fn events(&self, session: &str, after: Option<&str>) -> Outcome<EventStream> {
        let path = format!("/v1/agents/sessions/{}/events", encode(session));
        let mut request = self.request(Method::GET, &path).header(header::ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Ok(EventStream::new(self.send(request).await?))
    }

    /// Begins a session whose events follow in the answer, so that none is missed.
    pub async fn begin(&self, session: &Value) -> Outcome<EventStream> {
        let request = with_json(self.request(Method::POST, "/v1/agents/sessions"), session);
        Ok(EventStream::new(self.send(request.header(header::ACCEPT, "text/event-stream")).await?))
    }

    async fn piece(&self, response: &mut Response) -> Outcome<Option<Bytes>> {
        match within(SILENCE, response.chunk()).await {
            Some(Ok(piece)) => Ok(piece),
            Some(Err(error)) => Err(self.unreachable(&error)),
            None => Err(Failure::new(Exit::TimedOut, "the server stopped answering")),
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base)).header("openai-beta", "agents=v1");
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Outcome<Value> {
        let mut response = self.send(request).await?;
        let body = self.whole(&mut response).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::failed(format!("the server's answer is not JSON ({error}); is this a Bailiwick server?"))
        })
    }

    async fn whole(&self, response: &mut Response) -> Outcome<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(response).await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Err(Failure::failed("the server's answer is too large"));
            }
        }
        Ok(body)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Outcome<Response> {
        let sent = within(SILENCE, request.send()).await;
        let mut response = match sent {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(self.unreachable(&error)),
            None => return Err(Failure::new(Exit::TimedOut, "the server did not answer in time")),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.whole(&mut response).await.unwrap_or_default();
        Err(self.refused(status, &serde_json::from_slice(&body).unwrap_or_else(|_| json!({}))))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        let failure = match &self.way {
            Way::Socket { data } => not_running(data, &reason.to_string()),
            Way::Tcp { server } => Failure::failed(format!("no server can be reached at {server}: {reason}")).help(
                "start one with `bailiwick serve --data DIR`, or name another with --server or $BAILIWICK_SERVER",
            ),
        };
        Failure { unreachable: true, ..failure }
    }

    /// An error answer in words, with the exit code that it means.
    fn refused(&self, status: StatusCode, body: &Value) -> Failure {
        let error = &body["error"];
        let code = error["code"].as_str().unwrap_or_default();
        let said = error["message"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
        let said = match error["param"].as_str() {
            Some(field) if !said.contains(field) => format!("{said} (field `{field}`)"),
            _ => said,
        };
        let exit = match (status.as_u16(), code) {
            (_, "session_budget_exceeded" | "usage_limit_exceeded") | (402, _) => Exit::Budget,
            (401, _) => Exit::SignIn,
            (403, _) => Exit::Denied,
            (408 | 504, _) => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, said);
        match (exit, self.key.is_some()) {
            (Exit::SignIn, false) => failure
                .help("sign in with `bailiwick login`, or give a key with --key or $BAILIWICK_KEY")
                .help("or use --data DIR on the server's own machine"),
            (Exit::SignIn, true) => failure
                .help("sign in again with `bailiwick login`, or make another key: bailiwick key create --data DIR"),
            _ => failure,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one client of the client commands")]
fn builder() -> reqwest::ClientBuilder {
    // No proxy and no redirects: requests go to the server that was named and nowhere else.
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
}

fn with_json(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header(header::CONTENT_TYPE, "application/json").body(body.to_string())
}

fn not_running(data: &Path, reason: &str) -> Failure {
    let data = data.display();
    Failure::failed(format!("no server runs on the data folder {data}: {reason}"))
        .help(format!("start it with `bailiwick serve --data {data}`"))
        .help("or name a running server with --server URL and --key KEY")
}

/// One form with texts and a file (RFC 7578).
fn multipart(texts: &[(&str, &str)], (field, name): (&str, &str), bytes: Vec<u8>) -> (String, Vec<u8>) {
    let name: String = name.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { '_' } else { c }).collect();
    let mut boundary = String::from("bailiwick-form-boundary");
    // A boundary must not occur in what it parts; each round makes it longer.
    while bytes.windows(boundary.len()).any(|window| window == boundary.as_bytes()) {
        boundary.push('x');
    }
    let mut head = String::new();
    for (name, text) in texts {
        head.push_str(&format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"));
    }
    head.push_str(&format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    ));
    let tail = format!("\r\n--{boundary}--\r\n");
    let body = [head.as_bytes(), &bytes, tail.as_bytes()].concat();
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// Percent-encodes a path segment or query value (RFC 3986, unreserved characters stay).
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_place_in_a_path() {
        assert_eq!(encode("sess_0a"), "sess_0a");
        assert_eq!(encode("../x?y#z"), "..%2Fx%3Fy%23z");
    }

    #[test]
    fn a_form_holds_the_bytes_as_they_are() {
        let (kind, body) = multipart(
            &[("purpose", "user_data")],
            ("file", "a\"b\r\n.csv"),
            b"x\r\n--bailiwick-form-boundary--".to_vec(),
        );
        assert_eq!(kind, "multipart/form-data; boundary=bailiwick-form-boundaryx");
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("filename=\"a_b__.csv\""), "{text}");
        assert!(text.ends_with("--bailiwick-form-boundary--\r\n--bailiwick-form-boundaryx--\r\n"), "{text}");
    }

    #[test]
    fn errors_have_exit_codes_and_a_way_out() {
        let client = Client::remote("http://127.0.0.1:1/v1/", None).unwrap();
        assert_eq!(client.base, "http://127.0.0.1:1");
        let refused = |status, body: Value| client.refused(StatusCode::from_u16(status).unwrap(), &body);
        let failure = refused(401, json!({"error": {"message": "who are you", "code": "invalid_api_key"}}));
        assert_eq!((failure.exit, failure.message.as_str(), failure.help.len()), (Exit::SignIn, "who are you", 2));
        assert_eq!(refused(403, json!({})).exit, Exit::Denied);
        assert_eq!(refused(504, json!({})).exit, Exit::TimedOut);
        assert_eq!(refused(429, json!({"error": {"code": "usage_limit_exceeded"}})).exit, Exit::Budget);
        let failure = refused(400, json!({"error": {"message": "must be text", "param": "agent.model"}}));
        assert_eq!(failure.message, "must be text (field `agent.model`)");
    }
}
