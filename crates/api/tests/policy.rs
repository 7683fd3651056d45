//! Policies over the API: applied, explained, simulated, and in force for the next action.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bailiwick_policy::STARTER;
use bailiwick_ports::Scope;
use common::{House, call, calls, request, say};
use serde_json::{Value, json};
use std::sync::Arc;

const BASE: &str = "/bailiwick/v1/policy";

fn no_commands() -> String {
    format!(
        "{STARTER}\n@id(\"no-shell\") @reason(\"Commands are off this week\") @remedy(\"Ask Olga\")
forbid (principal, action == Action::\"command.run\", resource);"
    )
}

async fn apply(house: &Arc<House>, text: &str, reason: &str) -> Value {
    house.post(BASE, json!({"text": text, "reason": reason})).await.ok()
}

#[tokio::test]
async fn a_policy_has_versions_with_author_and_reason_and_the_starter_set_is_the_first() {
    let house = House::new().await;
    let starter = house.get(BASE).await.ok();
    assert_eq!((&starter["version"], &starter["text"]), (&json!(0), &json!(STARTER)));
    assert!(
        starter["rules"].as_array().unwrap().iter().any(|rule| rule["id"] == "rule-of-two" && rule["effect"] == "ask")
    );
    let first = apply(&house, &no_commands(), "An audit is on").await;
    assert_eq!((&first["version"], &first["reason"]), (&json!(1), &json!("An audit is on")));
    assert_eq!(first["author"]["type"], "service");
    let stale = json!({"text": STARTER, "reason": "Back", "expected_version": 0});
    house.post(BASE, stale).await.error(409);
    let next = json!({"text": STARTER, "reason": "Back", "expected_version": 1});
    assert_eq!(house.post(BASE, next).await.ok()["version"], 2);
    let listed = house.get(&format!("{BASE}/versions")).await.ok();
    let versions: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [2, 1, 0]);
    assert!(listed["data"][0].get("text").is_none());
    let page = house.get(&format!("{BASE}/versions?limit=1&after=2")).await.ok();
    assert_eq!((&page["data"][0]["version"], &page["has_more"]), (&json!(1), &json!(true)));
    let page = house.get(&format!("{BASE}/versions?limit=1&order=asc")).await.ok();
    assert_eq!(page["data"][0]["version"], 0);
    assert_eq!(house.get(&format!("{BASE}/versions/1")).await.ok()["text"], no_commands());
    house.get(&format!("{BASE}/versions/3")).await.error(404);
    house.get(&format!("{BASE}/versions/x")).await.error(404);
}

#[tokio::test]
async fn a_bad_policy_is_refused_with_its_line_and_changes_nothing() {
    let house = House::new().await;
    let text = "@id(\"a\")\npermit (principal, action, resource)\nwhen { principal.salary > 3 };";
    let refused = house.post(BASE, json!({"text": text, "reason": "x"})).await.error(400);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("line 3: rule `a`") && message.contains("salary"), "{message}");
    assert_eq!(house.get(BASE).await.ok()["version"], 0);
    let validated = house.post(&format!("{BASE}/validate"), json!({"text": text})).await.ok();
    assert_eq!((&validated["valid"], &validated["problems"][0]["line"]), (&json!(false), &json!(3)));
    let validated = house.post(&format!("{BASE}/validate"), json!({"text": STARTER})).await.ok();
    assert_eq!(validated["valid"], true);
    house.post(BASE, json!({"text": STARTER, "reason": " "})).await.error(400);
    house.post(BASE, json!({"text": STARTER})).await.error(400);
}

