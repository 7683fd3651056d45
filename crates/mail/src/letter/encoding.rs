//! How text becomes lines of a mail: encoded words (RFC 2047), quoted-printable and base64 (RFC 2045), parameters
//! (RFC 2231). Every line ends with CRLF, has ASCII only and at most 998 bytes, usually 76.

use crate::Mailbox;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Bytes of text in one encoded word: 75 less `=?UTF-8?B?` and `?=`, in whole groups of base64.
const WORD: usize = 45;
/// Bytes of a line before `=` and the line's end.
const LINE: usize = 75;

/// One header. `value` is ASCII without line breaks and is folded at spaces.
pub(super) fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for word in value.split(' ') {
        if column + 1 + word.len() > LINE && column > name.len() + 1 {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// Text as it stands in a header: itself where it cannot be misread, else encoded words.
pub(super) fn words(text: &str) -> String {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        // Would be read as encoded, or not survive folding.
        && !text.contains("=?")
        && !text.contains("  ")
        && text.trim() == text
        && text.split(' ').all(|word| word.len() < 64);
    if plain {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(WORD);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (word, after) = rest.split_at(end);
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}

/// `"Name" <address>`, or the bare address.
pub(super) fn mailbox(mailbox: &Mailbox) -> String {
    let Some(name) = &mailbox.name else { return mailbox.address.to_string() };
    let encoded = words(name);
    if encoded == *name {
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{quoted}\" <{}>", mailbox.address);
    }
    format!("{encoded} <{}>", mailbox.address)
}

/// Headers and body of plain text.
pub(super) fn text_part(text: &str, out: &mut Vec<u8>) {
    field("Content-Type", "text/plain; charset=utf-8", out);
    field("Content-Transfer-Encoding", "quoted-printable", out);
    out.extend_from_slice(b"\r\n");
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in text.trim_end_matches('\n').split('\n') {
        quoted_printable(line, out);
    }
}

/// One line of text as one or more of quoted-printable.
fn quoted_printable(line: &str, out: &mut Vec<u8>) {
    let bytes = line.as_bytes();
    let mut column = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let last = at + 1 == bytes.len();
        let literal = match byte {
            b'=' => false,
            // At the end of a line it would be lost on the way.
            b' ' | b'\t' => !last,
            // A boundary or the end of a message begins so; some look for `From ` too.
            b'.' | b'-' | b'F' if column == 0 => false,
            byte => byte.is_ascii_graphic(),
        };
        let width = if literal { 1 } else { 3 };
        if column + width > LINE {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if literal {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("={byte:02X}").as_bytes());
        }
        column += width;
    }
    out.extend_from_slice(b"\r\n");
}

/// Headers and body of an attachment. The name has been checked.
pub(super) fn file_part(name: &str, media_type: &str, bytes: &[u8], out: &mut Vec<u8>) {
    field("Content-Type", media_type, out);
    field("Content-Transfer-Encoding", "base64", out);
    field("Content-Disposition", &format!("attachment; {}", file_name(name)), out);
    out.extend_from_slice(b"\r\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
}

/// `filename=…`, or `filename*=UTF-8''…` where that has letters outside of ASCII.
fn file_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.bytes().all(|byte| plain(byte) || byte == b' ') {
        return format!("filename=\"{name}\"");
    }
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("filename*=UTF-8''{encoded}")
}
