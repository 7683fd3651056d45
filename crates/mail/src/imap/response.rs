//! What an IMAP server answers, taken apart: atoms, strings, literals and lists (RFC 3501, section 9).

/// Lists within lists.
const MAX_DEPTH: usize = 16;

/// A part of an answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text; when a literal follows, its announcement is at the end.
    Line(Vec<u8>),
    Literal(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(Vec<u8>),
    List(Vec<Value>),
}

/// What a `FETCH` told about one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) uid: u32,
    pub(super) seen: bool,
    pub(super) size: u64,
    pub(super) body: Vec<u8>,
}

impl Value {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            Self::List(_) => None,
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.bytes().is_some_and(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(super) fn list(&self) -> &[Value] {
        match self {
            Self::List(values) => values,
            Self::Text(_) => &[],
        }
    }

    pub(super) fn number(&self) -> Option<u32> {
        std::str::from_utf8(self.bytes()?).ok()?.parse().ok()
    }
}

/// How long the literal is that this line announces at its end, if it does.
pub(super) fn announced(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let open = inside.iter().rposition(|byte| *byte == b'{')?;
    let digits = &inside[open + 1..];
    let fine = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // What is longer than any number is too long as well.
    fine.then(|| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX))
}

/// The values of an untagged answer, without its star.
pub(super) fn values(pieces: &[Piece]) -> Result<Vec<Value>, &'static str> {
    let mut stack: Vec<Vec<Value>> = vec![Vec::new()];
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => push(&mut stack, Value::Text(bytes.clone())),
            Piece::Line(line) => {
                let end = match announced(line) {
                    Some(_) => line.iter().rposition(|byte| *byte == b'{').unwrap_or(line.len()),
                    None => line.len(),
                };
                let start = if line.starts_with(b"* ") { 2 } else { 0 };
                read_line(line.get(start..end).unwrap_or_default(), &mut stack)?;
            }
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(values), true) => Ok(values),
        _ => Err("sent a list without an end"),
    }
}

fn push(stack: &mut [Vec<Value>], value: Value) {
    if let Some(top) = stack.last_mut() {
        top.push(value);
    }
}

fn read_line(line: &[u8], stack: &mut Vec<Vec<Value>>) -> Result<(), &'static str> {
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' => at += 1,
            b'(' => {
                if stack.len() > MAX_DEPTH {
                    return Err("sent lists that are too deep");
                }
                stack.push(Vec::new());
                at += 1;
            }
            b')' => {
                let Some(values) = stack.pop().filter(|_| !stack.is_empty()) else {
                    return Err("sent a list without a beginning");
                };
                push(stack, Value::List(values));
                at += 1;
            }
            b'"' => {
                let (text, next) = read_quoted(line, at + 1)?;
                push(stack, Value::Text(text));
                at = next;
            }
            _ => {
                let next = atom_end(line, at);
                push(stack, Value::Text(line[at..next].to_vec()));
                at = next;
            }
        }
    }
    Ok(())
}

fn read_quoted(line: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), &'static str> {
    let mut text = Vec::new();
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => return Ok((text, at + 1)),
            b'\\' => {
                text.extend(line.get(at + 1));
                at += 2;
            }
            byte => {
                text.push(*byte);
                at += 1;
            }
        }
    }
    Err("sent a string without an end")
}

/// Atoms of `FETCH` hold brackets with spaces and lists in them: `BODY[HEADER.FIELDS (FROM)]<0>`.
fn atom_end(line: &[u8], start: usize) -> usize {
    let mut inside = false;
    for (at, byte) in line.iter().enumerate().skip(start) {
        match byte {
            b'[' => inside = true,
            b']' => inside = false,
            b' ' | b'(' | b')' if !inside => return at.max(start + 1),
            _ => {}
        }
    }
    line.len()
}

pub(super) fn is_search(line: &[u8]) -> bool {
    const START: &[u8] = b"* SEARCH";
    line.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
        && line.get(START.len()).is_none_or(|next| *next == b' ')
}

