//! The canonical form of a request that a signature is made over.

use super::bad;
use bailiwick_ports::{AuthError, RequestParts};

/// Method, path, query, headers, their names and the body's digest, one a line.
pub(super) fn request(
    request: &RequestParts<'_>,
    signed_headers: &[&str],
    query: &str,
    payload: &str,
) -> Result<Vec<u8>, AuthError> {
    let mut text = Vec::with_capacity(1024);
    for part in [request.method, &path(request.path), query] {
        text.extend_from_slice(part.as_bytes());
        text.push(b'\n');
    }
    for name in signed_headers {
        let mut values = request.headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name)).peekable();
        if values.peek().is_none() {
            return Err(bad(&format!("the signed header `{name}` did not arrive; does a proxy take it off?")));
        }
        text.extend_from_slice(name.as_bytes());
        let mut separator = b':';
        for (_, value) in values {
            text.push(separator);
            separator = b',';
            push_trimmed(&mut text, value);
        }
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(signed_headers.join(";").as_bytes());
    text.push(b'\n');
    text.extend_from_slice(payload.as_bytes());
    Ok(text)
}

/// A header's value without white space around it, and with single spaces inside.
fn push_trimmed(text: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

/// The path as it was sent, without dot segments and doubled slashes, percent-encoded once more.
fn path(sent: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in sent.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut path = String::with_capacity(sent.len() + 16);
    for segment in &segments {
        path.push('/');
        encode(&mut path, segment.as_bytes());
    }
    if segments.is_empty() || sent.ends_with('/') {
        path.push('/');
    }
    path
}

/// The forms in which clients sign a query: sorted as it was sent (botocore), and decoded and encoded anew (the AWS
/// SDK for Rust). They differ only for spaces written as `+` and characters that needed no encoding.
pub(super) fn queries(sent: &str) -> Vec<String> {
    if sent.is_empty() {
        return vec![String::new()];
    }
    let pairs = || sent.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let as_sent = sorted(pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    let meant = pairs().filter(|(name, value)| !name.is_empty() || !value.is_empty());
    let anew = sorted(meant.map(|(name, value)| (encoded(name), encoded(value))).collect());
    if as_sent == anew { vec![as_sent] } else { vec![as_sent, anew] }
}

fn sorted(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Decoded as a form is (`+` is a space; what is no escape stays), and encoded by AWS's rule.
fn encoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            (other, ..) => decoded.push(other),
        }
        at += 1;
    }
    let mut text = String::with_capacity(bytes.len());
    encode(&mut text, &decoded);
    text
}

/// Everything but letters, digits and `-._~` becomes `%XX`.
fn encode(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(*byte));
        } else {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            text.extend(['%', char::from(high), char::from(low)]);
        }
    }
}
