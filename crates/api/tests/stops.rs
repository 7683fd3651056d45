//! The stop buttons: what runs ends, nothing new begins, and it stays so until somebody lifts it. What a key, a grant or a
//! person has ordered halts in the same way when that ends.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_gate::Stops;
use bailiwick_identity::NewApiKey;
use bailiwick_ports::{Clock, Scope};
use bailiwick_testkit::keys::PlainKeys;
use bailiwick_types::{Millis, Principal};
use common::{House, RealClock, call, calls, request, say};
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

/// A session that somebody else ordered, whose command runs until it is ended; `None` where they may order nothing.
async fn ordered(house: &House, key: &str, bailiwick: Value) -> Option<String> {
    house.script([slow()]);
    let agent = house.post("/v1/agents", json!({"model": "main", "name": "helper"})).await.ok()["id"].clone();
    let body = json!({
        "agent_id": agent, "agent": {}, "environment": {"type": "openai_hosted"}, "input": "Go.",
        "bailiwick": bailiwick,
    });
    let made = house.send(request(key, "POST", "/v1/agents/sessions", Some(&body))).await;
    let session = (made.status == 200).then(|| made.json()["id"].as_str().unwrap().to_owned())?;
    loop {
        if receipts(house, &session).await.iter().any(|one| one["operation"] == "command.run") {
            return Some(session);
        }
        let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
        if shown["status"] == "idle" {
            return None;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

async fn receipts(house: &House, session: &str) -> Vec<Value> {
    let path = format!("/bailiwick/v1/sessions/{session}/receipts?limit=100");
    house.get(&path).await.ok()["data"].as_array().unwrap().clone()
}

/// The session has come to rest, its command was cancelled, and turn and receipt say by which rule.
async fn halted(house: &House, session: &str, rule: &str) {
    house.until(session, |shown| shown["status"] == "idle").await;
    let turn = &house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok()["data"][0];
    assert_eq!((&turn["status"], &turn["bailiwick"]["denied_by"]), (&json!("failed"), &json!(rule)), "{turn}");
    let receipts = receipts(house, session).await;
    let decided = receipts.iter().find(|one| one["operation"] == "command.run").unwrap();
    let settled = |one: &&Value| one["kind"] == "action.settled" && one["action"] == decided["action"];
    let settled = receipts.iter().find(settled).unwrap();
    assert_eq!((&settled["effect"], &settled["result"]["ended"]), (&json!("confirmed"), &json!("cancelled")));
    assert_eq!(settled["halted_by"]["rule"], rule, "{settled}");
    assert!(settled["halted_by"]["message"].as_str().unwrap().contains(rule), "{settled}");
}

#[tokio::test]
async fn what_a_key_ordered_ends_when_the_key_is_revoked_and_what_others_ordered_goes_on() {
    let house = House::new().await;
    let (first, second) = (house.new_key(Scope::OWN_WORK.to_vec()).await, house.new_key(vec![Scope::Admin]).await);
    let session = ordered(&house, &first, json!({})).await.unwrap();
    let other = ordered(&house, &second, json!({})).await.unwrap();
    let id = house.send(request(&first, "GET", "/bailiwick/v1/me", None)).await.ok()["principal"].clone();
    house.delete(&format!("/bailiwick/v1/keys/{}", id.as_str().unwrap())).await.ok();
    halted(&house, &session, "key-revoked").await;
    let shown = house.get(&format!("/v1/agents/sessions/{other}")).await.ok();
    assert_eq!(shown["status"], "in_progress", "the other key still holds: {shown}");
    assert_eq!(house.model.seen.lock().unwrap().len(), 2, "no model was called after it");
    house.executor.release.notify_one();
    house.script([say("Done.")]);
    house.until(&other, |shown| shown["status"] == "idle").await;
    let turns = house.get(&format!("/v1/agents/sessions/{other}/turns")).await.ok();
    assert_eq!(turns["data"][0]["status"], "completed", "{turns}");
}

#[tokio::test]
async fn what_a_key_ordered_ends_when_its_time_is_over() {
    let house = House::new().await;
    // A life that is over before the command has begun is too short to show anything.
    for life in [500, 1000, 2000, 4000, 8000, 16000] {
        let expires = Some(RealClock.now() + Millis(life));
        let new = NewApiKey { name: "short".into(), scopes: vec![Scope::Admin], expires };
        let made = house.credentials.create_api_key(&Principal::Operator, house.tenant, new).await.unwrap();
        if let Some(session) = ordered(&house, made.1.expose(), json!({})).await {
            return halted(&house, &session, "key-expired").await;
        }
        house.model.script.lock().unwrap().clear();
    }
    panic!("no key lived long enough");
}

#[tokio::test]
async fn what_runs_for_a_person_ends_with_the_grant_the_person_or_the_agent() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let key = house.new_key(Scope::OWN_WORK.to_vec()).await;
    let program = house.send(request(&key, "GET", "/bailiwick/v1/me", None)).await.ok()["principal"].clone();
    let until = RealClock.now().as_seconds() + 3600;
    let body = json!({"type": "subject", "key_id": program, "until": until});
    let grant = house.send(request(&token, "POST", "/bailiwick/v1/grants", Some(&body))).await.ok()["id"].clone();
    let session = ordered(&house, &key, json!({"subject": ada})).await.unwrap();
    let path = format!("/bailiwick/v1/grants/{}", grant.as_str().unwrap());
    house.send(request(&token, "DELETE", &path, None)).await.ok();
    halted(&house, &session, "grant-ended").await;

    let session = ordered(&house, &token, json!({})).await.unwrap();
    let agent = house.get(&format!("/v1/agents/sessions/{session}")).await.ok()["agent"]["id"].clone();
    let body = json!({"bailiwick": {"status": "suspended"}});
    house.post(&format!("/v1/agents/{}", agent.as_str().unwrap()), body).await.ok();
    halted(&house, &session, "agent-suspended").await;

    let session = ordered(&house, &token, json!({})).await.unwrap();
    house.post(&format!("/bailiwick/v1/people/{ada}"), json!({"disabled": true})).await.ok();
    halted(&house, &session, "person-disabled").await;
}
