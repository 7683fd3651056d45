//! A line between a sender of mail and its server that a test holds in its hands: it stops where the test says.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A line between a sender and a server.
pub struct Line {
    client: (OwnedReadHalf, OwnedWriteHalf),
    server: (OwnedReadHalf, OwnedWriteHalf),
}

/// Where a line was stopped.
pub struct Stopped {
    /// In words, for a failing test.
    pub at: String,
    /// What was about to be passed on, to the server or to the client.
    pub to_server: bool,
    pub bytes: Vec<u8>,
}

impl Line {
    pub fn new(client: TcpStream, server: TcpStream) -> Self {
        Self { client: client.into_split(), server: server.into_split() }
    }

    /// Passes everything on up to step `stop`; `None` when the dialogue is over before that.
    pub async fn pass(&mut self, stop: usize) -> Option<Stopped> {
        let mut step = 0;
        let mut in_message = false;
        loop {
            // SMTP without pipelining takes turns: the server speaks first.
            let reply = self.reply().await?;
            if step == stop {
                return Some(Stopped { at: format!("answer {}", shown(&reply)), to_server: false, bytes: reply });
            }
            step += 1;
            in_message = in_message || reply.starts_with(b"354");
            self.client.1.write_all(&reply).await.ok()?;
            if in_message && reply.starts_with(b"354") {
                let mut message = self.command(b"\r\n.\r\n").await?;
                let dot = message.split_off(message.len() - 3);
                for (at, bytes) in [("message", message), ("final dot", dot)] {
                    if step == stop {
                        return Some(Stopped { at: at.into(), to_server: true, bytes });
                    }
                    step += 1;
                    self.server.1.write_all(&bytes).await.ok()?;
                }
            } else {
                let command = self.command(b"\r\n").await?;
                if step == stop {
                    return Some(Stopped { at: shown(&command), to_server: true, bytes: command });
                }
                step += 1;
                self.server.1.write_all(&command).await.ok()?;
            }
        }
    }

    /// What was on its way when the line was stopped goes on, if it is to, and nothing after it. The server has done what
    /// it does before the sender sees the end of the connection.
    pub async fn end(mut self, stopped: &Stopped, arrives: bool) {
        if arrives {
            let way = if stopped.to_server { &mut self.server.1 } else { &mut self.client.1 };
            let _ = way.write_all(&stopped.bytes).await;
        }
        let (mut rest, way) = self.server;
        drop(way);
        let _ = rest.read_to_end(&mut Vec::new()).await;
        drop(self.client);
    }

    async fn reply(&mut self) -> Option<Vec<u8>> {
        let mut reply = Vec::new();
        loop {
            reply.push(self.server.0.read_u8().await.ok()?);
            let last = reply[..reply.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if reply.ends_with(b"\n") && reply.get(last + 3) != Some(&b'-') {
                return Some(reply);
            }
        }
    }

    async fn command(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        let mut command = Vec::new();
        loop {
            command.push(self.client.0.read_u8().await.ok()?);
            if command.ends_with(end) {
                return Some(command);
            }
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(20).collect()
}
