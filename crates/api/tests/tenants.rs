//! Organisations: made by whoever runs the server, and apart from one another.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bailiwick_ports::Caller;
use common::{Answer, House, call, calls, request, say};
use serde_json::{Value, json};
use tower::ServiceExt;

const BASE: &str = "/bailiwick/v1/tenants";

/// As through the socket in the data folder.
async fn operator(house: &House, method: &str, path: &str, body: Option<Value>) -> Answer {
    let router = house.api.router_for(Caller::operator(house.tenant));
    Answer::of(router.oneshot(request("", method, path, body.as_ref())).await.unwrap()).await
}

async fn found(house: &House, name: &str) -> (String, String) {
    let made = operator(house, "POST", BASE, Some(json!({"name": name}))).await.ok();
    assert_eq!(
        (&made["object"], &made["name"], &made["first"]),
        (&json!("bailiwick.tenant"), &json!(name), &json!(false))
    );
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn another_organisation_works_under_its_own_rules_and_sees_nothing_of_ours() {
    let house = House::new().await;
    house.post("/v1/agents", json!({"model": "main", "name": "ours"})).await.ok();
    let forbidden = format!(
        "{}\n@id(\"none\") forbid (principal, action == Action::\"command.run\", resource);",
        bailiwick_policy::STARTER
    );
    house.post("/bailiwick/v1/policy", json!({"text": forbidden, "reason": "Ours"})).await.ok();
    let (id, key) = found(&house, "Other Ltd").await;

    // Its administrator begins with nothing but the starter set.
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        house.send(request(&key, method, path, body.as_ref())).await
    };
    assert_eq!(ask("GET", "/v1/agents", None).await.ok()["data"], json!([]));
    assert_eq!(ask("GET", "/bailiwick/v1/policy", None).await.ok()["version"], 0);
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}, "input": "List"});
    let session = ask("POST", "/v1/agents/sessions", Some(body)).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/agents/sessions/{session}");
    while ask("GET", &path, None).await.ok()["status"] != "idle" {
        tokio::task::yield_now().await;
    }
    let receipts = ask("GET", &format!("/bailiwick/v1/sessions/{session}/receipts"), None).await.ok();
    let run = receipts["data"].as_array().unwrap().iter().find(|one| one["operation"] == "command.run").unwrap();
    assert_eq!((&run["decision"], &run["policy_version"]), (&json!("allowed"), &json!(0)));

    // Neither sees the other's, and each has a receipt log of its own that begins with its founding.
    house.get(&path).await.error(404);
    let log = ask("GET", "/bailiwick/v1/audit", None).await.ok();
    assert_eq!(log["origin"], format!("bailiwick/{id}"));
    assert_ne!(log["origin"], house.get("/bailiwick/v1/audit").await.ok()["origin"]);
    let changes = ask("GET", "/bailiwick/v1/administration", None).await.ok();
    let kinds: Vec<&Value> = changes["data"].as_array().unwrap().iter().map(|one| &one["change"]).collect();
    assert_eq!(kinds[..2], [&json!("tenant.created"), &json!("key.created")]);
}

#[tokio::test]
async fn only_whoever_runs_the_server_makes_them_and_each_has_its_own_name() {
    let house = House::new().await;
    let (id, key) = found(&house, "Other Ltd").await;
    for administrator in [house.key.clone(), key] {
        for (method, path, body) in [
            ("POST", BASE.to_owned(), Some(json!({"name": "Third"}))),
            ("GET", BASE.to_owned(), None),
            ("POST", format!("{BASE}/{id}/keys"), Some(json!({}))),
        ] {
            let refused = house.send(request(&administrator, method, &path, body.as_ref())).await.error(403);
            assert!(refused["message"].as_str().unwrap().contains("bailiwick tenant"), "{refused}");
        }
    }
    assert_eq!(operator(&house, "POST", BASE, Some(json!({"name": "Other Ltd"}))).await.error(409)["param"], "name");
    for name in ["", " Other", "a\nb", &"x".repeat(129)] {
        assert_eq!(
            operator(&house, "POST", BASE, Some(json!({"name": name}))).await.error(400)["param"],
            "name",
            "{name}"
        );
    }
    operator(&house, "POST", BASE, Some(json!({"name": "X", "what": 1}))).await.error(400);
    let listed = operator(&house, "GET", BASE, None).await.ok();
    let listed: Vec<_> = listed["data"].as_array().unwrap().iter().map(|one| (&one["id"], &one["first"])).collect();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&(&json!(id), &json!(false))) && listed.contains(&(&json!(house.tenant), &json!(true))));

    // Lost keys are made anew.
    let made = operator(&house, "POST", &format!("{BASE}/{id}/keys"), None).await.ok();
    let key = made["key"].as_str().unwrap();
    assert_eq!(
        house.send(request(key, "GET", "/bailiwick/v1/keys", None)).await.ok()["data"].as_array().unwrap().len(),
        2
    );
    let unknown = format!("{BASE}/tenant_00000000000070008000000000000000/keys");
    operator(&house, "POST", &unknown, None).await.error(404);
}

