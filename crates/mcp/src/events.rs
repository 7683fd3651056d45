//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), read as they arrive.

use crate::limits::MAX_MESSAGE_BYTES;
use bailiwick_types::Millis;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The id that resuming after this event needs.
    pub id: Option<String>,
    pub data: String,
}

/// Longest id of an event that is remembered; a longer one cannot be resumed from.
const MAX_ID_BYTES: usize = 1024;

/// Cuts a stream into events. Holds at most one event and one line.
#[derive(Default)]
pub struct Events {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    returned: bool,
    begun: bool,
    data: Option<String>,
    last_id: Option<String>,
    retry: Option<Millis>,
}

impl Events {
    /// The id of the last event that had one.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants us to wait before we resume.
    pub fn retry(&self) -> Option<Millis> {
        self.retry
    }

    /// Takes in a chunk. Fails once a line or an event is longer than a message may be.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for byte in chunk {
            let after_return = std::mem::take(&mut self.returned);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.returned = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&line)?);
                }
                _ if self.line.len() >= MAX_MESSAGE_BYTES => {
                    return Err(format!("a line has more than {MAX_MESSAGE_BYTES} bytes"));
                }
                _ => self.line.push(*byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<Option<Event>, String> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            let id = self.last_id.clone();
            return Ok(self.data.take().map(|data| Event { id, data }));
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (&*line, ""),
        };
        match field {
            "data" => {
                let data = self.data.get_or_insert_default();
                if data.len() + value.len() > MAX_MESSAGE_BYTES {
                    return Err(format!("an event has more than {MAX_MESSAGE_BYTES} bytes"));
                }
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            "id" if value.len() <= MAX_ID_BYTES && value.chars().all(|char| matches!(char, ' '..='~')) => {
                self.last_id = Some(value.to_owned()).filter(|id| !id.is_empty());
            }
            "retry" => self.retry = value.parse().ok().map(Millis).or(self.retry),
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datas(events: &mut Events, text: &[u8]) -> Vec<String> {
        events.feed(text).unwrap().into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = b"\xef\xbb\xbf: hello\r\nid: 7\r\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nretry: 250\rdata\r\rid:\n\ndata:x\n\n";
        let mut whole = Events::default();
        let expected = datas(&mut whole, text);
        assert_eq!(expected, ["{\"a\":\n1}", "", "x"]);
        let mut single = Events::default();
        let pieces: Vec<String> = text.iter().flat_map(|byte| datas(&mut single, &[*byte])).collect();
        assert_eq!((pieces, single.retry(), single.last_id()), (expected, Some(Millis(250)), None));
        let mut with_id = Events::default();
        let event = with_id.feed(b"id: 7\ndata: a\n\n").unwrap();
        assert_eq!((event[0].id.as_deref(), with_id.last_id()), (Some("7"), Some("7")));
    }

    #[test]
    fn a_line_or_an_event_without_an_end_is_given_up() {
        let mut line = Events::default();
        let mut fed = 0;
        while line.feed(&[b'x'; 65_536]).is_ok() {
            fed += 65_536;
            assert!(fed <= MAX_MESSAGE_BYTES);
        }
        let mut event = Events::default();
        let piece = format!("data: {}\n", "x".repeat(65_536));
        let mut fed = 0;
        while event.feed(piece.as_bytes()).is_ok() {
            fed += 65_536;
            assert!(fed <= MAX_MESSAGE_BYTES);
        }
    }

    #[test]
    fn an_id_that_could_break_a_header_is_forgotten() {
        let mut events = Events::default();
        events.feed("id: a\u{1}b\ndata: x\n\n".as_bytes()).unwrap();
        assert_eq!(events.last_id(), None);
    }
}
