//! `/mcp/{agent}`: an agent that is not run here uses the tools of one that is kept here, under every rule there is.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::Effect;
use bailiwick_ports::Scope;
use common::{
    House,
    systems::{Asked, tool},
};
use serde_json::{Value, json};
use std::sync::Arc;

const CRM: &str = "/bailiwick/v1/connectors/crm";

/// A house in which a saved agent has been given `find`, `send` and `lost` of the connector `crm`.
async fn house() -> (Arc<House>, String) {
    let house = House::new().await;
    house.systems.offer(&[
        tool("find", Effect::Read),
        tool("send", Effect::Write),
        tool("lost", Effect::Write),
        tool("secret", Effect::Read),
    ]);
    let settings = json!({"transport": {"type": "http", "url": "https://crm.example/mcp"}});
    house.post(CRM, json!({"kind": "mcp", "settings": settings})).await.ok();
    let given = json!({"name": "crm", "tools": ["find", "send", "lost"]});
    let body = json!({"model": "main", "name": "Front desk", "bailiwick": {"connectors": [given]}});
    let agent = house.post("/v1/agents", body).await.ok();
    (house, format!("/mcp/{}", agent["id"].as_str().unwrap()))
}

fn called(name: &str, id: u64) -> Value {
    json!({"call": name, "arguments": {"id": id}})
}

async fn sessions(house: &House) -> Vec<Value> {
    house.get("/v1/agents/sessions").await.ok()["data"].as_array().unwrap().clone()
}

async fn rules(house: &House, text: &str) {
    house.post("/bailiwick/v1/policy", json!({"text": text, "reason": "A test"})).await.ok();
}

#[tokio::test]
async fn what_policy_lets_them_call_in_no_case_is_not_offered() {
    let (house, path) = house().await;
    let mut wants = tool("lost", Effect::Write);
    wants.parameters["required"] = json!(["id"]);
    house.systems.offer(&[tool("find", Effect::Read), tool("send", Effect::Write), wants]);
    let all = r#"@id("all") permit (principal, action, resource);"#;
    let send = r#"@id("no-send") forbid (principal, action == Action::"tool.call", resource == Tool::"crm/send");"#;
    let find = r#"@id("by-effect") forbid (principal, action == Action::"tool.call", resource == Tool::"crm/find")
        when { context has effect && context.effect == "read" };"#;
    rules(&house, &format!("{all}{send}{find}")).await;
    // What depends on a call is decided with the call.
    assert_eq!(house.post(&path, json!({})).await.ok(), json!(["crm__find", "crm__lost"]));
    for name in ["crm__find", "crm__send"] {
        let refused = house.post(&path, called(name, 1)).await.ok();
        assert_eq!(refused["failed"], true, "{name}: {refused}");
    }
    assert!(house.systems.asked().is_empty());
    rules(&house, all).await;
    assert_eq!(house.post(&path, json!({})).await.ok(), json!(["crm__find", "crm__send", "crm__lost"]));
}

#[tokio::test]
async fn tools_are_listed_and_called_in_one_session_without_any_model() {
    let (house, path) = house().await;
    assert_eq!(house.post(&path, json!({})).await.ok(), json!(["crm__find", "crm__send", "crm__lost"]));
    let (one, other) =
        tokio::join!(house.post(&path, called("crm__find", 1)), house.post(&path, called("crm__find", 2)));
    for (answer, id) in [(one.ok(), 1), (other.ok(), 2)] {
        assert_eq!(answer["failed"], false);
        assert!(answer["text"].as_str().unwrap().contains(&format!("find {{\"id\":{id}}}")), "{answer}");
    }
    assert_eq!(house.systems.asked().len(), 2);
    let refused = house.post(&path, called("crm__secret", 3)).await.ok();
    assert_eq!(refused, json!({"failed": true, "text": "There is no such tool, or it is held back."}));
    assert!(house.model.requests().is_empty(), "no model was asked");

    let all = sessions(&house).await;
    assert_eq!(all.len(), 1, "one session of the day");
    let id = all[0]["id"].as_str().unwrap();
    assert_eq!(all[0]["status"], "idle");
    assert_eq!(all[0]["bailiwick"]["label"]["integrity"], "untrusted");
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts?limit=100")).await.ok();
    let of = |operation: &str| {
        let all = receipts["data"].as_array().unwrap().iter();
        all.filter(|one| one["operation"] == operation && one["decision"] == "allowed").count()
    };
    assert_eq!((of("connector.open"), of("connector.call"), of("model.call")), (1, 2, 0));
    let items = house.get(&format!("/v1/agents/sessions/{id}/items?order=asc&limit=100")).await.ok();
    let shown: Vec<&Value> = items["data"].as_array().unwrap().iter().filter(|one| one["type"] == "mcp_call").collect();
    assert_eq!(shown.len(), 3, "also the one that was refused");

    // Work with a model in that session sees nothing of the calls.
    house.script([common::say("Hello.")]);
    house.say(id, "Hello?").await;
    house.until(id, |shown| shown["status"] == "idle" && shown["bailiwick"]["turns"] != 0).await;
    while house.model.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let told = format!("{:?}", house.model.requests()[0].input);
    assert!(!told.contains("find"), "{told}");
}