#[tokio::test]
async fn people_of_another_organisation_sign_in_there_and_see_nothing_of_ours() {
    let house = House::new().await;
    let ours = house.post("/v1/agents", json!({"model": "main", "name": "ours"})).await.ok();
    let ours = ours["id"].as_str().unwrap();
    let key = house.foreign_key().await;
    let theirs = house.foreigner("ada", &key).await;
    let (_, here) = house.person("ada", &["admin"]).await;
    let ask = async |token: &str, method: &str, path: &str, body: Option<Value>| {
        house.send(request(token, method, path, body.as_ref())).await
    };
    let (me, mine) = (
        ask(&theirs, "GET", "/bailiwick/v1/me", None).await.ok(),
        ask(&here, "GET", "/bailiwick/v1/me", None).await.ok(),
    );
    assert_eq!(mine["organisation"], json!(house.tenant));
    assert!(me["organisation"] != mine["organisation"] && me["user"]["name"] == "ada", "{me}");
    ask(&theirs, "GET", &format!("/v1/agents/{ours}"), None).await.error(404);
    assert_eq!(ask(&theirs, "GET", "/v1/agents", None).await.ok()["data"], json!([]));
    let people = ask(&theirs, "GET", "/bailiwick/v1/people", None).await.ok();
    assert_eq!(people["data"].as_array().unwrap().len(), 1);

    // Their agents get tokens that open their organisation, and end with them.
    let saved = ask(&theirs, "POST", "/v1/agents", Some(json!({"model": "main"}))).await.ok();
    let saved = saved["id"].as_str().unwrap();
    let agent = house.token(&theirs, saved).await;
    assert_eq!(ask(&agent, "GET", &format!("/v1/agents/{saved}"), None).await.ok()["id"], json!(saved));
    ask(&agent, "GET", &format!("/v1/agents/{ours}"), None).await.error(404);
    let told = ask(&agent, "GET", "/bailiwick/v1/me", None).await.ok();
    assert_eq!((&told["type"], &told["organisation"]), (&json!("agent"), &me["organisation"]));
    let changes = ask(&here, "GET", "/bailiwick/v1/administration", None).await.ok().to_string();
    assert!(!changes.contains(me["user"]["id"].as_str().unwrap()), "our records say nothing of them");

    // Who names none, or another one, is somebody else or nobody.
    let password = |organisation: &str| json!({"organisation": organisation, "login": "ada", "password": common::PASSWORD, "medium": "bearer"});
    let first = ask("", "POST", "/bailiwick/v1/sign-in", Some(password(""))).await.ok();
    assert_eq!(first["user"]["id"], mine["user"]["id"]);
    ask("", "POST", "/bailiwick/v1/sign-in", Some(password("Nobody Ltd"))).await.error(401);
    for organisation in ["other", "Nobody%20Ltd"] {
        let ways = ask("", "GET", &format!("/bailiwick/v1/sign-in?organisation={organisation}"), None).await.ok();
        assert_eq!((&ways["password"], &ways["provider"]), (&json!(true), &json!(false)));
        let path = format!("/bailiwick/v1/sign-in/provider?organisation={organisation}");
        ask("", "GET", &path, None).await.error(501);
    }
    ask(&theirs, "POST", "/bailiwick/v1/sign-out", None).await.ok();
    ask(&theirs, "GET", "/bailiwick/v1/me", None).await.error(401);
    ask(&agent, "GET", "/bailiwick/v1/me", None).await.ok();
}

#[tokio::test]
async fn the_key_encryption_key_is_replaced_by_whoever_runs_the_server_alone() {
    let house = House::new().await;
    for (method, path) in [("GET", "/bailiwick/v1/encryption-keys"), ("POST", "/bailiwick/v1/encryption-keys/rotate")] {
        let refused = house.send(request(&house.key, method, path, Some(&json!({})))).await.error(403);
        assert!(refused["message"].as_str().unwrap().contains("bailiwick key rotate --data"), "{refused}");
    }
}
