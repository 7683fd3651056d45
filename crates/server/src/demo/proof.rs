//! The receipts leave the server as files, and the separate verifier checks them: as they are, and with one changed.

use super::cast::text;
use crate::{
    client::Client,
    commands::export,
    failure::{Doing as _, Failure, Outcome},
    files,
    terminal::escape,
    watch::Screen,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const PROGRAM: &str = "bailiwick-verify";
const RECORDS: &str = "records.jsonl";
/// Of one exported file.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The verifier: a program of its own, beside this one.
#[derive(Debug, Clone)]
pub(super) struct Verifier(PathBuf);

/// What it said of one folder.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// 0: everything is as it was signed; 1: something is not; 2: it could not be checked.
    pub exit: Option<i32>,
    pub report: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub untouched: Verdict,
    /// The line of `records.jsonl` in which one character was changed.
    pub line: usize,
    pub edited: Verdict,
}

impl Verdict {
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.report["problems"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    fn to_json(&self) -> Value {
        json!({"exit_code": self.exit, "report": self.report})
    }
}

impl Proof {
    pub fn to_json(&self) -> Value {
        json!({"untouched": self.untouched.to_json(), "edited_line": self.line, "edited": self.edited.to_json()})
    }
}

impl Verifier {
    pub fn find() -> Outcome<Self> {
        let own = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
        let place = own.with_file_name(PROGRAM);
        if place.is_file() {
            return Ok(Self(place));
        }
        Err(Failure::usage(format!("the separate verifier is not there: {}", place.display()))
            .help("build both, in the repository: cargo build --bin bailiwick --bin bailiwick-verify")
            .help("installed ones: cargo install --locked --path crates/verifier"))
    }

    /// A process of its own, with nothing but the folder and the public key.
    #[allow(clippy::disallowed_methods, reason = "the shipped verifier, which is no part of this program")]
    fn check(&self, folder: &Path, key: &Path) -> Outcome<Verdict> {
        let mut command = std::process::Command::new(&self.0);
        command.arg("--json").arg("--key").arg(key).arg(folder).env_clear();
        let output = command.output().doing(|| format!("start {}", self.0.display()))?;
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| json!({"problems": [], "error": String::from_utf8_lossy(&output.stderr).trim()}));
        Ok(Verdict { exit: output.status.code(), report })
    }
}

/// Keeps the log's public key where the log is not, before anything is done.
pub(super) async fn keep_key(admin: &Client, file: &Path, screen: &mut Screen) -> Outcome {
    let log = admin.get("/bailiwick/v1/audit").await?;
    let key = text(&log, "key")?;
    files::write_whole(file, format!("{key}\n").as_bytes(), 0o600).doing(|| "keep the public key".to_owned())?;
    screen.note(format!("● the receipt log's public key is kept aside: {}", escape::brief(&key, 60)));
    Ok(())
}

/// Exports everything, checks it, changes one character of one receipt, and checks again. `receipt` is the session and the
/// position of the record to change.
pub(super) async fn prove(
    admin: &Client,
    verifier: &Verifier,
    folder: &Path,
    receipt: (&str, u64),
    screen: &mut Screen,
) -> Outcome<Proof> {
    let (key, original, copy) = (folder.join("log.pub"), folder.join("receipts"), folder.join("receipts-edited"));
    export(admin, "of=everything&opened=true", &original).await?;
    let untouched = verifier.check(&original, &key)?;
    screen.note(format!(
        "\n● {} checks the exported receipts: exit code {}, {} records of {} streams, {} problems",
        verifier.0.display(),
        untouched.exit.map_or_else(|| "none".to_owned(), |code| code.to_string()),
        untouched.report["records"],
        untouched.report["streams"],
        untouched.problems().count()
    ));
    let line = edit(&original, &copy, receipt)?;
    screen.note(format!("● one character of one receipt is changed in a copy: {RECORDS} line {line}"));
    let edited = verifier.check(&copy, &key)?;
    screen.note(format!(
        "● {PROGRAM} on the copy: exit code {}",
        edited.exit.map_or_else(|| "none".to_owned(), |code| code.to_string())
    ));
    for problem in edited.problems() {
        screen.note(format!("  ✗ {}", escape::line(problem)));
    }
    Ok(Proof { untouched, line, edited })
}

/// Copies an export with one character of one record's sealed body changed. Gives the line, counted from 1.
fn edit(original: &Path, copy: &Path, (session, position): (&str, u64)) -> Outcome<usize> {
    files::make_private_folder(copy).doing(|| "make a folder for the copy".to_owned())?;
    let mut edited = None;
    for entry in std::fs::read_dir(original).doing(|| "list the export".to_owned())?.flatten() {
        let mut bytes =
            files::read_bounded(&entry.path(), MAX_BYTES).doing(|| format!("read {}", entry.path().display()))?;
        if entry.file_name() == RECORDS {
            let (line, at) = sealed_body(&bytes, session, position)
                .ok_or_else(|| Failure::failed("the export does not hold the receipt that is to be changed"))?;
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            edited = Some(line);
        }
        files::write_whole(&copy.join(entry.file_name()), &bytes, 0o600).doing(|| "write the copy".to_owned())?;
    }
    edited.ok_or_else(|| Failure::failed(format!("the export has no {RECORDS}")))
}

/// The line of a record, and the place of a character in the middle of its sealed body.
fn sealed_body(bytes: &[u8], session: &str, position: u64) -> Option<(usize, usize)> {
    let bits = |id: &str| id.split_once('_').map(|(_, bits)| bits.to_owned());
    let wanted = bits(session);
    let mut start = 0;
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let record: Value = serde_json::from_slice(line).ok()?;
        if record["position"] == position && bits(record["stream"].as_str()?) == wanted {
            let sealed = record["sealed"].as_str()?;
            let at = line.windows(sealed.len()).position(|window| window == sealed.as_bytes())?;
            return Some((number + 1, start + at + sealed.len() / 2));
        }
        start += line.len();
    }
    None
}
