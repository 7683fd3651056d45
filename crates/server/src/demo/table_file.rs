//! Checks the CSV before anything starts.

use crate::{
    failure::{Exit, Failure, Outcome},
    files,
};
use std::path::Path;

/// The sample that is shipped: the invoices of a company that does not exist (demo/make_ledger.py).
pub const SAMPLE: &[u8] = include_bytes!("../../../../demo/ledger.csv");
/// A larger file is no matter for a demo.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A CSV that can be examined.
#[derive(Debug)]
pub struct TableFile {
    pub bytes: Vec<u8>,
    /// Where it is from, in words.
    pub origin: String,
    /// Lines after the header that are not empty.
    pub rows: usize,
}

impl TableFile {
    pub fn sample() -> Outcome<Self> {
        Self::check(SAMPLE.to_vec(), "the shipped sample ledger".to_owned())
    }

    pub fn read(path: &Path) -> Outcome<Self> {
        let bytes = files::read_bounded(path, MAX_BYTES)
            .map_err(|error| Failure::new(Exit::Usage, format!("`{}` cannot be read: {error}", path.display())))?;
        Self::check(bytes, path.display().to_string())
    }

    fn check(bytes: Vec<u8>, origin: String) -> Outcome<Self> {
        let wrong = |problem: &str, help: &str| Err(Failure::usage(format!("{origin}: {problem}")).help(help));
        const CSV: &str = "give a CSV: text, one row on each line, the first with the columns' names";
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return wrong("this file is empty", CSV);
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return wrong("this file is UTF-16", "save it as UTF-8 and try again");
        }
        // What text never holds. Other bytes may be Latin-1, which the examining script can read.
        let binary = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c);
        if let Some(at) = bytes.iter().position(|byte| binary(byte) || *byte == 0x7f) {
            return wrong(&format!("this file is binary (byte 0x{:02x} at {at})", bytes[at]), CSV);
        }
        let rows =
            bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count() - 1;
        if rows == 0 {
            return wrong("this file has one line only", CSV);
        }
        Ok(Self { bytes, origin, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_refused_with_the_reason() {
        for (bytes, part) in [
            (&b""[..], "empty"),
            (b" \n\r\n", "empty"),
            (b"a,b\n", "one line"),
            (b"\xff\xfea\0,\0", "UTF-16"),
            (b"PK\x03\x04rest\n", "binary (byte 0x03 at 2)"),
            (b"a,b\n1,\0\n", "binary"),
        ] {
            let failure = TableFile::check(bytes.to_vec(), "x.csv".into()).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(part) && !failure.help.is_empty(), "{failure:?}");
        }
    }

    #[test]
    fn latin_1_and_the_sample_are_tables() {
        assert_eq!(TableFile::check(b"name;x\r\nM\xfcller;1\r\n\r\n".to_vec(), "x".into()).unwrap().rows, 1);
        assert!(TableFile::sample().unwrap().rows > 3000);
    }
}
