//! A stream from a PostgreSQL server that breaks off when a message is too large, before it fills the memory. The client
//! library takes in whole messages, and one row may have a gigabyte.
//!
//! Messages are a type of one byte and a length of four, big-endian, which counts itself:
//! <https://www.postgresql.org/docs/current/protocol-overview.html>.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const HEADER: usize = 5;

pub struct Guarded<S> {
    stream: S,
    most: usize,
    header: [u8; HEADER],
    /// How much of the header is known.
    known: usize,
    /// How much of the body is to come.
    left: usize,
    exceeded: Arc<AtomicBool>,
}

impl<S> Guarded<S> {
    /// `exceeded` is set when it breaks off.
    pub fn new(stream: S, most: usize, exceeded: Arc<AtomicBool>) -> Self {
        Self { stream, most, header: [0; HEADER], known: 0, left: 0, exceeded }
    }

    fn look_at(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEADER - self.known).min(bytes.len());
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEADER {
                let [_, a, b, c, d] = self.header;
                self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.known = 0;
                if self.left > self.most {
                    self.exceeded.store(true, Ordering::Relaxed);
                    return Err(io::Error::other("a message of the server is too large"));
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.look_at(&buffer.filled()[before..])),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_is_seen_however_it_is_cut() {
        let mut small = vec![b'D', 0, 0, 0, 14];
        small.extend([7; 10]);
        let mut stream = [small.clone(), small.clone(), vec![b'D', 0, 0, 1, 0]].concat();
        for step in 1..stream.len() {
            let exceeded = Arc::new(AtomicBool::new(false));
            let mut guarded = Guarded::new((), 100, Arc::clone(&exceeded));
            let seen = stream.chunks(step).try_for_each(|part| guarded.look_at(part));
            assert!(seen.is_err() && exceeded.load(Ordering::Relaxed), "{step}");
        }
        stream.truncate(2 * small.len());
        let mut guarded = Guarded::new((), 10, Arc::default());
        assert!(stream.chunks(3).try_for_each(|part| guarded.look_at(part)).is_ok());
    }
}
