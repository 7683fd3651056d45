//! Actions that wait for a person's word, from the question to what comes of it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use axum::{body::Body, http::Request};
use bailiwick_core::{Action, Approver};
use bailiwick_ports::{Policy, PolicyRequest, Verdict};
use bailiwick_types::{Role, TenantId};
use common::{House, call, calls, request, say};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// Asks the person before a file is written, a second one before a command, and nobody else. What it says of files can
/// be changed while questions wait.
#[derive(Default)]
struct Asking(AtomicU8);

const ALLOWS: u8 = 1;
const FORBIDS: u8 = 2;

impl Policy for Asking {
    fn version(&self, _: TenantId) -> u64 {
        1 + u64::from(self.0.load(Ordering::SeqCst))
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let ask = |rule: &str, approver| match request.approved {
            true => Verdict::allow(rule),
            false => Verdict::Ask { rule: rule.into(), reason: "it leaves a mark".into(), approver },
        };
        match (request.action, self.0.load(Ordering::SeqCst)) {
            (Action::FileWrite { .. }, ALLOWS) => Verdict::allow("files-are-free"),
            (Action::FileWrite { .. }, FORBIDS) => {
                Verdict::Deny { rule: "no-files".into(), reason: "files are closed".into(), remedy: "Wait.".into() }
            }
            (Action::FileWrite { .. }, _) => ask("files-are-asked", Approver::Person),
            (Action::CommandRun(_), _) => {
                ask("commands-need-two", Approver::Second { role: Some(Role::Operator), team: None })
            }
            _ => Verdict::allow("all-else"),
        }
    }
}

async fn house() -> (Arc<House>, Arc<Asking>) {
    let policy = Arc::new(Asking::default());
    (House::under(bailiwick_api::Limits::default(), policy.clone()).await, policy)
}

fn hosted() -> Value {
    json!({"environment": {"type": "openai_hosted"}})
}

fn write(path: &str) -> common::Say {
    calls(vec![call("c1", "write_file", json!({"path": path, "content": "hello"}))])
}

/// Begins a session and waits until it waits for a person.
async fn asked(house: &House) -> (String, Value) {
    let mut events = house.begin("Write it.", hosted()).await;
    let waiting = events.find("requires_action").await.data["session"].clone();
    (waiting["id"].as_str().unwrap().to_owned(), waiting)
}

async fn operator(house: &House, method: &str, path: &str, body: Option<Value>) -> common::Answer {
    let router = house.api.router_for(bailiwick_ports::Caller::operator(house.tenant));
    let request: Request<Body> = request("", method, path, body.as_ref());
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    common::Answer::of(response).await
}

#[tokio::test]
async fn an_action_waits_for_the_persons_word_and_is_done_once_it_is_given() {
    let (house, _) = house().await;
    house.script([write("report.md"), say("Written.")]);
    let (session, waiting) = asked(&house).await;

    let required = &waiting["required_actions"][0];
    assert_eq!(required["type"], "mcp_approval_request");
    assert_eq!(required["request"]["server_label"], "environment");
    assert_eq!(required["request"]["arguments"]["path"], "/workspace/report.md");
    let approval = &waiting["bailiwick"]["approvals"][0];
    assert_eq!(
        (&approval["rule"], &approval["what"]),
        (&json!("files-are-asked"), &json!("writing /workspace/report.md"))
    );
    assert_eq!(approval["id"], required["request_id"]);

    let listed = house.get("/bailiwick/v1/approvals").await.ok();
    assert_eq!(listed["data"][0]["id"], approval["id"]);
    assert_eq!(listed["data"][0]["may_answer"], true);

    let path = format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap());
    let answered = house.post(&path, json!({"decision": "approve", "reason": "go on"})).await.ok();
    assert_eq!(answered["session_id"], session.as_str());
    let shown = house.until(&session, |shown| shown["status"] == "idle").await;
    assert_eq!(shown["required_actions"], json!([]));
    assert_eq!(house.get("/bailiwick/v1/approvals").await.ok()["data"], json!([]));
    house.get(&path).await.error(404);
    house.post(&path, json!({"decision": "approve"})).await.error(404);

    let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
    let written = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "mcp_call").unwrap();
    assert_eq!(written["status"], "completed");
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{session}/receipts?limit=100")).await.ok();
    let kinds: Vec<&str> = receipts["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|receipt| receipt["action"] == approval["id"])
        .map(|receipt| receipt["decision"].as_str().or(receipt["effect"].as_str()).unwrap())
        .collect();
    assert_eq!(kinds, ["asked", "allowed", "confirmed"], "{receipts}");
}

