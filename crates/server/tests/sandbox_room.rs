//! More sessions than sandboxes: those that nobody uses make room, and their sessions notice nothing.

#![allow(clippy::disallowed_methods, reason = "a test from outside: processes and sleeps are real")]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::House;
use serde_json::{Value, json};

fn script(seen: &Seen) -> Behaviour {
    let command = json!({"command": format!("echo {} >> outputs/kept; cat outputs/kept", seen.user)}).to_string();
    Behaviour::Answer(match seen.results_since_user {
        _ if seen.user == "thanks" => Answer::text("You are welcome."),
        0 => Answer::call("run_command", command),
        _ => Answer::text("Done."),
    })
}

async fn order(house: &House, session: &str, text: &str) {
    let order = json!({"events": [{"type": "agent.session.input.message",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]}]});
    house.post(&format!("/v1/agents/sessions/{session}/events"), &order).await.expect("accepted");
    house.idle(session).await;
}

async fn outputs(house: &House, session: &str) -> Vec<Value> {
    let items = house.items(session).await;
    let commands = items.iter().filter(|item| item["type"] == "command_execution");
    commands.map(|item| json!([item["status"], item["output"]])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sessions_share_one_sandbox_and_lose_nothing() {
    let house = House::new(script).await;
    house.configure("[limits]\nsandboxes = 1\n");
    let running = house.start().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let session = house.session("first", json!([])).await;
        house.idle(&session).await;
        sessions.push(session);
    }
    for session in &sessions {
        order(&house, session, "second").await;
        let view = house.view(session).await.expect("a session");
        assert_eq!(view["bailiwick"]["unresolved"], json!([]), "{view}");
        assert_eq!(view["bailiwick"]["environment"]["status"], "connected", "{view}");
        let both = [json!(["completed", "first\n"]), json!(["completed", "first\nsecond\n"])];
        assert_eq!(outputs(&house, session).await, both);
        let receipts = Value::from(house.receipts(session).await).to_string();
        assert!(!receipts.contains("not_sent") && !receipts.contains("unknown"), "{receipts}");
    }
    // What it learns of it is in its events, and no turn failed.
    let first = &sessions[0];
    let turns = house.get(&format!("/v1/agents/sessions/{first}/turns")).await.expect("turns");
    let statuses: Vec<&Value> = turns["data"].as_array().expect("turns").iter().map(|turn| &turn["status"]).collect();
    assert_eq!(statuses, ["completed", "completed"]);
    order(&house, first, "thanks").await;
    let artifacts = house.get(&format!("/v1/agents/sessions/{first}/artifacts")).await.expect("artifacts");
    assert_eq!(artifacts["data"].as_array().expect("artifacts").len(), 2, "once for each change: {artifacts}");
    running.stop();
}
