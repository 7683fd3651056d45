//! Who may call what: every route, by everybody who should not get through, and by a member who is not the owner.
//!
//! `access.txt` is the committed list. A route without a line, or with another answer than its line says, fails; after a
//! deliberate change write the list anew with `BLESS=1`.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test reads its own list and the environment variable that renews it"
)]

mod common;

use bailiwick_api::{Need, ROUTES, Route};
use bailiwick_ports::Scope;
use common::{House, call, calls, request, say};
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Write, sync::Arc};

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/access.txt");

/// Ids of things that exist, by the names in the routes.
async fn furnish(house: &Arc<House>) -> HashMap<&'static str, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let agent = text(&house.post("/v1/agents", json!({"model": "main", "name": "known-to-us"})).await.ok()["id"]);
    house.executor.outputs.lock().unwrap().push(("/workspace/outputs/a.txt".into(), b"bytes".to_vec()));
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let more = json!({"agent_id": agent, "agent": {}, "environment": {"type": "openai_hosted"}});
    let (session, _) = house.run("List", more).await;
    let session = text(&session["id"]);
    let base = format!("/v1/agents/sessions/{session}");
    let turn = text(&house.get(&format!("{base}/turns")).await.ok()["data"][0]["id"]);
    let artifact = text(&house.get(&format!("{base}/artifacts")).await.ok()["data"][0]["id"]);
    let own = json!({"agent": {"model": "main"}, "environment": {"type": "self_hosted", "workspace_directory": "/w"}});
    let own = house.post("/v1/agents/sessions", own).await.ok();
    let environment = text(&own["environment"]["id"]);
    let file = text(&house.send(common::upload(&house.key, "f.txt", b"planted-words")).await.ok()["id"]);
    let key = text(&house.get("/bailiwick/v1/keys").await.ok()["data"][0]["id"]);
    let (user, signed) = house.person("somebody", &["operator"]).await;
    let until = bailiwick_ports::Clock::now(&common::RealClock).as_seconds() + 3600;
    let grant = json!({"type": "subject", "key_id": key, "until": until});
    let grant = text(&house.send(request(&signed, "POST", "/bailiwick/v1/grants", Some(&grant))).await.ok()["id"]);
    let team = text(&house.post("/bailiwick/v1/teams", json!({"name": "known-to-us"})).await.ok()["id"]);
    let kept = json!({"scope": "tenant", "kind": "fact", "text": "known-to-us"});
    let memory = text(&house.post("/bailiwick/v1/memories", kept).await.ok()["id"]);
    let vault = text(&house.post("/v1/vaults", json!({"name": "known-to-us"})).await.ok()["id"]);
    let secret = json!({"type": "static_bearer", "token": "planted-words", "mcp_server_url": "https://mcp.example"});
    let kept = json!({"name": "known-to-us", "auth": secret});
    let credential = text(&house.post(&format!("/v1/vaults/{vault}/credentials"), kept).await.ok()["id"]);
    let planted = b"---\nname: known-to-us\ndescription: For everybody here.\n---\nDo it well.";
    let files: [(&str, Option<&str>, &[u8]); 1] = [("files[]", Some("known-to-us/SKILL.md"), planted)];
    let skill = text(&house.send(common::form_to(&house.key, "/v1/skills", &files)).await.ok()["id"]);
    HashMap::from([
        ("skill_id", skill),
        ("version", "1".into()),
        ("agent_id", agent),
        ("memory_id", memory),
        ("vault_id", vault),
        ("credential_id", credential),
        ("session_id", session),
        ("turn_id", turn),
        ("artifact_id", artifact),
        ("environment_id", environment),
        ("file_id", file),
        ("key_id", key),
        ("user_id", user),
        ("grant_id", grant),
        ("team_id", team),
        ("model", "main".into()),
        ("policy_version", "0".into()),
        ("tenant_id", house.tenant.to_string()),
    ])
}

fn path_of(route: &Route, prefix: &str, ids: &HashMap<&str, String>) -> String {
    let mut path = format!("{prefix}{}", route.path);
    while let Some(start) = path.find('{') {
        let end = path[start..].find('}').unwrap() + start;
        let id = ids.get(&path[start + 1..end]).cloned().unwrap_or_else(|| "something".into());
        path.replace_range(start..=end, &id);
    }
    path
}

