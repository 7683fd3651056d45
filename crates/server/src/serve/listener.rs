//! Accepts connections and hands them to the router: bounded in number, with a time limit on request heads, and with an
//! end that lets requests finish.

use super::metrics::Metrics;
use axum::{Router, body::Body};
use bailiwick_ports::{BoxFuture, Tasks};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixListener},
    sync::{Semaphore, watch},
};
use tower::ServiceExt as _;

/// How long a client may take over a request's head.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// A pause after an accept that failed for want of something (open files): it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 138\r\n\r\n{\"error\":{\"message\":\"The server has too many connections: try \
again in a moment.\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded\"}}";

/// Where connections come from.
pub enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

impl Door {
    async fn accept(&self) -> io::Result<(Box<dyn Connection>, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Small events must not wait for each other.
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Some(peer)))
            }
            Self::Unix(listener) => Ok((Box::new(listener.accept().await?.0), None)),
        }
    }
}

/// What all doors share.
pub struct Hall {
    pub tasks: Arc<dyn Tasks>,
    pub metrics: Arc<Metrics>,
    /// One permit for each connection.
    pub room: Arc<Semaphore>,
    /// Turns true when the server is to stop.
    pub stop: watch::Receiver<bool>,
}

impl Hall {
    /// Serves what comes through `door` until the stop, and then until the last request is answered.
    pub fn serve(self: &Arc<Self>, door: Door, router: Router) -> BoxFuture<'static, ()> {
        let hall = Arc::clone(self);
        Box::pin(async move {
            let graceful = GracefulShutdown::new();
            let mut stop = hall.stop.clone();
            loop {
                let accepted = tokio::select! {
                    accepted = door.accept() => accepted,
                    _ = stop.wait_for(|stop| *stop) => break,
                };
                match accepted {
                    Ok((stream, peer)) => hall.admit(stream, peer, &router, &graceful),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        crate::runtime::rest(PAUSE).await;
                    }
                }
            }
            drop(door);
            graceful.shutdown().await;
        })
    }

    fn admit(
        self: &Arc<Self>,
        stream: Box<dyn Connection>,
        peer: Option<SocketAddr>,
        router: &Router,
        graceful: &GracefulShutdown,
    ) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.metrics.connection_refused();
            self.tasks.spawn("refusal", Box::pin(refuse(stream)));
            return;
        };
        let service = router.clone().map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            }
            request.map(Body::new)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
        builder.http2().timer(TokioTimer::new()).max_header_list_size(MAX_HEAD as u32).max_concurrent_streams(256);
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection.into_owned());
        let hall = Arc::clone(self);
        let work = async move {
            let (_place, _counted) = (place, hall.metrics.connection());
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended in the middle");
            }
        };
        self.tasks.spawn("connection", Box::pin(work));
    }
}

async fn refuse(mut stream: Box<dyn Connection>) {
    let _ = stream.write_all(BUSY).await;
    let _ = stream.shutdown().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::BUSY;

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(BUSY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{} bytes", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["error"]["code"] == "overloaded");
    }
}