#[tokio::test]
async fn a_denial_is_told_to_the_model_with_its_reason_and_the_turn_goes_on() {
    let (house, _) = house().await;
    house.script([write("report.md"), say("Then not.")]);
    let (session, waiting) = asked(&house).await;
    let id = waiting["bailiwick"]["approvals"][0]["id"].as_str().unwrap();
    house
        .post(&format!("/bailiwick/v1/approvals/{id}"), json!({"decision": "deny", "reason": "not this week"}))
        .await
        .ok();
    house.until(&session, |shown| shown["status"] == "idle").await;
    let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
    let denied = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "mcp_call").unwrap();
    assert_eq!(denied["status"], "failed");
    assert!(denied["error"].to_string().contains("not this week"), "{denied}");
    assert_eq!(denied["bailiwick"]["effect"]["rule"], "files-are-asked");
}

#[tokio::test]
async fn the_apis_own_event_answers_a_call_of_a_tool() {
    let (house, _) = house().await;
    house.script([write("a"), say("Done.")]);
    let (session, waiting) = asked(&house).await;
    let answer = |id: &Value, decision: &str| {
        json!({"events": [{
            "type": "agent.session.input.mcp_approval_request_result", "request_id": id,
            "response": {"type": "mcp_tool_call", "decision": decision},
        }]})
    };
    let path = format!("/v1/agents/sessions/{session}/events");
    let unknown = house.post(&path, answer(&json!("act_00000000000000000000000000000000"), "approve")).await.error(400);
    assert_eq!(unknown["param"], "events[0].request_id");
    house.post(&path, answer(&waiting["required_actions"][0]["request_id"], "maybe")).await.error(400);
    let taken = house.post(&path, answer(&waiting["required_actions"][0]["request_id"], "approve")).await;
    assert_eq!(taken.status, 202);
    house.until(&session, |shown| shown["status"] == "idle").await;
    let prompts = house.model.seen.lock().unwrap();
    assert!(format!("{:?}", prompts.last().unwrap().input).contains("done"), "the model is told what came of it");
}

#[tokio::test]
async fn four_eyes_are_not_the_orderers_own() {
    let (house, _) = house().await;
    house.script([calls(vec![call("c1", "run_command", json!({"command": "rm -rf /workspace\u{8}"}))]), say("Done.")]);
    let (session, waiting) = asked(&house).await;
    assert_eq!(waiting["required_actions"], json!([]), "the API has no word for it");
    let approval = &waiting["bailiwick"]["approvals"][0];
    assert_eq!(approval["what"], "rm -rf /workspace\\u{8}", "nothing is hidden from who answers");
    assert_eq!(approval["approver"], json!({"type": "second", "role": "operator", "team": null}));
    let path = format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap());
    let refused = house.post(&path, json!({"decision": "approve"})).await.error(403);
    assert!(refused["message"].as_str().unwrap().contains("role `operator`"), "{refused}");
    assert_eq!(house.get(&path).await.ok()["may_answer"], false);

    operator(&house, "POST", &path, Some(json!({"decision": "approve"}))).await.ok();
    house.until(&session, |shown| shown["status"] == "idle").await;
    let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
    let ran = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "command_execution").unwrap();
    assert_eq!((&ran["status"], &ran["exit_code"]), (&json!("completed"), &json!(0)));
}

#[tokio::test]
async fn policy_is_asked_again_when_the_answer_comes() {
    for (then, effect) in [(ALLOWS, "completed"), (FORBIDS, "failed")] {
        let (house, policy) = house().await;
        house.script([write("report.md"), say("So be it.")]);
        let (session, waiting) = asked(&house).await;
        policy.0.store(then, Ordering::SeqCst);
        let id = waiting["bailiwick"]["approvals"][0]["id"].as_str().unwrap();
        house.post(&format!("/bailiwick/v1/approvals/{id}"), json!({"decision": "approve"})).await.ok();
        house.until(&session, |shown| shown["status"] == "idle").await;
        let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
        let item = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "mcp_call").unwrap();
        assert_eq!(item["status"], effect, "{item}");
    }
}

#[tokio::test]
async fn a_cancelled_turn_takes_its_questions_along() {
    let (house, _) = house().await;
    house.script([write("report.md")]);
    let (session, waiting) = asked(&house).await;
    let id = waiting["bailiwick"]["approvals"][0]["id"].as_str().unwrap().to_owned();
    let cancel = json!({"events": [{"type": "agent.session.input.cancel"}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), cancel).await.status, 202);
    house.until(&session, |shown| shown["status"] == "idle").await;
    assert_eq!(house.get("/bailiwick/v1/approvals").await.ok()["data"], json!([]));
    house.post(&format!("/bailiwick/v1/approvals/{id}"), json!({"decision": "approve"})).await.error(404);
}

