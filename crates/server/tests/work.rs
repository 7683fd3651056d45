//! Whole pieces of work through the client commands: from words to files, with every way in which they can end.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use std::{fs, io::Read as _, process::Stdio};
use support::{Place, command, golden, masked, run, run_in, wait_for};

const COUNT: &str = r#"
[[turn.step]]
say = "I will count."

[[turn.step.call]]
tool = "run_command"
as = "lines"
arguments = { command = "wc -l < ledger.csv" }

[[turn.step]]
[[turn.step.call]]
tool = "write_file"
arguments = { path = "outputs/deep/count.txt", content = "{{ result lines | output }}" }

[[turn.step]]
say = "There are {{ result lines | output }} lines."
usage = { input = 100, output = 7 }
"#;

fn counting() -> Place {
    Place::with_scenario(&format!("[[turn]]\n{COUNT}"))
}

#[test]
fn a_task_becomes_an_answer_and_files() {
    let place = counting();
    let _server = place.serve();
    place.write("ledger.csv", "a\nb\nc\n");
    let done =
        place.client(&["run", "count the lines", "--model", "main", "--file", "ledger.csv", "--output", "out"]).good();
    assert_eq!(done.stdout, "There are 3 lines.\n");
    assert_eq!(fs::read_to_string(place.path("out/deep/count.txt")).unwrap(), "3");
    golden("run/progress.txt", &masked(&done.stderr).replace(", 0.0 s", "").replace(", 0.1 s", ""));

    // Once more, as JSON: one document, and nothing is written over.
    let again =
        place.client(&["run", "count", "--model", "main", "--file", "ledger.csv", "--output", "out", "--json"]).good();
    let document = again.json();
    assert_eq!(document["answer"], "There are 3 lines.");
    assert_eq!((&document["status"], &document["scripted"]), (&"idle".into(), &true.into()));
    assert_eq!(document["turn"]["status"], "completed");
    assert!(document["artifacts"][0]["saved_as"].as_str().unwrap().ends_with("out/deep/count-1.txt"), "{document}");

    let session = document["session_id"].as_str().unwrap();
    let shown = place.client(&["session", "show", session]).good().stdout;
    for part in
        ["isolation `process`", "wc -l < ledger.csv → exit code 0 (scripted)", "command.run", "artifact.publish"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = place.client(&["session", "show", session, "--json"]).good().json();
    assert!(shown["receipts"].as_array().unwrap().len() >= 10);
    let listed = place.client(&["session", "list", "--json"]).good().json();
    assert_eq!(listed["sessions"][0]["id"], session);
    let tailed = place.client(&["session", "tail", session, "--from-start"]).good();
    assert!(
        tailed.stderr.contains("is scripted")
            && tailed.stderr.contains("There are 3 lines.")
            && tailed.stderr.contains("the session is idle"),
        "{tailed:?}"
    );
}

#[test]
fn output_cannot_drive_the_terminal() {
    let place = Place::with_scenario(
        "[[turn]]\n[[turn.step]]\nsay = \"\\u001b]0;owned\\u0007 working \\u202e\"\n[[turn.step.call]]\ntool = \"run_command\"\n\
         arguments = { command = \"printf 'a\\\\033[2Jb\\\\rc\\\\n'\" }\n\
         [[turn.step]]\nsay = \"done \\u009b31m\"\n",
    );
    let _server = place.serve();
    let done = place.client(&["run", "go", "--model", "main"]).good();
    let printed = format!("{}{}", done.stdout, done.stderr);
    assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
    for part in ["\\u{1b}]0;owned\\u{7}", "\\u{202e}", "a\\u{1b}[2Jb\\rc", "done \\u{9b}31m"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let session =
        place.client(&["session", "list", "--json"]).good().json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    let shown = place.client(&["session", "show", &session]).good().stdout;
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
}

#[test]
fn a_failed_turn_names_its_code_and_exits_with_it() {
    // What a model's own rules refuse is denied like what ours do.
    for (fails, code, name) in [("malformed_answer", 1, "failed"), ("content_filter", 5, "denied")] {
        let fails = format!("[[turn]]\n[[turn.step]]\nfail = {{ code = \"{fails}\", message = \"not this\" }}\n");
        let place = Place::with_scenario(&fails);
        let _server = place.serve();
        let ended = place.client(&["run", "go", "--model", "main", "--no-environment"]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.stderr.contains("the turn failed (") && ended.stderr.contains("not this"), "{ended:?}");
        let ended = place.client(&["run", "go", "--model", "main", "--no-environment", "--json"]);
        assert_eq!(ended.json()["error"]["code"], name);
    }
}

#[test]
fn what_is_not_there_is_named_with_what_is_near() {
    let place = counting();
    let _server = place.serve();
    for (arguments, part) in [
        (&["run", "x", "--model", "mian"][..], "There is no model `mian`"),
        (&["run", "x", "--agent", "nobody"], "there is no agent `nobody`"),
        (&["run", "x", "--model", "main", "--file", "missing.csv"], "missing.csv"),
        (&["session", "show", "sess_0"], "There is no session `sess_0`"),
        (&["agent", "apply", "-f", "missing.toml"], "missing.toml"),
    ] {
        let ended = place.client(arguments);
        assert!(ended.code == 1 || ended.code == 2, "{ended:?}");
        assert!(ended.stderr.contains(part), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn an_agent_is_applied_again_by_its_name() {
    let place = counting();
    let _server = place.serve();
    place.write("ledger.csv", "a\n");
    let file = place.write("agent.toml", "name = \"Counter\"\nmodel = \"main\"\ninstructions = \"Count.\"\n");
    let file = file.display().to_string();
    let first = place.client(&["agent", "apply", "-f", &file, "--json"]).good().json();
    assert_eq!(first["done"], "created");
    place.write("agent.toml", "name = \"Counter\"\nmodel = \"main\"\ninstructions = \"Count well.\"\n[bailiwick.remit]\nallow = [\"model.call\", \"environment.*\"]\n");
    let second = place.client(&["agent", "apply", "-f", &file, "--json"]).good().json();
    assert_eq!((&second["done"], &second["agent"]["id"]), (&"updated".into(), &first["agent"]["id"]));
    assert!(place.client(&["agent", "list"]).good().stdout.contains("Counter"));
    assert!(place.client(&["agent", "show", "Counter"]).good().stdout.contains("Count well."));
    let near = place.client(&["agent", "show", "Conter"]);
    assert!(near.stderr.contains("did you mean `Counter`?"), "{near:?}");
    // Its remit holds: what it asks for is denied, with the rule and the way out.
    let ended = place.client(&["run", "count", "--agent", "Counter", "--file", "ledger.csv"]);
    assert!(ended.stderr.contains("denied by remit.allow"), "{ended:?}");

    place.write("agent.toml", "name = \"Counter\"\nmodel = \"main\"\nintructions = 1\n");
    let ended = place.client(&["agent", "apply", "-f", &file]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("intructions"), "{ended:?}");
    place.write("agent.toml", "name = \n");
    let ended = place.client(&["agent", "apply", "-f", &file]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("agent.toml:1:"), "{ended:?}");
}

#[test]
fn waiting_for_the_application_is_exit_code_6() {
    let place = Place::with_scenario(
        "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"lookup\"\narguments = { id = 1 }\n[[turn.step]]\nsay = \"ok\"\n",
    );
    let _server = place.serve();
    let agent = r#"{"name": "Asker", "model": "main", "tools": [
        {"type": "function", "name": "lookup", "description": "Looks up.", "parameters": {"type": "object"}}]}"#;
    let file = place.write("agent.json", agent).display().to_string();
    place.client(&["agent", "apply", "-f", &file]).good();
    let ended = place.client(&["run", "ask", "--agent", "Asker", "--no-environment"]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.stderr.contains("the application must answer the function `lookup`"), "{ended:?}");
    let session =
        place.client(&["session", "list", "--json"]).good().json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    place.client(&["session", "cancel", &session]).good();
    wait_for("the cancelled session", || {
        let shown = place.client(&["session", "show", &session, "--json"]).good().json();
        (shown["session"]["status"] == "idle").then_some(())
    });
}

const SLEEPER: &str = "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"run_command\"\n\
arguments = { command = \"echo begun; echo x >> effects.log; sleep 600\" }\n[[turn.step]]\nsay = \"I see.\"\n";

#[test]
fn a_time_out_and_an_interruption_cancel_the_work() {
    let place = Place::with_scenario(SLEEPER);
    let _server = place.serve();
    let ended = place.client(&["run", "sleep", "--model", "main", "--timeout", "1"]);
    assert_eq!(ended.code, 8, "{ended:?}");

    let mut child = command(&["run", "sleep", "--model", "main", "--data", &place.data()])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    read_until(&mut stderr, "begun\n");
    interrupt(child.id());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("turn cancelled"), "{rest}");
    for session in place.client(&["session", "list", "--json"]).good().json()["sessions"].as_array().unwrap() {
        assert_eq!(session["status"], "idle");
    }
}

#[test]
fn a_stop_in_order_is_no_end_of_the_work() {
    let place = Place::with_scenario(
        "[[turn]]\n[[turn.step]]\n[[turn.step.call]]\ntool = \"run_command\"\nas = \"slow\"\n\
         arguments = { command = \"echo x >> effects.log; echo begun; sleep 2; wc -l < effects.log\" }\n\
         [[turn.step]]\nsay = \"{{ result slow | output | match \\\"[0-9]+\\\" }} start\"\n",
    );
    let server = place.serve();
    let mut child = command(&["run", "go", "--model", "main", "--data", &place.data()])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    read_until(&mut stderr, "begun\n");
    // The watcher's stream is open and a command runs; the server ends all the same, and in order.
    assert_eq!(server.stop(), 0);
    let _server = place.serve();
    let (mut said, mut answer) = (String::new(), String::new());
    stderr.read_to_string(&mut said).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert_eq!(answer, "1 start\n", "{said}");
}

fn read_until(stream: &mut impl std::io::Read, wanted: &str) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !String::from_utf8_lossy(&said).contains(wanted) {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

fn interrupt(pid: u32) {
    assert!(std::process::Command::new("/bin/kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
}

/// Ends the sandboxes of a data folder from outside, as a machine that goes down would.
fn end_sandboxes(data: &str) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("__sandbox\0") && line.contains(data) {
            let pid = entry.file_name().into_string().unwrap();
            let _ = std::process::Command::new("/bin/kill").args(["-KILL", &pid]).status();
        }
    }
}

#[test]
fn an_unknown_outcome_is_exit_code_9_until_a_person_resolves_it() {
    let place = Place::with_scenario(SLEEPER);
    let server = place.serve();
    let mut watcher = command(&["run", "sleep", "--model", "main", "--data", &place.data()])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the command to begin", || {
        let session =
            place.client(&["session", "list", "--json"]).good().json()["sessions"][0]["id"].as_str()?.to_owned();
        let shown = place.client(&["session", "show", &session, "--json"]).good().json();
        let receipts = shown["receipts"].as_array()?.clone();
        receipts.iter().any(|receipt| receipt["operation"] == "command.run").then_some(())
    });
    // Server and sandbox die together: nobody knows whether the command had its effect.
    server.kill();
    end_sandboxes(&place.data());
    let _server = place.serve();
    let ended = watcher.wait().unwrap();
    let mut said = String::new();
    watcher.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(ended.code(), Some(9), "{said}");
    assert!(said.contains("outcome unknown") && said.contains("bailiwick session resolve"), "{said}");

    let session =
        place.client(&["session", "list", "--json"]).good().json()["sessions"][0]["id"].as_str().unwrap().to_owned();
    let shown = place.client(&["session", "show", &session]).good().stdout;
    assert!(shown.contains("is unknown: command.run: echo begun"), "{shown}");
    let document = place.client(&["session", "show", &session, "--json"]).good().json();
    let action = document["session"]["bailiwick"]["unresolved"][0]["action"].as_str().unwrap().to_owned();
    place.client(&["session", "resolve", &session, &action, "happened"]).good();
    wait_for("the resolution", || {
        let shown = place.client(&["session", "show", &session, "--json"]).good().json();
        shown["session"]["bailiwick"]["unresolved"].as_array()?.is_empty().then_some(())
    });
    let again = place.client(&["session", "resolve", &session, &action, "happened"]);
    assert_eq!(again.code, 1, "{again:?}");
}

#[test]
fn a_scripted_model_is_not_tested_and_a_dead_one_says_why() {
    let place = counting();
    place.write(
        "dead.toml",
        "[models.dead]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\nretries = 0\n",
    );
    let (config, dead) = (place.text("bailiwick.toml"), place.text("dead.toml"));
    let ended = run(&["model", "test", "main", "--config", &config]).good();
    assert!(ended.stdout.contains("It is scripted"), "{ended:?}");
    let ended = run(&["model", "test", "dead", "--config", &dead]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("no connection to http://127.0.0.1:1/v1"), "{ended:?}");
    let ended = run(&["model", "test", "none", "--config", &config]);
    assert!(ended.stderr.contains("There is no model `none`"), "{ended:?}");
}

#[test]
fn a_second_organisation_is_made_on_the_servers_machine() {
    let place = counting();
    let server = place.serve();
    let made = place.client(&["tenant", "create", "Other Ltd", "--json"]).good().json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let listed = place.client(&["tenant", "list"]).good().stdout;
    assert!(listed.contains("Other Ltd") && listed.contains("default") && listed.contains(id), "{listed}");
    // It works there, and what it does is unknown here.
    let other = ["--server", &server.url, "--key", key];
    place.write("ledger.csv", "a\nb\n");
    let task = [&["run", "count", "--model", "main", "--file", "ledger.csv", "--json"][..], &other].concat();
    let session = run_in(place.folder.path(), &task).good().json()["session_id"].as_str().unwrap().to_owned();
    let elsewhere = place.client(&["session", "show", &session]);
    assert!(elsewhere.code != 0 && elsewhere.stderr.contains("There is no session"), "{}", elsewhere.stderr);
    let refused = run_in(place.folder.path(), &[&["tenant", "list"][..], &other].concat());
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    let again = place.client(&["tenant", "key", id, "--json"]).good().json();
    assert!(again["key"].as_str().unwrap() != key);
    assert_eq!(place.client(&["tenant", "key", "default"]).code, 2);
}
