//! `bailiwick-verify`: checks an export of a receipt log.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command says what it found")]

use bailiwick_verifier::{Options, Report, verify};
use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "\
Checks an export of a Bailiwick receipt log with nothing but its files and the log's public key.

Usage: bailiwick-verify [--key FILE] [--second-place FILE] [--json] FOLDER

  FOLDER               what `bailiwick audit export` or `bailiwick audit evidence` wrote
  --key FILE           the log's public key (log.pub) as you kept it before
  --second-place FILE  checkpoints that were kept in a second place ([audit] checkpoints)
  --json               print one JSON document

Exit codes: 0 everything is as it was signed, 1 something is not, 2 it could not be checked
";

struct Arguments {
    folder: PathBuf,
    key: Option<PathBuf>,
    second_place: Option<PathBuf>,
    json: bool,
}

fn arguments() -> Result<Option<Arguments>, String> {
    let (mut folder, mut key, mut second_place, mut json) = (None, None, None, false);
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        let mut file = |name: &str| given.next().map(PathBuf::from).ok_or(format!("{name} needs a file"));
        match argument.to_str() {
            Some("-h" | "--help") => return Ok(None),
            Some("--key") => key = Some(file("--key")?),
            Some("--second-place") => second_place = Some(file("--second-place")?),
            Some("--json") => json = true,
            Some(option) if option.starts_with('-') => return Err(format!("there is no option `{option}`")),
            _ if folder.is_some() => return Err("one folder is checked at a time".into()),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let folder = folder.ok_or("name the folder of an export")?;
    Ok(Some(Arguments { folder, key, second_place, json }))
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let options = Options { key: arguments.key.as_deref(), second_place: arguments.second_place.as_deref() };
    match verify(&arguments.folder, options) {
        Ok(report) => {
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
            } else {
                print!("{}", render(&report));
            }
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn render(report: &Report) -> String {
    let Report { origin, key, pinned, scope, whole, size, records, streams, checkpoints, compared, .. } = report;
    let mut out = format!("log          {origin}\nkey          {key}{}\n", if *pinned { "" } else { " (not pinned)" });
    out.push_str(&format!("export       {scope}: {records} records of {streams} streams\n"));
    out.push_str(&format!("checkpoints  {checkpoints}, the newest of {size} leaves; {compared} of a second place\n"));
    for remark in &report.remarks {
        out.push_str(&format!("remark       {remark}\n"));
    }
    for problem in &report.problems {
        out.push_str(&format!("PROBLEM      {problem}\n"));
    }
    if report.more_problems > 0 {
        out.push_str(&format!("PROBLEM      and {} more\n", report.more_problems));
    }
    out.push_str(match (report.is_good(), whole) {
        (true, true) => "GOOD: these are all records of the log, exactly as they were signed.\n",
        (true, false) => "GOOD: every record here is in the signed log, exactly as it was signed.\n",
        (false, _) => "BAD: this is not what was signed.\n",
    });
    out
}
