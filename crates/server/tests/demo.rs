//! The demo is the main job, on the shipped ledger and on other people's tables.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fs, path::Path, process::Command};
use support::{Ended, Place, run_in};

fn demo(place: &Place, arguments: &[&str]) -> Ended {
    run_in(place.folder.path(), &[&["demo"], arguments].concat())
}

#[test]
fn the_ledger_is_examined_although_the_server_is_killed() {
    let place = Place::new();
    let ended = demo(&place, &["--json"]).good();
    let shown = ended.json();
    assert_eq!(shown["scripted"], true);
    assert!(ended.stderr.contains("the model: scripted"), "{}", ended.stderr);
    assert!(ended.stderr.contains("kill -9") && ended.stderr.contains("server started again"), "{}", ended.stderr);
    assert_ne!(shown["kill"]["pid"], shown["kill"]["started_again_as"]);
    for check in shown["checks"].as_array().unwrap() {
        assert_eq!(check["good"], true, "{check}");
    }
    assert_eq!(shown["checks"].as_array().unwrap().len(), 4);
    // The totals are those of the ledger, added up here anew.
    let answer = shown["answer"].as_str().unwrap();
    for (currency, total) in totals() {
        let part = format!("{} {currency}", with_commas(total));
        assert!(answer.contains(&part), "{part}: {answer}");
    }
    let report = fs::read_to_string(place.path("bailiwick-demo/report.md")).unwrap();
    assert!(report.contains("## Totals") && report.contains("![amount by department (EUR)](chart.svg)"), "{report}");
    assert!(fs::read_to_string(place.path("bailiwick-demo/chart.svg")).unwrap().starts_with("<svg"));
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
    let ended = demo(&place, &["--file", &table.display().to_string(), "--output", "out"]).good();
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
