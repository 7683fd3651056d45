//! The manifest: what the export says that it holds, signed by the log's key, with the digests of its files.

use crate::{
    Report, Unusable,
    checkpoints::is_signed,
    files::{self, Digest32, from_hex, hex},
};
use bailiwick_core::tree::note::{Note, VerifierKey};
use std::path::Path;

/// What an export says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every record of the log.
    Everything,
    /// Every record of one stream.
    Stream,
    /// Some records.
    Receipts,
}

pub struct Manifest {
    pub scope: Scope,
    size: u64,
    records: u64,
    digests: Vec<(String, Digest32)>,
}

impl Manifest {
    /// `None`, and a problem, where there is none that is signed.
    pub fn read(file: &Path, key: &VerifierKey, report: &mut Report) -> Result<Option<Self>, Unusable> {
        let text = match files::small(file) {
            Ok(text) => text,
            Err(Unusable::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                report.problem("manifest.note: it is missing");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let note = match Note::parse(&text) {
            Ok(note) if is_signed(&note, key) => note,
            Ok(_) => {
                report.problem("manifest.note: its signature does not fit: it was changed, or made by somebody else");
                return Ok(None);
            }
            Err(error) => {
                report.problem(format!("manifest.note: {error}"));
                return Ok(None);
            }
        };
        match Self::parse(note.text, &key.name) {
            Some((manifest, scope)) => {
                report.scope = scope;
                Ok(Some(manifest))
            }
            None => {
                report.problem("manifest.note: it is signed, and it is no manifest of an export of this log");
                Ok(None)
            }
        }
    }

    fn parse(text: &str, origin: &str) -> Option<(Self, String)> {
        let mut lines = text.lines();
        let scope = (lines.next()? == origin).then(|| lines.next()).flatten()?.strip_prefix("export of ")?;
        let mut number = |name: &str| lines.next()?.strip_prefix(name)?.trim().parse().ok();
        let (size, records) = (number("size ")?, number("records ")?);
        let mut digests = Vec::new();
        for line in lines {
            let (file, digest) = line.strip_prefix("sha256 ")?.split_once(' ')?;
            digests.push((file.to_owned(), from_hex(digest)?));
        }
        let kind = match scope {
            "everything" => Scope::Everything,
            _ if scope.starts_with("stream ") => Scope::Stream,
            _ => Scope::Receipts,
        };
        Some((Self { scope: kind, size, records, digests }, scope.to_owned()))
    }

    /// Whether the files are those that were exported.
    pub fn check(&self, found: &[(&str, Digest32)], report: &mut Report) {
        for (file, expected) in &self.digests {
            match found.iter().find(|(name, _)| name == file) {
                Some((_, digest)) if digest == expected => {}
                Some((_, digest)) => report.problem(format!(
                    "{file}: it was changed after the export: its SHA-256 is {}, and the manifest says {}",
                    hex(digest),
                    hex(expected)
                )),
                None => report.problem(format!("manifest.note: it names a file `{file}` that belongs to no export")),
            }
        }
        if self.records != report.records {
            report.problem(format!(
                "records.jsonl: it has {} records, and {} were exported",
                report.records, self.records
            ));
        }
        if self.size != report.size {
            report.problem(format!(
                "checkpoints.jsonl: the newest is of {} leaves, and the export was made of {}",
                report.size, self.size
            ));
        }
    }
}
