//! Checks an export of a receipt log with nothing but its files and the log's public key.
//!
//! It recomputes every leaf from its envelope and sealed body, every stream's chain, and the tree: as a whole where the
//! export holds every record, else by each record's proof. It trusts nothing that is not signed, and links no part that
//! made what it checks.

mod checkpoints;
mod files;
mod manifest;
mod records;

use bailiwick_core::tree::note::VerifierKey;
use checkpoints::Checkpoints;
use manifest::{Manifest, Scope};
use serde::Serialize;
use std::path::Path;

/// Problems that are listed; what comes after the first few is mostly their consequence.
const MAX_PROBLEMS: usize = 20;

/// Why an export could not even be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("{file} cannot be read: {error}")]
    File { file: String, error: std::io::Error },
    #[error("{file}: {reason}")]
    Malformed { file: String, reason: String },
}

/// What to check an export against.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The public key that was kept from before, as a file; without one the export's own is believed.
    pub key: Option<&'a Path>,
    /// Checkpoints that were kept in a second place, as a file.
    pub second_place: Option<&'a Path>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub origin: String,
    pub key: String,
    /// The key is one that was kept from before.
    pub pinned: bool,
    /// What the export says that it holds.
    pub scope: String,
    /// Every record of the log is there, and together they are the signed tree.
    pub whole: bool,
    /// Leaves of the newest checkpoint.
    pub size: u64,
    pub records: u64,
    pub streams: u64,
    pub checkpoints: u64,
    /// Of a second place, compared with this log.
    pub compared: u64,
    /// Each says what is wrong and where. Empty: everything is as it was signed.
    pub problems: Vec<String>,
    /// More were found than are listed.
    pub more_problems: u64,
    /// What could not be checked, and why.
    pub remarks: Vec<String>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, text: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(text.into());
        } else {
            self.more_problems += 1;
        }
    }
}

/// Checks the export in `folder`.
pub fn verify(folder: &Path, options: Options<'_>) -> Result<Report, Unusable> {
    let mut report = Report::default();
    let own = key(&folder.join("log.pub"))?;
    let key = match options.key {
        None => {
            report.remarks.push(
                "the public key came with the export: compare it with one that you kept, and give that with --key"
                    .into(),
            );
            own
        }
        Some(file) => {
            let kept = key(file)?;
            report.pinned = true;
            if kept != own {
                report.problem("log.pub: it is another key than the one that was kept; whoever made this export does not have yours");
            }
            kept
        }
    };
    (report.origin, report.key) = (key.name.clone(), key.line());
    let manifest = Manifest::read(&folder.join("manifest.note"), &key, &mut report)?;
    let scope = manifest.as_ref().map_or(Scope::Receipts, |manifest| manifest.scope);
    let (checkpoints, digest) = Checkpoints::read(&folder.join("checkpoints.jsonl"), &key, &mut report)?;
    let mut digests = vec![("checkpoints.jsonl", digest)];
    let mut wanted = checkpoints;
    if let Some(file) = options.second_place {
        wanted.compare(file, &key, scope, &mut report)?;
    }
    digests.push(("consistency.jsonl", wanted.prove(&folder.join("consistency.jsonl"), scope, &mut report)?));
    digests.push(("records.jsonl", records::check(&folder.join("records.jsonl"), scope, &key, &wanted, &mut report)?));
    match manifest {
        Some(manifest) => manifest.check(&digests, &mut report),
        None => report
            .remarks
            .push("without its manifest, only signed hashes were checked, and no body in the clear".into()),
    }
    Ok(report)
}

fn key(file: &Path) -> Result<VerifierKey, Unusable> {
    let text = files::small(file)?;
    VerifierKey::parse(&text)
        .map_err(|error| Unusable::Malformed { file: file.display().to_string(), reason: error.to_string() })
}
