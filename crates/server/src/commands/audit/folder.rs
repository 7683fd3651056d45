//! An export as it arrives, line by line, into the files that `bailiwick-verify` reads.

use crate::{
    failure::{Doing as _, Failure, Outcome},
    files,
};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Bytes of a line: a record is far below.
const MAX_LINE: usize = 256 * 1024 * 1024;

/// The folder of an export in the making.
pub struct Folder {
    path: PathBuf,
    /// Each with how its lines begin.
    files: [(&'static [u8], BufWriter<File>); 3],
    records: u64,
    line: Vec<u8>,
    whole: bool,
}

impl Folder {
    /// Fails where there is an export already.
    pub fn create(path: &Path) -> Outcome<Self> {
        files::make_folder(path).doing(|| format!("make the folder {}", path.display()))?;
        let new = |name: &str| {
            let file = files::create_new(&path.join(name)).doing(|| format!("make {}", path.join(name).display()));
            file.map(|file| BufWriter::with_capacity(1 << 18, file))
        };
        let files = [
            (&b"{\"type\":\"record\""[..], new("records.jsonl")?),
            (&b"{\"type\":\"checkpoint\""[..], new("checkpoints.jsonl")?),
            (&b"{\"type\":\"consistency\""[..], new("consistency.jsonl")?),
        ];
        Ok(Self { path: path.to_owned(), files, records: 0, line: Vec::new(), whole: false })
    }

    /// The number of records. Fails when the export was cut off.
    pub fn finish(mut self) -> Outcome<u64> {
        for (_, file) in &mut self.files {
            file.flush().and_then(|()| file.get_ref().sync_all()).doing(|| "write the export".to_owned())?;
        }
        match self.whole {
            true => Ok(self.records),
            false => {
                Err(Failure::failed("the export was cut off: it has no manifest").help("look at the server's log"))
            }
        }
    }

    fn take(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        for (at, (begin, file)) in self.files.iter_mut().enumerate() {
            if line.starts_with(begin) {
                self.records += u64::from(at == 0);
                return file.write_all(&line);
            }
        }
        let said: Value = serde_json::from_slice(&line).map_err(io::Error::other)?;
        let (name, text) = match said["type"].as_str() {
            Some("log") => ("log.pub", format!("{}\n", said["key"].as_str().unwrap_or_default())),
            Some("manifest") => {
                self.whole = true;
                ("manifest.note", said["note"].as_str().unwrap_or_default().to_owned())
            }
            _ => return Err(io::Error::other("a line of the export is of no known type")),
        };
        files::create_new(&self.path.join(name))?.write_all(text.as_bytes())
    }
}

impl Write for &mut Folder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > MAX_LINE {
                return Err(io::Error::other("a line of the export is too long"));
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.take()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
