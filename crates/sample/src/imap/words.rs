//! What a client says, taken apart: atoms, quoted strings and brackets (RFC 3501, section 9).

/// A part of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Atom(String),
    /// A quoted string or a literal: never a keyword.
    Quoted(Vec<u8>),
    Open,
    Close,
}

impl Word {
    /// An atom's text.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Atom(text) => Some(text),
            _ => None,
        }
    }

    /// What it says, however it was written.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Atom(text) => Some(text.clone()),
            Self::Quoted(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    pub fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(text) if text.eq_ignore_ascii_case(word))
    }
}

/// The literal that a line announces at its end: its length, where the announcement begins, and whether the client waits
/// to be invited.
pub(super) fn announced(line: &[u8]) -> Option<(usize, usize, bool)> {
    let inside = line.strip_suffix(b"}")?;
    let open = inside.iter().rposition(|byte| *byte == b'{')?;
    let digits = std::str::from_utf8(&inside[open + 1..]).ok()?;
    let (digits, waits) = digits.strip_suffix('+').map_or((digits, true), |digits| (digits, false));
    let fine = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| (digits.parse().unwrap_or(usize::MAX), open, waits))
}

/// The words of a line. A string without an end goes to the end of the line.
pub(super) fn words(line: &[u8]) -> Vec<Word> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' => at += 1,
            b'(' => {
                all.push(Word::Open);
                at += 1;
            }
            b')' => {
                all.push(Word::Close);
                at += 1;
            }
            b'"' => {
                let (text, next) = string(line, at + 1);
                all.push(Word::Quoted(text));
                at = next;
            }
            _ => {
                let end = atom_end(line, at);
                all.push(Word::Atom(String::from_utf8_lossy(&line[at..end]).into_owned()));
                at = end;
            }
        }
    }
    all
}

fn string(line: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut text = Vec::new();
    while let Some(byte) = line.get(at) {
        match byte {
            b'"' => return (text, at + 1),
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
    (text, at)
}

/// Atoms of `FETCH` hold brackets with spaces and lists in them: `BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.100>`.
fn atom_end(line: &[u8], start: usize) -> usize {
    let mut inside = false;
    for (at, byte) in line.iter().enumerate().skip(start) {
        match byte {
            b'[' => inside = true,
            b']' => inside = false,
            b' ' | b'(' | b')' if !inside => return at,
            _ => {}
        }
    }
    line.len()
}

/// A set of numbers: `1,4:7,9:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set(Vec<(u32, u32)>);

impl Set {
    pub fn holds(&self, number: u32) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }
}

pub(super) fn set(text: &str) -> Option<Set> {
    let number = |text: &str| if text == "*" { Some(u32::MAX) } else { text.parse().ok() };
    let part = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let (from, to): (u32, u32) = (number(from)?, number(to)?);
        Some((from.min(to), from.max(to)))
    };
    text.split(',').map(part).collect::<Option<Vec<_>>>().map(Set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_taken_apart() {
        let line = b"b1 UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.9>) \"a \\\"b\"";
        let all = words(line);
        assert_eq!(all.len(), 9, "{all:?}");
        assert!(all[6].is("BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.9>"));
        assert_eq!(all[8], Word::Quoted(b"a \"b".to_vec()));
        assert_eq!(announced(b"b1 LOGIN {4}"), Some((4, 9, true)));
        assert_eq!(announced(b"b1 LOGIN {4+}"), Some((4, 9, false)));
        for text in [&b"{}"[..], b"{x}", b"x}", b"{1} "] {
            assert_eq!(announced(text), None);
        }
        assert!(set("1,4:7").unwrap().holds(5) && !set("1,4:7").unwrap().holds(3) && set("9:*").unwrap().holds(10));
        assert_eq!((set("a"), set("1:")), (None, None));
    }
}
