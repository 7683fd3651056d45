//! The socket to a database server.
//!
//! A database is where its administrator says: mostly inside the walls, so that the rules for addresses that a user or a
//! model names are not for it. What nobody may be sent to, it is not at either.

use super::{CONNECT, Trouble};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// A connected socket of either kind.
pub enum Line {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Line {
    #[allow(clippy::disallowed_methods, reason = "the one place where this room connects; it has a permit by then")]
    pub async fn connect(host: &str, port: u16, socket: Option<String>) -> Result<Self, Trouble> {
        let addresses = match &socket {
            Some(_) => Vec::new(),
            None => resolve(host, port).await?,
        };
        let connect = async {
            match &socket {
                Some(path) => tokio::net::UnixStream::connect(path).await.map(Self::Unix),
                None => tokio::net::TcpStream::connect(&addresses[..]).await.map(|stream| {
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

/// Where a server is: at addresses that somebody may be sent to.
#[allow(clippy::disallowed_methods, reason = "the name of a server that an administrator wrote, for an opened permit")]
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
    let found = match within(CONNECT, tokio::net::lookup_host((host, port))).await {
        Some(Ok(found)) => found.take(MAX_ADDRESSES).collect::<Vec<_>>(),
        Some(Err(error)) => {
            return Err(Trouble::Unreachable(format!("the address of {host} is not to be had: {error}")));
        }
        None => return Err(Trouble::Unreachable(format!("the address of {host} is not to be had"))),
    };
    match found.iter().find(|address| bailiwick_outbound::is_forbidden(address.ip())) {
        None => Ok(found),
        Some(address) => Err(Trouble::Unreachable(format!(
            "{host} is at {}, an address that nobody may be sent to (link-local, metadata of a cloud, multicast or reserved)",
            address.ip()
        ))),
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
