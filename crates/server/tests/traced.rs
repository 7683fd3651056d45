//! No effect without a permit, seen from the kernel: every program that a turn starts and every connection that it
//! opens is in its receipts.

#![allow(clippy::disallowed_methods, reason = "a test from outside: processes and sleeps are real")]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::{House, files_in};
use serde_json::{Value, json};
use std::path::Path;

/// Commands of shell built-ins only, so that nothing but the shells themselves is started.
const COMMANDS: [&str; 3] = ["echo one > first", "read line < first; echo $line > second", "echo three"];

fn script(seen: &Seen) -> Behaviour {
    let call = |command: &str| Answer::call("run_command", json!({"command": command}).to_string());
    Behaviour::Answer(match seen.results_since_user {
        0 => call(COMMANDS[0]),
        1 => call(COMMANDS[1]).and_call("write_file", json!({"path": "third", "content": "3"}).to_string()),
        3 => Answer::call("read_file", json!({"path": "second"}).to_string()),
        4 => call(COMMANDS[2]),
        _ => Answer::text("Done."),
    })
}

#[derive(Debug, Default)]
struct Trace {
    /// Argument vectors as strace prints them.
    execs: Vec<String>,
    connects: Vec<String>,
}

/// Reads what `strace -ff` wrote, one file for each process.
fn trace(folder: &Path) -> Trace {
    let mut trace = Trace::default();
    for file in files_in(folder) {
        for line in String::from_utf8_lossy(&std::fs::read(file).expect("a trace")).lines() {
            if line.starts_with("execve(") && line.ends_with("= 0") {
                trace.execs.push(line.to_owned());
            } else if line.starts_with("connect(") {
                trace.connects.push(line.to_owned());
            }
        }
    }
    trace
}

fn arguments<'a>(receipts: &'a [Value], operation: &str) -> Vec<&'a Value> {
    let decided = receipts.iter().filter(|receipt| receipt["kind"] == "action.decided");
    let allowed = decided.filter(|receipt| receipt["decision"] == "allowed" && receipt["operation"] == operation);
    allowed.map(|receipt| &receipt["arguments"]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_program_and_connection_of_a_turn_has_a_receipt() {
    let house = House::new(script).await;
    let traces = house.folder.path().join("trace");
    std::fs::create_dir(&traces).expect("a folder");
    let output = traces.join("of");
    let output = output.to_str().expect("a plain path");
    let strace = ["strace", "-ff", "-qq", "-s", "4096", "-e", "trace=execve,connect", "-o", output];
    let child = house.command(&strace).spawn().expect("strace is there: install Debian's package `strace`");
    let running = house.wait_for(child).await;
    let session = house.session("work", json!([])).await;
    house.idle(&session).await;
    let receipts = house.receipts(&session).await;
    drop(running);
    let trace = trace(&traces);

    let commands = arguments(&receipts, "command.run");
    let shells: Vec<&String> = trace.execs.iter().filter(|line| line.contains(r#""-c""#)).collect();
    assert_eq!(commands.len(), COMMANDS.len());
    assert_eq!(shells.len(), commands.len(), "one shell for each permitted command: {shells:#?}");
    for command in &commands {
        let text = command["command"].as_str().expect("a command");
        assert!(shells.iter().any(|line| line.contains(text)), "no shell ran `{text}`: {shells:#?}");
    }
    // Starting the sandbox starts our own binary: its keeper, and inside, as `/run/executor`, its executor.
    let binary = env!("CARGO_BIN_EXE_bailiwick");
    let executors = trace.execs.iter().filter(|line| line.contains(r#""__executor""#)).count();
    assert_eq!(executors, arguments(&receipts, "environment.start").len(), "one executor for each permitted start");
    let ours = |line: &str| line.contains(binary) || line.contains("/proc/self/") || line.contains(r#""__executor""#);
    let others: Vec<&String> = trace.execs.iter().filter(|line| !line.contains(r#""-c""#) && !ours(line)).collect();
    assert!(others.is_empty(), "programs that no receipt knows: {others:#?}");

    let calls = arguments(&receipts, "model.call").len();
    let url = house.model.base_url();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let to_model = format!("sin_port=htons({port})");
    let outward: Vec<&String> = trace.connects.iter().filter(|line| !line.contains("AF_UNIX")).collect();
    assert!((1..=calls).contains(&outward.len()), "{calls} model calls, but {outward:#?}");
    let elsewhere: Vec<&&String> = outward.iter().filter(|line| !line.contains(&to_model)).collect();
    assert!(elsewhere.is_empty(), "connections that no receipt knows: {elsewhere:#?}");
}
