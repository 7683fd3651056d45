//! The receipt log from outside: a real server, its export, and the separate verifier, which finds every change.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use bailiwick_core::tree::note::VerifierKey;
use bailiwick_verifier::{Options, Report, verify};
use std::{fs, path::Path};
use support::{Place, wait_for};

const WORK: &str = "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"run_command\"\n\
arguments = { command = \"echo hello\" }\n[[turn.step]]\nsay = \"Done.\"\n";

fn checked(folder: &Path) -> Report {
    verify(folder, Options::default()).unwrap()
}

/// A copy of an export with one file changed.
fn changed(export: &Path, file: &str, change: impl Fn(String) -> String) -> (tempfile::TempDir, Report) {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(export).unwrap().flatten() {
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let other = change(text.clone());
    assert_ne!(text, other, "the change changes something");
    fs::write(path, other).unwrap();
    let report = checked(copy.path());
    (copy, report)
}

#[track_caller]
fn finds(report: &Report, parts: &[&str]) {
    let found = |problem: &String| parts.iter().all(|part| problem.contains(part));
    assert!(report.problems.iter().any(found), "{parts:?}: {:#?}", report.problems);
}

/// Runs two sessions, one of an agent with a name, and gives the first one's id.
fn worked(place: &Place) -> String {
    let file = place.write("agent.toml", "name = \"Worker\"\nmodel = \"main\"\n").display().to_string();
    place.client(&["agent", "apply", "-f", &file]).good();
    let first = place.client(&["run", "go", "--agent", "Worker", "--json"]).good().json();
    place.client(&["run", "go", "--model", "main", "--json"]).good();
    first["session_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_export_is_proven_and_every_change_of_it_is_found_and_named() {
    let place = Place::with_scenario(WORK);
    let _server = place.serve();
    worked(&place);
    place.client(&["audit", "verify", "--whole"]).good();
    let said = place.client(&["audit", "export", "--output", "export"]).good().stdout;
    assert!(said.contains("bailiwick-verify export"), "{said}");
    let export = place.path("export");
    let report = checked(&export);
    assert!(report.is_good() && report.whole && report.records > 20, "{report:#?}");
    assert_eq!(report.records, report.size);
    assert!(fs::read_to_string(export.join("records.jsonl")).unwrap().contains("echo hello"), "bodies are in clear");

    // One byte of a sealed body, and with it of the tree.
    let in_line = |text: String, number: usize, change: &dyn Fn(&str) -> String| {
        let lines = text.lines().enumerate();
        lines.map(|(at, line)| if at == number { change(line) } else { line.to_owned() } + "\n").collect::<String>()
    };
    let flip = |line: &str| {
        let at = line.find("\"sealed\":\"").unwrap() + 30;
        let other = if &line[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &line[..at], &line[at + 1..])
    };
    let (_copy, report) = changed(&export, "records.jsonl", |text| in_line(text, 7, &flip));
    finds(&report, &["records.jsonl line 8 ", "its sealed body was changed"]);
    finds(&report, &["records.jsonl: it was changed after the export"]);
    // A word of a body in clear, which no leaf commits to.
    let (_copy, report) = changed(&export, "records.jsonl", |text| text.replacen("echo hello", "echo hullo", 1));
    finds(&report, &["records.jsonl: it was changed after the export"]);
    // The envelope.
    let later = |line: &str| line.replacen("\"time\":1", "\"time\":2", 1);
    let (_copy, report) = changed(&export, "records.jsonl", |text| in_line(text, 3, &later));
    finds(&report, &["records.jsonl line 4 ", "envelope"]);
    // A record is missing, in the middle and at the end.
    let without = |text: String, number: usize| {
        let lines = text.lines().enumerate().filter(|(at, _)| *at != number);
        lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let (_copy, report) = changed(&export, "records.jsonl", |text| without(text, 5));
    finds(&report, &["record 5 is missing of the log"]);
    let last = report.size as usize - 1;
    let (_copy, report) = changed(&export, "records.jsonl", |text| without(text, last));
    finds(&report, &["at its end", &format!("record {last} is missing")]);
    // Leaf and chain are made to fit: the tree still does not.
    let (_copy, report) = changed(&export, "checkpoints.jsonl", |text| text.replacen("\\n", "\\nx", 1));
    finds(&report, &["checkpoints.jsonl line 1"]);
    let (_copy, report) = changed(&export, "manifest.note", |text| text.replacen("records ", "records 1", 1));
    finds(&report, &["manifest.note", "signature"]);
    // A key of another log signs nothing here.
    let other = VerifierKey { name: "bailiwick/tenant_00000000000070008000000000000000".into(), public_key: [7; 32] };
    let (_copy, report) = changed(&export, "log.pub", |_| other.line());
    finds(&report, &["manifest.note", "signature"]);
    finds(&report, &["checkpoints.jsonl line 1", "of another log"]);
}

#[test]
fn evidence_is_of_one_session_agent_or_orderer_and_holds_its_proofs() {
    let place = Place::with_scenario(WORK);
    let _server = place.serve();
    let session = worked(&place);
    let evidence = |name: &str, about: &[&str]| {
        let output = place.text(name);
        place.client(&[&["audit", "evidence", "--output", &output], about].concat()).good();
        let report = checked(&place.path(name));
        assert!(report.is_good() && !report.whole && report.records > 0, "{name}: {report:#?}");
        (place.path(name), report)
    };
    let (folder, of_session) = evidence("session", &["--session", &session]);
    assert_eq!(of_session.streams, 1);
    let (_copy, report) = changed(&folder, "records.jsonl", |text| {
        text.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| format!("{line}\n")).collect()
    });
    finds(&report, &["record 3 is missing of this stream"]);
    let (_, of_agent) = evidence("agent", &["--agent", "Worker", "--sealed"]);
    assert_eq!(of_agent.streams, 2, "its session, and who saved it");
    assert!(!fs::read_to_string(place.path("agent/records.jsonl")).unwrap().contains("\"opened\""));
    let (folder, of_all) = evidence("orderer", &["--orderer", "operator", "--from", "2020-01-01"]);
    assert!(of_all.records > of_agent.records, "{of_all:#?}");
    // A proof of one record is none of another.
    let (_copy, report) = changed(&folder, "records.jsonl", |text| text.replacen("\"index\":", "\"index\":1", 1));
    assert!(!report.is_good());
    let nothing = place.client(&["audit", "evidence", "--output", &place.text("nothing")]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    let again = place.client(&["audit", "evidence", "--output", &place.text("agent"), "--agent", "Worker"]);
    assert!(again.code != 0 && again.stderr.contains("records.jsonl"), "{again:?}");
}

#[test]
fn questions_are_one_command_each() {
    let place = Place::with_scenario(WORK);
    let _server = place.serve();
    let session = worked(&place);
    let receipts = |about: &[&str]| {
        let listed = place.client(&[&["audit", "list", "--json", "--limit", "1000"], about].concat()).good().json();
        listed["receipts"].as_array().unwrap().clone()
    };
    let commands = wait_for("the receipts", || {
        let found = receipts(&["--session", &session, "--operation", "command.run"]);
        found.iter().any(|receipt| receipt["effect"] == "confirmed").then_some(found)
    });
    assert_eq!(commands.len(), 1);
    let action = commands[0]["action"].as_str().unwrap();
    let shown = place.client(&["audit", "show", action]).good().stdout;
    for part in ["ordered by   operator", "command.run", "confirmed", "action.decided is leaf", "echo hello"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The scripted model is nowhere, so that nothing says that it is inside.
    assert!(!receipts(&["--outside"]).is_empty());
    assert!(receipts(&["--outside"]).iter().all(|receipt| receipt["operation"] == "model.call"));
    let reach = place.client(&["audit", "reach", "Worker"]).good().stdout;
    assert!(reach.contains("command.run") && reach.contains("allowed"), "{reach}");
    let changes = place.client(&["audit", "changes"]).good().stdout;
    assert!(changes.contains("tenant.created") && changes.contains("agent."), "{changes}");
    assert!(receipts(&["--decision", "changed"]).iter().any(|receipt| receipt["operation"] == "tenant.created"));
    let unknown = place.client(&["audit", "show", "act_00000000000070008000000000000000"]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
}

#[test]
fn nothing_is_removed_across_restarts_and_deletions_and_a_second_place_tells_when_it_was() {
    let place = Place::with_scenario(WORK);
    let file = place.path("bailiwick.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{config}\n[audit]\ncheckpoints = \"elsewhere.jsonl\"\n")).unwrap();
    let server = place.serve();
    let session = worked(&place);
    let key = place.client(&["audit", "key"]).good().stdout;
    let key = place.write("kept.pub", &key).display().to_string();
    assert_eq!(server.stop(), 0);
    // The last checkpoint is signed when the server stops.
    let kept = fs::read_to_string(place.path("elsewhere.jsonl")).unwrap();
    assert!(kept.lines().count() >= 1, "{kept}");

    let server = place.serve();
    place.client(&["session", "delete", &session]).good();
    let second = place.text("elsewhere.jsonl");
    let verify = ["audit", "verify", "--public-key", &key, "--second-place", &second];
    let report = place.client(&[&verify[..], &["--json"]].concat()).good().json();
    assert_eq!((&report["pinned"], &report["problems"].as_array().unwrap().len()), (&true.into(), &0));
    let report = place.client(&[&verify[..], &["--json", "--whole"]].concat()).good().json();
    assert_eq!(report["whole"], true, "the leaves of a deleted session stay");
    assert!(report["compared"].as_u64().unwrap() >= 1, "{report}");
    server.kill();

    // Another log under the same second place: its key is another, and so it is found.
    fs::remove_dir_all(place.path("data")).unwrap();
    let _server = place.serve();
    worked(&place);
    let ended = place.client(&verify);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("problem: "), "{ended:?}");
}