/// A body with which an administrator of ours would get through, whoever else had asked before.
fn body_of(route: &Route, asker: usize) -> Option<Value> {
    (route.method == "POST").then(|| match route.operation {
        "create_agent" => json!({"model": "main"}),
        "create_session" => json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"}),
        "create_session_events" => json!({"events": [{"type": "agent.session.input.cancel"}]}),
        "create_environment_file" => json!({"type": "inline", "data": "", "path": "/workspace/a"}),
        "create_key" => json!({"name": "n", "scopes": ["files:read"]}),
        "register_executor" => json!({"transport": "direct_jsonrpc_v1"}),
        "publish_agent" => json!({"version": 1}),
        "sign_in" => json!({"login": "nobody", "password": "nothing at all"}),
        "redeem_provider_sign_in" => json!({"code": "x", "code_verifier": "y"}),
        "set_password" => json!({"code": "bws_nothing", "password": "nothing at all"}),
        "create_user" => json!({"name": "N", "login": format!("n{asker}")}),
        "create_team" | "update_team" => json!({"name": format!("T{asker}")}),
        "apply_policy" => json!({"text": "", "reason": "Nothing is allowed"}),
        "validate_policy" | "simulate_policy" => json!({"text": ""}),
        "explain_policy" => json!({"model": "main"}),
        "create_vault_credential" => {
            let auth = json!({"type": "static_bearer", "token": "t", "mcp_server_url": "https://mcp.example"});
            json!({"name": "another", "auth": auth})
        }
        "create_memory" => json!({"kind": "fact", "scope": "tenant", "text": "Tea at four"}),
        "search_memories" => json!({"query": "tea"}),
        "correct_memory" => json!({"text": "Tea at five", "version": 1}),
        "confirm_memory" => json!({"version": 1}),
        "create_tenant" => json!({"name": format!("Other {asker}")}),
        "resolve_outcome" => json!({"action": "act_0", "resolution": "happened"}),
        _ => json!({}),
    })
}

/// Everybody who asks, in the order of the list.
const ASKERS: [&str; 8] = [
    "ANONYMOUS",
    "WITHOUT THE SCOPE",
    "ANOTHER ORGANISATION'S ADMINISTRATOR",
    "A MEMBER WHO IS NOT THE OWNER",
    "THE MEMBER'S AGENT",
    "EXPIRED",
    "DISABLED",
    "A PERSON OF ANOTHER ORGANISATION",
];
const UNPRIVILEGED: usize = 1;
const MEMBER: usize = 3;
const AGENT: usize = 4;
/// What only a person does, or only a program.
const OWN_WORD: [&str; 4] = ["create_grant", "list_connections", "get_connection", "remove_connection"];
/// Their errors have the shape of RFC 6749.
const OAUTH: [&str; 2] = ["exchange_token", "revoke_token"];

/// An administrator's key whose time is over.
async fn expired_key(house: &House) -> String {
    use bailiwick_ports::Clock;
    let expires = Some(common::RealClock.now() + bailiwick_types::Millis(1));
    let new = bailiwick_identity::NewApiKey { name: "short".into(), scopes: vec![Scope::Admin], expires };
    let made = house.credentials.create_api_key(&bailiwick_types::Principal::Operator, house.tenant, new).await;
    let key = made.unwrap().1.expose().to_owned();
    while house.send(request(&key, "GET", "/v1/models", None)).await.status != 401 {
        tokio::task::yield_now().await;
    }
    key
}

/// An administrator who was disabled.
async fn disabled(house: &House) -> String {
    let (id, token) = house.person("leaver", &["admin"]).await;
    house.send(request(&token, "GET", "/v1/models", None)).await.ok();
    house.post(&format!("/bailiwick/v1/people/{id}"), json!({"disabled": true})).await.ok();
    token
}

