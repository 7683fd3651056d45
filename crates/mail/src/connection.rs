//! One connection to a mail server: found, checked, made private, and read line by line within limits.
//!
//! It never speaks to a server in plain text unless that is this very machine, and never waits longer than its
//! [`Patience`].

use crate::{Security, Server};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::Live;
use bailiwick_outbound::Trust;
use bailiwick_ports::Clock;
use bailiwick_types::{Millis, Timestamp};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{future::Future, io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// What is read from a socket at once.
const CHUNK: usize = 16 * 1024;

/// How long something may take, and who may end it earlier.
#[derive(Clone)]
pub struct Patience {
    clock: Arc<dyn Clock>,
    until: Timestamp,
    live: Option<Live>,
}

/// Why a conversation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Break {
    /// The time was over.
    Late,
    Cancelled,
    /// The other side closed.
    Closed,
    /// The connection broke, in the system's words.
    Broken(String),
    /// The other side does not speak the protocol, or says more than anybody needs.
    Babble(String),
    /// It is not private where it must be.
    Unsafe(String),
}

impl Patience {
    /// Until `span` from now, or until `live` is cancelled.
    pub fn new(clock: Arc<dyn Clock>, span: Millis, live: Live) -> Self {
        let until = clock.now() + span;
        Self { clock, until, live: Some(live) }
    }

    /// Another `span` from now that nobody can cancel.
    pub(crate) fn firm(&self, span: Millis) -> Self {
        Self { clock: self.clock.clone(), until: self.clock.now() + span, live: None }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.live.as_ref().is_some_and(Live::is_cancelled)
    }

    /// What `work` gives, while there is patience.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> Result<T, Break> {
        let cancelled = async {
            match &self.live {
                Some(live) => live.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => Err(Break::Cancelled),
            done = work => done.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Break::Closed,
                _ => Break::Broken(error.to_string()),
            }),
            () = self.clock.sleep_until(self.until) => Err(Break::Late),
        }
    }
}

