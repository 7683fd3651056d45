//! Lines and literals over one connection, each bounded.

use std::io;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
};

/// Connections of one server at once; others wait.
pub(crate) const MAX_CONNECTIONS: usize = 32;

pub(crate) struct Wire {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    /// The next line without its end; `None` at the end of the connection. A longer line is an error.
    pub async fn line(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(2);
        let mut line = Vec::new();
        (&mut self.reader).take(limit).read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
        Ok(Some(line))
    }

    /// So many bytes. The caller has checked their number.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    pub async fn say(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.write_all(text.as_ref()).await
    }

    /// Waits until the other side hangs up. What it says meanwhile was not asked for.
    pub async fn hung_up(&mut self) {
        let mut away = [0; 512];
        while self.reader.read(&mut away).await.is_ok_and(|length| length > 0) {}
    }
}

/// A listener on loopback, and its port.
#[allow(clippy::disallowed_methods, reason = "the sample company's own servers, for the demonstration")]
pub(crate) async fn listen() -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Serves every connection of `listener`, at most [`MAX_CONNECTIONS`] at once.
#[allow(clippy::disallowed_methods, reason = "a process of its own, which no simulator drives")]
pub(crate) fn each<F, T>(listener: TcpListener, serve: F)
where
    F: Fn(Wire) -> T + Send + Sync + 'static,
    T: Future<Output = io::Result<()>> + Send + 'static,
{
    let room = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(permit) = room.clone().acquire_owned().await {
            // A connection that broke before it was taken up is nobody's.
            let Ok((stream, _)) = listener.accept().await else { continue };
            let work = serve(Wire::new(stream));
            tokio::spawn(async move {
                // Whoever breaks off in the middle has said what there was to say.
                let _ = work.await;
                drop(permit);
            });
        }
    });
}
