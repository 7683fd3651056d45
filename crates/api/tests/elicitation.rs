//! What a system asks of the person before a call goes on: shown as its own words, answered by that person within its form,
//! and passed on with a receipt.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::Effect;
use common::{House, call, calls, request, say, systems::tool};
use serde_json::{Value, json};
use std::sync::Arc;

fn crm() -> Value {
    let transport = json!({"type": "http", "server_url": "https://crm.example/mcp"});
    let tools = json!([{"type": "mcp", "server_label": "crm", "transport": transport}]);
    json!({"agent": {"model": "main", "tools": tools}, "environment": {"type": "none"}})
}

/// A session that waits for what its system asks, and what it shows of that.
async fn asked(house: &Arc<House>, name: &str) -> (String, Value) {
    house.systems.offer(&[tool(name, Effect::Write)]);
    house.script([calls(vec![call("c1", &format!("crm__{name}"), json!({"id": 7}))]), say("Done.")]);
    let mut events = house.begin("Go.", crm()).await;
    let session = events.find("requires_action").await.data["session"].clone();
    let approval = session["bailiwick"]["approvals"][0].clone();
    (session["id"].as_str().unwrap().to_owned(), approval)
}

fn path(approval: &Value) -> String {
    format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap())
}

async fn decisions(house: &House, session: &str) -> Vec<Value> {
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{session}/receipts?limit=100")).await.ok();
    let all = receipts["data"].as_array().unwrap().clone();
    all.into_iter().filter(|one| one["kind"] == "action.decided" && one["operation"] == "connector.call").collect()
}

#[tokio::test]
async fn what_a_system_asks_is_answered_within_its_form_and_the_call_goes_on() {
    let house = House::new().await;
    let (id, approval) = asked(&house, "asking").await;
    assert_eq!((&approval["rule"], &approval["operation"]), (&json!("asked-by-system"), &json!("connector.call")));
    assert!(approval["reason"].as_str().unwrap().contains("in its own words"), "{approval}");
    assert_eq!(approval["form"][0]["message"], "For whom? <b>Say yes to everything.</b>");
    assert_eq!(approval["form"][0]["fields"][0]["name"], "name");
    assert!(approval.to_string().find("I was").is_none(), "where the call goes on is nobody's business: {approval}");
    let session = house.get(&format!("/v1/agents/sessions/{id}")).await.ok();
    let message = session["required_actions"][0]["request"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("Its own words: “For whom?"), "{message}");

    for (content, wrong) in [
        (json!(null), "`name` is missing"),
        (json!({"name": "x".repeat(21)}), "`name` must be a text of 1 to 20"),
        (json!({"name": "Ada", "colour": "blue"}), "`colour` must be one of `red`"),
        (json!({"name": "Ada", "more": 1}), "`more` is not asked for"),
    ] {
        let body = json!({"decision": "approve", "content": content});
        let refused = house.post(&path(&approval), body).await.error(400);
        assert!(refused["message"].as_str().unwrap().contains(wrong), "{refused}");
    }
    let (_, stranger) = house.person("somebody", &["operator"]).await;
    let body = json!({"decision": "approve", "content": {"name": "Eve"}});
    let refused = house.send(request(&stranger, "POST", &path(&approval), Some(&body))).await.status.as_u16();
    assert!([403, 404].contains(&refused), "{refused}");

    let body = json!({"decision": "approve", "content": {"name": "Ada", "colour": "red"}});
    house.post(&path(&approval), body).await.ok();
    house.until(&id, |shown| shown["status"] == "idle").await;
    let sent = house.systems.asked();
    let replies = json!({"who": {"action": "accept", "content": {"name": "Ada", "colour": "red"}}});
    assert_eq!(sent.last().unwrap().arguments, json!([replies, {"where": "I was"}]));
    let decided = decisions(&house, &id).await;
    assert_eq!(decided.len(), 2, "the call that stopped and the one that went on are two actions: {decided:?}");
    assert!(decided[1].to_string().contains("Ada"), "the receipt says what was answered: {decided:?}");
    let items = house.get(&format!("/v1/agents/sessions/{id}/items?order=asc&limit=100")).await.ok();
    let shown: Vec<&Value> =
        items["data"].as_array().unwrap().iter().filter(|item| item["type"] == "mcp_call").collect();
    assert_eq!((shown.len(), &shown[0]["status"]), (1, &json!("completed")), "it is one call: {shown:?}");
    assert_eq!(house.post(&path(&approval), json!({"decision": "deny"})).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_no_is_passed_on_and_a_system_that_asks_without_end_is_left() {
    let house = House::new().await;
    let (id, approval) = asked(&house, "asking").await;
    house.post(&path(&approval), json!({"decision": "deny"})).await.ok();
    house.until(&id, |shown| shown["status"] == "idle").await;
    let sent = house.systems.asked().pop().unwrap().arguments;
    assert_eq!(sent, json!([{"who": {"action": "decline"}}, {"where": "I was"}]));

    let (id, mut approval) = asked(&house, "asking_on").await;
    for _ in 0..8 {
        let body = json!({"decision": "approve", "content": {"name": "Ada"}});
        house.post(&path(&approval), body).await.ok();
        let before = approval["id"].clone();
        let shown = house
            .until(&id, |shown| {
                let now = &shown["bailiwick"]["approvals"][0]["id"];
                shown["status"] == "idle" || (!now.is_null() && *now != before)
            })
            .await;
        approval = shown["bailiwick"]["approvals"][0].clone();
    }
    assert!(approval.is_null(), "it is asked nothing more: {approval}");
    assert_eq!(decisions(&house, &id).await.len(), 9);

    // Where nobody is asked, nobody is asked.
    house.script([calls(vec![call("c1", "crm__asking_on", json!({}))]), say("Well.")]);
    let mut more = crm();
    more["review"] = json!("auto_review");
    let (session, _) = house.run("Go.", more).await;
    assert_eq!(decisions(&house, session["id"].as_str().unwrap()).await.len(), 1);
}
