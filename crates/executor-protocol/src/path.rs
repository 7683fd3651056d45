//! Absolute paths as `file://` URIs (RFC 8089), percent-encoded byte by byte.

use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// An absolute path on the executor's machine. Any byte but NUL may be in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileUri(String);

/// Why a text is not a path URI, or a path cannot become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileUriError {
    NotAFileUri,
    ForeignHost,
    Relative,
    BadEscape,
    Nul,
}

impl fmt::Display for FileUriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAFileUri => "a path must be a `file://` URI",
            Self::ForeignHost => "a `file://` URI must not name a host",
            Self::Relative => "a path must be absolute",
            Self::BadEscape => "a `%` in a `file://` URI must be followed by two hexadecimal digits",
            Self::Nul => "a path must not hold a zero byte",
        })
    }
}

impl std::error::Error for FileUriError {}

impl FileUri {
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, FileUriError> {
        let path = path.as_ref();
        if !path.is_absolute() {
            return Err(FileUriError::Relative);
        }
        let bytes = path.as_os_str().as_bytes();
        let mut text = String::with_capacity(bytes.len() + 8);
        text.push_str("file://");
        for &byte in bytes {
            match byte {
                0 => return Err(FileUriError::Nul),
                b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => text.push(byte as char),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    text.push('%');
                    text.push(HEX[usize::from(byte >> 4)] as char);
                    text.push(HEX[usize::from(byte & 15)] as char);
                }
            }
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_path(&self) -> Result<PathBuf, FileUriError> {
        decode(&self.0)
    }
}

fn decode(text: &str) -> Result<PathBuf, FileUriError> {
    let rest = text.strip_prefix("file://").ok_or(FileUriError::NotAFileUri)?;
    let rest = rest.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    if rest.is_empty() {
        return Err(FileUriError::Relative);
    }
    if !rest.starts_with('/') {
        return Err(FileUriError::ForeignHost);
    }
    let mut bytes = Vec::with_capacity(rest.len());
    let mut rest = rest.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let byte = match byte {
            b'%' => {
                let [high, low, after @ ..] = tail else { return Err(FileUriError::BadEscape) };
                rest = after;
                hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low).ok_or(FileUriError::BadEscape)?
            }
            byte => byte,
        };
        if byte == 0 {
            return Err(FileUriError::Nul);
        }
        bytes.push(byte);
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl TryFrom<String> for FileUri {
    type Error = FileUriError;

    fn try_from(text: String) -> Result<Self, FileUriError> {
        decode(&text)?;
        Ok(Self(text))
    }
}

impl From<FileUri> for String {
    fn from(uri: FileUri) -> Self {
        uri.0
    }
}

impl fmt::Display for FileUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_way_through_a_uri() {
        for path in ["/", "/workspace/a b.txt", "/ä/%41#?", "/tmp/\u{7f}\n"] {
            let uri = FileUri::from_path(path).expect(path);
            assert!(uri.as_str().is_ascii(), "{uri}");
            assert_eq!(uri.to_path(), Ok(PathBuf::from(path)));
        }
        let odd = OsString::from_vec(b"/x\xff".to_vec());
        assert_eq!(FileUri::from_path(&odd).map(|uri| uri.to_string()), Ok("file:///x%FF".to_owned()));
    }

    #[test]
    fn what_is_not_an_absolute_local_path_is_refused() {
        for (text, error) in [
            ("/tmp", FileUriError::NotAFileUri),
            ("http://x/", FileUriError::NotAFileUri),
            ("file://host/x", FileUriError::ForeignHost),
            ("file://", FileUriError::Relative),
            ("file:///a%4", FileUriError::BadEscape),
            ("file:///a%zz", FileUriError::BadEscape),
            ("file:///a%00", FileUriError::Nul),
        ] {
            assert_eq!(FileUri::try_from(text.to_owned()), Err(error), "{text}");
        }
        assert_eq!(FileUri::from_path("a"), Err(FileUriError::Relative));
        assert_eq!(FileUri::try_from("file://localhost/a".to_owned()).map(|uri| uri.to_path()), Ok(Ok("/a".into())));
    }
}
