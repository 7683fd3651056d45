//! Ways to an executor. Each ends in the same thing: text frames in both directions.

use crate::sandbox::Sandboxes;
use async_trait::async_trait;
use bailiwick_executor_protocol::MAX_FRAME_BYTES;
use bailiwick_gate::ExecutorLine;
use bailiwick_ports::Tasks;
use bailiwick_types::Secret;
use futures_util::{SinkExt, StreamExt};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message as Frame, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

/// Frames that may wait on either side.
const MAX_QUEUED_FRAMES: usize = 64;

/// An open connection: one text frame, one message. Either end closes it by dropping its half.
///
#[derive(Debug)]
pub struct Frames {
    pub incoming: mpsc::Receiver<String>,
    pub outgoing: mpsc::Sender<String>,
}

impl Frames {
    /// Both halves of a connection: what one sends, the other receives.
    pub fn pair() -> (Self, Self) {
        let (to_left, left) = mpsc::channel(MAX_QUEUED_FRAMES);
        let (to_right, right) = mpsc::channel(MAX_QUEUED_FRAMES);
        (Self { incoming: left, outgoing: to_right }, Self { incoming: right, outgoing: to_left })
    }
}

impl From<ExecutorLine> for Frames {
    fn from(line: ExecutorLine) -> Self {
        Self { incoming: line.incoming, outgoing: line.outgoing }
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// It may work later.
    Later(String),
    /// It never will.
    Never(String),
}

/// Opens connections to one executor, again and again.
#[async_trait]
pub trait Connector: Send + Sync {
    async fn connect(&self) -> Result<Frames, ConnectError>;

    /// Returns once there is a newer connection than the last one: the other side has given that one up.
    async fn superseded(&self) {
        std::future::pending().await
    }

    /// Nobody will ask for a connection any more.
    fn close(&self) {}
}

/// The executor in a sandbox of this machine.
pub struct HostedConnector {
    pub sandboxes: Sandboxes,
    pub name: String,
    pub tasks: Arc<dyn Tasks>,
}

#[async_trait]
impl Connector for HostedConnector {
    async fn connect(&self) -> Result<Frames, ConnectError> {
        use crate::sandbox::Found;
        match self.sandboxes.find(&self.name) {
            Ok(Found::Running(_)) => {}
            Ok(Found::Nothing | Found::Ended) => {
                return Err(ConnectError::Never("the sandbox has ended, and what ran in it with it".to_owned()));
            }
            Err(error) => return Err(ConnectError::Later(format!("the sandbox cannot be looked for: {error}"))),
        }
        let later = |error: &dyn fmt::Display| ConnectError::Later(format!("the sandbox does not answer: {error}"));
        let stream = self.sandboxes.connect(&self.name).map_err(|error| later(&error))?;
        stream.set_nonblocking(true).map_err(|error| later(&error))?;
        let stream = UnixStream::from_std(stream).map_err(|error| later(&error))?;
        let handshake = tokio_tungstenite::client_async_with_config("ws://sandbox/", stream, Some(websocket_limits()));
        let (socket, _) = handshake.await.map_err(|error| later(&error))?;
        Ok(carry(socket, self.tasks.as_ref()))
    }
}

/// A stock executor that listens: `codex exec-server --listen ws://IP:PORT --ws-auth capability-token`.
pub struct ListeningConnector {
    url: String,
    token: Secret,
    tasks: Arc<dyn Tasks>,
}

impl ListeningConnector {
    /// Takes `wss`, and `ws` only to this machine itself: the token would go in plain text else.
    pub fn new(url: &str, token: Secret, tasks: Arc<dyn Tasks>) -> Result<Self, String> {
        let parsed: tungstenite::http::Uri = url.parse().map_err(|error| format!("`{url}` is not a URL: {error}"))?;
        let host = parsed.host().ok_or_else(|| format!("`{url}` names no host"))?;
        match parsed.scheme_str() {
            Some("wss") => {}
            Some("ws") if is_loopback(host) => {}
            Some("ws") => {
                return Err(format!(
                    "`{url}` would send the executor's token in plain text: use `wss`, or put a TLS proxy in front of it"
                ));
            }
            _ => return Err(format!("`{url}` must start with `wss://`, or with `ws://` and a loopback address")),
        }
        Ok(Self { url: url.to_owned(), token, tasks })
    }
}

/// Only addresses: a name may mean something else tomorrow.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|address| match address {
        IpAddr::V4(address) => Ipv4Addr::is_loopback(&address),
        IpAddr::V6(address) => address == Ipv6Addr::LOCALHOST,
    })
}

