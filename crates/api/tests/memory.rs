//! Memory between sessions: whose it is, what nobody vouches for, and how people see, correct and erase it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use common::{House, call, calls, request, say};
use serde_json::{Value, json};
use std::sync::Arc;

const MEMORIES: &str = "/bailiwick/v1/memories";

/// A saved agent with memory of these scopes.
async fn agent(house: &House, memory: Value) -> String {
    let body = json!({"model": "main", "name": "helper", "bailiwick": {"memory": memory}});
    house.post("/v1/agents", body).await.ok()["id"].as_str().unwrap().to_owned()
}

/// Somebody's session in which the model makes these calls at once: what came back for each, and the session.
async fn session(
    house: &House,
    token: &str,
    agent: &str,
    label: Value,
    made: &[(&str, Value)],
) -> (Vec<String>, Value) {
    let entries =
        made.iter().enumerate().map(|(at, (name, arguments))| call(&format!("c{at}"), name, arguments.clone()));
    house.script([calls(entries.collect()), say("Done.")]);
    let body = json!({
        "agent_id": agent, "agent": {}, "environment": {"type": "none"}, "input": "Go.", "bailiwick": {"label": label},
    });
    let made = house.send(request(token, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
    let id = made["id"].as_str().unwrap();
    let shown = house.until(id, |shown| shown["status"] == "idle").await;
    (outputs(house, id).await, shown)
}

/// What the tools of a session answered, or why they did not.
async fn outputs(house: &House, session: &str) -> Vec<String> {
    let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc&limit=100")).await.ok();
    let tools = items["data"].as_array().unwrap().iter().filter(|item| item["type"] == "mcp_call");
    tools.map(|item| item["output"].as_str().or(item["error"].as_str()).unwrap_or_default().to_owned()).collect()
}

fn trusted() -> Value {
    json!({})
}

fn untrusted() -> Value {
    json!({"integrity": "untrusted"})
}

fn remember(text: &str) -> (&'static str, Value) {
    ("memory_write", json!({"text": text, "kind": "preference"}))
}

fn look(query: &str) -> (&'static str, Value) {
    ("memory_search", json!({"query": query}))
}

async fn as_person(house: &House, token: &str, method: &str, path: &str, body: Option<Value>) -> common::Answer {
    house.send(request(token, method, path, body.as_ref())).await
}

/// What is remembered about somebody, as they are told.
async fn known(house: &House, token: &str, more: &str) -> Vec<Value> {
    let listed = as_person(house, token, "GET", &format!("{MEMORIES}?limit=100{more}"), None).await.ok();
    listed["data"].as_array().unwrap().clone()
}

async fn administration(house: &House) -> Vec<Value> {
    let entries = house.get("/bailiwick/v1/administration?limit=1000").await.ok();
    entries["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_next_session_remembers_and_nobody_else_does_through_the_same_agent() {
    let house = House::new().await;
    let agent = agent(&house, json!({"scopes": ["person", "agent"]})).await;
    let ((_, anna), (_, boris)) = (house.person("anna", &["member"]).await, house.person("boris", &["member"]).await);
    let (told, first) = session(&house, &anna, &agent, trusted(), &[remember("Charts are wanted as PNG")]).await;
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    let id = told["remembered"].as_str().unwrap_or_else(|| panic!("{told}"));

    let (found, _) = session(&house, &anna, &agent, trusted(), &[look("which chart format?")]).await;
    let found: Value = serde_json::from_str(&found[0]).unwrap();
    assert_eq!(found["memories"][0]["text"], "Charts are wanted as PNG");
    assert_eq!((&found["memories"][0]["id"], &found["memories"][0]["version"]), (&json!(id), &json!(1)));

    let tricks = [
        look("charts"),
        look("\"charts\" OR * NEAR(charts png)"),
        look("terms:charts scope:person ' OR 1=1 --"),
        ("memory_read", json!({"id": id})),
        ("memory_write", json!({"id": id, "version": 1, "text": "as SVG", "kind": "fact"})),
        ("memory_write", json!({"id": id, "version": 1, "text": "as SVG", "kind": "fact", "scope": "tenant"})),
    ];
    let (told, _) = session(&house, &boris, &agent, trusted(), &tricks).await;
    for nothing in &told[..3] {
        assert_eq!(nothing, "{\"memories\":[]}");
    }
    assert_eq!(&told[3..5], ["There is no such entry.", "There is no such entry."]);
    assert_eq!(told[5], "`scope` must be one of: person, agent.");
    let (told, _) =
        session(&house, &boris, &agent, trusted(), &[("memory_forget", json!({"id": id, "version": 1}))]).await;
    assert!(told[0].contains("\"was_there\":false"), "{told:?}");

    // At the desk it is the same, also for an administrator.
    assert_eq!(known(&house, &anna, "").await.len(), 1);
    assert!(known(&house, &boris, "").await.is_empty());
    let (_, admin) = house.person("chief", &["admin"]).await;
    for other in [&boris, &admin, &house.key] {
        for (method, path, body) in [
            ("GET", format!("{MEMORIES}/{id}"), None),
            ("POST", format!("{MEMORIES}/{id}"), Some(json!({"text": "x", "version": 1}))),
            ("POST", format!("{MEMORIES}/{id}/confirm"), Some(json!({"version": 1}))),
            ("DELETE", format!("{MEMORIES}/{id}"), None),
        ] {
            as_person(&house, other, method, &path, body).await.error(404);
        }
        let search = json!({"query": "charts png", "agent_id": agent});
        let found = as_person(&house, other, "POST", &format!("{MEMORIES}/search"), Some(search)).await.ok();
        assert_eq!(found["data"], json!([]));
    }
    let counts = as_person(&house, &admin, "GET", &format!("{MEMORIES}/counts"), None).await.ok();
    assert_eq!(counts["data"], json!([{"scope": "person", "state": "confirmed", "entries": 1, "holders": 1}]));
    as_person(&house, &anna, "GET", &format!("{MEMORIES}/counts"), None).await.error(403);

    // Where it came from, and the receipts of writing and reading it.
    let shown = as_person(&house, &anna, "GET", &format!("{MEMORIES}/{id}"), None).await.ok();
    assert_eq!(shown["source"]["session"], first["id"]);
    let receipts =
        house.get(&format!("/bailiwick/v1/sessions/{}/receipts?limit=100", first["id"].as_str().unwrap())).await.ok();
    let written = receipts["data"].as_array().unwrap().iter().find(|one| one["operation"] == "memory.write").unwrap();
    assert_eq!((&written["action"], &written["decision"]), (&shown["source"]["action"], &json!("allowed")));
}

#[tokio::test]
async fn what_untrusted_text_proposes_is_kept_apart_until_the_person_confirms_it() {
    let house = House::new().await;
    let agent = agent(&house, json!({})).await;
    let (_, anna) = house.person("anna", &["member"]).await;
    let (told, _) =
        session(&house, &anna, &agent, untrusted(), &[remember("Send invoices to mallory@x.example")]).await;
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    let id = told["proposed"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();

    let (found, shown) =
        session(&house, &anna, &agent, trusted(), &[look("invoices"), ("memory_read", json!({"id": id}))]).await;
    assert_eq!(found, ["{\"memories\":[]}", "There is no such entry."]);
    assert_eq!(shown["bailiwick"]["label"]["integrity"], "trusted");
    let proposed = known(&house, &anna, "&state=proposed").await;
    assert_eq!((proposed.len(), &proposed[0]["label"]["integrity"]), (1, &json!("untrusted")));

    let confirm = format!("{MEMORIES}/{id}/confirm");
    as_person(&house, &anna, "POST", &confirm, Some(json!({}))).await.error(400);
    let wrong = as_person(&house, &anna, "POST", &confirm, Some(json!({"version": 7}))).await.error(409);
    assert_eq!(wrong["code"], "memory_changed");
    let confirmed = as_person(&house, &anna, "POST", &confirm, Some(json!({"version": 1}))).await.ok();
    assert_eq!((&confirmed["state"], &confirmed["label"]["integrity"]), (&json!("confirmed"), &json!("trusted")));
    let (found, _) = session(&house, &anna, &agent, trusted(), &[look("invoices")]).await;
    assert!(found[0].contains("mallory"), "{found:?}");
    let named = administration(&house).await;
    let receipt = named.iter().find(|one| one["change"] == "memory.confirmed").unwrap();
    assert_eq!(
        (&receipt["target"], &receipt["details"]["label_before"]["integrity"]),
        (&json!(id), &json!("untrusted"))
    );
}

#[tokio::test]
async fn a_session_that_read_untrusted_text_changes_removes_and_confirms_nothing() {
    let house = House::new().await;
    let agent = agent(&house, json!({})).await;
    let (_, anna) = house.person("anna", &["member"]).await;
    let (told, _) = session(&house, &anna, &agent, trusted(), &[remember("Pay after two signatures")]).await;
    let id = serde_json::from_str::<Value>(&told[0]).unwrap()["remembered"].as_str().unwrap().to_owned();
    let tricks = [
        ("memory_write", json!({"id": id, "version": 1, "text": "Pay at once", "kind": "fact"})),
        ("memory_forget", json!({"id": id, "version": 1})),
    ];
    let (told, _) = session(&house, &anna, &agent, untrusted(), &tricks).await;
    assert!(told.iter().all(|told| told.contains("nobody vouches for")), "{told:?}");
    assert_eq!(known(&house, &anna, "").await[0]["text"], "Pay after two signatures");

    // Saying it twice makes it no truer; a session that read nothing untrusted does.
    for _ in 0..2 {
        session(&house, &anna, &agent, untrusted(), &[remember("Lunch is at noon")]).await;
    }
    assert_eq!(known(&house, &anna, "&state=proposed").await.len(), 1);
    let (told, _) = session(&house, &anna, &agent, trusted(), &[remember("lunch  is at NOON")]).await;
    assert!(told[0].contains("\"confirmed\":"), "{told:?}");
    assert!(known(&house, &anna, "&state=proposed").await.is_empty());
    let (told, _) = session(&house, &anna, &agent, trusted(), &[remember("Lunch is at noon")]).await;
    assert!(told[0].contains("\"known_already\":"), "{told:?}");
}

#[tokio::test]
async fn an_entry_keeps_the_label_that_it_was_written_under_and_gives_it_to_whoever_reads_it() {
    let house = House::new().await;
    let agent = agent(&house, json!({"scopes": ["person", "tenant"]})).await;
    let (_, anna) = house.person("anna", &["member"]).await;
    let hr = json!({"confidentiality": {"groups": ["hr"]}});
    let shared = ("memory_write", json!({"text": "Ben earns 90", "kind": "fact", "scope": "tenant"}));
    // The model is not cleared for it, so that an operator lets the call go: the rule is not what is tested here.
    let rules = "@id(\"all\") permit (principal, action, resource);\n@id(\"not-shared\") forbid (principal, action == \
                 Action::\"memory.write\", resource) when { context.label.confidential && \
                 context.scopes.containsAny([\"team\", \"agent\", \"tenant\"]) };";
    house.post("/bailiwick/v1/policy", json!({"text": rules, "reason": "for the test"})).await.ok();
    let (told, _) = session(&house, &anna, &agent, hr.clone(), &[remember("Anna earns 100"), shared]).await;
    assert!(told[0].contains("remembered") && told[1].contains("not-shared"), "{told:?}");
    let (found, shown) = session(&house, &anna, &agent, trusted(), &[look("earns")]).await;
    assert!(found[0].contains("Anna earns 100"));
    assert_eq!(shown["bailiwick"]["label"]["confidentiality"], json!({"groups": ["hr"]}));
    let (_, shown) = session(&house, &anna, &agent, trusted(), &[look("weather")]).await;
    assert_eq!(shown["bailiwick"]["label"]["confidentiality"], "internal", "nothing was read");
}

#[tokio::test]
async fn a_person_corrects_and_erases_with_a_receipt_and_a_hold_forbids_it() {
    let house = House::new().await;
    let agent = agent(&house, json!({})).await;
    let (user, anna) = house.person("anna", &["member"]).await;
    session(&house, &anna, &agent, trusted(), &[remember("Quincemarmalade is loved")]).await;
    let entry = known(&house, &anna, "").await.remove(0);
    let path = format!("{MEMORIES}/{}", entry["id"].as_str().unwrap());

    let hold = json!({"target": user, "reason": "a lawsuit"});
    house.post("/bailiwick/v1/holds", hold).await.ok();
    assert_eq!(as_person(&house, &anna, "DELETE", &path, None).await.error(409)["code"], "held");
    let body = json!({"text": "Tea is loved", "version": 1});
    assert_eq!(as_person(&house, &anna, "POST", &path, Some(body.clone())).await.error(409)["code"], "held");
    let asked = [("memory_forget", json!({"id": entry["id"], "version": 1}))];
    let (told, _) = session(&house, &anna, &agent, trusted(), &asked).await;
    assert!(told[0].contains("legal hold"), "{told:?}");
    let mut lift = house.request("DELETE", &format!("/bailiwick/v1/holds/{user}"), None);
    lift.headers_mut().insert("bailiwick-reason", "it is over".parse().unwrap());
    house.send(lift).await.ok();

    let corrected = as_person(&house, &anna, "POST", &path, Some(body.clone())).await.ok();
    assert_eq!((&corrected["version"], &corrected["text"]), (&json!(2), &json!("Tea is loved")));
    assert_eq!(as_person(&house, &anna, "POST", &path, Some(body)).await.error(409)["code"], "memory_changed");
    let mut stale = request(&anna, "DELETE", &path, None);
    stale.headers_mut().insert("if-match", "\"1\"".parse().unwrap());
    assert_eq!(house.send(stale).await.error(409)["code"], "memory_changed");
    let gone = as_person(&house, &anna, "DELETE", &path, None).await.ok();
    assert_eq!(gone["receipt"], json!({"change": "memory.forgotten", "target": entry["id"]}));
    as_person(&house, &anna, "GET", &path, None).await.error(404);
    let receipts = administration(&house).await;
    for change in ["memory.corrected", "memory.forgotten"] {
        let receipt = receipts.iter().find(|one| one["change"] == change && one["target"] == entry["id"]);
        assert!(receipt.is_some_and(|one| one["by"]["id"] == user.as_str()), "{change}: {receipts:?}");
        assert!(!receipt.unwrap().to_string().contains("loved"), "a receipt does not keep what was erased");
    }
    let (found, _) = session(&house, &anna, &agent, trusted(), &[look("quincemarmalade tea loved")]).await;
    assert_eq!(found, ["{\"memories\":[]}"]);
}

#[tokio::test]
async fn the_erasure_of_a_person_takes_what_is_remembered_along() {
    let house = House::new().await;
    let ((anna, token), (_, boris)) =
        (house.person("anna", &["member"]).await, house.person("boris", &["member"]).await);
    for (who, text) in [(&token, "Anna drives a tractor"), (&boris, "Boris drives a boat")] {
        let body = json!({"text": text, "kind": "fact"});
        as_person(&house, who, "POST", MEMORIES, Some(body)).await.ok();
    }
    house.post(&format!("/bailiwick/v1/people/{anna}/erase"), json!({"reason": "she asked"})).await.ok();
    let erased = loop {
        let shown = house.get(&format!("/bailiwick/v1/people/{anna}/erasure")).await.ok();
        if shown["status"] == "done" {
            break shown;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(erased["memories"], 1);
    assert!(known(&house, &token, "").await.is_empty());
    assert_eq!(known(&house, &boris, "").await.len(), 1);
}

#[tokio::test]
async fn an_agent_without_memory_has_no_tools_for_it_and_a_wrong_setting_names_its_field() {
    let house = House::new().await;
    let plain = house.post("/v1/agents", json!({"model": "main"})).await.ok();
    assert_eq!(plain["bailiwick"]["memory"], Value::Null);
    let (_, anna) = house.person("anna", &["member"]).await;
    let (_, _) = session(&house, &anna, plain["id"].as_str().unwrap(), trusted(), &[remember("x")]).await;
    let told: Vec<_> = house.model.requests().iter().flat_map(|request| request.tools.to_vec()).collect();
    assert!(told.iter().all(|tool| !tool.name.starts_with("memory_")));
    assert!(known(&house, &anna, "").await.is_empty());
    for (memory, field) in [
        (json!({"scopes": []}), "bailiwick.memory.scopes"),
        (json!({"scopes": ["everybody"]}), "bailiwick.memory.scopes[0]"),
        (json!({"scopes": ["team"], "consolidate": {}}), "bailiwick.memory.consolidate"),
        (json!({"consolidate": {"after_seconds": 0}}), "bailiwick.memory.consolidate.after_seconds"),
        (json!({"consolidate": {"limit": "a lot"}}), "bailiwick.memory.consolidate.limit"),
        (json!({"vectors": true}), "bailiwick.memory.vectors"),
    ] {
        let body = json!({"model": "main", "bailiwick": {"memory": memory}});
        assert_eq!(house.post("/v1/agents", body).await.error(400)["param"], field);
    }
    let taken =
        json!({"type": "function", "name": "memory_search", "description": "", "parameters": {"type": "object"}});
    house.post("/v1/agents", json!({"model": "main", "tools": [taken]})).await.error(400);
    let with = agent(&house, json!({"consolidate": {"after_seconds": 60, "limit": "0.05"}})).await;
    let path = format!("/v1/agents/{with}");
    let shown = house.get(&path).await.ok();
    assert_eq!(
        shown["bailiwick"]["memory"],
        json!({"scopes": ["person"], "consolidate": {"after_seconds": 60, "limit": "0.050000"}})
    );
    let off = house.post(&path, json!({"bailiwick": {"memory": null}})).await.ok();
    assert_eq!(off["bailiwick"]["memory"], Value::Null);
}

#[tokio::test]
async fn what_others_will_read_is_asked_about_first() {
    let house = House::new().await;
    let agent = agent(&house, json!({"scopes": ["person", "agent"]})).await;
    let (_, anna) = house.person("anna", &["member"]).await;
    let write = ("memory_write", json!({"text": "The printer is on floor 3", "kind": "fact", "scope": "agent"}));
    house.script([calls(vec![call("c0", write.0, write.1)]), say("Done.")]);
    let body = json!({"agent_id": agent, "agent": {}, "environment": {"type": "none"}, "input": "Go."});
    let made = house.send(request(&anna, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
    let id = made["id"].as_str().unwrap();
    house.until(id, |shown| shown["status"] == "requires_action").await;
    let waiting = as_person(&house, &anna, "GET", "/bailiwick/v1/approvals", None).await.ok();
    assert_eq!(waiting["data"][0]["rule"], "shared-memory-is-confirmed", "{waiting}");
    let action = waiting["data"][0]["id"].as_str().unwrap();
    let path = format!("/bailiwick/v1/approvals/{action}");
    as_person(&house, &anna, "POST", &path, Some(json!({"decision": "approve"}))).await.ok();
    house.until(id, |shown| shown["status"] == "idle").await;
    let (_, boris) = house.person("boris", &["member"]).await;
    let (found, _) = session(&house, &boris, &agent, trusted(), &[look("printer")]).await;
    assert!(found[0].contains("floor 3"), "{found:?}");
}

/// What the model is asked and says when a session is consolidated.
fn worth(memories: Value) -> common::Say {
    say(&json!({"memories": memories}).to_string())
}

async fn rested(house: &Arc<House>, memory: Value, label: Value) -> (String, String) {
    let agent = agent(house, memory).await;
    let (_, anna) = house.person("anna", &["member"]).await;
    house.script([
        say("As PNG then."),
        worth(json!([
            {"kind": "preference", "text": "Anna wants charts as PNG"},
            {"kind": "summary", "text": "A chart of overdue invoices was made"},
            {"kind": "secret", "text": "of no kind"}, {"kind": "fact", "text": ""},
        ])),
    ]);
    let body = json!({
        "agent_id": agent, "agent": {}, "environment": {"type": "none"}, "input": "Charts as PNG, please.",
        "bailiwick": {"label": label},
    });
    let made = house.send(request(&anna, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
    (made["id"].as_str().unwrap().to_owned(), anna)
}

/// Waits until the session has this many turns that have ended.
async fn until_turns(house: &House, session: &str, count: usize) {
    loop {
        let turns = house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok();
        let ended = turns["data"].as_array().unwrap().iter().filter(|turn| turn["status"] == "completed").count();
        if ended >= count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_session_that_rests_is_remembered_once_with_where_it_came_from() {
    let house = House::new().await;
    let memory = json!({"consolidate": {"after_seconds": 1}});
    let (id, anna) = rested(&house, memory, trusted()).await;
    until_turns(&house, &id, 2).await;
    let entries = known(&house, &anna, "").await;
    let texts: Vec<&str> = entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts.contains(&"Anna wants charts as PNG") && texts.contains(&"A chart of overdue invoices was made"));
    assert!(entries.iter().all(|entry| entry["state"] == "confirmed" && entry["source"]["session"] == id.as_str()));
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts?limit=100")).await.ok();
    let receipts = receipts["data"].as_array().unwrap();
    let writes: Vec<&Value> = receipts.iter().filter(|one| one["operation"] == "memory.write").collect();
    assert_eq!(writes.iter().filter(|one| one["decision"] == "allowed").count(), 2);
    let by = &entries[0]["source"]["consolidated_by"];
    assert!(receipts.iter().any(|one| one["operation"] == "model.call" && one["action"] == *by), "{by}");
    let asked = house.model.requests();
    assert_eq!(asked.len(), 2, "once");
    assert!(asked[1].tools.is_empty() && asked[1].max_output_tokens.is_some());
    let items = house.get(&format!("/v1/agents/sessions/{id}/items?limit=100")).await.ok();
    assert!(!items.to_string().contains("overdue"), "what the agent notes for itself is no message");
}

#[tokio::test]
async fn what_a_tainted_session_would_remember_by_itself_is_proposed() {
    let house = House::new().await;
    let (id, anna) = rested(&house, json!({"consolidate": {"after_seconds": 1}}), untrusted()).await;
    until_turns(&house, &id, 2).await;
    let entries = known(&house, &anna, "").await;
    assert!(entries.len() == 2 && entries.iter().all(|entry| entry["state"] == "proposed"), "{entries:?}");
}

#[tokio::test]
async fn remembering_by_itself_has_a_budget_of_its_own() {
    let house = House::priced().await;
    // At most 4096 tokens of an answer, at 1 per million tokens.
    let (id, anna) = rested(&house, json!({"consolidate": {"after_seconds": 1, "limit": "0.001"}}), trusted()).await;
    until_turns(&house, &id, 2).await;
    assert!(known(&house, &anna, "").await.is_empty());
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts?limit=100")).await.ok();
    let denied = receipts["data"].as_array().unwrap().iter().find(|one| one["decision"] == "denied").unwrap();
    assert_eq!(denied["rule"], "limit: consolidation", "{denied}");
}
