//! What a document says, as text: lines of plain text, or a word on why it cannot be shown.

use crate::{office::text_of_office, span::Span};

/// Bytes at the front that tell text from what is none.
const PROBE: usize = 8 * 1024;

/// What bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    Plain(String),
    /// No text: what it seems to be.
    Other(&'static str),
}

/// Reads bytes as text: UTF-8, or UTF-16 with a mark in front. Bytes that are no letters are shown as such.
pub(crate) fn text_of(bytes: &[u8], span: &Span) -> Text {
    let units = |bytes: &[u8], from: fn([u8; 2]) -> u16| -> Vec<u16> {
        bytes.chunks_exact(2).map(|pair| from([pair[0], pair[1]])).collect()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => return plain(&String::from_utf16_lossy(&units(rest, u16::from_le_bytes))),
        [0xfe, 0xff, rest @ ..] => return plain(&String::from_utf16_lossy(&units(rest, u16::from_be_bytes))),
        _ => {}
    }
    if bytes.starts_with(b"PK\x03\x04")
        && let Some(text) = text_of_office(bytes, span)
    {
        return plain(&text);
    }
    let probe = &bytes[..bytes.len().min(PROBE)];
    if let Some(kind) = known(probe) {
        return Text::Other(kind);
    }
    if probe.contains(&0) {
        return Text::Other("binary");
    }
    plain(&String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)))
}

/// Without control characters but line breaks and tabs.
fn plain(text: &str) -> Text {
    let text = text.replace("\r\n", "\n");
    Text::Plain(text.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect())
}

/// Kinds that are common among documents and are no text.
fn known(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 8] = [
        (b"%PDF-", "a PDF"),
        (b"PK\x03\x04", "an archive"),
        (b"\xd0\xcf\x11\xe0", "an old office document"),
        (b"\x89PNG", "an image"),
        (b"\xff\xd8\xff", "an image"),
        (b"GIF8", "an image"),
        (b"\x1f\x8b", "a compressed file"),
        (b"\x7fELF", "a program"),
    ];
    kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| *kind)
}

/// Whether a document of this name is an archive that must be read whole.
pub(crate) fn is_office(name: &str) -> bool {
    const ENDS: [&str; 6] = ["docx", "xlsx", "pptx", "odt", "ods", "odp"];
    name.rsplit_once('.').is_some_and(|(_, end)| ENDS.iter().any(|known| end.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_gate::Live;
    use bailiwick_testkit::clock::ManualClock;
    use bailiwick_types::{Millis, Timestamp};
    use std::sync::Arc;

    #[test]
    fn text_is_told_from_what_is_none() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let span = Span::new(clock, Millis(1), Live::unwatched());
        let text_of = |bytes: &[u8]| super::text_of(bytes, &span);
        assert_eq!(text_of(b"\xef\xbb\xbfa\r\nb\x1b[31m"), Text::Plain("a\nb[31m".into()));
        assert_eq!(text_of(b"\xff\xfea\0b\0"), Text::Plain("ab".into()));
        assert_eq!(text_of(b"\xff\xfea\0b"), Text::Plain("a".into()));
        assert_eq!(text_of(b"caf\xe9"), Text::Plain("caf\u{fffd}".into()));
        assert_eq!(text_of(b"a\0b"), Text::Other("binary"));
        assert_eq!(text_of(b"%PDF-1.7 x"), Text::Other("a PDF"));
        assert_eq!(text_of(b""), Text::Plain(String::new()));
    }
}