#[async_trait]
impl Connector for ListeningConnector {
    async fn connect(&self) -> Result<Frames, ConnectError> {
        let never = |error: &dyn fmt::Display| ConnectError::Never(error.to_string());
        let mut request = self.url.as_str().into_client_request().map_err(|error| never(&error))?;
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| ConnectError::Never("the executor's token cannot be sent in a header".to_owned()))?;
        value.set_sensitive(true);
        request.headers_mut().insert("authorization", value);
        let tls = tls_config().map_err(ConnectError::Later)?;
        let tls = Some(tokio_tungstenite::Connector::Rustls(tls));
        match tokio_tungstenite::connect_async_tls_with_config(request, Some(websocket_limits()), true, tls).await {
            Ok((socket, _)) => Ok(carry(socket, self.tasks.as_ref())),
            Err(tungstenite::Error::Http(answer)) if answer.status().is_client_error() => {
                let status = answer.status();
                Err(ConnectError::Never(format!("the executor refused the connection with {status}: check its token")))
            }
            Err(error) => Err(ConnectError::Later(error.to_string())),
        }
    }
}

/// An executor that dials in: each time it does, whoever accepted it hands the connection over.
#[derive(Debug)]
pub struct AcceptedConnector(Arc<Slot>);

/// Where accepted connections are handed over.
#[derive(Debug, Clone)]
pub struct HandOver(Weak<Slot>);

/// Has room for one connection: a newer one takes the place of an older one that nobody has taken yet.
#[derive(Debug, Default)]
struct Slot {
    room: Mutex<Room>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Room {
    frames: Option<Frames>,
    /// The client has ended, even if somebody still holds a handle to it.
    closed: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandOver {
    /// Gives an accepted connection to the client; gives it back when there is no client any more.
    pub fn give(&self, frames: Frames) -> Result<(), Frames> {
        let Some(slot) = self.0.upgrade() else { return Err(frames) };
        let mut room = slot.lock();
        if room.closed {
            return Err(frames);
        }
        room.frames = Some(frames);
        slot.rung.notify_one();
        Ok(())
    }
}

impl AcceptedConnector {
    pub fn new() -> (Self, HandOver) {
        let slot = Arc::new(Slot::default());
        let hand_over = HandOver(Arc::downgrade(&slot));
        (Self(slot), hand_over)
    }
}

#[async_trait]
impl Connector for AcceptedConnector {
    async fn connect(&self) -> Result<Frames, ConnectError> {
        loop {
            let given = self.0.lock().frames.take();
            if let Some(frames) = given {
                return Ok(frames);
            }
            self.0.rung.notified().await;
        }
    }

    async fn superseded(&self) {
        while self.0.lock().frames.is_none() {
            self.0.rung.notified().await;
        }
    }

    fn close(&self) {
        // What was given and not taken is dropped: its executor sees the end of its connection, and dials again.
        *self.0.lock() = Room { frames: None, closed: true };
    }
}

/// TLS against the certificates that this machine trusts.
fn tls_config() -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS is not to be had: {error}"))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn websocket_limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_FRAME_BYTES)).max_frame_size(Some(MAX_FRAME_BYTES))
}

/// Carries frames between a socket and the half that it gives back.
fn carry<S>(socket: WebSocketStream<S>, tasks: &dyn Tasks) -> Frames
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (ours, theirs) = Frames::pair();
    let Frames { mut incoming, outgoing } = theirs;
    let (mut sink, mut stream) = socket.split();
    let writer = async move {
        while let Some(frame) = incoming.recv().await {
            if sink.send(Frame::text(frame)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    let reader = async move {
        while let Some(Ok(frame)) = stream.next().await {
            match frame {
                Frame::Text(text) if outgoing.send(text.as_str().to_owned()).await.is_ok() => {}
                Frame::Text(_) | Frame::Close(_) => return,
                // The library answers pings by itself.
                _ => {}
            }
        }
    };
    tasks.spawn(
        "executor connection",
        Box::pin(async move {
            // Whichever half ends first ends the connection.
            tokio::select! {
                () = writer => {}
                () = reader => {}
            }
        }),
    );
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_sent_in_plain_text_to_another_machine() {
        struct NoTasks;
        impl Tasks for NoTasks {
            fn spawn(
                &self,
                _: &'static str,
                _: bailiwick_ports::BoxFuture<'static, ()>,
            ) -> bailiwick_ports::TaskHandle {
                bailiwick_ports::TaskHandle::new(|| ())
            }
        }
        let try_url = |url: &str| ListeningConnector::new(url, Secret::new("t".to_owned()), Arc::new(NoTasks)).err();
        for url in
            ["wss://example.com/x", "wss://10.0.0.1:1", "ws://127.0.0.1:8080", "ws://127.9.9.9", "ws://[::1]:80/"]
        {
            assert_eq!(try_url(url), None, "{url}");
        }
        for url in [
            "ws://10.0.0.1:1",
            "ws://localhost:1",
            "ws://127.0.0.1.example.com",
            "ws://[::ffff:10.0.0.1]:1",
            "http://127.0.0.1",
            "127.0.0.1:80",
            "ws://",
        ] {
            assert!(try_url(url).is_some(), "{url}");
        }
    }
}
