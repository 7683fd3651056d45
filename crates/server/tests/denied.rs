//! What the remit does not list is denied; the model and the person are told which rule, and the turn goes on.

#![allow(clippy::disallowed_methods, reason = "a test from outside: processes and sleeps are real")]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::House;
use serde_json::{Value, json};

fn script(seen: &Seen) -> Behaviour {
    Behaviour::Answer(match seen.results_since_user {
        0 => Answer::call("list_files", "{}").and_call("run_command", json!({"command": "true"}).to_string()),
        _ => Answer::text("I may not."),
    })
}

async fn denied_items(allow: Value) -> Vec<Value> {
    let house = House::new(script).await;
    let running = house.start().await;
    let body = json!({
        "agent": {"model": "main", "bailiwick": {"remit": {"allow": allow}}},
        "environment": {"type": "openai_hosted"},
        "input": "look around",
    });
    let made = house.post("/v1/agents/sessions", &body).await.expect("a session");
    let session = made["id"].as_str().expect("an id").to_owned();
    house.idle(&session).await;
    let turns = house.get(&format!("/v1/agents/sessions/{session}/turns")).await.expect("turns");
    assert_eq!(turns["data"][0]["status"], "completed", "{turns}");
    let items = house.items(&session).await;
    running.stop();
    items.into_iter().filter(|item| item["bailiwick"]["effect"]["type"] == "denied").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_action_names_its_rule_and_the_turn_goes_on() {
    let items = denied_items(json!(["model.call", "environment.*", "artifact.*", "file.*"])).await;
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!(items[0]["status"], "failed");
    assert_eq!(items[0]["bailiwick"]["effect"]["rule"], "remit.allow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_environment_every_call_that_needs_one_is_denied() {
    let items = denied_items(json!(["model.call", "command.*", "file.*"])).await;
    assert_eq!(items.len(), 2, "{items:#?}");
}
