//! Files given to an environment that runs: accepted once they are in their place, with a receipt like every action.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of what is answered")]

mod common;

use bailiwick_core::{Action, Approver};
use bailiwick_ports::{Policy, PolicyRequest, Verdict};
use bailiwick_types::TenantId;
use common::{House, call, calls, say};
use serde_json::{Value, json};
use std::sync::Arc;

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

/// A session whose environment was started by a command, with the path of the environment's files.
async fn running(house: &House, agent: Value) -> (String, String) {
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let made = json!({"agent": agent, "environment": {"type": "openai_hosted"}, "input": "List"});
    let made = house.post("/v1/agents/sessions", made).await.ok();
    house.until(&id(&made), |session| session["status"] == "idle").await;
    (id(&made), format!("/v1/agents/environments/{}/files", made["environment"]["id"].as_str().unwrap()))
}

fn inline(path: &str) -> Value {
    json!({"type": "inline", "data": "aGk=", "path": path})
}

async fn receipts(house: &House, session: &str, operation: &str) -> Vec<Value> {
    let all = house.get(&format!("/bailiwick/v1/sessions/{session}/receipts?limit=100")).await.ok();
    let decided = |receipt: &&Value| receipt.to_string().contains(&format!("\"{operation}\""));
    all["data"].as_array().unwrap().iter().filter(decided).cloned().collect()
}

#[tokio::test]
async fn a_file_for_a_running_environment_is_laid_in_by_an_action() {
    let house = House::new().await;
    let (session, path) = running(&house, json!({"model": "main"})).await;
    let given = house.post(&path, inline("/workspace/late.txt")).await.ok();
    assert_eq!((&given["object"], &given["size_bytes"]), (&json!("agent.environment.file"), &json!(2)));
    assert_eq!(given["path"], "/workspace/late.txt");
    assert_eq!(receipts(&house, &session, "file.add").await.len(), 1);
    let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!(shown["status"], "idle", "whoever was answered may begin the next turn");
    assert_eq!(shown["environment"]["files"][0]["path"], "/workspace/late.txt");

    // It had a turn of its own, in which no model was asked and nothing was said.
    let turns = house.get(&format!("/v1/agents/sessions/{session}/turns?order=asc")).await.ok();
    let turns = turns["data"].as_array().unwrap();
    assert_eq!((turns.len(), &turns[1]["status"]), (2, &json!("completed")));
    let items = format!("/v1/agents/sessions/{session}/turns/{}/items", id(&turns[1]));
    assert_eq!(house.get(&items).await.ok()["data"], json!([]));

    // The same request again does not lay it in again, and another file of the same path takes its place.
    let again = || {
        let mut request = common::request(&house.key, "POST", &path, Some(&inline("/workspace/once.txt")));
        request.headers_mut().insert("idempotency-key", "file-1".parse().unwrap());
        house.send(request)
    };
    assert_eq!(again().await.ok(), again().await.ok());
    assert_eq!(receipts(&house, &session, "file.add").await.len(), 2);
    house.post(&path, inline("/workspace/once.txt")).await.ok();
    let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!(shown["environment"]["files"].as_array().unwrap().len(), 2);

    for (file, param) in [
        (inline("/etc/x"), "path"),
        (inline("/workspace/late.txt/x"), "path"),
        (json!({"type": "inline", "data": "?", "path": "/workspace/x"}), "data"),
    ] {
        assert_eq!(house.post(&path, file).await.error(400)["param"], param);
    }
}

