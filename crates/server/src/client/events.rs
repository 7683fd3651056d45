//! Server-sent events (the WHATWG HTML standard, section 9.2), as the events route sends them.

use crate::failure::{Failure, Outcome};
use reqwest::Response;
use serde_json::Value;

/// The largest event that is read.
const MAX_EVENT: usize = 64 * 1024 * 1024;

/// One event of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place, to go on from after a lost connection.
    pub id: Option<String>,
    /// The event itself; its `type` says what it is.
    pub data: Value,
}

impl Event {
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }
}

/// A connection on which events come.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    parser: Parser,
}

impl EventStream {
    pub(super) fn new(response: Response) -> Self {
        Self { response, parser: Parser::default() }
    }

    /// The next event; `None` when the connection ended, however it did.
    pub async fn next(&mut self) -> Outcome<Option<Event>> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(piece)) => self.parser.push(&piece)?,
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
    /// How far the buffer was looked through for the end of an event.
    seen: usize,
}

impl Parser {
    fn push(&mut self, piece: &[u8]) -> Outcome {
        if self.buffer.len() + piece.len() > MAX_EVENT {
            return Err(Failure::failed("the server sent an event that is too large"));
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The next whole event with data. Comments and empty events are left out.
    fn next(&mut self) -> Outcome<Option<Event>> {
        while let Some((end, after)) = blank_line(&self.buffer, self.seen.saturating_sub(3)) {
            let event = parse(&self.buffer[..end])?;
            self.buffer.drain(..after);
            self.seen = 0;
            if event.is_some() {
                return Ok(event);
            }
        }
        self.seen = self.buffer.len();
        Ok(None)
    }
}

/// The end of the first event from `from` on, and where the next begins.
fn blank_line(buffer: &[u8], from: usize) -> Option<(usize, usize)> {
    let rest = &buffer[from..];
    let find = |needle: &[u8]| {
        rest.windows(needle.len()).position(|window| window == needle).map(|at| (from + at, from + at + needle.len()))
    };
    match (find(b"\n\n"), find(b"\r\n\r\n")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn parse(bytes: &[u8]) -> Outcome<Option<Event>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::failed("the server sent an event that is not UTF-8"))?;
    let (mut id, mut data) = (None, String::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "data" => {
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
    }
    if data.is_empty() || data == "[DONE]" {
        return Ok(None);
    }
    let data = serde_json::from_str(&data)
        .map_err(|error| Failure::failed(format!("the server sent an event that is not JSON: {error}")))?;
    Ok(Some(Event { id, data }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.push(piece).unwrap();
            while let Some(event) = parser.next().unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = b": hello\n\nid: 3.1\nevent: x\ndata: {\"type\":\ndata: \"x\"}\n\nretry: 5\r\n\r\nid: 4.0\r\ndata: {}\r\n\r\ndata: [DONE]\n\n";
        let expected = vec![
            Event { id: Some("3.1".into()), data: json!({"type": "x"}) },
            Event { id: Some("4.0".into()), data: json!({}) },
        ];
        assert_eq!(all(&[text]), expected);
        for size in 1..20 {
            assert_eq!(all(&text.chunks(size).collect::<Vec<_>>()), expected, "pieces of {size}");
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let mut parser = Parser::default();
        parser.push(b"data: {oops\n\n").unwrap();
        assert!(parser.next().is_err());
    }
}