/// The numbers of `* SEARCH 2 5 …`; none of another answer. There may be a million of them.
pub(super) fn searched(pieces: &[Piece]) -> Vec<u32> {
    let Some(Piece::Line(line)) = pieces.first().filter(|first| matches!(first, Piece::Line(line) if is_search(line)))
    else {
        return Vec::new();
    };
    let words = line.split(|byte| *byte == b' ').skip(2);
    words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok()).collect()
}

/// What `* 12 FETCH (UID 5 …)` tells; `None` for another answer, or when it does not say whom it is about.
pub(super) fn fetched(values: &[Value]) -> Option<Fetched> {
    let [_, word, Value::List(facts), ..] = values else { return None };
    if !word.is("FETCH") {
        return None;
    }
    let mut message = Fetched::default();
    for pair in facts.chunks_exact(2) {
        let (name, value) = (&pair[0], &pair[1]);
        if name.is("UID") {
            message.uid = value.number()?;
        } else if name.is("FLAGS") {
            message.seen = value.list().iter().any(|flag| flag.is("\\Seen"));
        } else if name.is("RFC822.SIZE") {
            message.size = u64::from(value.number().unwrap_or(u32::MAX));
        } else if name.bytes().is_some_and(|name| name.to_ascii_uppercase().starts_with(b"BODY[")) {
            message.body = value.bytes().filter(|bytes| *bytes != b"NIL").unwrap_or_default().to_vec();
        }
    }
    (message.uid != 0).then_some(message)
}

/// The number in `* OK [UIDVALIDITY 12] …`.
pub(super) fn validity(pieces: &[Piece]) -> Option<u32> {
    let [Piece::Line(line), ..] = pieces else { return None };
    let line = String::from_utf8_lossy(line).to_ascii_uppercase();
    let (_, rest) = line.split_once("[UIDVALIDITY ")?;
    rest.split_once(']')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Piece {
        Piece::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn a_fetched_message_is_taken_apart() {
        let pieces = [
            line("* 12 FETCH (UID 5 FLAGS (\\Seen \\Answered) RFC822.SIZE 44 BODY[HEADER.FIELDS (FROM TO)]<0> {6}"),
            Piece::Literal(b"a) \"b\n".to_vec()),
            line(")"),
        ];
        let message = fetched(&values(&pieces).unwrap()).unwrap();
        assert_eq!(message, Fetched { uid: 5, seen: true, size: 44, body: b"a) \"b\n".to_vec() });
        assert_eq!(fetched(&values(&[line("* 12 FETCH (FLAGS ())")]).unwrap()), None);
        assert_eq!(validity(&[line("* OK [UIDVALIDITY 17] UIDs valid")]), Some(17));
    }

    #[test]
    fn what_is_not_a_list_is_refused_and_depth_has_an_end() {
        for text in ["* (", "* )", "* \"a", "* ())"] {
            assert!(values(&[line(text)]).is_err(), "{text}");
        }
        assert!(values(&[line(&format!("* {}", "(".repeat(10_000)))]).is_err());
        assert_eq!(announced(b"x {12}"), Some(12));
        assert_eq!(announced(b"x {99999999999999999999}"), Some(usize::MAX));
        assert_eq!(searched(&[line("* search 3 12  x 4294967296 7")]), [3, 12, 7]);
        assert!(searched(&[line("* SEARCH")]).is_empty());
        assert!(searched(&[line("* SEARCHED 3")]).is_empty());
        for text in [&b"x {}"[..], b"x {-1}", b"{1} x", b"}"] {
            assert_eq!(announced(text), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_sends_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let pieces = [Piece::Line(bytes.clone()), Piece::Literal(bytes.clone()), Piece::Line(bytes)];
            if let Ok(values) = values(&pieces) {
                fetched(&values);
            }
            validity(&pieces);
            searched(&pieces);
        }
    }
}
