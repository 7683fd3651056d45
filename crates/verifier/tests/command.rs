//! The program itself, on exports that are whole, changed, cut, forked and forged.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use bailiwick_testkit::export::Sample;
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

const SAMPLE: Sample = Sample { records: 700, body_bytes: 60, checkpoint_every: 150, with_proofs: false, seed: 1 };

fn made(sample: Sample) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    sample.write(folder.path()).unwrap();
    folder
}

/// The exit code and all that it says.
fn run(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bailiwick-verify")).args(arguments).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

fn checked(folder: &Path) -> (i32, String) {
    run(&[folder.to_str().unwrap()])
}

#[track_caller]
fn finds(folder: &Path, parts: &[&str]) {
    let (code, said) = checked(folder);
    assert_eq!(code, 1, "{said}");
    assert!(said.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?}: {said}");
    assert!(said.contains("BAD: "), "{said}");
}

/// The export with one file changed.
fn changed(sample: Sample, file: &str, change: impl Fn(Vec<String>) -> Vec<String>) -> TempDir {
    let folder = made(sample);
    let path = folder.path().join(file);
    let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    fs::write(&path, change(lines).iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    folder
}

#[test]
fn what_was_signed_is_good() {
    let (code, said) = checked(made(SAMPLE).path());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("all records of the log") && said.contains("not pinned"), "{said}");
    let (code, said) = checked(made(Sample { with_proofs: true, ..SAMPLE }).path());
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("every record here is in the signed log"), "{said}");
    let folder = made(SAMPLE);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let pinned = ["--key", &place("log.pub"), "--second-place", &place("checkpoints.jsonl"), &place("")];
    let (code, said) = run(&pinned);
    assert!(code == 0 && !said.contains("not pinned") && said.contains("5 of a second place"), "{said}");
}

#[test]
fn an_edited_record_is_named() {
    for with_proofs in [false, true] {
        let sample = Sample { with_proofs, ..SAMPLE };
        let edit = |part: &'static str, other: &'static str| {
            changed(sample, "records.jsonl", move |mut lines| {
                lines[432] = lines[432].replacen(part, other, 1);
                lines
            })
        };
        finds(edit("\"sealed\":\"AQ", "\"sealed\":\"Ag").path(), &["line 433 ", "leaf 432", "was changed"]);
        finds(edit("\"epoch\":1", "\"epoch\":2").path(), &["line 433 ", "envelope"]);
        finds(edit("\"key_id\":1", "\"key_id\": 1").path(), &["records.jsonl: it was changed after the export"]);
        finds(edit("\"leaf\":\"", "\"leaf\":\"x").path(), &["line 433 ", "hexadecimal"]);
        finds(edit("{", "[").path(), &["line 433", "it is no record"]);
        let swapped = changed(sample, "records.jsonl", |mut lines| {
            lines.swap(300, 301);
            lines
        });
        assert_eq!(checked(swapped.path()).0, 1);
    }
}

#[test]
fn a_missing_record_is_named() {
    let without = |number: usize| {
        changed(SAMPLE, "records.jsonl", move |mut lines| {
            lines.remove(number);
            lines
        })
    };
    finds(without(0).path(), &["record 0 is missing of the log"]);
    finds(without(250).path(), &["record 250 is missing of the log"]);
    finds(without(699).path(), &["at its end record 699 is missing"]);
    finds(without(699).path(), &["it has 699 records, and 700 were exported"]);
    let twice = changed(SAMPLE, "records.jsonl", |mut lines| {
        lines.insert(9, lines[9].clone());
        lines
    });
    finds(twice.path(), &["line 11 ", "its leaf was there before"]);
}

/// Somebody with the signing key makes another log under the same name: each is good, and together they are not.
#[test]
fn a_forked_log_is_found_by_the_second_place() {
    let (ours, theirs) = (made(SAMPLE), made(Sample { seed: 2, ..SAMPLE }));
    assert_eq!(checked(theirs.path()).0, 0);
    let text = |path: &Path| path.display().to_string();
    let second = text(&ours.path().join("checkpoints.jsonl"));
    let (code, said) = run(&["--second-place", &second, &text(theirs.path())]);
    assert_eq!(code, 1);
    assert!(said.contains("the log was forked") && said.contains("of 150 leaves"), "{said}");
    // With checkpoints at other sizes it is the tree made anew that tells.
    let other = made(Sample { seed: 2, checkpoint_every: 140, ..SAMPLE });
    let (code, said) = run(&["--second-place", &second, &text(other.path())]);
    assert_eq!(code, 1);
    assert!(said.contains("are not the tree that was signed") && said.contains("line 1"), "{said}");
    // A log that was wound back.
    let short = made(Sample { records: 300, ..SAMPLE });
    let (code, said) = run(&["--second-place", &second, &text(short.path())]);
    assert_eq!(code, 1);
    assert!(said.contains("the log had 700 leaves, and the export has 300"), "{said}");
}

#[test]
fn forged_signatures_and_proofs_are_named() {
    let edit = |file: &'static str, sample: Sample, part: &'static str, other: &'static str| {
        changed(sample, file, move |lines| lines.iter().map(|line| line.replacen(part, other, 1)).collect())
    };
    finds(edit("manifest.note", SAMPLE, "records 700", "records 701").path(), &["manifest.note", "signature"]);
    finds(edit("checkpoints.jsonl", SAMPLE, "\\n150\\n", "\\n151\\n").path(), &["line 1", "signature does not fit"]);
    let proven = Sample { with_proofs: true, ..SAMPLE };
    finds(edit("consistency.jsonl", proven, "\"from\":150", "\"from\":300").path(), &["consistency.jsonl"]);
    let without = changed(proven, "consistency.jsonl", |lines| lines[1..].to_vec());
    finds(without.path(), &["nothing shows that the tree of 150 leaves is the beginning of that of 300"]);
    let unproven = edit("records.jsonl", proven, "\"proof\":[", "\"other\":[");
    finds(unproven.path(), &["line 1 ", "no proof that it is in the log"]);
    let folder = made(SAMPLE);
    fs::remove_file(folder.path().join("manifest.note")).unwrap();
    finds(folder.path(), &["manifest.note: it is missing"]);
}

#[test]
fn wrong_usage_says_how() {
    for (arguments, part) in [
        (&[][..], "name the folder"),
        (&["--what", "x"], "no option `--what`"),
        (&["a", "b"], "one folder"),
        (&["a", "--key"], "--key needs a file"),
        (&["/nowhere"], "/nowhere/log.pub cannot be read"),
    ] {
        let (code, said) = run(arguments);
        assert!(code == 2 && said.contains(part), "{arguments:?}: {said}");
    }
    let (code, said) = run(&["--help"]);
    assert!(code == 0 && said.contains("Usage: bailiwick-verify"), "{said}");
}