#[tokio::test]
async fn a_new_policy_holds_for_the_next_action_of_a_running_session() {
    let house = House::new().await;
    let more = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}});
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let (session, _) = house.run("List", more).await;
    let base = format!("/bailiwick/v1/sessions/{}/receipts", session["id"].as_str().unwrap());
    let decided = |receipts: &Value| -> Vec<(String, String, u64)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let receipts = receipts["data"].as_array().unwrap().iter();
        receipts
            .filter(|receipt| receipt["operation"] == "command.run")
            .map(|receipt| {
                (text(&receipt["decision"]), text(&receipt["rule"]), receipt["policy_version"].as_u64().unwrap())
            })
            .collect()
    };
    let allowed = ("allowed".to_owned(), "own-environment".to_owned(), 0);
    assert_eq!(decided(&house.get(&base).await.ok()), std::slice::from_ref(&allowed));
    apply(&house, &no_commands(), "Stop").await;
    house.script([calls(vec![call("c2", "run_command", json!({"command": "ls"}))]), say("I may not.")]);
    let id = session["id"].as_str().unwrap();
    let message = json!({"type": "agent.session.input.message", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Again"}]}]});
    house.post(&format!("/v1/agents/sessions/{id}/events"), json!({"events": [message]})).await;
    house.until(id, |shown| shown["status"] == "idle").await;
    let denied = ("denied".to_owned(), "no-shell".to_owned(), 1);
    assert_eq!(decided(&house.get(&base).await.ok()), [allowed, denied]);
    // The model is told the rule and the way to ask.
    let seen = format!("{:?}", house.model.seen.lock().unwrap().last().unwrap());
    assert!(seen.contains("no-shell") && seen.contains("Ask Olga"), "{seen}");

    // Simulating the starter set says that the denied one would be allowed, and nothing else changes.
    let simulated = house.post(&format!("{BASE}/simulate"), json!({"text": STARTER})).await.ok();
    assert_eq!(
        (&simulated["version"], &simulated["changed"], &simulated["complete"]),
        (&json!(1), &json!(2), &json!(true))
    );
    for change in simulated["changes"].as_array().unwrap() {
        assert_eq!((&change["operation"], &change["about"]), (&json!("command.run"), &json!("ls")));
        assert_eq!((&change["now"]["decision"], &change["then"]["decision"]), (&json!("deny"), &json!("allow")));
    }
    assert!(simulated["actions"].as_u64().unwrap() >= 5);
    house.post(&format!("{BASE}/simulate"), json!({"text": STARTER, "sessions": 0})).await.error(400);
}

/// The turn was begun, and its first command run, under the policy before.
#[tokio::test]
async fn a_policy_that_changes_in_mid_turn_holds_for_what_the_turn_does_next() {
    let house = House::new().await;
    let more = json!({"environment": {"type": "openai_hosted"}, "agent": {"model": "main", "tools": [{
        "type": "function", "name": "ask", "description": "Asks.", "parameters": {"type": "object", "properties": {}},
    }]}});
    let list = |call_id| call(call_id, "run_command", json!({"command": "ls"}));
    house.script([
        calls(vec![list("c1")]),
        calls(vec![call("c2", "ask", json!({}))]),
        calls(vec![list("c3")]),
        say("I may not."),
    ]);
    let mut events = house.begin("List", more).await;
    let session = events.next().await.unwrap().data["session"]["id"].as_str().unwrap().to_owned();
    let waiting = events.find("requires_action").await.data["session"]["required_actions"][0].clone();
    apply(&house, &no_commands(), "Stop").await;
    let result = json!({"events": [{"type": "agent.session.input.tool_result", "turn_id": waiting["turn_id"],
        "call_id": "c2", "success": true, "output": "Go on"}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), result).await.status, 202);
    house.until(&session, |shown| shown["status"] == "idle").await;
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{session}/receipts")).await.ok();
    let commands = receipts["data"].as_array().unwrap().iter().filter(|one| one["operation"] == "command.run");
    let decided: Vec<_> = commands.map(|one| (&one["decision"], &one["rule"], &one["policy_version"])).collect();
    assert_eq!(
        decided,
        [(&json!("allowed"), &json!("own-environment"), &json!(0)), (&json!("denied"), &json!("no-shell"), &json!(1))]
    );
}

#[tokio::test]
async fn explaining_says_which_rules_decide() {
    let house = House::new().await;
    let explain = async |body: Value| house.post(&format!("{BASE}/explain"), body).await.ok();
    let read = json!({"call": {"tool": "read_file", "arguments": {"path": "/pub/../Secret/x"}}});
    let explained = explain(read.clone()).await;
    assert_eq!(
        (&explained["verdict"]["decision"], &explained["verdict"]["rule"]),
        (&json!("allow"), &json!("own-files"))
    );
    assert_eq!(explained["action"]["path"], "/Secret/x", "as policy sees it");
    let draft = format!(
        "{STARTER}\n@id(\"secret\") forbid (principal, action == Action::\"file.read\", resource in Folder::\"/secret\");"
    );
    let mut drafted = read;
    drafted["text"] = json!(draft);
    let explained = explain(drafted).await;
    assert_eq!((&explained["verdict"]["decision"], &explained["verdict"]["rule"]), (&json!("deny"), &json!("secret")));
    assert_eq!(explained["sides"][0]["forbids"], json!(["secret"]));
    assert!(explained.get("version").is_none());
    let mail =
        json!({"call": {"tool": "mail", "arguments": {"to": "x"}}, "label": {"untrusted": true, "groups": ["hr"]}});
    let explained = explain(mail.clone()).await;
    assert_eq!(
        (&explained["verdict"]["decision"], &explained["verdict"]["approver"]["type"]),
        (&json!("ask"), &json!("person"))
    );
    let mut approved = mail;
    approved["approved"] = json!(true);
    assert_eq!(explain(approved).await["verdict"]["decision"], "allow");
    let recorded = json!({"action": {"operation": "tool.call", "arguments": {"name": "f", "arguments": {}}}});
    assert_eq!(explain(recorded).await["verdict"]["rule"], "own-functions");
    assert_eq!(explain(json!({"model": "main"})).await["verdict"]["rule"], "own-model");
    for wrong in [
        json!({}),
        json!({"model": "main", "call": {"tool": "x"}}),
        json!({"model": "main", "person_id": "user_1"}),
        json!({"call": {"tool": "read_file", "arguments": {}}}),
        json!({"action": {"operation": "x", "arguments": {}}}),
        json!({"model": "main", "label": {"public": true, "groups": ["a"]}}),
    ] {
        house.post(&format!("{BASE}/explain"), wrong).await.error(400);
    }
}

#[tokio::test]
async fn one_organisations_policy_is_not_anothers() {
    let house = House::new().await;
    let foreign = house.foreign_key().await;
    apply(&house, &no_commands(), "Ours").await;
    let theirs = house.send(request(&foreign, "GET", BASE, None)).await.ok();
    assert_eq!(theirs["version"], 0);
    house.send(request(&foreign, "GET", &format!("{BASE}/versions/1"), None)).await.error(404);
    let reader = house.new_key(vec![Scope::PolicyRead]).await;
    house.send(request(&reader, "GET", BASE, None)).await.ok();
    let body = json!({"text": STARTER, "reason": "x"});
    house.send(request(&reader, "POST", BASE, Some(&body))).await.error(403);
}
