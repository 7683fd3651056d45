//! The stable exit codes, from outside: scripts rely on them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::process::{Child, Command, Stdio};
use support::{Ended, Place, command, run, wait_for};

const QUICK: &str = r#"
[[turn]]
[[turn.step]]
say = "Done."
"#;

const SLOW: &str = r#"
[[turn]]
[[turn.step]]
delay_ms = 60000
say = "Done at last."
"#;

const WORK: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "run_command"
arguments = { command = "echo hello" }

[[turn.step]]
say = "Done."
"#;

/// Nobody else on this machine sleeps as long.
const LONG: &str = r#"
[[turn]]
[[turn.step]]
[[turn.step.call]]
tool = "run_command"
arguments = { command = "sleep 314.1592", timeout_seconds = 600 }

[[turn.step]]
say = "I do not know."
"#;

const ASK: &str = r#"
@id("somebody-looks")
@reason("commands leave marks")
@ask("second")
forbid (principal, action == Action::"command.run", resource);
"#;

const NO_MODEL: &str = r#"
@id("no-model")
@reason("models are off this week")
@remedy("ask Olga")
forbid (principal, action == Action::"model.call", resource);
"#;

fn task<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ["run", "do it", "--model", "main"].into_iter().chain(more.iter().copied()).collect()
}

/// A run that goes on while the test does something.
fn begun(place: &Place, more: &[&str]) -> Child {
    let data = place.data();
    let arguments = task(&[&["--no-environment", "--data", &data][..], more].concat());
    let mut begun = command(&arguments);
    begun.current_dir(place.folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    begun.spawn().unwrap()
}

fn code(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

/// The session at work.
fn session(place: &Place) -> String {
    wait_for("a session at work", || {
        let listed = place.client(&["session", "list", "--json"]).json();
        let one = listed["sessions"].as_array()?.iter().find(|one| one["status"] == "in_progress")?;
        one["id"].as_str().map(str::to_owned)
    })
}

#[track_caller]
fn ends(ended: &Ended, code: i32) {
    assert_eq!(ended.code, code, "{ended:?}");
}

#[test]
fn done_wrong_usage_sign_in_and_denied() {
    let place = Place::with_scenario(QUICK);
    let server = place.serve();
    ends(&place.client(&task(&["--no-environment"])), 0);
    ends(&place.client(&["run", "do it"]), 2);
    ends(&place.client(&["approve", "nothing"]), 2);
    ends(&run(&["session", "list", "--server", &server.url]), 4);
    ends(&run(&["session", "list", "--server", &server.url, "--key", "bwk_wrong"]), 4);
    let made = place.client(&["key", "create", "--scope", "agents:read", "--json"]).good().json();
    let key = made["key"].as_str().unwrap();
    ends(&run(&[&task(&[])[..], &["--server", &server.url, "--key", key]].concat()), 5);
    place.client(&["stop", "set", "everything", "--reason", "the auditors are here"]).good();
    let stopped = place.client(&task(&["--no-environment", "--json"]));
    ends(&stopped, 5);
    assert_eq!(stopped.json()["error"]["code"], "denied", "{stopped:?}");
    assert!(stopped.stderr.contains("the auditors are here"), "{stopped:?}");
    place.client(&["stop", "lift", "everything"]).good();

    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{NO_MODEL}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "A test"]).good();
    let denied = place.client(&task(&["--no-environment"]));
    ends(&denied, 5);
    assert!(denied.stderr.contains("no-model") && denied.stderr.contains("ask Olga"), "{denied:?}");
}

#[test]
fn a_stop_a_time_out_and_an_interruption_of_what_runs() {
    let place = Place::with_scenario(SLOW);
    let _server = place.serve();
    let running = begun(&place, &[]);
    place.client(&["stop", "set", &session(&place)]).good();
    let (ended, said) = code(running);
    assert_eq!(ended, 5, "{said}");

    let (ended, said) = code(begun(&place, &["--timeout", "1"]));
    assert_eq!(ended, 8, "{said}");

    let running = begun(&place, &[]);
    session(&place);
    // The command listens for it once it watches what it began.
    wait_for("the interruption", || {
        Command::new("/bin/kill").args(["-INT", &running.id().to_string()]).status().unwrap();
        let listed = place.client(&["session", "list", "--json"]).json();
        let idle = |one: &serde_json::Value| one["status"] == "idle";
        listed["sessions"].as_array()?.iter().all(idle).then_some(())
    });
    let (ended, said) = code(running);
    assert_eq!(ended, 130, "{said}");
}

#[test]
fn waiting_for_somebody_and_not_being_the_one() {
    let place = Place::with_scenario(WORK);
    let _server = place.serve();
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{ASK}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "A test"]).good();
    let waiting = place.client(&task(&[]));
    ends(&waiting, 6);
    let listed = place.client(&["approval", "list", "--json"]).good().json();
    let approval = listed["approvals"][0]["id"].as_str().unwrap();
    // Whoever ordered it is not the second person.
    let refused = place.client(&["approve", approval]);
    ends(&refused, 5);
    assert!(refused.stderr.contains("a second person must"), "{refused:?}");
}

#[test]
fn a_budget_that_is_spent() {
    let place = Place::new();
    place.write("scenario.toml", QUICK);
    place.write(
        "bailiwick.toml",
        "[models.main]\nprovider = \"rehearsal\"\nscenario = \"scenario.toml\"\n\
         [models.main.prices]\nversion = 1\ninput = \"10\"\noutput = \"10\"\n",
    );
    let _server = place.serve();
    place.client(&["budget", "set", "--tenant", "--per", "total", "--limit", "0.000001"]).good();
    let refused = place.client(&task(&["--no-environment"]));
    ends(&refused, 7);
}

fn processes(pattern: &str) -> Vec<String> {
    let found = Command::new("pgrep").args(["-f", pattern]).output().unwrap();
    String::from_utf8_lossy(&found.stdout).split_whitespace().map(str::to_owned).collect()
}

/// The sandbox dies with a command in it: nobody knows what became of that.
#[test]
fn an_outcome_that_nobody_knows() {
    let place = Place::with_scenario(LONG);
    let _server = place.serve();
    let data = place.data();
    let mut running = command(&task(&["--data", &data]));
    running.current_dir(place.folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let running = running.spawn().unwrap();
    let id = session(&place);
    let shown = place.client(&["session", "show", &id, "--json"]).good().json();
    let environment = shown["session"]["bailiwick"]["environment"]["id"].as_str().unwrap().to_owned();
    let executors = wait_for("the command in its sandbox", || {
        let begun = !processes("^sleep 314.1592").is_empty();
        let executors = processes(&format!("__executor --session {environment}"));
        (begun && !executors.is_empty()).then_some(executors)
    });
    for executor in executors {
        Command::new("/bin/kill").args(["-9", &executor]).status().unwrap();
    }
    let (ended, said) = code(running);
    assert_eq!(ended, 9, "{said}");
    assert!(said.contains("session resolve"), "{said}");
}
