//! Reading files line by line, with their digests.

use crate::Unusable;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

/// Bytes of a key or a manifest.
const MAX_SMALL: u64 = 64 * 1024;
/// Bytes of a line: a record is far below.
const MAX_LINE: u64 = 256 * 1024 * 1024;

pub type Digest32 = [u8; 32];

fn unreadable(file: &Path) -> impl Fn(std::io::Error) -> Unusable {
    let file = file.display().to_string();
    move |error| Unusable::File { file: file.clone(), error }
}

pub fn small(file: &Path) -> Result<String, Unusable> {
    let mut text = String::new();
    let opened = File::open(file).map_err(unreadable(file))?;
    opened.take(MAX_SMALL).read_to_string(&mut text).map_err(unreadable(file))?;
    Ok(text)
}

/// Gives every line with its number, without its end, and the digest of the whole file.
pub fn lines(file: &Path, mut each: impl FnMut(u64, &[u8])) -> Result<Digest32, Unusable> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file).map_err(unreadable(file))?);
    let (mut hash, mut line, mut number) = (Sha256::new(), Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable(file))?;
        if read == 0 {
            return Ok(hash.finalize().into());
        }
        number += 1;
        hash.update(&line);
        each(number, line.strip_suffix(b"\n").unwrap_or(&line));
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(text: &str) -> Option<Digest32> {
    let bytes = text.as_bytes();
    let mut out = [0; 32];
    if bytes.len() != 64 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (at, pair) in bytes.chunks(2).enumerate() {
        out[at] = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}
