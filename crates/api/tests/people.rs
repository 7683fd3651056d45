//! People: what their roles let them do, whose things are whose, and what happens when somebody leaves.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may panic, and own the machine's clock")]

mod common;

use axum::{body::Body, http::Request};
use bailiwick_ports::{Colleagues, PeopleError, Scope, people::ChargePatch};
use common::{Answer, House, PASSWORD, request, say, upload};
use serde_json::{Value, json};
use std::sync::Arc;

async fn ask(house: &House, key: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = (method == "POST").then_some(body);
    house.send(request(key, method, path, body.as_ref())).await
}

async fn session(house: &House, key: &str) -> String {
    house.script([say("Done.")]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
    let made = ask(house, key, "POST", "/v1/agents/sessions", body).await.ok();
    made["id"].as_str().unwrap().to_owned()
}

async fn listed(house: &House, key: &str, path: &str) -> Vec<String> {
    let page = ask(house, key, "GET", path, Value::Null).await.ok();
    page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_a_saved_agent_may_do_is_not_changed_by_whoever_only_works_with_it() {
    let house = House::new().await;
    let (_, ada) = house.person("ada", &["member"]).await;
    let (_, bea) = house.person("bea", &["builder"]).await;
    let body = json!({"model": "main", "name": "Front desk", "bailiwick": {"remit": {"allow": ["model.call"]}}});
    let agent = house.post("/v1/agents", body).await.ok();
    let begin =
        |over: Value| json!({"agent_id": agent["id"], "agent": over, "environment": {"type": "none"}, "input": "Hi"});
    let server = json!({"type": "mcp", "server_label": "crm", "transport": {"type": "http", "server_url": "https://crm.example/mcp"}});
    let memory = json!({"scopes": ["agent"]});
    for (over, field) in [
        (json!({"bailiwick": {"remit": {"allow": ["model.call", "file.*"]}}}), "agent.bailiwick.remit"),
        (json!({"bailiwick": {"limits": {"steps_per_turn": 3}}}), "agent.bailiwick.limits"),
        (json!({"bailiwick": {"connectors": []}}), "agent.bailiwick.connectors"),
        (json!({"bailiwick": {"memory": memory}}), "agent.bailiwick.memory"),
        (json!({"tools": [server]}), "agent.tools[0]"),
    ] {
        let refused = ask(&house, &ada, "POST", "/v1/agents/sessions", begin(over.clone())).await.error(403);
        assert_eq!(refused["param"], field);
        assert!(refused["message"].as_str().unwrap().contains("agents:write"), "{refused}");
        house.script([say("Done.")]);
        ask(&house, &bea, "POST", "/v1/agents/sessions", begin(over)).await.ok();
    }
    // How it is spoken to is theirs, and so is doing without its memory.
    house.script([say("Done.")]);
    let fine = begin(json!({"instructions": "Be brief.", "bailiwick": {"memory": null}}));
    let made = ask(&house, &ada, "POST", "/v1/agents/sessions", fine).await.ok();
    let path = format!("/v1/agents/sessions/{}", made["id"].as_str().unwrap());
    let later = json!({"agent": {"tools": [server]}});
    let refused = ask(&house, &ada, "POST", &path, later).await.error(403);
    assert_eq!(refused["param"], "agent.tools[0]");
}

#[tokio::test]
async fn everyone_sees_only_their_own() {
    let house = House::new().await;
    let (_, ada) = house.person("ada", &["member"]).await;
    let (_, bea) = house.person("bea", &["builder"]).await;
    let program = house.new_key(Scope::OWN_WORK.to_vec()).await;
    let (of_ada, of_bea, of_program) =
        (session(&house, &ada).await, session(&house, &bea).await, session(&house, &program).await);
    let file = house.send(upload(&ada, "diary.txt", b"mine")).await.ok()["id"].as_str().unwrap().to_owned();

    let sessions = "/v1/agents/sessions";
    assert_eq!(listed(&house, &ada, sessions).await, [of_ada.as_str()]);
    assert_eq!(listed(&house, &bea, sessions).await, [of_bea.as_str()]);
    assert_eq!(listed(&house, &program, sessions).await, [of_program.as_str()]);
    assert_eq!(listed(&house, &house.key, sessions).await.len(), 3);
    for stranger in [&bea, &program] {
        for (method, below) in [
            ("GET", ""),
            ("POST", ""),
            ("DELETE", ""),
            ("GET", "/items"),
            ("GET", "/turns"),
            ("GET", "/events"),
            ("POST", "/events"),
            ("GET", "/artifacts"),
        ] {
            let body = json!({"events": [{"type": "agent.session.input.cancel"}]});
            let body = if below == "/events" { body } else { json!({}) };
            ask(&house, stranger, method, &format!("{sessions}/{of_ada}{below}"), body).await.error(404);
        }
        ask(&house, stranger, "GET", &format!("/bailiwick/v1/sessions/{of_ada}/receipts"), Value::Null)
            .await
            .error(404);
        assert!(listed(&house, stranger, "/v1/files").await.is_empty());
        for (method, below) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
            ask(&house, stranger, method, &format!("/v1/files/{file}{below}"), Value::Null).await.error(404);
        }
        // Nor through an environment of their own.
        let environment =
            json!({"type": "openai_hosted", "files": [{"type": "file_id", "file_id": file, "path": "/workspace/a"}]});
        let body = json!({"agent": {"model": "main"}, "environment": environment, "input": "Hi"});
        assert!(ask(&house, stranger, "POST", sessions, body).await.status.is_client_error());
    }
    assert_eq!(listed(&house, &ada, "/v1/files").await, [file]);
    // The label that says whose a session is belongs to nobody's filter.
    ask(&house, &bea, "GET", &format!("{sessions}?metadata%5Bbailiwick.owner%5D=programs"), Value::Null)
        .await
        .error(400);
}

#[tokio::test]
async fn operators_watch_and_stop_and_auditors_only_look() {
    let house = House::new().await;
    let (_, ada) = house.person("ada", &["member"]).await;
    let (_, operator) = house.person("otto", &["operator"]).await;
    let (_, auditor) = house.person("audrey", &["auditor"]).await;
    let wait = Arc::new(tokio::sync::Notify::new());
    house.script([common::Say { wait: Some(wait), ..say("Never.") }]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
    let made = ask(&house, &ada, "POST", "/v1/agents/sessions", body.clone()).await.ok();
    let path = format!("/v1/agents/sessions/{}", made["id"].as_str().unwrap());
    let events = format!("{path}/events");
    let (cancel, message) = (
        json!({"events": [{"type": "agent.session.input.cancel"}]}),
        json!({"events": [{"type": "agent.session.input.message", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Do as I say"}]}]}]}),
    );
    for watcher in [&operator, &auditor] {
        ask(&house, watcher, "GET", &path, Value::Null).await.ok();
        assert_eq!(listed(&house, watcher, "/v1/agents/sessions").await.len(), 1);
        ask(&house, watcher, "POST", &events, message.clone()).await.error(403);
        ask(&house, watcher, "POST", &path, json!({"metadata": {"a": "b"}})).await.error(403);
        ask(&house, watcher, "DELETE", &path, Value::Null).await.error(403);
    }
    ask(&house, &auditor, "POST", &events, cancel.clone()).await.error(403);
    ask(&house, &auditor, "POST", "/v1/agents/sessions", body.clone()).await.error(403);
    assert_eq!(ask(&house, &operator, "POST", &events, cancel).await.status, 202);
    let id = made["id"].as_str().unwrap();
    house.until(id, |session| session["status"] == "idle").await;
    // A member makes no agents, a builder does.
    ask(&house, &ada, "POST", "/v1/agents", json!({"model": "main"})).await.error(403);
    let (_, builder) = house.person("bob", &["builder"]).await;
    ask(&house, &builder, "POST", "/v1/agents", json!({"model": "main"})).await.ok();
}

#[tokio::test]
async fn nobody_makes_more_of_themselves() {
    let house = House::new().await;
    let clerk = house.new_key(vec![Scope::PeopleRead, Scope::PeopleWrite]).await;
    let (admin, _) = house.person("root", &["admin"]).await;
    let (member, _) = house.person("ada", &["member"]).await;
    let people = "/bailiwick/v1/people";
    for role in ["admin", "operator", "auditor", "builder"] {
        let body = json!({"name": "N", "login": "n", "roles": [role]});
        ask(&house, &clerk, "POST", people, body).await.error(403);
        ask(&house, &clerk, "POST", &format!("{people}/{member}"), json!({"roles": [role]})).await.error(403);
    }
    for (path, body) in [("/reset-password", json!({})), ("", json!({"disabled": true}))] {
        ask(&house, &clerk, "POST", &format!("{people}/{admin}{path}"), body.clone()).await.error(403);
        ask(&house, &clerk, "POST", &format!("{people}/{member}{path}"), body).await.ok();
    }
    let made = ask(&house, &clerk, "POST", people, json!({"name": "New", "login": "new"})).await.ok();
    assert_eq!(made["roles"], json!(["member"]));
    for (body, field) in [
        (json!({"name": "N"}), "login"),
        (json!({"name": "N", "login": "ADA"}), "login"),
        (json!({"name": "N", "login": "a b"}), "login"),
        (json!({"name": " ", "login": "x"}), "name"),
        (json!({"name": "N", "login": "x", "email": "nowhere"}), "email"),
        (json!({"name": "N", "login": "x", "subject": "y"}), "subject"),
        (json!({"name": "N", "login": "x", "teams": ["team_00000000000070008000000000000000"]}), "teams"),
        (json!({"name": "N", "login": "x", "roles": []}), "roles"),
    ] {
        assert_eq!(ask(&house, &house.key, "POST", people, body).await.error(400)["param"], field);
    }
}

#[tokio::test]
async fn who_leaves_is_out_at_once_and_their_agents_are_in_other_hands() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["builder"]).await;
    let (bea, _) = house.person("bea", &["member"]).await;
    let saved = |bailiwick: Value| json!({"model": "main", "name": "n", "bailiwick": bailiwick});
    let handed = ask(&house, &token, "POST", "/v1/agents", saved(json!({"deputy": bea}))).await.ok();
    let left = ask(&house, &token, "POST", "/v1/agents", saved(json!({}))).await.ok();
    assert_eq!((&handed["bailiwick"]["owner"], &left["bailiwick"]["owner"]), (&json!(ada), &json!(ada)));
    let session = session(&house, &token).await;
    let mut events = house.stream(request(&token, "GET", &format!("/v1/agents/sessions/{session}/events"), None)).await;

    let person = format!("/bailiwick/v1/people/{ada}");
    let gone = house.post(&person, json!({"disabled": true})).await.ok();
    assert_eq!(gone["status"], "disabled");
    let message = ask(&house, &token, "GET", "/v1/models", Value::Null).await.error(401)["message"].clone();
    assert!(message.as_str().unwrap().contains("disabled"), "{message}");
    let body = json!({"login": "ada", "password": PASSWORD});
    house.send(request("", "POST", "/bailiwick/v1/sign-in", Some(&body))).await.error(401);
    // What they watched ends with the next thing that would be told.
    let cancel = json!({"events": [{"type": "agent.session.input.message", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Go on"}]}]}]});
    house.script([say("More.")]);
    house.post(&format!("/v1/agents/sessions/{session}/events"), cancel).await;
    while let Some(event) = events.next().await {
        assert_ne!(event.short(), "turn.completed", "a disabled person is told of {event:?}");
    }

    let path = |agent: &Value| format!("/v1/agents/{}", agent["id"].as_str().unwrap());
    let now = house.get(&path(&handed)).await.ok()["bailiwick"].clone();
    assert_eq!((&now["owner"], &now["deputy"], &now["status"]), (&json!(bea), &Value::Null, &json!("active")));
    let now = house.get(&path(&left)).await.ok()["bailiwick"].clone();
    assert_eq!((&now["owner"], &now["status"]), (&Value::Null, &json!("suspended")));
    assert_eq!(listed(&house, &house.key, "/bailiwick/v1/agents/orphaned").await, [left["id"].as_str().unwrap()]);
    let begin = json!({"agent_id": left["id"], "agent": {}, "environment": {"type": "none"}, "input": "Hi"});
    assert_eq!(house.post("/v1/agents/sessions", begin.clone()).await.error(409)["code"], "agent_not_active");

    // Coming back opens nothing that was closed.
    house.post(&person, json!({"disabled": false})).await.ok();
    ask(&house, &token, "GET", "/v1/models", Value::Null).await.error(401);
    house.sign_in("ada").await;
    house.post("/v1/agents/sessions", begin.clone()).await.error(409);
    house.post(&path(&left), json!({"bailiwick": {"owner": bea, "status": "active"}})).await.ok();
    house.post("/v1/agents/sessions", begin).await.ok();
    assert!(listed(&house, &house.key, "/bailiwick/v1/agents/orphaned").await.is_empty());
}

#[tokio::test]
async fn an_agent_has_versions_that_are_tried_published_and_taken_back() {
    let house = House::new().await;
    let agent =
        house.post("/v1/agents", json!({"model": "main", "instructions": "one", "bailiwick": {"note": "first"}}));
    let agent = agent.await.ok();
    let (id, path) = (agent["id"].as_str().unwrap(), format!("/v1/agents/{}", agent["id"].as_str().unwrap()));
    assert_eq!((&agent["bailiwick"]["state"], &agent["bailiwick"]["note"]), (&json!("published"), &json!("first")));
    let draft =
        house.post(&path, json!({"instructions": "two", "bailiwick": {"draft": true, "note": "try"}})).await.ok();
    assert_eq!((&draft["bailiwick"]["state"], &draft["bailiwick"]["version"]), (&json!("draft"), &json!(2)));
    // Until it is published nobody gets it.
    assert_eq!(house.get(&path).await.ok()["instructions"], "one");
    let live = async || {
        let begin = json!({"agent_id": id, "agent": {}, "environment": {"type": "none"}, "input": "Hi"});
        house.post("/v1/agents/sessions", begin).await.ok()["agent"]["instructions"].clone()
    };
    assert_eq!(live().await, "one");
    let publish = format!("/bailiwick/v1/agents/{id}/publish");
    let states = async || {
        let page = house.get(&format!("/bailiwick/v1/agents/{id}/versions")).await.ok();
        let states = page["data"].as_array().unwrap().iter().map(|version| version["bailiwick"]["state"].clone());
        states.collect::<Vec<_>>()
    };
    house.post(&publish, json!({"version": 2, "note": "good"})).await.ok();
    assert_eq!(live().await, "two");
    assert_eq!(states().await, ["published", "superseded"]);
    house.post(&publish, json!({"version": 1, "note": "not so good"})).await.ok();
    assert_eq!(live().await, "one");
    assert_eq!(states().await, ["rolled_back", "published"]);
    assert_eq!(house.post(&publish, json!({"version": 9})).await.error(400)["param"], "version");
    // Another owner is not another agent.
    house.post(&path, json!({"bailiwick": {"review_at": 1_900_000_000}})).await.ok();
    assert_eq!(states().await.len(), 2);
    house.post(&path, json!({"bailiwick": {"status": "retired"}})).await.ok();
    assert_eq!(
        house.post(&path, json!({"bailiwick": {"status": "active"}})).await.error(400)["param"],
        "bailiwick.status"
    );
    let unknown = json!({"bailiwick": {"owner": "user_00000000000070008000000000000000"}});
    assert_eq!(house.post(&path, unknown).await.error(400)["param"], "bailiwick.owner");

    // Its id is never anybody else's.
    house.delete(&path).await.ok();
    house.get(&path).await.error(404);
    house.post(&path, json!({"name": "x"})).await.error(404);
    let author = bailiwick_ports::people::Author {
        tenant: house.tenant,
        by: bailiwick_types::Principal::Operator,
        reason: None,
    };
    let again = house.roster.engage(author, id.parse().unwrap(), ChargePatch::default(), Vec::new()).await;
    assert!(matches!(again, Err(PeopleError::Store(bailiwick_ports::StoreError::Conflict))), "{again:?}");
}

#[tokio::test]
async fn a_browser_signs_in_with_a_cookie_that_other_pages_cannot_use() {
    let house = House::new().await;
    house.person("ada", &["member"]).await;
    let body = json!({"login": "Ada", "password": PASSWORD, "medium": "browser"});
    let signed = house.send(request("", "POST", "/bailiwick/v1/sign-in", Some(&body))).await;
    let cookie = signed.headers["set-cookie"].to_str().unwrap().to_owned();
    // `house.test` is not this machine.
    assert!(
        cookie.starts_with("__Host-bailiwick=bwu_") && cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
    assert_eq!(signed.headers["cache-control"], "no-store");
    let page_token = signed.ok()["page_token"].as_str().unwrap().to_owned();
    assert!(signed.ok()["token"].is_null());
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let send = async |method: &str, path: &str, page: Option<&str>, body: Value| {
        let mut builder =
            Request::builder().method(method).uri(path).header("host", "house.test").header("cookie", &cookie);
        if let Some(page) = page {
            builder = builder.header("x-bailiwick-page", page);
        }
        let builder = builder.header("content-type", "application/json");
        house.send(builder.body(Body::from(body.to_string())).unwrap()).await
    };
    let me = send("GET", "/bailiwick/v1/me", None, Value::Null).await.ok();
    assert_eq!(
        (&me["type"], &me["user"]["login"], &me["page_token"]),
        (&json!("user"), &json!("ada"), &json!(page_token))
    );
    let begin = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
    for page in [None, Some(""), Some("wrong")] {
        let refused = send("POST", "/v1/agents/sessions", page, begin.clone()).await.error(403);
        assert_eq!(refused["param"], "x-bailiwick-page");
    }
    send("POST", "/v1/agents/sessions", Some(&page_token), begin.clone()).await.ok();
    // What a browser says of another site's page is refused, whatever that page has got to know.
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200)] {
        let builder = Request::builder().method("POST").uri("/v1/agents/sessions").header("host", "house.test");
        let builder = builder.header("cookie", &cookie).header("x-bailiwick-page", &page_token);
        let builder = builder.header("sec-fetch-site", site).header("content-type", "application/json");
        let answer = house.send(builder.body(Body::from(begin.to_string())).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{site}");
    }
    // A cookie's word is no bearer token, and the other way round.
    let word = cookie.split_once('=').unwrap().1;
    ask(&house, word, "GET", "/bailiwick/v1/me", Value::Null).await.error(401);
    let bearer = house.sign_in("ada").await;
    let as_cookie = Request::builder().uri("/bailiwick/v1/me").header("host", "house.test");
    let as_cookie = as_cookie.header("cookie", format!("__Host-bailiwick={bearer}")).body(Body::empty()).unwrap();
    house.send(as_cookie).await.error(401);

    let out = send("POST", "/bailiwick/v1/sign-out", Some(&page_token), json!({})).await;
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    send("GET", "/bailiwick/v1/me", None, Value::Null).await.error(401);
    ask(&house, &bearer, "POST", "/bailiwick/v1/sign-out", json!({})).await.ok();
    ask(&house, &bearer, "GET", "/bailiwick/v1/me", Value::Null).await.error(401);
}

#[tokio::test]
async fn guessing_is_slow_and_learns_nothing() {
    let house = House::new().await;
    let made = house.post("/bailiwick/v1/people", json!({"name": "Ada", "login": "ada"})).await.ok();
    let code = made["set_up"]["code"].as_str().unwrap().to_owned();
    let path = "/bailiwick/v1/sign-in";
    let post = async |path: &str, body: Value| house.send(request("", "POST", path, Some(&body))).await;
    let set_up = format!("{path}/set-up");
    assert_eq!(post(&set_up, json!({"code": code, "password": "too short"})).await.error(400)["param"], "password");
    assert_eq!(
        post(&set_up, json!({"code": code, "password": "my name is ada, really"})).await.error(400)["param"],
        "password"
    );
    post(&set_up, json!({"code": "bws_guess", "password": PASSWORD})).await.error(401);
    post(&set_up, json!({"code": code, "password": PASSWORD})).await.ok();
    // Once.
    post(&set_up, json!({"code": code, "password": "another long password"})).await.error(401);

    let wrong = post(path, json!({"login": "ada", "password": "wrong password"})).await.error(401);
    let unknown = post(path, json!({"login": "eve", "password": "wrong password"})).await.error(401);
    assert_eq!(wrong, unknown);
    assert_eq!(wrong["code"], "sign_in_failed");
    post(path, json!({"login": "ada", "password": PASSWORD})).await.ok();
    let mut refused = None;
    for _ in 0..20 {
        let answer = post(path, json!({"login": "ADA ", "password": "wrong password"})).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("somebody may guess for ever");
    refused.error(429);
    assert!(refused.headers.contains_key("retry-after"));
    // The right password does not help either, until the time is over.
    post(path, json!({"login": "ada", "password": PASSWORD})).await.error(429);

    let reset = format!("/bailiwick/v1/people/{}/reset-password", made["id"].as_str().unwrap());
    let code = house.post(&reset, json!({})).await.ok()["set_up"]["code"].as_str().unwrap().to_owned();
    post(&set_up, json!({"code": code, "password": "another long password"})).await.ok();
}

#[tokio::test]
async fn every_change_says_who_made_it_and_holds_no_secret() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["builder"]).await;
    ask(&house, &token, "POST", "/v1/agents", json!({"model": "main", "bailiwick": {"note": "for the ledger"}}))
        .await
        .ok();
    house.post(&format!("/bailiwick/v1/people/{ada}"), json!({"disabled": true})).await.ok();
    let page = house.get("/bailiwick/v1/administration?limit=100").await.ok();
    let changes = page["data"].as_array().unwrap();
    let kinds: Vec<&str> = changes.iter().filter_map(|change| change["change"].as_str()).collect();
    for kind in ["user.created", "user.password_set", "user.signed_in", "agent.created", "user.disabled"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let made = changes.iter().find(|change| change["change"] == "agent.created").unwrap();
    assert!(made["by"].to_string().contains(&ada), "{made}");
    assert_eq!(made["reason"], "for the ledger");
    let text = page.to_string();
    assert!(!text.contains(PASSWORD) && !text.contains(&token) && !text.contains("bws_"), "a secret is on a receipt");
}
