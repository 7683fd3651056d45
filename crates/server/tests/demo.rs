//! The demo is the main job, on the shipped ledger and on other people's tables.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};
use support::{Ended, Place, run_in};

fn demo(place: &Place, arguments: &[&str]) -> Ended {
    run_in(place.folder.path(), &[&["demo"], arguments].concat())
}

/// What was checked about this, in words. Every check of the demo must be good.
fn check<'a>(shown: &'a Value, about: &str) -> &'a str {
    let all = shown["checks"].as_array().unwrap();
    let found = all.iter().find(|check| check["about"] == about);
    let found = found.unwrap_or_else(|| panic!("nothing is said about {about}: {shown:#}"));
    assert_eq!(found["good"], true, "{found}");
    found["text"].as_str().unwrap()
}

fn decisions<'a>(shown: &'a Value, action: &str) -> Vec<&'a str> {
    let receipts = shown["receipts"].as_array().unwrap();
    let of = receipts.iter().filter(|receipt| receipt["action"] == action && receipt["kind"] == "action.decided");
    of.map(|receipt| receipt["decision"].as_str().unwrap()).collect()
}

#[test]
fn the_ledger_is_examined_for_an_employee_although_the_server_is_killed() {
    let place = Place::new();
    let ended = demo(&place, &["--json", "--yes"]).good();
    let shown = ended.json();
    assert_eq!(shown["scripted"], true);
    assert!(ended.stderr.contains("the model: scripted"), "{}", ended.stderr);
    assert!(ended.stderr.contains("kill -9") && ended.stderr.contains("server started again"), "{}", ended.stderr);
    assert_ne!(shown["kill"]["pid"], shown["kill"]["started_again_as"]);
    assert_eq!(shown["checks"].as_array().unwrap().len(), 11);
    for about in ["killed", "settled_once", "told_once", "counted"] {
        check(&shown, about);
    }
    // The totals are those of the ledger, added up here anew.
    let answer = shown["answer"].as_str().unwrap();
    for (currency, total) in totals() {
        let part = format!("{} {currency}", with_commas(total));
        assert!(answer.contains(&part), "{part}: {answer}");
    }
    let report = fs::read_to_string(place.path("bailiwick-demo/report.md")).unwrap();
    assert!(report.contains("## Totals") && report.contains("![amount by department (EUR)](chart.svg)"), "{report}");
    assert!(fs::read_to_string(place.path("bailiwick-demo/chart.svg")).unwrap().starts_with("<svg"));
    governed(&shown, &ended.stderr);
    // What was approved was done; what was denied was not.
    assert!(fs::read_to_string(place.path("bailiwick-demo/letter.md")).unwrap().contains("wrong number of fields"));
    assert!(shown["seconds"].as_f64().unwrap() < 60.0, "{}", shown["seconds"]);
}

/// Who, under which rules, within which budget, and that the receipts prove it: as the receipts themselves say.
fn governed(shown: &Value, screen: &str) {
    let receipts = shown["receipts"].as_array().unwrap();
    let (person, agent) = (&shown["cast"]["ordered_by"]["id"], &shown["cast"]["agent"]);
    assert!(person.as_str().unwrap().starts_with("user_") && person != &agent["owner"], "{}", shown["cast"]);
    for receipt in receipts.iter().filter(|receipt| receipt["kind"] == "action.decided") {
        assert_eq!((&receipt["principal"]["id"], &receipt["principal"]["on_behalf_of"]["id"]), (&agent["id"], person));
    }
    check(shown, "who");
    assert!(check(shown, "allowed").contains("command.run"));
    let denied = check(shown, "denied");
    assert!(
        denied.contains("/workspace/input.csv by rule `originals-stay`") && denied.contains("not done"),
        "{denied}"
    );
    assert!(screen.contains("originals-stay"), "{screen}");

    let approval = &shown["approval"];
    assert_eq!((&approval["approved"], &approval["answered_by_option"]), (&json!(true), &json!(true)));
    assert_eq!(decisions(shown, approval["action"].as_str().unwrap()), ["asked", "allowed"]);
    assert!(check(shown, "approved").contains("`letters-are-read`"));
    assert!(screen.contains("--yes answers"), "{screen}");

    let budget = &shown["budget"];
    assert_eq!(budget["code"], "project_spend_limit_exceeded", "{budget:#}");
    assert_eq!((&budget["calls_made"], &budget["spent_before"]), (&json!(0), &budget["spent_after"]));
    let number = |key: &str| budget["exceeded"][key].as_i64().unwrap();
    assert!(number("spent") > 0 && number("spent") + number("asked") > number("limit"), "{budget:#}");
    assert!(check(shown, "budget").contains("project_spend_limit_exceeded"));
    assert!(screen.contains("(project_spend_limit_exceeded)"), "{screen}");

    let verifier = &shown["verifier"];
    assert_eq!((&verifier["untouched"]["exit_code"], &verifier["edited"]["exit_code"]), (&json!(0), &json!(1)));
    assert_eq!(verifier["untouched"]["report"]["pinned"], true, "with the key that was kept before");
    assert!(verifier["untouched"]["report"]["records"].as_u64().unwrap() > 40);
    let line = format!("records.jsonl line {} ", verifier["edited_line"]);
    assert!(verifier["edited"]["report"]["problems"].to_string().contains(&line), "{verifier:#}");
    check(shown, "verified");
    assert!(check(shown, "edit_found").contains(&line));
}

