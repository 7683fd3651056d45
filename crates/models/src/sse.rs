//! Server-sent events, as far as model servers use them: the `data` of each event. Memory is bounded by the limit on
//! one event. Format: WHATWG HTML, section 9.2.6.

use crate::trouble::Trouble;

/// The most bytes in one event: an OpenAI `response.completed` repeats the whole answer.
pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

/// Turns pieces of a body into events, however the body was cut into pieces.
#[derive(Default)]
pub(crate) struct Parser {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data lines of the event whose end has not come.
    data: Vec<u8>,
    has_data: bool,
    /// The last piece ended with a carriage return: a line feed that follows belongs to it.
    skip_line_feed: bool,
    past_first_line: bool,
}

impl Parser {
    /// Takes the next piece and hands on the data of each event that it completes.
    pub(crate) fn push(
        &mut self,
        mut piece: &[u8],
        each: &mut dyn FnMut(&str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        if self.skip_line_feed && !piece.is_empty() {
            self.skip_line_feed = false;
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = piece.split_at(end);
            self.check_room(line.len())?;
            if self.line.is_empty() {
                self.line(line, each)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.line(&whole, each)?;
                whole.clear();
                self.line = whole;
            }
            piece = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.skip_line_feed = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.check_room(piece.len())?;
        self.line.extend_from_slice(piece);
        Ok(())
    }

    /// The body is over. Hands on an event whose closing blank line is missing, as some servers leave it out.
    pub(crate) fn end(&mut self, each: &mut dyn FnMut(&str) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, each)?;
        }
        self.line(b"", each)
    }

    fn check_room(&self, more: usize) -> Result<(), Trouble> {
        if self.line.len() + self.data.len() + more > MAX_EVENT_BYTES {
            return Err(Trouble::malformed(format!("one event is longer than {} MiB", MAX_EVENT_BYTES >> 20)));
        }
        Ok(())
    }

    fn line(&mut self, mut line: &[u8], each: &mut dyn FnMut(&str) -> Result<(), Trouble>) -> Result<(), Trouble> {
        if !self.past_first_line {
            self.past_first_line = true;
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(each);
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', value @ ..]) => value.strip_prefix(b" ").unwrap_or(value),
            // A comment or another field: the type is in the data again, ids and retry times have no use here.
            _ => return Ok(()),
        };
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(&mut self, each: &mut dyn FnMut(&str) -> Result<(), Trouble>) -> Result<(), Trouble> {
        if !self.has_data {
            return Ok(());
        }
        self.has_data = false;
        let data = std::mem::take(&mut self.data);
        let text = std::str::from_utf8(&data).map_err(|_| Trouble::malformed("an event is not UTF-8"))?;
        each(text)?;
        // The buffer is used again, unless one large event made it large.
        if data.capacity() <= 64 << 10 {
            self.data = data;
            self.data.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, Trouble> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        let mut each = |data: &str| {
            events.push(data.to_owned());
            Ok(())
        };
        for piece in pieces {
            parser.push(piece, &mut each)?;
        }
        parser.end(&mut each)?;
        Ok(events)
    }

    #[test]
    fn fields_comments_and_line_ends_are_read_as_the_standard_says() {
        let body = "\u{feff}data: one\r\n\r\n: ping\nevent: x\nid: 7\ndata:two\ndata\ndata:  three\n\n\n\rdata: four";
        assert_eq!(events(&[body.as_bytes()]).unwrap(), ["one", "two\n\n three", "four"]);
    }

    #[test]
    fn an_event_that_never_ends_is_refused_before_it_fills_the_memory() {
        let piece = vec![b'x'; 1 << 20];
        let mut parser = Parser::default();
        let refused = (0..20).find(|_| parser.push(&piece, &mut |_| Ok(())).is_err());
        assert_eq!(refused, Some(16));
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(events(&[b"data: \xff\n\n"]).is_err());
    }

    proptest! {
        #[test]
        fn where_a_body_is_cut_changes_nothing(body in "[a-d:\\n\\r ä]{0,60}|(data: ?[a-z]{0,5}(\r\n|\n|\r){1,2}){0,6}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let bytes = body.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(events(&pieces), events(&[bytes]));
        }
    }
}
