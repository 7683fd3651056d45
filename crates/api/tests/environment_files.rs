//! Files given to an environment that runs: accepted once they are in their place, with a receipt like every action.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test of what is answered")]

mod common;

use common::{House, call, calls, say};
use serde_json::{Value, json};

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
    let error = house.get(&path).await.error(501);
    assert!(error["message"].as_str().unwrap().contains("only a turn can do"), "{error}");
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
