//! Checkpoints: their signatures, that each tree is the beginning of the next, and that a second place tells the same.

use crate::{
    Report, Unusable,
    files::{self, Digest32},
    manifest::Scope,
};
use bailiwick_core::tree::{
    note::{Checkpoint, Note, VerifierKey},
    verify_consistency,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

type Hash = [u8; 32];

/// The roots that were signed, by size, each with where it is from.
pub struct Checkpoints {
    roots: BTreeMap<u64, (Hash, String)>,
    /// Sizes of the export's own, in order.
    own: Vec<u64>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    note: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Proof {
    from: u64,
    to: u64,
    proof: Vec<String>,
}

pub fn is_signed(note: &Note<'_>, key: &VerifierKey) -> bool {
    let Some(signature) = note.signature(key) else { return false };
    let Ok(known) = VerifyingKey::from_bytes(&key.public_key) else { return false };
    known.verify_strict(note.text.as_bytes(), &Signature::from_bytes(&signature)).is_ok()
}

/// The checkpoint of one line, if it is one, of this log and signed by it.
fn checkpoint(line: &[u8], key: &VerifierKey) -> Result<Checkpoint, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| format!("it is no checkpoint: {error}"))?;
    let note = Note::parse(&line.note).map_err(|error| error.to_string())?;
    let said = Checkpoint::parse(note.text).map_err(|error| error.to_string())?;
    if said.origin != key.name {
        return Err(format!("it is of another log, `{}`", said.origin));
    }
    match is_signed(&note, key) {
        true => Ok(said),
        false => Err("its signature does not fit: it was changed, or made by somebody else".into()),
    }
}

impl Checkpoints {
    pub fn read(file: &Path, key: &VerifierKey, report: &mut Report) -> Result<(Self, Digest32), Unusable> {
        let mut found = Self { roots: BTreeMap::new(), own: Vec::new() };
        let digest = files::lines(file, |number, line| {
            let place = format!("checkpoints.jsonl line {number}");
            match checkpoint(line, key) {
                Ok(said) if found.own.last().is_some_and(|last| *last >= said.size) => {
                    report.problem(format!("{place}: {} leaves do not follow more than that", said.size));
                }
                Ok(said) => {
                    found.own.push(said.size);
                    found.roots.insert(said.size, (said.root, place));
                }
                Err(reason) => report.problem(format!("{place}: {reason}")),
            }
        })?;
        report.checkpoints = found.own.len() as u64;
        report.size = found.own.last().copied().unwrap_or_default();
        if found.own.is_empty() {
            report.problem("checkpoints.jsonl: there is no checkpoint, so that nothing can be proven");
        }
        Ok((found, digest))
    }

    /// The newest of the export: the tree that proofs lead to.
    pub fn newest(&self) -> Option<(u64, &Hash)> {
        let size = self.own.last()?;
        self.roots.get(size).map(|(root, _)| (*size, root))
    }

    pub fn at(&self, size: u64) -> Option<&(Hash, String)> {
        self.roots.get(&size)
    }

    /// Takes in what a second place kept.
    pub fn compare(
        &mut self,
        file: &Path,
        key: &VerifierKey,
        scope: Scope,
        report: &mut Report,
    ) -> Result<(), Unusable> {
        let (name, newest) = (file.display().to_string(), report.size);
        let mut skipped = 0_u64;
        files::lines(file, |number, line| {
            let place = format!("{name} line {number}");
            let said = match checkpoint(line, key) {
                Ok(said) => said,
                Err(reason) => return report.problem(format!("{place}: {reason}")),
            };
            match self.roots.get(&said.size) {
                Some((root, _)) if *root == said.root => report.compared += 1,
                Some((_, other)) => report.problem(format!(
                    "{place}: the log was forked: it and {other} are both signed, of {} leaves, and of different trees",
                    said.size
                )),
                None if said.size > newest => report.problem(format!(
                    "{place}: the log had {} leaves, and the export has {newest}: records were removed from its end, or \
                     the export is older",
                    said.size
                )),
                // The whole tree is made anew, so that any size can be compared on the way.
                None if scope == Scope::Everything => {
                    report.compared += 1;
                    self.roots.insert(said.size, (said.root, place));
                }
                None => skipped += 1,
            }
        })?;
        if skipped > 0 {
            report.remarks.push(format!(
                "{skipped} checkpoints of {name} are not in the export; an export of everything can be compared with them"
            ));
        }
        Ok(())
    }

    /// Checks that each tree is the beginning of the next. A whole export is its own proof.
    pub fn prove(&self, file: &Path, scope: Scope, report: &mut Report) -> Result<Digest32, Unusable> {
        let mut proven = BTreeMap::new();
        let digest = files::lines(file, |number, line| {
            let place = format!("consistency.jsonl line {number}");
            let Ok(proof) = serde_json::from_slice::<Proof>(line) else {
                return report.problem(format!("{place}: it is no proof"));
            };
            let hashes: Option<Vec<Hash>> = proof.proof.iter().map(|text| hash(text)).collect();
            let (Some(hashes), Some((from, _)), Some((to, _))) =
                (hashes, self.roots.get(&proof.from), self.roots.get(&proof.to))
            else {
                return report.problem(format!("{place}: it proves nothing between checkpoints of the export"));
            };
            match verify_consistency(proof.from, proof.to, from, to, &hashes) {
                Ok(()) => drop(proven.insert(proof.to, proof.from)),
                Err(error) => report.problem(format!(
                    "{place}: the tree of {} leaves is not shown to be the beginning of that of {}: {error}",
                    proof.from, proof.to
                )),
            }
        })?;
        if scope != Scope::Everything {
            for pair in self.own.windows(2).filter(|pair| proven.get(&pair[1]) != Some(&pair[0])) {
                report.problem(format!(
                    "consistency.jsonl: nothing shows that the tree of {} leaves is the beginning of that of {}",
                    pair[0], pair[1]
                ));
            }
        }
        Ok(digest)
    }
}

pub fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
