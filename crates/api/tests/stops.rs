//! The stop buttons: what runs ends, nothing new begins, and it stays so until somebody lifts it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_gate::Stops;
use bailiwick_testkit::keys::PlainKeys;
use common::{House, call, calls, say};
use serde_json::{Value, json};
use std::sync::Arc;

fn slow() -> common::Say {
    calls(vec![call("c1", "run_command", json!({"command": "slow job"}))])
}

/// A session whose command runs until it is stopped.
async fn at_work(house: &House) -> Value {
    house.script([slow()]);
    let mut events = house.begin("Work.", json!({"environment": {"type": "openai_hosted"}})).await;
    let created = events.next().await.unwrap().data["session"].clone();
    loop {
        let event = events.next().await.unwrap();
        if event.name == "agent.output.command_execution_output.delta" {
            return created;
        }
    }
}

#[tokio::test]
async fn what_runs_ends_and_nothing_new_begins_until_the_stop_is_lifted() {
    for target in ["everything", "agent", "session"] {
        let house = House::new().await;
        let session = at_work(&house).await;
        let id = session["id"].as_str().unwrap();
        let name = match target {
            "agent" => session["agent"]["id"].as_str().unwrap(),
            "session" => id,
            all => all,
        };
        if target == "agent" {
            // It was written inline: there is nothing saved to stop.
            let unknown = house.post("/bailiwick/v1/stops", json!({"target": name})).await.error(400);
            assert_eq!(unknown["param"], "target");
            continue;
        }
        let stop =
            house.post("/bailiwick/v1/stops", json!({"target": name, "reason": "the auditors are here"})).await.ok();
        assert_eq!(stop["reason"], "the auditors are here");
        house.until(id, |shown| shown["status"] == "idle").await;
        let turns = house.get(&format!("/v1/agents/sessions/{id}/turns")).await.ok();
        let turn = &turns["data"][0];
        assert_eq!((&turn["status"], &turn["bailiwick"]["denied_by"]), (&json!("failed"), &json!("stopped")), "{turn}");
        assert_eq!(turn["error"]["code"], "misalignment_policy_violation");

        let message = json!({"events": [{
            "type": "agent.session.input.message",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Go on."}]}],
        }]});
        let events = format!("/v1/agents/sessions/{id}/events");
        assert_eq!(house.post(&events, message.clone()).await.status, 202);
        let second = |turns: &Value| turns["data"].as_array().unwrap().len() == 2;
        let turn = loop {
            let turns = house.get(&format!("/v1/agents/sessions/{id}/turns?order=desc")).await.ok();
            if second(&turns) && turns["data"][0]["status"] != "in_progress" {
                break turns["data"][0].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        };
        assert_ne!(turn["status"], "completed", "{turn}");
        let calls = house.model.seen.lock().unwrap().len();
        assert_eq!(calls, 1, "no model was called under the stop");

        // Whoever starts again reads it from the disk.
        let again = Stops::new(Arc::new(house.store.clone()), Arc::new(PlainKeys));
        assert_eq!(again.list(house.tenant).await.unwrap().len(), 1);

        let listed = house.get("/bailiwick/v1/stops").await.ok();
        assert_eq!(listed["data"][0]["target"], stop["target"]);
        house.delete(&format!("/bailiwick/v1/stops/{name}")).await.ok();
        house.delete(&format!("/bailiwick/v1/stops/{name}")).await.error(404);
        house.script([say("Done.")]);
        assert_eq!(house.post(&events, message).await.status, 202);
        loop {
            let turns = house.get(&format!("/v1/agents/sessions/{id}/turns?order=desc")).await.ok();
            if turns["data"][0]["status"] == "completed" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_saved_agent_is_stopped_everywhere_and_others_go_on() {
    let house = House::new().await;
    let agent = house.post("/v1/agents", json!({"name": "clerk", "model": "main"})).await.ok();
    house.post("/bailiwick/v1/stops", json!({"target": agent["id"]})).await.ok();
    house.script([say("Hello."), say("Hello.")]);
    let (_, events) = house.run("Hi", json!({"agent": {}, "agent_id": agent["id"]})).await;
    let failed = events.iter().find(|event| event.short() == "turn.failed").expect("the stopped agent does nothing");
    assert!(failed.data["turn"]["error"]["message"].as_str().unwrap().contains("stopped"), "{:?}", failed.data);
    let (_, events) = house.run("Hi", json!({})).await;
    assert!(events.iter().any(|event| event.short() == "turn.completed"), "another agent goes on");
}

#[tokio::test]
async fn a_stop_names_what_is_there_and_another_tenants_does_nothing_here() {
    let house = House::new().await;
    for target in ["", "nothing", "sess_00000000000000000000000000000000", "agent_00000000000000000000000000000000"] {
        assert_eq!(house.post("/bailiwick/v1/stops", json!({"target": target})).await.error(400)["param"], "target");
    }
    let foreign = house.foreign_key().await;
    let body = json!({"target": "everything"});
    house.send(common::request(&foreign, "POST", "/bailiwick/v1/stops", Some(&body))).await.ok();
    assert_eq!(house.get("/bailiwick/v1/stops").await.ok()["data"], json!([]));
    house.script([say("Hello.")]);
    let (_, events) = house.run("Hi", json!({})).await;
    assert!(events.iter().any(|event| event.short() == "turn.completed"));
}
