//! The real server, killed with SIGKILL at random moments, while the world outside counts every effect.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test from outside: processes and clocks are real, and it prints its seed"
)]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::{House, wait_until};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const STEPS: usize = 40;
const KILLS: usize = 12;

/// Step after step: a command that appends its number to a file and takes a moment, and now and then a question to the
/// application; at the end, a look at the file.
fn script(seen: &Seen) -> Behaviour {
    let results = seen.results_since_user;
    let answer = match results {
        _ if results > STEPS => Answer::text("All done."),
        _ if results == STEPS => Answer::call("run_command", json!({"command": "cat effects"}).to_string()),
        _ if results % 5 == 4 => Answer::call("count", json!({"n": results}).to_string()),
        _ => {
            let command = format!("echo {results} >> effects; sleep 0.05");
            Answer::call("run_command", json!({"command": command}).to_string())
        }
    };
    Behaviour::Answer(answer)
}

fn tools() -> Value {
    json!([{
        "type": "function",
        "name": "count",
        "description": "Counts.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    }])
}

/// Answers what the session waits for, counting how often each call is performed. The same call is performed once,
/// however often it is seen: what must not happen is the same step under two call ids.
async fn serve_application(house: &House, session: &str, performed: &mut BTreeMap<u64, u32>, known: &mut Vec<String>) {
    let Ok(view) = house.view(session).await else { return };
    for required in view["required_actions"].as_array().into_iter().flatten() {
        let call = required["call_id"].as_str().expect("a call id").to_owned();
        if !known.contains(&call) {
            *performed.entry(required["arguments"]["n"].as_u64().expect("n")).or_default() += 1;
            known.push(call.clone());
        }
        let result = json!({"events": [{
            "type": "agent.session.input.tool_result",
            "call_id": call, "turn_id": required["turn_id"], "success": true, "output": "counted",
        }]});
        // It may have been taken in just now, or the server may just have died.
        let _ = house.post(&format!("/v1/agents/sessions/{session}/events"), &result).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_happen_once_however_often_the_server_is_killed() {
    let seed = std::env::var("BAILIWICK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("BAILIWICK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let house = House::new(script).await;
    let mut running = house.start().await;
    let session = house.session("work", tools()).await;
    let (mut performed, mut known) = (BTreeMap::new(), Vec::new());
    for _ in 0..KILLS {
        let life = Duration::from_millis(random.random_range(20..700));
        let until = std::time::Instant::now() + life;
        while std::time::Instant::now() < until {
            serve_application(&house, &session, &mut performed, &mut known).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.kill();
        running = house.start().await;
    }
    let begun = std::time::Instant::now();
    loop {
        serve_application(&house, &session, &mut performed, &mut known).await;
        let view = house.view(&session).await.expect("the session");
        if view["status"] == "idle" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "the session does not come to rest: {view}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let items = house.items(&session).await;
    let listing = items.iter().find(|item| item["command"] == "cat effects").expect("the last command");
    let lines: Vec<usize> =
        listing["output"].as_str().expect("its output").lines().filter_map(|line| line.parse().ok()).collect();
    let expected: Vec<usize> = (0..STEPS).filter(|step| step % 5 != 4).collect();
    assert_eq!(lines, expected, "each command once, in order");
    let expected: BTreeMap<u64, u32> = (0..STEPS as u64).filter(|step| step % 5 == 4).map(|step| (step, 1)).collect();
    assert_eq!(performed, expected, "each call of the application once");
    let unknown = items.iter().filter(|item| item["bailiwick"]["effect"]["type"] == "unknown").count();
    assert_eq!(unknown, 0, "the sandbox outlived the server, so nothing is unknown");
    running.stop();
}

/// Whether a process of this machine, in a sandbox or not, was started with these words.
fn runs(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).replace('\0', " ").trim_end() == words)
}

/// What a key has ordered ends with it, in the sandbox too, also when the server dies before it has obeyed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_key_was_revoked_is_ended_by_whichever_server_comes() {
    // A sleep that nobody else on this machine takes.
    let sleep = format!("sleep {}.{}", 3000 + std::process::id() % 1000, rand::random::<u32>());
    let command = sleep.clone();
    let house = House::new(move |_| {
        Behaviour::Answer(Answer::call("run_command", json!({"command": format!("exec {command}")}).to_string()))
    })
    .await;
    let mut running = house.start().await;
    for killed in [false, true] {
        let body = json!({"name": "program", "scopes": ["sessions:read", "sessions:write"]});
        let key = house.post("/bailiwick/v1/keys", &body).await.expect("a key");
        let body = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}, "input": "Go."});
        let made = house.post_as(key["key"].as_str().expect("a key"), "/v1/agents/sessions", &body).await;
        let session = made.expect("a session")["id"].as_str().expect("an id").to_owned();
        wait_until("the command does not begin", || runs(&sleep)).await;
        let path = format!("/bailiwick/v1/keys/{}", key["id"].as_str().expect("an id"));
        house.delete(&path).await.expect("it is revoked");
        if killed {
            running.kill();
            running = house.start().await;
        }
        wait_until("the command is not ended", || !runs(&sleep)).await;
        house.idle(&session).await;
        let turns = house.get(&format!("/v1/agents/sessions/{session}/turns")).await.expect("turns");
        assert_eq!(turns["data"][0]["bailiwick"]["denied_by"], "key-revoked", "{turns}");
        let receipts = house.receipts(&session).await;
        let decided = receipts.iter().find(|one| one["operation"] == "command.run").expect("its decision");
        let settled = |one: &&Value| one["kind"] == "action.settled" && one["action"] == decided["action"];
        let settled = receipts.iter().find(settled).expect("its outcome");
        assert_eq!((&settled["effect"], &settled["result"]["ended"]), (&json!("confirmed"), &json!("cancelled")));
        assert_eq!(settled["halted_by"]["rule"], "key-revoked", "{settled}");
    }
    running.stop();
}
