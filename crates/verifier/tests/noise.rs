//! Exports with random damage: every changed byte is found, and nothing that is read makes it panic.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use bailiwick_testkit::export::Sample;
use bailiwick_verifier::{Options, verify};
use proptest::{prelude::*, sample::Index};
use std::fs;
use tempfile::TempDir;

/// What the manifest's signature covers, directly or by a digest.
const COVERED: [&str; 4] = ["records.jsonl", "checkpoints.jsonl", "consistency.jsonl", "manifest.note"];

fn sample(with_proofs: bool) -> Sample {
    Sample { records: 24, body_bytes: 40, checkpoint_every: 7, with_proofs, seed: 1 }
}

#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, Index),
    SwapLines(Index, Index),
    RepeatLine(Index),
}

impl Damage {
    fn done(&self, bytes: &[u8]) -> Vec<u8> {
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let mut changed = bytes.to_vec();
        match self {
            Self::Set(at, byte) => changed[at.index(bytes.len())] = *byte,
            Self::Insert(at, more) => {
                let at = at.index(bytes.len() + 1);
                changed.splice(at..at, more.iter().copied());
            }
            Self::Remove(one, other) => {
                let (one, other) = (one.index(bytes.len()), other.index(bytes.len()));
                changed.drain(one.min(other)..=one.max(other));
            }
            Self::SwapLines(one, other) => {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
                changed = lines.concat();
            }
            Self::RepeatLine(at) => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at]);
                changed = lines.concat();
            }
        }
        changed
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"0129aAfF+/=\"\\,:[]{} \n".to_vec())];
    prop_oneof![
        4 => (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::Remove(one, other)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Damage::SwapLines(one, other)),
        1 => any::<Index>().prop_map(Damage::RepeatLine),
    ]
}

/// The export, and a copy of its key that was kept apart.
fn made(with_proofs: bool) -> (TempDir, TempDir) {
    let (export, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    sample(with_proofs).write(export.path()).unwrap();
    fs::copy(export.path().join("log.pub"), kept.path().join("log.pub")).unwrap();
    (export, kept)
}

/// Where a note's signatures begin. They may be spelled in more than one way, and others may be added.
fn signed_part(note: &[u8]) -> usize {
    note.windows(2).rposition(|pair| pair == b"\n\n").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_damage_is_found(with_proofs: bool, file in prop::sample::select(COVERED.to_vec()), damage in damage()) {
        let (export, kept) = made(with_proofs);
        let file = export.path().join(file);
        let Ok(whole) = fs::read(&file) else { return Ok(()) };
        prop_assume!(!whole.is_empty());
        let changed = damage.done(&whole);
        let covered = if file.ends_with("manifest.note") { signed_part(&whole) } else { whole.len() };
        prop_assume!(changed[..covered.min(changed.len())] != whole[..covered] || covered == whole.len() && changed != whole);
        fs::write(&file, changed).unwrap();
        let key = kept.path().join("log.pub");
        let found = verify(export.path(), Options { key: Some(&key), second_place: None });
        prop_assert!(!found.is_ok_and(|report| report.is_good()), "{damage:?} of {} was not found", file.display());
    }

    #[test]
    fn a_damaged_key_is_not_the_kept_one(damage in damage()) {
        let (export, kept) = made(false);
        let file = export.path().join("log.pub");
        let whole = fs::read(&file).unwrap();
        let changed = damage.done(&whole);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        prop_assume!(said(&changed) != said(&whole));
        fs::write(&file, changed).unwrap();
        let key = kept.path().join("log.pub");
        let found = verify(export.path(), Options { key: Some(&key), second_place: None });
        prop_assert!(!found.is_ok_and(|report| report.is_good()), "{damage:?} was not found");
    }
}
