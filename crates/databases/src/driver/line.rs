//! The socket to a database server.
//!
//! A database is where its administrator says: mostly inside the walls, so that the rules for addresses that a user or a
//! model names are not for it.

use super::{CONNECT, Trouble};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connected socket of either kind.
pub enum Line {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Line {
    #[allow(clippy::disallowed_methods, reason = "the one place where this room connects; it has a permit by then")]
    pub async fn connect(host: &str, port: u16, socket: Option<String>) -> Result<Self, Trouble> {
        let connect = async {
            match &socket {
                Some(path) => tokio::net::UnixStream::connect(path).await.map(Self::Unix),
                None => tokio::net::TcpStream::connect((host, port)).await.map(|stream| {
                    // Small questions and answers: waiting for more to send only costs time.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a socket keeps small packets back");
                    }
                    Self::Tcp(stream)
                }),
            }
        };
        let place = socket.as_deref().map_or_else(|| format!("{host}:{port}"), str::to_owned);
        match within(CONNECT, connect).await {
            Some(Ok(line)) => Ok(line),
            Some(Err(error)) => Err(Trouble::Unreachable(format!("nothing answers at {place}: {}", error.kind()))),
            None => Err(Trouble::Unreachable(format!("nothing answers at {place} within {} s", CONNECT.as_secs()))),
        }
    }
}

/// What `work` comes to, unless it takes longer.
#[allow(clippy::disallowed_methods, reason = "the one place where this room waits")]
pub async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(time, work).await.ok()
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
