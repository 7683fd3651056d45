//! One message per line over a pair of byte streams: the standard streams of a server that was started in an
//! environment (<https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/stdio>). Starting and ending
//! the process is its owner's.
//!
//! One request is on its way at a time; whoever comes meanwhile waits within their own time-out.

use super::Sent;
use crate::{
    limits::{MAX_BYTES_BEFORE_ANSWER, MAX_MESSAGE_BYTES},
    message::{self, Incoming},
    trouble::Trouble,
};
use bailiwick_core::{Failure, FailureCode};
use std::collections::VecDeque;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Mutex, MutexGuard},
};

const CHUNK: usize = 16 << 10;

pub(crate) struct LineChannel(Mutex<Pipes>);

struct Pipes {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// What has arrived and is not read yet.
    buffer: Vec<u8>,
    /// How much of it is known to hold no end of a line.
    searched: usize,
    /// Why the streams cannot be used any more: where a message begins is not known.
    broken: Option<String>,
}

pub(crate) struct LineExchange<'a> {
    pipes: MutexGuard<'a, Pipes>,
    queue: VecDeque<Incoming>,
    received: usize,
}

impl LineChannel {
    pub(crate) fn new(reader: Box<dyn AsyncRead + Send + Unpin>, writer: Box<dyn AsyncWrite + Send + Unpin>) -> Self {
        Self(Mutex::new(Pipes { reader, writer, buffer: Vec::new(), searched: 0, broken: None }))
    }

    pub(super) async fn open(&self, message: Vec<u8>, sent: &Sent) -> Result<LineExchange<'_>, Trouble> {
        let mut pipes = self.0.lock().await;
        if let Some(why) = &pipes.broken {
            return Err(Trouble::NeverSent(broken(why)));
        }
        sent.now();
        pipes.write(message).await?;
        Ok(LineExchange { pipes, queue: VecDeque::new(), received: 0 })
    }

    pub(super) async fn end(&self) {
        let mut pipes = self.0.lock().await;
        pipes.broken = Some("they were closed".into());
        let _ = pipes.writer.shutdown().await;
    }
}

impl LineExchange<'_> {
    pub(crate) async fn say(&mut self, message: Vec<u8>) -> Result<(), Trouble> {
        self.pipes.write(message).await
    }

    pub(super) async fn next(&mut self) -> Result<Incoming, Trouble> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Ok(message);
            }
            let line = self.pipes.line().await?;
            self.received += line.len();
            if self.received > MAX_BYTES_BEFORE_ANSWER {
                let text = format!("it has more than {MAX_BYTES_BEFORE_ANSWER} bytes");
                return Err(Trouble::malformed(text));
            }
            // Some servers print what belongs on their error stream: that is no message, and not the answer either.
            if matches!(line.trim_ascii_start().first(), Some(b'{' | b'[')) {
                self.queue.extend(message::read(&line).map_err(Trouble::malformed)?);
            }
        }
    }
}

impl Pipes {
    async fn write(&mut self, mut message: Vec<u8>) -> Result<(), Trouble> {
        message.push(b'\n');
        // INVARIANT: a write that is given up half way leaves half a line; nobody writes after it.
        self.broken = Some("a message was given up half way".into());
        let written = match self.writer.write_all(&message).await {
            Ok(()) => self.writer.flush().await,
            Err(error) => Err(error),
        };
        self.broken = written.err().map(|error| format!("the server does not read: {}", error.kind()));
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(Trouble::Lost(broken(why))),
        }
    }

    /// The next line. May be dropped at any await point without losing anything.
    async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_MESSAGE_BYTES {
                let why = format!("a line has more than {MAX_MESSAGE_BYTES} bytes");
                return Err(self.breaks(why, FailureCode::MalformedAnswer));
            }
            self.buffer.reserve(CHUNK);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(self.breaks("the server has ended".into(), FailureCode::StreamCut)),
                Ok(_) => {}
                Err(error) => {
                    let why = format!("the server cannot be read: {}", error.kind());
                    return Err(self.breaks(why, FailureCode::StreamCut));
                }
            }
        }
    }

    fn breaks(&mut self, why: String, code: FailureCode) -> Trouble {
        self.buffer = Vec::new();
        self.searched = 0;
        let failure = Failure::new(code, format!("the connection to the server is over: {why}"));
        self.broken = Some(why);
        Trouble::Lost(failure)
    }
}

fn broken(why: &str) -> Failure {
    Failure::new(FailureCode::ConnectionFailed, format!("the connection to the server is over: {why}"))
}