impl Break {
    /// As the failure of something that certainly had no effect. `who` is the server in words.
    pub(crate) fn failure(&self, who: &str) -> Failure {
        let (code, text) = match self {
            Self::Late => (FailureCode::ConnectionFailed, format!("{who} did not answer in time")),
            Self::Cancelled => (FailureCode::Cancelled, "cancelled".to_owned()),
            Self::Closed => (FailureCode::ConnectionFailed, format!("{who} closed the connection")),
            Self::Broken(why) => (FailureCode::ConnectionFailed, format!("the connection to {who} broke: {why}")),
            Self::Babble(what) => (FailureCode::MalformedAnswer, format!("{who} {what}")),
            Self::Unsafe(why) => (FailureCode::ConnectionFailed, format!("{who} is not spoken to: {why}")),
        };
        Failure::new(code, text)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, or after a handshake that failed.
    Gone,
}

/// A connection whose answers come line by line.
pub(crate) struct Connection {
    stream: Stream,
    /// Read and not yet taken: `held[taken..]`.
    held: Vec<u8>,
    taken: usize,
    loopback: bool,
    trust: Trust,
}

impl Connection {
    /// Finds the server and connects; with `Security::Tls` the connection is private already.
    pub(crate) async fn open(server: &Server, port: u16, trust: &Trust, patience: &Patience) -> Result<Self, Break> {
        let addresses = resolve(server, port, patience).await?;
        let mut last = Break::Broken("it has no address".into());
        for address in addresses {
            #[allow(
                clippy::disallowed_methods,
                reason = "the one place of this room that connects, for an opened permit"
            )]
            match patience.wait(TcpStream::connect(address)).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let mut made = Self {
                        stream: Stream::Plain(stream),
                        held: Vec::new(),
                        taken: 0,
                        loopback: address.ip().is_loopback(),
                        trust: trust.clone(),
                    };
                    if server.security == Security::Tls {
                        made.secure(server, patience).await?;
                    }
                    return Ok(made);
                }
                Err(stop @ (Break::Cancelled | Break::Late)) => return Err(stop),
                Err(other) => last = other,
            }
        }
        Err(last)
    }

    /// Whether a secret may be said here.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self.stream, Stream::Tls(_)) || self.loopback
    }

    /// Makes the connection private. What the server said before that and nobody read is an attack: it would be taken for
    /// the answer to something that is said in private.
    pub(crate) async fn secure(&mut self, server: &Server, patience: &Patience) -> Result<(), Break> {
        if self.taken < self.held.len() {
            return Err(Break::Unsafe("it said something between the offer of TLS and its beginning".into()));
        }
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(Break::Unsafe("TLS within TLS".into()));
        };
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| Break::Unsafe("its name cannot stand in a certificate".into()))?;
        let connector = TlsConnector::from(tls_config(server, &self.trust)?);
        let stream = patience.wait(connector.connect(name, stream)).await?;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8], patience: &Patience) -> Result<(), Break> {
        let stream = &mut self.stream;
        patience
            .wait(async {
                match stream {
                    Stream::Plain(stream) => {
                        stream.write_all(bytes).await?;
                        stream.flush().await
                    }
                    Stream::Tls(stream) => {
                        stream.write_all(bytes).await?;
                        stream.flush().await
                    }
                    Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
                }
            })
            .await
    }

    /// The next line without its end. A line longer than `limit` bytes ends the conversation.
    pub(crate) async fn line(&mut self, limit: usize, patience: &Patience) -> Result<Vec<u8>, Break> {
        let mut looked = 0;
        loop {
            let waiting = &self.held[self.taken..];
            if let Some(at) = waiting[looked..].iter().position(|byte| *byte == b'\n') {
                let end = looked + at;
                let line = waiting[..end].strip_suffix(b"\r").unwrap_or(&waiting[..end]).to_vec();
                self.taken += end + 1;
                if line.len() > limit {
                    return Err(Break::Babble(format!("sent a line of more than {limit} bytes")));
                }
                return Ok(line);
            }
            looked = waiting.len();
            if looked > limit {
                return Err(Break::Babble(format!("sent a line of more than {limit} bytes")));
            }
            self.more(patience).await?;
        }
    }

    /// The next `length` bytes, whatever they are. The caller has checked `length`.
    pub(crate) async fn exactly(&mut self, length: usize, patience: &Patience) -> Result<Vec<u8>, Break> {
        while self.held.len() - self.taken < length {
            self.more(patience).await?;
        }
        let bytes = self.held[self.taken..self.taken + length].to_vec();
        self.taken += length;
        Ok(bytes)
    }

    async fn more(&mut self, patience: &Patience) -> Result<(), Break> {
        if self.taken > 0 {
            self.held.drain(..self.taken);
            self.taken = 0;
        }
        let before = self.held.len();
        self.held.resize(before + CHUNK, 0);
        let (stream, room) = (&mut self.stream, &mut self.held[before..]);
        let read = patience
            .wait(async {
                match stream {
                    Stream::Plain(stream) => stream.read(room).await,
                    Stream::Tls(stream) => stream.read(room).await,
                    Stream::Gone => Err(io::ErrorKind::NotConnected.into()),
                }
            })
            .await;
        self.held.truncate(before + read.as_ref().copied().unwrap_or(0));
        match read? {
            0 => Err(Break::Closed),
            _ => Ok(()),
        }
    }
}

/// Where the server is. In plain text, only what is this very machine.
async fn resolve(server: &Server, port: u16, patience: &Patience) -> Result<Vec<SocketAddr>, Break> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the name of a server that an administrator wrote, for an opened permit"
    )]
    let found = patience.wait(tokio::net::lookup_host((server.host.as_str(), port))).await?;
    let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    if server.security == Security::None && !found.iter().all(|address| address.ip().is_loopback()) {
        return Err(Break::Unsafe(
            "without TLS only a server on this machine is: set `security` to `tls` or `starttls`".into(),
        ));
    }
    if found.iter().any(|address| bailiwick_outbound::is_forbidden(address.ip())) {
        return Err(Break::Unsafe("at its address is no mail server, but what a cloud tells its machines".into()));
    }
    Ok(found)
}

/// TLS against the authorities of this server alone, or else those that are trusted for all.
fn tls_config(server: &Server, trust: &Trust) -> Result<Arc<ClientConfig>, Break> {
    let roots = match &server.ca_pem {
        Some(pem) => Trust::only(pem.as_bytes()).map_err(|problem| format!("`ca_pem`: {problem}")),
        None => trust.roots(),
    };
    let client = roots.and_then(Trust::client).map_err(Break::Unsafe)?;
    Ok(Arc::new(client.with_no_client_auth()))
}

/// What a server said, fit to be shown: no control characters, not long.
pub(crate) fn said(bytes: &[u8]) -> String {
    const MAX_SAID: usize = 240;
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(MAX_SAID).collect();
    if text.chars().count() > MAX_SAID {
        shown.push('…');
    }
    shown
}