fn paths(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_files_of_a_running_environment_are_looked_at_by_an_action() {
    let house = House::new().await;
    let (session, path) = running(&house, json!({"model": "main"})).await;
    for name in ["a/x", "a/y", "b"] {
        house.post(&path, inline(&format!("/workspace/{name}"))).await.ok();
    }
    let first = house.get(&format!("{path}?limit=2")).await.ok();
    assert_eq!((paths(&first), &first["has_more"]), (vec!["/workspace/b", "/workspace/a/y"], &json!(true)));
    assert_eq!(
        (&first["data"][0]["object"], &first["data"][0]["size_bytes"]),
        (&json!("agent.environment.file"), &json!(2))
    );
    let next = first["next"].as_str().unwrap();
    let last = house.get(&format!("{path}?limit=2&page={next}")).await.ok();
    assert_eq!((paths(&last), &last["has_more"], &last["next"]), (vec!["/workspace/a/x"], &json!(false), &Value::Null));
    let below = house.get(&format!("{path}?order=asc&path=/workspace/a")).await.ok();
    assert_eq!(paths(&below), ["/workspace/a/x", "/workspace/a/y"]);
    assert_eq!(paths(&house.get(&format!("{path}?path=/workspace/none")).await.ok()), Vec::<&str>::new());

    // Each look has its receipt, on behalf of whoever looked, and neither item nor history.
    let looks = receipts(&house, &session, "file.list").await;
    assert_eq!(looks.len(), 4);
    assert!(looks[0].to_string().contains("key_"), "{}", looks[0]);
    let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!(shown["status"], "idle", "whoever was answered may begin the next turn");
    assert_eq!(house.model.seen.lock().unwrap().len(), 2, "no model was asked for a look");
    let items = house.get(&format!("/v1/agents/sessions/{session}/items?limit=100")).await.ok();
    assert!(!items.to_string().contains("/workspace/a/x"), "{items}");

    for (query, param) in [
        ("path=/etc", "path"),
        ("path=/workspace/../etc", "path"),
        ("path=/workspacex", "path"),
        ("page=zzz", "page"),
        ("limit=0", "limit"),
        ("order=up", "order"),
    ] {
        assert_eq!(house.get(&format!("{path}?{query}")).await.error(400)["param"], param, "{query}");
    }
}

#[tokio::test]
async fn a_look_that_may_not_be_is_refused_with_the_rule() {
    let house = House::new().await;
    let remit = json!({"allow": ["model.call", "environment.*", "command.*", "artifact.*"]});
    let (session, path) = running(&house, json!({"model": "main", "bailiwick": {"remit": remit}})).await;
    let error = house.get(&path).await.error(403);
    assert!(error["message"].as_str().unwrap().contains("file.list"), "{error}");
    assert_eq!(receipts(&house, &session, "file.list").await.len(), 1, "a refusal is a receipt too");

    // A rule that would ask a person refuses it: whoever looks does not wait for days.
    let house = House::under(bailiwick_api::Limits::default(), Arc::new(AsksAboutLooks)).await;
    let (_, path) = running(&house, json!({"model": "main"})).await;
    let error = house.get(&path).await.error(403);
    assert!(error["message"].as_str().unwrap().contains("looks-are-asked"), "{error}");
}

struct AsksAboutLooks;

impl Policy for AsksAboutLooks {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let (rule, reason) = ("looks-are-asked".to_owned(), "it is private".to_owned());
        match request.action {
            Action::FileList { .. } => Verdict::Ask { rule, reason, approver: Approver::Person },
            _ => Verdict::allow("all-else"),
        }
    }
}

#[tokio::test]
async fn a_look_while_the_model_thinks_joins_the_turn() {
    let house = House::new().await;
    let (session, path) = running(&house, json!({"model": "main"})).await;
    house.post(&path, inline("/workspace/a")).await.ok();
    house.script([calls(vec![call("c2", "run_command", json!({"command": "slow"}))]), say("Done.")]);
    let message = json!({"role": "user", "content": [{"type": "input_text", "text": "Go on"}]});
    let input = json!({"events": [{"type": "agent.session.input.message", "input": [message]}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), input).await.status, 202);
    house.until(&session, |session| session["status"] == "in_progress").await;
    assert_eq!(paths(&house.get(&path).await.ok()), ["/workspace/a"]);
    house.executor.release.notify_one();
    house.until(&session, |session| session["status"] == "idle").await;
    let turns = house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok();
    assert_eq!(turns["data"].as_array().unwrap().len(), 3, "the first, the file's, and this one: a look made none");
}

#[tokio::test]
async fn a_file_that_may_not_be_laid_in_is_refused_with_the_rule() {
    let house = House::new().await;
    let remit = json!({"allow": ["model.call", "environment.*", "command.*", "artifact.*"]});
    let (session, path) = running(&house, json!({"model": "main", "bailiwick": {"remit": remit}})).await;
    let objects = house.objects.count();
    let error = house.post(&path, inline("/workspace/late.txt")).await.error(403);
    assert!(error["message"].as_str().unwrap().contains("file.add"), "{error}");
    assert_eq!(house.objects.count(), objects, "nothing is kept of it");
    let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!((&shown["status"], &shown["environment"]["files"]), (&json!("idle"), &json!([])));
}

#[tokio::test]
async fn an_executor_that_is_not_there_gets_no_file() {
    let house = House::new().await;
    let own = json!({"type": "self_hosted", "workspace_directory": "/w"});
    let made = json!({"agent": {"model": "main"}, "environment": own});
    let made = house.post("/v1/agents/sessions", made).await.ok();
    let path = format!("/v1/agents/environments/{}/files", made["environment"]["id"].as_str().unwrap());
    let error = house.post(&path, inline("/w/x")).await.error(409);
    assert_eq!(error["code"], "file_not_added");
    assert!(error["message"].as_str().unwrap().contains("start its executor"), "{error}");
    let error = house.get(&path).await.error(409);
    assert_eq!(error["code"], "files_not_listed");
    assert!(error["message"].as_str().unwrap().contains("list the files again"), "{error}");

    // One that we dial is started for it; the paths are those of its own workspace.
    let own = json!({"type": "self_hosted", "workspace_directory": "/w", "bailiwick": {"executor": "lab"}});
    let made = json!({"agent": {"model": "main"}, "environment": own});
    let made = house.post("/v1/agents/sessions", made).await.ok();
    let path = format!("/v1/agents/environments/{}/files", made["environment"]["id"].as_str().unwrap());
    assert_eq!(house.post(&path, inline("/workspace/x")).await.error(400)["param"], "path");
    house.post(&path, inline("/w/x")).await.ok();
    assert_eq!(receipts(&house, &id(&made), "environment.start").await.len(), 1);
    assert_eq!(house.objects.count(), 0, "its content is in its place and kept nowhere else");
}
