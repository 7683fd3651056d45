//! Bad input: each gets a clear answer in the API's own shape, nothing is lost, nothing panics.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use axum::{
    body::Body,
    http::{HeaderValue, Request},
};
use bailiwick_api::Limits;
use bailiwick_ports::{Scope, StoreError};
use bailiwick_types::Millis;
use common::{House, say};
use serde_json::{Value, json};

fn session(more: Value) -> Value {
    let mut body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn agent(more: Value) -> Value {
    let mut agent = json!({"model": "main"});
    for (key, value) in more.as_object().unwrap() {
        agent[key] = value.clone();
    }
    session(json!({"agent": agent}))
}

fn hosted(more: Value) -> Value {
    let mut environment = json!({"type": "openai_hosted"});
    for (key, value) in more.as_object().unwrap() {
        environment[key] = value.clone();
    }
    session(json!({"environment": environment}))
}

fn tool(tool: Value) -> Value {
    agent(json!({"tools": [tool]}))
}

#[tokio::test]
async fn what_is_not_built_is_named_and_never_ignored() {
    let house = House::new().await;
    let function = json!({"type": "function", "name": "f", "description": "", "parameters": {}});
    let with = |key: &str| {
        let mut function = function.clone();
        function[key] = json!(true);
        function
    };
    let cases = [
        (
            tool(
                json!({"type": "mcp", "server_label": "x", "transport": {"type": "stdio", "command": "x", "cwd": "/"}}),
            ),
            "agent.tools[0].transport.type",
        ),
        (tool(json!({"type": "web_search", "mode": "disabled"})), "agent.tools[0].type"),
        (tool(json!({"type": "programmatic_tool_calling"})), "agent.tools[0].type"),
        (tool(json!({"type": "automations"})), "agent.tools[0].type"),
        (tool(json!({"type": "computer_use"})), "agent.tools[0].type"),
        (tool(with("async")), "agent.tools[0].async"),
        (agent(json!({"compaction": {"async": true}})), "agent.compaction.async"),
        (agent(json!({"experimental": {"time_awareness": true}})), "agent.experimental.time_awareness"),
        (agent(json!({"multi_agent": {"enabled": true}})), "agent.multi_agent.enabled"),
        (hosted(json!({"network": {"access": "enabled"}})), "environment.network.access"),
        (hosted(json!({"network": {"access": "restricted"}})), "environment.network.access"),
        (hosted(json!({"packages": {"python": ["x"]}})), "environment.packages.python"),
        (hosted(json!({"plugins": [{}]})), "environment.plugins"),
        (hosted(json!({"desktop": {"enabled": true}})), "environment.desktop.enabled"),
        (hosted(json!({"environment_id": "env_1"})), "environment.environment_id"),
        (hosted(json!({"environment_template_id": "t"})), "environment.environment_template_id"),
    ];
    for (body, param) in cases {
        let answer = house.post("/v1/agents/sessions", body).await;
        assert_eq!(answer.headers["x-should-retry"], "false", "{param}");
        let error = answer.error(501);
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!("not_implemented")), "{param}");
        assert!(error["message"].as_str().unwrap().contains(param), "{error}");
    }
    let error = house.get("/v1/agents/automations/auto_1").await.error(501);
    assert_eq!(error["param"], "GET /v1/agents/automations/{automation_id}");
    assert_eq!(house.get("/v1/agents/sessions").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn what_means_nothing_here_is_taken_as_the_sdk_sends_it() {
    let house = House::new().await;
    house.script([say("Ok."), say("Ok.")]);
    let harmless = json!({
        "model": "main", "compaction": null, "experimental": {"time_awareness": false}, "instructions": null,
        "multi_agent": {"enabled": false}, "reasoning": {"effort": null, "summary": "auto"}, "service_tier": "priority",
        "text": {"format": {"type": "text"}, "verbosity": "low"}, "tools": null,
    });
    let body = session(json!({
        "agent": harmless, "metadata": null, "prompt_cache_options": {"ttl": "30m"}, "review": "none",
        "spend_control": {"limit": null}, "stream": false, "vault_ids": [],
        "input": [{"role": "user", "type": "message", "content": [{"type": "input_text", "text": "Hi"}]}],
        "environment": {"type": "openai_hosted", "network": {"access": "disabled"}, "packages": {"npm": []},
            "files": [], "skills": null, "desktop": {"enabled": false}, "container_size": "small"},
    }));
    let made = house.post("/v1/agents/sessions", body).await.ok();
    assert_eq!(made["agent"]["service_tier"], "priority");
    assert_eq!(made["agent"]["text"], json!({"format": {"type": "text"}, "verbosity": "low"}));
    assert_eq!(made["agent"]["reasoning"], json!({"effort": null, "summary": "auto"}));
    assert_eq!(made["agent"]["multi_agent"], json!({"enabled": false, "max_concurrent_subagents": null}));
    assert_eq!(made["prompt_cache_options"], json!({"ttl": "30m"}));
    assert_eq!(made["environment"]["container_size"], "small");
    assert_eq!(made["environment"]["network"], json!({"access": "disabled", "allowed_domains": []}));
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let body = agent(json!({"text": {"format": {"type": "json_schema", "schema": schema}}}));
    let made = house.post("/v1/agents/sessions", body).await.ok();
    assert_eq!(made["agent"]["text"]["format"], json!({"type": "json_schema", "schema": schema}));
    house.until(made["id"].as_str().unwrap(), |session| session["status"] == "idle").await;
    let seen = house.model.seen.lock().unwrap();
    assert!(seen.iter().any(|request| request.text.schema.as_ref() == Some(&schema)));
}

#[tokio::test]
async fn a_wrong_field_is_named_by_its_path() {
    let house = House::new().await;
    let message = |content: Value| session(json!({"input": [{"role": "user", "content": content}]}));
    let file = |file: Value| hosted(json!({"files": [file]}));
    let function = |name: &str| json!({"type": "function", "name": name, "description": "", "parameters": {}});
    let pairs: serde_json::Map<String, Value> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    let cases = [
        (json!({"agent": {"model": "main"}, "input": "Hi"}), "environment"),
        (json!({"environment": {"type": "none"}, "input": "Hi"}), "agent"),
        (json!({"agent": {}, "environment": {"type": "none"}, "input": "Hi"}), "agent.model"),
        (json!({"agent": {"model": "main"}, "environment": {"type": "none"}}), "input"),
        (session(json!({"input": ""})), "input"),
        (session(json!({"input": 5})), "input"),
        (session(json!({"colour": "red"})), "colour"),
        (session(json!({"stream_options": {}})), "stream_options"),
        (session(json!({"environment": {"type": "cloud"}})), "environment.type"),
        (session(json!({"environment": {}})), "environment.type"),
        (session(json!({"environment": {"type": "none", "id": 1}})), "environment.id"),
        (session(json!({"environment": {"type": "self_hosted"}})), "environment.workspace_directory"),
        (
            session(json!({"environment": {"type": "self_hosted", "workspace_directory": "a/../b"}})),
            "environment.workspace_directory",
        ),
        (
            session(json!({"environment": {"type": "self_hosted", "workspace_directory": "/w",
            "bailiwick": {"executor": "nobody"}}})),
            "environment.bailiwick.executor",
        ),
        (session(json!({"metadata": {"a": 1}})), "metadata.a"),
        (session(json!({"metadata": {"bailiwick.x": "1"}})), "metadata.bailiwick.x"),
        (session(json!({"metadata": {"a": "x".repeat(513)}})), "metadata.a"),
        (session(json!({"metadata": pairs})), "metadata"),
        (session(json!({"role_arn": "admin"})), "role_arn"),
        (session(json!({"prompt_cache_options": {"ttl": "5m"}})), "prompt_cache_options.ttl"),
        (agent(json!({"model": "gpt"})), "agent.model"),
        (agent(json!({"model": null, "colour": 1})), "agent.colour"),
        (agent(json!({"reasoning": {"effort": "extreme"}})), "agent.reasoning.effort"),
        (agent(json!({"text": {"format": {"type": "xml"}}})), "agent.text.format.type"),
        (agent(json!({"text": {"format": {"type": "json_schema"}}})), "agent.text.format.schema"),
        (agent(json!({"tools": {}})), "agent.tools"),
        (agent(json!({"bailiwick": {"remit": {"allow": ["file.eddit"]}}})), "agent.bailiwick.remit"),
        (agent(json!({"bailiwick": {"limits": {"steps_per_turn": 0}}})), "agent.bailiwick.limits.steps_per_turn"),
        (agent(json!({"bailiwick": {"limits": {"steps": 1}}})), "agent.bailiwick.limits.steps"),
        (tool(json!({"type": "function", "description": "", "parameters": {}})), "agent.tools[0].name"),
        (tool(json!({"type": "hammer"})), "agent.tools[0].type"),
        (tool(function("not a name")), "agent.tools[0].name"),
        (tool(function("run_command")), "agent.tools[0].name"),
        (agent(json!({"tools": [function("f"), function("f")]})), "agent.tools[1].name"),
        (message(json!([])), "input[0].content"),
        (message(json!([{"type": "input_text"}])), "input[0].content[0].text"),
        (message(json!([{"type": "input_image", "image_url": "file:///etc/passwd"}])), "input[0].content[0].image_url"),
        (message(json!([{"type": "input_video", "url": ""}])), "input[0].content[0].type"),
        (session(json!({"input": [{"role": "system", "content": []}]})), "input[0].role"),
        (hosted(json!({"container_size": "huge"})), "environment.container_size"),
        (hosted(json!({"env": {"1A": "x"}})), "environment.env"),
        (hosted(json!({"setup_commands": [{"command": "ls", "cwd": "x"}]})), "environment.setup_commands[0].cwd"),
        (hosted(json!({"network": {"access": "disabled", "allowed_domains": ["x.y"]}})), "environment.network"),
        (file(json!({"type": "inline", "data": "!", "path": "/workspace/a"})), "environment.files[0].data"),
        (file(json!({"type": "inline", "data": "", "path": "/etc/passwd"})), "environment.files[0].path"),
        (file(json!({"type": "inline", "data": "", "path": "/workspace/../etc"})), "environment.files[0].path"),
        (file(json!({"type": "inline", "data": "", "path": "/workspace/.codex/x"})), "environment.files[0].path"),
        (file(json!({"type": "file_id", "file_id": "file_1", "path": "/workspace/a"})), "environment.files[0].file_id"),
    ];
    for (body, param) in cases {
        let error = house.post("/v1/agents/sessions", body.clone()).await.error(400);
        assert_eq!(error["param"], param, "{body}: {error}");
    }
    let error = house.post("/v1/agents/sessions", session(json!({"agent_id": "agent_1"}))).await.error(404);
    assert_eq!(error["param"], "agent_id");
    assert_eq!(house.get("/v1/agents/sessions").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let house = House::new().await;
    let send = |body: Vec<u8>| {
        let mut request = house.request("POST", "/v1/agents/sessions", None);
        *request.body_mut() = Body::from(body);
        house.send(request)
    };
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let deep_field = format!("{{\"agent\":{{\"tools\":{}1{}}}}}", "[".repeat(70), "]".repeat(70));
    let not_utf8 = b"{\"input\":\"\xff\"}".to_vec();
    for body in [
        b"".to_vec(),
        b"  ".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{} {}".to_vec(),
        b"{\"agent\":1,\"agent\":2}".to_vec(),
        not_utf8,
        deep,
        deep_field.into_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let error = send(body).await.error(400);
        assert!(error["message"].as_str().unwrap().len() < 500, "{shown}: {error}");
    }
    for name in ["x".repeat(100_000), "\u{1b}[31m".into(), "\u{1}model\u{1}".into()] {
        let error = house.post("/v1/agents", json!({"model": "main", name: 1})).await.error(400);
        let message = error["message"].as_str().unwrap();
        assert!(message.len() < 2000 && !message.chars().any(char::is_control), "{error}");
        assert!(error["param"].as_str().unwrap().len() < 1000, "{error}");
    }
    let house = House::with(Limits { json_bytes: 1000, ..Limits::default() }).await;
    let mut request = house.request("POST", "/v1/agents/sessions", None);
    *request.body_mut() = Body::from(vec![b' '; 1001]);
    assert_eq!(house.send(request).await.error(413)["param"], "body");
    let mut request = house.request("POST", "/v1/agents", Some(&json!({"model": "main"})));
    request.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
    house.send(request).await.error(415);
}

#[tokio::test]
async fn what_does_not_arrive_in_time_is_given_up() {
    let house = House::with(Limits { body_time: Millis(20), ..Limits::default() }).await;
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let mut request = house.request("POST", "/v1/agents", None);
    *request.body_mut() = Body::from_stream(never);
    assert_eq!(house.send(request).await.error(408)["code"], "request_timeout");
}

#[tokio::test]
async fn wrong_states_and_unknown_things_are_named() {
    let house = House::new().await;
    house.script([say("Ok.")]);
    let (made, _) = house.run("Hi", json!({})).await;
    let path = format!("/v1/agents/sessions/{}", made["id"].as_str().unwrap());
    let events = format!("{path}/events");
    for (body, param) in [
        (json!({}), "events"),
        (json!({"events": []}), "events"),
        (json!({"events": [{}]}), "events[0].type"),
        (json!({"events": [{"type": "agent.session.input.dance"}]}), "events[0].type"),
        (json!({"events": [{"type": "agent.session.input.message", "input": []}]}), "events[0].input"),
        (json!({"events": [{"type": "agent.session.input.message"}]}), "events[0].input"),
        (json!({"events": [{"type": "agent.session.input.tool_result", "call_id": "c"}]}), "events[0].turn_id"),
    ] {
        assert_eq!(house.post(&events, body.clone()).await.error(400)["param"], param, "{body}");
    }
    let approval = json!({"events": [{"type": "agent.session.input.mcp_approval_request_result", "request_id": "r",
        "response": {"decision": "approve", "type": "mcp_tool_call"}}]});
    assert_eq!(house.post(&events, approval).await.error(400)["param"], "events[0].request_id");
    for key in ["", "a\tb", &"k".repeat(256)] {
        let body = json!({"events": [{"type": "agent.session.input.cancel"}]});
        let mut request = house.request("POST", &events, Some(&body));
        request.headers_mut().insert("idempotency-key", HeaderValue::from_str(key).unwrap());
        assert_eq!(house.send(request).await.error(400)["param"], "Idempotency-Key");
    }
    for path in [
        "/v1/agents/sessions/sess_1",
        "/v1/agents/sessions/sess_00000000000070008000000000000000",
        "/v1/agents/sessions/%00",
        "/v1/agents/agent_x",
        "/v1/files/file_x",
        "/v1/models/nobody",
        "/v1/agents/environments/env_x",
        &format!("{path}/turns/turn_00000000000070008000000000000000"),
        &format!("{path}/artifacts/artf_00000000000070008000000000000000/content"),
    ] {
        assert_eq!(house.get(path).await.error(404)["code"], "not_found", "{path}");
    }
    // Another session's entries are no cursors here.
    house.script([say("Ok.")]);
    let (other, _) = house.run("Hi", json!({})).await;
    let items = house.get(&format!("/v1/agents/sessions/{}/items", other["id"].as_str().unwrap())).await.ok();
    let foreign = format!("{path}/items?after={}", items["first_id"].as_str().unwrap());
    assert_eq!(house.get(&foreign).await.error(400)["param"], "after");
    assert_eq!(house.get("/v2/anything").await.error(404)["code"], "unknown_route");
    assert_eq!(house.get("/v1/").await.error(404)["code"], "unknown_route");
    let put = house.send(house.request("PUT", "/v1/agents", None)).await;
    assert_eq!(put.error(405)["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_session_is_no_way_around_the_scopes_of_what_it_is_made_of() {
    let house = House::new().await;
    let agent = house.post("/v1/agents", json!({"model": "main"})).await.ok()["id"].clone();
    let file = house.send(common::upload(&house.key, "a.txt", b"x")).await.ok()["id"].clone();
    let key = house.new_key(vec![Scope::SessionsWrite]).await;
    let files = json!([{"type": "file_id", "file_id": file, "path": "/workspace/a"}]);
    for (body, param) in
        [(session(json!({"agent_id": agent})), "agent_id"), (hosted(json!({"files": files})), "environment.files")]
    {
        let request = common::request(&key, "POST", "/v1/agents/sessions", Some(&body));
        assert_eq!(house.send(request).await.error(403)["param"], param);
    }
}

#[tokio::test]
async fn credentials_that_are_none_are_told_so() {
    let house = House::new().await;
    let send = |value: Option<&'static str>| {
        let mut request = Request::builder().uri("/v1/models").body(Body::empty()).unwrap();
        if let Some(value) = value {
            request.headers_mut().insert("authorization", HeaderValue::from_static(value));
        }
        house.send(request)
    };
    for value in [None, Some("Bearer"), Some("Bearer x y"), Some("Basic eDp5"), Some("AWS4-HMAC-SHA256 nonsense")] {
        let answer = send(value).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert_eq!(answer.error(401)["code"], "invalid_api_key", "{value:?}");
    }
}

#[tokio::test]
async fn too_much_at_once_is_refused_and_says_when_to_come_again() {
    let house = House::with(Limits { rate_per_second: 1, burst: 3, ..Limits::default() }).await;
    let mut last = house.get("/v1/models").await;
    for _ in 0..3 {
        last = house.get("/v1/models").await;
    }
    assert_eq!(last.headers["retry-after"], "1");
    assert_eq!(last.error(429)["code"], "rate_limit_exceeded");
    let other = house.new_key(vec![Scope::AgentsRead]).await;
    house.send(common::request(&other, "GET", "/v1/models", None)).await.ok();

    let house = House::with(Limits { streams: 1, ..Limits::default() }).await;
    house.script([say("Ok."), say("Ok.")]);
    let (made, _) = house.run("Hi", json!({})).await;
    let session_id = made["id"].as_str().unwrap().to_owned();
    while house.api.open_streams() > 0 {
        tokio::task::yield_now().await;
    }
    let held = house.watch(&session_id, None).await;
    let refused = house.get(&format!("/v1/agents/sessions/{session_id}/events")).await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.error(503)["code"], "overloaded");
    let refused = house.post("/v1/agents/sessions", session(json!({"stream": true}))).await;
    refused.error(503);
    assert_eq!(house.get("/v1/agents/sessions").await.ok()["data"].as_array().unwrap().len(), 1);
    drop(held);
    while house.api.open_streams() > 0 {
        tokio::task::yield_now().await;
    }
    house.watch(&session_id, None).await;

    let house = House::with(Limits { requests: 0, ..Limits::default() }).await;
    house.get("/v1/models").await.error(503);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_events_is_dropped_and_streams_end_when_the_server_does() {
    let house = House::with(Limits { heartbeat: Millis(1), patience: Millis(10), ..Limits::default() }).await;
    house.script([say("Ok.")]);
    let (made, _) = house.run("Hi", json!({})).await;
    let session_id = made["id"].as_str().unwrap();
    // Nobody reads: heartbeats fill the queue, and then patience ends.
    let held = house.watch(session_id, None).await;
    while house.api.open_streams() > 0 {
        tokio::time::sleep(Millis(5).as_duration()).await;
    }
    drop(held);

    let house = House::new().await;
    house.script([say("Ok.")]);
    let (made, _) = house.run("Hi", json!({})).await;
    let mut events = house.watch(made["id"].as_str().unwrap(), None).await;
    house.api.close_streams();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_full_disk_says_so_and_loses_nothing() {
    use bailiwick_testkit::store::When;
    let house = House::new().await;
    house.store.faults().fail(1, When::Before, StoreError::Full);
    let answer = house.post("/v1/agents", json!({"model": "main"})).await;
    assert_eq!(answer.headers["retry-after"], "30");
    assert_eq!(answer.error(507)["code"], "disk_full");
    house.store.faults().fail(1, When::Before, StoreError::Unavailable("unplugged: /secret/place".into()));
    let error = house.post("/v1/agents", json!({"model": "main"})).await.error(503);
    assert!(!error["message"].as_str().unwrap().contains("secret"), "{error}");
    house.post("/v1/agents", json!({"model": "main"})).await.ok();
}
