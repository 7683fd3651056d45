//! The questions that an auditor asks, each with one command: who ordered this, which agents have no owner, what did a
//! team spend on finished work, what left the walls. A real server, people with sign-ins, and models inside and outside.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::Value;
use std::{io::Write as _, process::Stdio};
use support::{Ended, Place, Server, command, wait_for};

const PASSWORD: &str = "seven grey herons at dusk";
const WORK: &str = "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"run_command\"\n\
arguments = { command = \"echo hello\" }\n[[turn.step]]\nsay = \"Done.\"\n";

/// Two models with the same price, one inside and one outside the walls.
fn place() -> Place {
    let place = Place::new();
    place.write("scenario.toml", WORK);
    let model = |name: &str, residency: &str| {
        format!(
            "[models.{name}]\nprovider = \"rehearsal\"\nscenario = \"scenario.toml\"\nresidency = \"{residency}\"\n\
             prices = {{ version = 1, input = \"1000.00\", cached_input = \"1000.00\", output = \"1000.00\" }}\n"
        )
    };
    place.write("bailiwick.toml", &format!("{}{}", model("near", "inside"), model("far", "outside")));
    place
}

/// A command of somebody with a home of their own, who answers its questions.
fn asked(place: &Place, who: &str, arguments: &[&str], answers: &str) -> Ended {
    let mut child = command(arguments)
        .env("HOME", place.text(who))
        .current_dir(place.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Adds a person of a team and signs them in. Gives their id.
fn person(place: &Place, server: &Server, login: &str, team: &str) -> String {
    let made =
        place.client(&["user", "create", login, "--login", login, "--role", "builder", "--team", team, "--json"]);
    let made = made.good().json();
    let code = made["set_up"]["code"].as_str().unwrap();
    let answers = format!("{code}\n{PASSWORD}\n{PASSWORD}\n");
    asked(place, login, &["login", "--set-up", "--server", &server.url], &answers).good();
    made["id"].as_str().unwrap().to_owned()
}

/// A turn of this person's, to its end. Gives the session.
fn run(place: &Place, server: &Server, who: &str, arguments: &[&str]) -> (i32, Value) {
    let ended = asked(place, who, &[&["run", "go", "--json", "--server", &server.url], arguments].concat(), "");
    (ended.code, serde_json::from_str(&ended.stdout).unwrap_or_default())
}

fn receipts(place: &Place, question: &[&str]) -> Vec<Value> {
    let listed = place.client(&[question, &["--json", "--limit", "1000"]].concat()).good().json();
    listed["receipts"].as_array().unwrap().clone()
}

/// Waits until everything that a session did has its outcome in the log: two calls of the model, and a command between.
fn settled(place: &Place, session: &str) -> Vec<Value> {
    wait_for("the receipts", || {
        let found = receipts(place, &["audit", "list", "--session", session]);
        let count = |operation: &str| found.iter().filter(|one| one["operation"] == operation).count();
        let all = count("model.call") == 2 && count("command.run") == 1;
        (all && found.iter().all(|one| !one["effect"].is_null())).then_some(found)
    })
}

#[test]
fn who_ordered_it_who_owns_it_what_it_cost_and_what_left() {
    let place = place();
    let server = place.serve();
    for team in ["Ledger", "Legal"] {
        place.client(&["team", "create", team]).good();
    }
    let ada = person(&place, &server, "ada", "Ledger");
    let bob = person(&place, &server, "bob", "Legal");
    place.write("agent.toml", "name = \"Clerk\"\nmodel = \"far\"\n");
    let saved = asked(&place, "ada", &["agent", "apply", "-f", "agent.toml", "--json", "--server", &server.url], "");
    let saved = saved.good().json();
    let agent = saved["agent"]["id"].as_str().unwrap_or_else(|| panic!("{saved}")).to_owned();

    let (code, outside) = run(&place, &server, "ada", &["--agent", &agent]);
    assert_eq!(code, 0, "{outside}");
    let (code, inside) = run(&place, &server, "bob", &["--model", "near"]);
    assert_eq!(code, 0, "{inside}");
    let session = |run: &Value| run["session_id"].as_str().unwrap().to_owned();
    let done = settled(&place, &session(&outside));
    settled(&place, &session(&inside));

    // Who ordered this effect: the person, through the agent, in a session, and what came of it.
    let ran = done.iter().find(|one| one["operation"] == "command.run").unwrap();
    let who = place.client(&["audit", "who", ran["action"].as_str().unwrap()]).good().stdout;
    for part in [&*ada, &*agent, &*session(&outside), "command.run", "allowed", "confirmed", "echo hello"] {
        assert!(who.contains(part), "{part}: {who}");
    }
    assert!(!who.contains(&bob), "{who}");
    let json = place.client(&["audit", "who", ran["action"].as_str().unwrap(), "--json"]).good().json();
    assert!(json["orderer"].as_str().unwrap().contains(&ada) && json["person"] == ada, "{json}");
    for (wrong, code) in [("act_00000000000070008000000000000000", 1), ("somebody", 2)] {
        assert_eq!(place.client(&["audit", "who", wrong]).code, code);
    }

    // What left: both calls of the model that is outside, and nothing else.
    let left = receipts(&place, &["audit", "left"]);
    assert_eq!(left.len(), 2, "{left:#?}");
    for one in &left {
        assert_eq!((&one["operation"], &one["session_id"]), (&"model.call".into(), &session(&outside).into()), "{one}");
        assert_eq!((&one["decision"], &one["effect"]), (&"allowed".into(), &"confirmed".into()), "{one}");
    }
    assert_eq!(receipts(&place, &["audit", "left", "--person", &ada]).len(), 2);
    assert!(receipts(&place, &["audit", "left", "--person", &bob]).is_empty());
    assert_eq!(receipts(&place, &["audit", "left", "--agent", "Clerk"]).len(), 2);
    assert!(receipts(&place, &["audit", "left", "--until", "2020-01-01"]).is_empty());

    // What was denied is for outside and never left.
    let rule =
        "\n@id(\"stay\") forbid (principal, action == Action::\"model.call\", resource) when { !resource.inside };\n";
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}{rule}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "Nothing leaves"]).good();
    let (code, denied) = run(&place, &server, "ada", &["--agent", &agent]);
    assert_eq!(code, 5, "{denied}");
    let denials = wait_for("the denial", || {
        let found = receipts(&place, &["audit", "list", "--outside", "--decision", "denied"]);
        (!found.is_empty()).then_some(found)
    });
    assert!(denials.iter().all(|one| one["operation"] == "model.call" && one["outside"] == true), "{denials:#?}");
    assert_eq!(receipts(&place, &["audit", "left"]).len(), 2);

    // What a team spent on finished work: its own, in money, and not the other team's.
    let spent = |team: &str| place.client(&["audit", "spent", "--team", team, "--json"]).good().json();
    let (ledger, legal) = (spent("Ledger"), spent("legal"));
    for report in [&ledger, &legal] {
        let lines = report["data"].as_array().or(report["lines"].as_array()).unwrap();
        assert_eq!(lines.len(), 1, "{report}");
        assert_eq!(lines[0]["calls"], 2, "{report}");
        assert_ne!(lines[0]["cost"], "0", "{report}");
    }
    let shown = place.client(&["audit", "spent", "--team", "Ledger"]).good().stdout;
    assert!(shown.contains("TEAM") && shown.contains("completed"), "{shown}");
    assert_eq!(place.client(&["audit", "spent", "--team", "Nobody"]).code, 1);

    // Which agents have no owner: none, until whoever answers for one leaves.
    let ownerless = || place.client(&["audit", "ownerless", "--json"]).good().stdout;
    assert!(!ownerless().contains(&agent));
    place.client(&["user", "disable", "ada"]).good();
    assert!(ownerless().contains(&agent), "{}", ownerless());
    let shown = place.client(&["audit", "ownerless"]).good().stdout;
    assert!(shown.contains("Clerk") && shown.contains("suspended"), "{shown}");
    // The answers of before are the same.
    assert_eq!(receipts(&place, &["audit", "left"]).len(), 2);
    assert_eq!(spent("Ledger")["data"], ledger["data"]);
}

