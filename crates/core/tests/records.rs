//! The golden corpus: every version of every record kind that was ever written can still be read.
//!
//! To add a version: raise it in `record.rs`, add an upcast, and commit a new file here. Files are never changed.

use bailiwick_core::record::{Body, DecodeError};
use std::{collections::BTreeSet, fs, path::PathBuf};

fn corpus() -> Vec<(String, u16, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/records");
    let mut files = Vec::new();
    for file in fs::read_dir(folder).expect("the corpus is committed") {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_str().expect("a plain name").to_owned();
        // `action.decided.v1.denied`: kind, version, and what the example shows.
        let (kind, rest) = name.split_once(".v").expect("KIND.vVERSION[.example].json");
        let version = rest.split('.').next().expect("a version").parse().expect("a number");
        files.push((kind.to_owned(), version, fs::read(&path).expect("a readable file")));
    }
    files
}

#[test]
fn every_record_ever_written_is_still_read() {
    for (kind, version, bytes) in corpus() {
        let body = Body::decode(&kind, version, &bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(body.kind(), kind);
        if body.version() == version {
            let again: serde_json::Value = serde_json::from_slice(&body.encode()).expect("JSON");
            let golden: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(again, golden, "{kind} v{version} is written otherwise than it was: raise its version");
        }
    }
}

#[test]
fn every_kind_has_an_example() {
    let there: BTreeSet<(String, u16)> = corpus().into_iter().map(|(kind, version, _)| (kind, version)).collect();
    for (kind, version) in Body::KINDS {
        assert!(there.contains(&((*kind).to_owned(), *version)), "{kind} v{version} has no golden example");
    }
}

#[test]
fn a_kind_of_a_newer_version_is_named_not_guessed() {
    let error = Body::decode("turn.started", 99, b"{}").unwrap_err();
    assert_eq!(error, DecodeError::UnknownKind { kind: "turn.started".into(), version: 99 });
    assert!(matches!(Body::decode("turn.started", 1, b"{"), Err(DecodeError::Malformed { .. })));
}
