//! The demo is a day's work at the sample company, and a smaller job on other people's tables.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};
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

/// The claims of the day, in their order. The books are in PostgreSQL here.
const CLAIMS: [&str; 17] = [
    "meeting",
    "material",
    "own_login",
    "denied",
    "refused_by_the_database",
    "computed",
    "approved",
    "sent_once",
    "killed_between",
    "killed_inside",
    "remembered",
    "settled_once",
    "told_once",
    "who",
    "budget",
    "verified",
    "edit_found",
];

#[test]
fn a_day_s_work_is_done_once_although_the_server_is_killed_between_and_inside_mails() {
    let place = Place::new();
    let ended = demo(&place, &["--json", "--yes"]).good();
    let (shown, screen) = (ended.json(), &ended.stderr);
    assert_eq!(shown["scripted"], true);
    assert!(screen.contains("the model: scripted"), "{screen}");
    assert_eq!(screen.matches("kill -9").count(), 2, "{screen}");
    let claimed: Vec<&str> =
        shown["checks"].as_array().unwrap().iter().map(|check| check["about"].as_str().unwrap()).collect();
    assert_eq!(
        claimed, CLAIMS,
        "where `refused_by_the_database` is missing, install PostgreSQL, as ./test does: {screen}"
    );
    for about in claimed {
        check(&shown, about);
    }

    mails(&shown);
    // The page that was published has the figures of the answer, and the chart is one.
    let page = fs::read_to_string(place.path("bailiwick-demo/brief.md")).unwrap();
    let answer = shown["answer"].as_str().unwrap();
    let first = page.lines().next().unwrap().trim_start_matches("# ").split(' ').nth(1).unwrap();
    assert!(answer.contains(first) && page.lines().count() < 40, "{page}");
    assert!(page.contains("deliveries to accounts rated D stop") && page.contains("two customers dispute"), "{page}");
    assert!(fs::read_to_string(place.path("bailiwick-demo/chart.svg")).unwrap().starts_with("<svg"));
    governed(&shown, screen);
    // What was remembered in one session is what the next one goes by.
    let memory = &shown["memories"][0];
    assert_eq!((&memory["source"]["session"], &memory["state"]), (&shown["session_id"], &json!("confirmed")));
    assert!(shown["next_answer"].as_str().unwrap().contains(memory["text"].as_str().unwrap()), "{shown:#}");
    assert_ne!(shown["session_id"], shown["next_session_id"]);
}

/// Three mails, each once, to whom it was approved for; one of them settled by a look into the folder of sent mail.
fn mails(shown: &Value) {
    let (mails, approvals) = (shown["mails"].as_array().unwrap(), shown["approvals"].as_array().unwrap());
    assert_eq!((mails.len(), approvals.len()), (3, 3));
    let to: Vec<&Value> = mails.iter().map(|mail| &mail["to"][0]).collect();
    assert_eq!(to, ["ben@halden.example", "noah@halden.example", "iris.vogel@cordis-audit.example"]);
    for (mail, approval) in mails.iter().zip(approvals) {
        let action = approval["action"].as_str().unwrap();
        assert!(mail["id"].as_str().unwrap().contains(action), "{mail} {approval}");
        assert_eq!(decisions(shown, action), ["asked", "allowed"]);
        assert_eq!(approval["answered_by_option"], true);
    }
    let receipts = shown["receipts"].as_array().unwrap();
    let resumed = |approval: &Value| {
        receipts.iter().any(|one| one["kind"] == "action.resumed" && one["action"] == approval["action"])
    };
    assert_eq!(approvals.iter().map(resumed).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(shown["killed_inside_a_mail"]["mail"], mails[1]["id"]);
    assert_eq!(mails.iter().map(|mail| &mail["held"]).collect::<Vec<_>>(), [false, true, false]);
    for kill in ["killed_between_mails", "killed_inside_a_mail"] {
        assert_ne!(shown[kill]["pid"], shown[kill]["started_again_as"]);
    }
}

/// Who, under which rules, within which budget, and that the receipts prove it: as the receipts themselves say.
fn governed(shown: &Value, screen: &str) {
    let receipts = shown["receipts"].as_array().unwrap();
    let (person, agent) = (&shown["cast"]["ordered_by"]["id"], &shown["cast"]["agent"]);
    assert!(person.as_str().unwrap().starts_with("user_") && person != &agent["owner"], "{}", shown["cast"]);
    for receipt in receipts.iter().filter(|receipt| receipt["kind"] == "action.decided") {
        assert_eq!((&receipt["principal"]["id"], &receipt["principal"]["on_behalf_of"]["id"]), (&agent["id"], person));
    }
    let denied = check(shown, "denied");
    assert!(denied.contains("salaries-are-for-people") && denied.contains("not done"), "{denied}");
    assert!(screen.contains("salaries-are-for-people") && screen.contains("permission denied"), "{screen}");
    assert!(check(shown, "approved").contains("mail-is-confirmed"));
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
fn somebody_s_own_table_is_examined_although_the_server_is_killed() {
    let place = Place::new();
    let ledger = repository().join("demo/ledger.csv").display().to_string();
    let ended = demo(&place, &["--file", &ledger, "--json", "--yes"]).good();
    let shown = ended.json();
    assert_ne!(shown["kill"]["pid"], shown["kill"]["started_again_as"]);
    for about in [
        "killed",
        "settled_once",
        "told_once",
        "counted",
        "who",
        "allowed",
        "denied",
        "approved",
        "budget",
        "verified",
        "edit_found",
    ] {
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
    // What was approved was done.
    assert!(fs::read_to_string(place.path("bailiwick-demo/letter.md")).unwrap().contains("wrong number of fields"));
}

#[test]
fn without_somebody_to_ask_it_says_what_waits() {
    let place = Place::new();
    let ended = demo(&place, &[]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.stderr.contains("mail-is-confirmed") && ended.stderr.contains("help: run the demo at a terminal"));
    assert!(ended.stderr.contains("give --yes"), "{ended:?}");
}

#[test]
fn the_company_is_left_running_to_be_tried_by_hand_and_ends_whole() {
    let place = Place::new();
    let mut child = support::command(&["demo", "--serve", "--json"])
        .current_dir(place.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut values = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter::<Value>();
    let open = values.next().unwrap().unwrap();
    let (url, password) = (open["server"].as_str().unwrap(), open["password"].as_str().unwrap());
    let home = place.path("home");
    let client = |arguments: &[&str], answers: &str| {
        let all = [arguments, &["--server", url]].concat();
        let mut command = support::command(&all);
        command.env("HOME", &home).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        let output = child.wait_with_output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = client(&["login", "--login", "sofia"], &format!("{password}\n"));
    assert_eq!(code, Some(0), "{said}");
    for name in ["calendar", "mail", "people", "documents", "minutes", "accounts", "books"] {
        assert!(open["connectors"].to_string().contains(name), "{open}");
    }
    let agent = open["agent_id"].as_str().unwrap();
    let (code, said) = client(&["run", "Prepare my nine o'clock.", "--agent", agent, "--no-environment", "--json"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Check-in with the regions"), "{said}");
    let place_of_books = open["addresses"]["books"]["socket"].as_str().or(open["addresses"]["books"]["path"].as_str());
    let books = Path::new(place_of_books.unwrap()).to_owned();
    assert!(books.exists());
    let stopped = Command::new("/bin/kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!books.exists(), "its books are gone with it");
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