#[test]
fn without_somebody_to_ask_it_says_what_waits() {
    let place = Place::new();
    let ended = demo(&place, &[]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.stderr.contains("letters-are-read") && ended.stderr.contains("help: run the demo at a terminal"));
    assert!(ended.stderr.contains("give --yes"), "{ended:?}");
}

#[test]
fn the_verifier_is_missed_before_anything_starts() {
    let place = Place::new();
    let alone = place.path("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_bailiwick"), alone.join("bailiwick")).unwrap();
    let output = Command::new(alone.join("bailiwick")).arg("demo").current_dir(&alone).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("the separate verifier is not there") && said.contains("--bin bailiwick-verify"), "{said}");
    assert!(!said.contains("server started"), "{said}");
}

/// Cents by currency, as the examining script counts them: rows with ten fields and an amount that is a number.
fn totals() -> Vec<(String, u64)> {
    let ledger = fs::read_to_string(repository().join("demo/ledger.csv")).unwrap();
    let mut sums = std::collections::BTreeMap::new();
    for line in ledger.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [_, _, _, _, _, _, amount, currency, _, _] = fields[..] else { continue };
        let Some((whole, cents)) = amount.split_once('.') else { continue };
        if let (Ok(whole), Ok(cents), 2) = (whole.parse::<u64>(), cents.parse::<u64>(), cents.len()) {
            *sums.entry(currency.to_owned()).or_insert(0) += whole * 100 + cents;
        }
    }
    sums.into_iter().collect()
}

fn with_commas(cents: u64) -> String {
    let whole = (cents / 100).to_string();
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{out}.{:02}", cents % 100)
}

fn repository() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn another_table_works_too() {
    let place = Place::new();
    let table = place.write("mine.csv", "stadt;menge;preis\nK\u{f6}ln;1;1.200,50\nBonn;2;3,25\nK\u{f6}ln;4;0,25\n");
    let ended = demo(&place, &["--file", &table.display().to_string(), "--output", "out", "--yes"]).good();
    assert!(ended.stdout.contains("preis 1,204.00"), "{}", ended.stdout);
    assert!(ended.stdout.contains("confirmed, resumed"), "{}", ended.stdout);
    assert!(fs::read_to_string(place.path("out/report.md")).unwrap().contains("fields between semicolons"));
}

#[test]
fn a_file_that_is_no_table_is_refused_before_anything_starts() {
    let place = Place::new();
    for (name, bytes, part) in [
        ("empty.csv", &b""[..], "this file is empty"),
        ("binary.csv", b"\x7fELF\x02\x01\x00", "this file is binary"),
        ("header.csv", b"a,b\n", "one line only"),
    ] {
        fs::write(place.path(name), bytes).unwrap();
        let ended = demo(&place, &["--file", name]);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(part) && ended.stderr.contains("help: give a CSV"), "{ended:?}");
        assert!(!ended.stderr.contains("server started"), "{ended:?}");
    }
    let ended = demo(&place, &["--file", "missing.csv"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("`missing.csv` cannot be read"), "{ended:?}");
}

#[test]
fn the_ledger_is_what_its_script_writes() {
    let made = Command::new("python3").arg(repository().join("demo/make_ledger.py")).output().unwrap();
    assert!(made.status.success());
    assert!(
        made.stdout == fs::read(repository().join("demo/ledger.csv")).unwrap(),
        "run demo/make_ledger.py > demo/ledger.csv"
    );
}
