//! A sandbox that dies is not the end of its session.

#![allow(clippy::disallowed_methods, reason = "a test from outside: processes and sleeps are real")]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::House;
use serde_json::{Value, json};
use std::process::Command;

/// Two tries in each turn: the first may meet the dead sandbox, the second must not.
fn script(seen: &Seen) -> Behaviour {
    let command = json!({"command": format!("echo {} >> kept; cat kept", seen.user)}).to_string();
    Behaviour::Answer(match seen.results_since_user {
        0 => Answer::call("list_files", "{}"),
        1 => Answer::call("run_command", command),
        _ => Answer::text("Done."),
    })
}

fn executor_of(environment: &str) -> Vec<String> {
    let pattern = format!("__executor --session {environment}");
    let found = Command::new("pgrep").args(["-f", &pattern]).output().expect("pgrep");
    String::from_utf8_lossy(&found.stdout).split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_in_a_new_sandbox_with_its_files() {
    let house = House::new(script).await;
    let running = house.start().await;
    let session = house.session("first", json!([])).await;
    let view = house.idle(&session).await;
    let environment = view["environment"]["id"].as_str().expect("an environment").to_owned();
    let executors = executor_of(&environment);
    assert!(!executors.is_empty(), "the sandbox of {environment} is there");
    for process in executors {
        let _ = Command::new("kill").args(["-9", &process]).status();
    }
    let order = json!({"events": [{"type": "agent.session.input.message",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "second"}]}]}]});
    house.post(&format!("/v1/agents/sessions/{session}/events"), &order).await.expect("accepted");
    let begun = std::time::Instant::now();
    let outputs = loop {
        house.idle(&session).await;
        let items = house.items(&session).await;
        let outputs: Vec<Value> = items
            .iter()
            .filter(|item| item["type"] == "command_execution")
            .map(|item| item["output"].clone())
            .collect();
        if outputs.len() > 1 || begun.elapsed().as_secs() > 60 {
            break outputs;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(outputs, [json!("first\n"), json!("first\nsecond\n")]);
    running.stop();
}