#[tokio::test]
async fn rules_decide_and_people_are_asked_while_the_caller_waits() {
    let (house, path) = house().await;
    rules(
        &house,
        r#"@id("all") permit (principal, action, resource);
        @id("no-sending") @reason("not today") @remedy("Ask tomorrow.")
        forbid (principal, action == Action::"tool.call", resource in Connector::"crm") when { context has effect && context.effect == "write" };"#,
    )
    .await;
    assert_eq!(house.post(&path, called("crm__find", 1)).await.ok()["failed"], false);
    let answer = house.post(&path, called("crm__send", 1)).await.ok();
    assert_eq!(answer["failed"], true);
    for says in ["no-sending", "not today", "Ask tomorrow."] {
        assert!(answer["text"].as_str().unwrap().contains(says), "{answer}");
    }

    rules(
        &house,
        r#"@id("all") permit (principal, action, resource);
        @id("ask-me") @ask("person") @reason("it leaves a mark")
        forbid (principal, action == Action::"tool.call", resource in Connector::"crm");"#,
    )
    .await;
    let (answer, ()) = tokio::join!(house.post(&path, called("crm__send", 1)), async {
        let approval = waiting(&house).await;
        let seconds = approval["expires_at"].as_i64().unwrap() - approval["asked_at"].as_i64().unwrap();
        assert!((1..=60).contains(&seconds), "it waits no longer than the caller does: {approval}");
        let path = format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap());
        house.post(&path, json!({"decision": "approve"})).await.ok();
    });
    assert_eq!(answer.ok()["failed"], false);
    let (answer, ()) = tokio::join!(house.post(&path, called("crm__send", 2)), async {
        let approval = waiting(&house).await;
        let path = format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap());
        house.post(&path, json!({"decision": "deny", "reason": "not now"})).await.ok();
    });
    let answer = answer.ok();
    assert_eq!(answer["failed"], true);
    assert!(answer["text"].as_str().unwrap().contains("not now"), "{answer}");
    let tools: Vec<String> = house.systems.asked().into_iter().map(|Asked { tool, .. }| tool).collect();
    assert_eq!(tools, ["find", "send"]);
}

async fn waiting(house: &House) -> Value {
    loop {
        let all = house.get("/bailiwick/v1/approvals").await.ok();
        if let Some(one) = all["data"].as_array().unwrap().first() {
            return one.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_lost_answer_is_said_to_be_unknown_and_the_same_call_is_held() {
    let (house, path) = house().await;
    let answer = house.post(&path, called("crm__lost", 1)).await.ok();
    assert_eq!(answer["failed"], true);
    assert!(answer["text"].as_str().unwrap().contains("may or may not have happened"), "{answer}");
    let session = sessions(&house).await.remove(0);
    assert_eq!(session["bailiwick"]["unresolved"][0]["operation"], "connector.call");
    let again = house.post(&path, called("crm__lost", 1)).await.ok();
    assert_eq!(again["failed"], true);
    assert!(again["text"].as_str().unwrap().contains("nobody knows whether it had its effect"), "{again}");
    assert_eq!(house.systems.asked().len(), 1, "it is not made again");
    assert_eq!(sessions(&house).await.remove(0)["status"], "idle", "and nothing waits for it");
}

#[tokio::test]
async fn each_caller_has_a_session_of_their_own_and_a_deleted_one_is_followed_by_another() {
    let (house, path) = house().await;
    let (_, ada) = house.person("ada", &["member"]).await;
    house.post(&path, called("crm__find", 1)).await.ok();
    let mine = sessions(&house).await.len();
    assert_eq!(mine, 1);
    let theirs = common::request(&ada, "POST", &path, Some(&called("crm__find", 2)));
    assert_eq!(house.send(theirs).await.ok()["failed"], false);
    assert_eq!(sessions(&house).await.len(), 2);
    for session in sessions(&house).await {
        house.delete(&format!("/v1/agents/sessions/{}", session["id"].as_str().unwrap())).await.ok();
    }
    assert_eq!(house.post(&path, called("crm__find", 3)).await.ok()["failed"], false);

    let reads = house.new_key(vec![Scope::SessionsRead, Scope::AgentsRead]).await;
    house.send(common::request(&reads, "POST", &path, Some(&json!({})))).await.error(403);
    let writes = house.new_key(vec![Scope::SessionsWrite]).await;
    house.send(common::request(&writes, "POST", &path, Some(&json!({})))).await.error(403);
    house.post("/mcp/agent_01a17720ca7b70008000000000000009", json!({})).await.error(404);
    let answer = house.get(&path).await;
    assert_eq!(answer.status, 405, "there is no stream to open");
}

#[tokio::test]
async fn a_connector_that_is_down_says_so() {
    let (house, path) = house().await;
    let settings = json!({"transport": {"type": "http", "url": "https://down.example/mcp"}});
    house.post(CRM, json!({"kind": "mcp", "settings": settings})).await.ok();
    assert_eq!(house.post(&path, json!({})).await.ok(), json!([]));
    let answer = house.post(&path, called("crm__find", 1)).await.ok();
    assert_eq!(answer["failed"], true);
    assert!(answer["text"].as_str().unwrap().contains("`crm` could not be opened"), "{answer}");
}