#[test]
fn doctor_tells_how_far_the_stream_of_receipts_is_and_under_which_key_everything_lies() {
    let place = place();
    let config = std::fs::read_to_string(place.path("bailiwick.toml")).unwrap();
    place.write("bailiwick.toml", &format!("{config}\n[audit.stream]\nfile = \"receipts.jsonl\"\n"));
    let _server = place.serve();
    place.client(&["run", "go", "--model", "near", "--json"]).good();
    let looked = || place.client(&["doctor", "--json"]).json();
    let found = |what: &str| {
        let all = looked();
        let findings = all["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("{what}: {all}"))
    };
    wait_for("everything to be passed on", || {
        let stream = found("receipt stream");
        assert_eq!(stream["level"], "good", "{stream}");
        // Before the first receipt is in the tree, everything was passed on as well.
        let done = stream["found"].as_str().unwrap().contains("everything was passed on");
        (done && place.path("receipts.jsonl").exists()).then_some(())
    });
    let key = found("encryption key");
    assert!(key["level"] == "good" && key["found"].as_str().unwrap().contains("number 1"), "{key}");

    // A file that cannot be written to is told, with what to do.
    std::fs::remove_file(place.path("receipts.jsonl")).unwrap();
    std::fs::create_dir(place.path("receipts.jsonl")).unwrap();
    place.client(&["run", "go", "--model", "near", "--json"]).good();
    let failing = wait_for("a failure", || {
        let stream = found("receipt stream");
        (stream["level"] == "bad").then_some(stream)
    });
    assert!(failing["found"].as_str().unwrap().contains("attempts failed"), "{failing}");
    assert!(!failing["remedies"].as_array().unwrap().is_empty(), "{failing}");
}