/// Nobody is told of what is not theirs. Agents are everybody's in their organisation, with who wrote and answers for
/// them, skills likewise, and everybody may know which organisation is their own.
fn check_silent(ids: &HashMap<&str, String>, path: &str, asker: usize, status: u16, text: &str) {
    let colleague = matches!(asker, MEMBER | AGENT);
    let told = ["agent_id", "user_id", "team_id", "key_id", "memory_id", "skill_id"];
    let shared = |name: &str| colleague && told.contains(&name);
    let own = |name: &str| name == "tenant_id" && matches!(asker, UNPRIVILEGED | MEMBER | AGENT);
    for (name, id) in ids.iter().filter(|(name, id)| id.len() > 30 && !shared(name) && !own(name)) {
        let asked = path.contains(id.as_str());
        assert!((asked && status >= 400) || !text.contains(id), "{path} tells {} of {name} {id}", ASKERS[asker]);
    }
    assert!(colleague || !text.contains("known-to-us"), "{path}: {text}");
    assert!(!text.contains("planted-words"), "{path}: {text}");
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_list_says() {
    let house = House::new().await;
    let ids = furnish(&house).await;
    let (foreign, expired, disabled) = (house.foreign_key().await, expired_key(&house).await, disabled(&house).await);
    let (_, mut member) = house.person("member", &["member"]).await;
    let mut foreigner = house.foreigner("member", &foreign).await;
    let saved = house.post("/v1/agents", json!({"model": "main"})).await.ok()["id"].as_str().unwrap().to_owned();
    let mut agent = house.token(&member, &saved).await;
    let mut list = format!("# METHOD PATH | SCOPE | {}\n", ASKERS.join(" | "));
    for route in ROUTES {
        let lacks = |scope: &Scope| Need::Scope(*scope) != route.need && *scope != Scope::Admin;
        let without = house.new_key(Scope::ALL.into_iter().filter(lacks).collect()).await;
        let mut told: Option<[u16; ASKERS.len()]> = None;
        for prefix in route.area.prefixes() {
            let path = path_of(route, prefix, &ids);
            let mut statuses = [0; ASKERS.len()];
            let askers = ["", &without, &foreign, &member, &agent, &expired, &disabled, &foreigner];
            for (at, key) in askers.into_iter().enumerate() {
                let answer = house.send(request(key, route.method, &path, body_of(route, at).as_ref())).await;
                statuses[at] = answer.status.as_u16();
                if statuses[at] >= 400 && !OAUTH.contains(&route.operation) {
                    answer.error(statuses[at]);
                }
                check_silent(&ids, &path, at, statuses[at], &String::from_utf8_lossy(&answer.bytes));
            }
            assert!(told.is_none_or(|told| told == statuses), "{path} answers otherwise under {prefix}");
            told = Some(statuses);
        }
        let told = told.unwrap();
        let (method, prefix, path) = (route.method, route.area.prefixes()[0], route.path);
        let [anonymous, unprivileged, key, _, _, expired, disabled, person] = told;
        // A person of another organisation is told what its keys are told.
        if route.need != Need::Known && !OWN_WORD.contains(&route.operation) {
            assert_eq!(key, person, "{method} {path}");
        }
        match route.need {
            Need::Nothing => {}
            Need::Known => assert_eq!((anonymous, expired, disabled), (401, 401, 401), "{method} {path}"),
            Need::Scope(_) => {
                assert_eq!((anonymous, unprivileged, expired, disabled), (401, 403, 401, 401), "{method} {path}");
            }
        }
        let told = told.map(|status| status.to_string()).join(" | ");
        writeln!(list, "{method} {prefix}{path} | {} | {told}", route.need.name()).unwrap();
        if route.operation == "sign_out" {
            member = house.sign_in("member").await;
            agent = house.token(&member, &saved).await;
            foreigner = house.foreign_sign_in("member").await;
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(LIST, &list).unwrap();
    }
    let committed = std::fs::read_to_string(LIST).unwrap_or_default();
    assert_eq!(committed, list, "the routes differ from {LIST}; if that is meant, run this test with BLESS=1");

    // What is ours is still there, and whole.
    for path in [format!("/v1/agents/{}", ids["agent_id"]), format!("/v1/files/{}", ids["file_id"])] {
        house.get(&path).await.ok();
    }
    let artifact = format!("/v1/agents/sessions/{}/artifacts/{}/content", ids["session_id"], ids["artifact_id"]);
    assert_eq!(house.get(&artifact).await.bytes, "bytes");
}

#[tokio::test]
async fn an_executors_key_opens_its_environment_and_nothing_else() {
    let house = House::new().await;
    let ids = furnish(&house).await;
    let environment = ids["environment_id"].parse().unwrap();
    let bound = house.access_key(Some(environment), vec![Scope::EnvironmentsConnect]).await;
    for route in
        ROUTES.iter().filter(|route| matches!(route.need, Need::Scope(_)) && route.operation != "register_executor")
    {
        let path = path_of(route, route.area.prefixes()[0], &ids);
        let request = common::signed(&bound, route.method, &path, body_of(route, 0).as_ref());
        let status = house.send(request).await.status.as_u16();
        // The socket itself needs an upgrade.
        assert_eq!(status, if route.operation == "connect_executor" { 400 } else { 403 }, "{path}");
    }
    let path = |id: &str| format!("/cloud/environment/{id}/direct/register");
    let body = json!({"transport": "direct_jsonrpc_v1"});
    let registered = house.send(common::signed(&bound, "POST", &path(&ids["environment_id"]), Some(&body))).await.ok();
    assert_eq!(registered["environment_id"], ids["environment_id"]);
    let other = path("env_00000000000070008000000000000000");
    house.send(common::signed(&bound, "POST", &other, Some(&body))).await.error(403);
}

#[tokio::test]
async fn a_signature_is_for_one_body_and_one_path() {
    let house = House::new().await;
    let key = house.access_key(None, vec![Scope::AgentsWrite]).await;
    let body = json!({"model": "main"});
    house.send(common::signed(&key, "POST", "/openai/v1/agents", Some(&body))).await.ok();
    house.send(common::signed(&key, "POST", "/v1/agents", Some(&body))).await.ok();
    let (parts, _) = common::signed(&key, "POST", "/v1/agents", Some(&body)).into_parts();
    let other = axum::http::Request::from_parts(parts, axum::body::Body::from(r#"{"model":"other"}"#));
    house.send(other).await.error(401);
    let (mut parts, body) = common::signed(&key, "POST", "/v1/agents", Some(&body)).into_parts();
    parts.uri = "/openai/v1/agents".parse().unwrap();
    house.send(axum::http::Request::from_parts(parts, body)).await.error(401);
}