#[tokio::test]
async fn another_tenant_sees_and_answers_nothing() {
    let (house, _) = house().await;
    house.script([write("report.md")]);
    let (_, waiting) = asked(&house).await;
    let id = waiting["bailiwick"]["approvals"][0]["id"].as_str().unwrap();
    let foreign = house.foreign_key().await;
    let path = format!("/bailiwick/v1/approvals/{id}");
    let send =
        async |method: &str, path: &str, body: Option<&Value>| house.send(request(&foreign, method, path, body)).await;
    send("GET", &path, None).await.error(404);
    send("POST", &path, Some(&json!({"decision": "approve"}))).await.error(404);
    assert_eq!(send("GET", "/bailiwick/v1/approvals", None).await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_session_that_asks_nobody_is_denied_what_a_person_would_be_asked() {
    let (house, _) = house().await;
    house.script([write("report.md"), say("Then not.")]);
    let (session, events) =
        house.run("Write it.", json!({"environment": {"type": "openai_hosted"}, "review": "auto_review"})).await;
    assert_eq!(session["review"], "auto_review");
    let denied =
        events.iter().find(|event| event.short() == "turn.item.done" && event.data["item"]["type"] == "mcp_call");
    let denied = &denied.unwrap().data["item"];
    assert_eq!(
        (&denied["status"], &denied["bailiwick"]["effect"]["rule"]),
        (&json!("failed"), &json!("files-are-asked"))
    );

    // A turn keeps the way it began with; the next one has the session's new one.
    let path = format!("/v1/agents/sessions/{}", session["id"].as_str().unwrap());
    let changed = house.post(&path, json!({"review": "none"})).await.ok();
    assert_eq!(changed.get("review"), None);
    house.script([write("report.md")]);
    let message = json!({"events": [{
        "type": "agent.session.input.message",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Once more."}]}],
    }]});
    assert_eq!(house.post(&format!("{path}/events"), message).await.status, 202);
    house.until(session["id"].as_str().unwrap(), |shown| shown["status"] == "requires_action").await;
}

/// Two rules ask different people: the action waits for both, says whose word is missing, and one no is enough.
#[tokio::test]
async fn rules_that_ask_different_people_ask_all_of_them() {
    let house = House::new().await;
    let rules = r#"@id("all") permit (principal, action, resource);
        @id("operations") @ask("second:role:operator") @reason("it runs")
        forbid (principal, action == Action::"command.run", resource);
        @id("books") @ask("second:role:builder") @reason("it counts")
        forbid (principal, action == Action::"command.run", resource);"#;
    house.post("/bailiwick/v1/policy", json!({"text": rules, "reason": "Two must look"})).await.ok();
    let (_, olga) = house.person("olga", &["operator"]).await;
    let (_, rita) = house.person("rita", &["builder"]).await;
    let (_, both) = house.person("bo", &["operator", "builder"]).await;
    let command = |id: &str| calls(vec![call(id, "run_command", json!({"command": "make"}))]);
    let answer = async |who: &str, path: &str, decision: &str| {
        house.send(request(who, "POST", path, Some(&json!({"decision": decision})))).await
    };
    let second = |role: &str| json!({"type": "second", "role": role, "team": null});
    let begin = async || {
        house.script([command("c1"), say("So be it.")]);
        let (session, waiting) = asked(&house).await;
        let approval = waiting["bailiwick"]["approvals"][0].clone();
        (session, format!("/bailiwick/v1/approvals/{}", approval["id"].as_str().unwrap()), approval)
    };
    let ended = async |session: &str| {
        house.until(session, |shown| shown["status"] == "idle").await;
        let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
        let ran = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "command_execution").cloned();
        ran.unwrap()["status"].as_str().unwrap().to_owned()
    };

    let (session, path, approval) = begin().await;
    assert_eq!((&approval["rule"], &approval["reason"]), (&json!("operations, books"), &json!("it runs; it counts")));
    assert_eq!(approval["approvers"], json!([second("operator"), second("builder")]));
    answer(&olga, &path, "approve").await.ok();
    let missing = house.until(&session, |shown| shown["bailiwick"]["approvals"][0]["given"].is_array()).await;
    let still = &missing["bailiwick"]["approvals"][0];
    assert_eq!((&still["approvers"], &missing["status"]), (&json!([second("builder")]), &json!("requires_action")));
    assert!(still["given"][0]["by"].as_str().unwrap().starts_with("user_"), "{still}");
    assert_eq!(still["expires_at"], approval["expires_at"]);
    let again = answer(&olga, &path, "approve").await.error(403);
    assert!(again["message"].as_str().unwrap().contains("role `builder`"), "{again}");
    answer(&rita, &path, "approve").await.ok();
    assert_eq!(ended(&session).await, "completed");
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{session}/receipts?limit=100")).await.ok();
    let done = receipts["data"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|one| one["decision"] == "allowed" && one["answered"].is_object());
    let done = done.unwrap();
    assert!(done["answered"]["by"]["approve"] == true && done["also_answered"][0]["by"]["approve"] == true, "{done}");

    let (session, path, _) = begin().await;
    answer(&olga, &path, "approve").await.ok();
    house.until(&session, |shown| shown["bailiwick"]["approvals"][0]["given"].is_array()).await;
    answer(&rita, &path, "deny").await.ok();
    assert_eq!(ended(&session).await, "failed");

    let (session, path, _) = begin().await;
    answer(&both, &path, "approve").await.ok();
    assert_eq!(ended(&session).await, "completed", "who is both speaks for both");
}
