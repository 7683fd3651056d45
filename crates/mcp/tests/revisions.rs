//! What goes over the wire in each revision, against a server that writes down what it is sent.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests drive real connections")]

mod support;

use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::Live;
use bailiwick_mcp::{Called, Effect, McpServer, NeedsPerson, Reply, Resume, Revision, ToolCall, Trouble, Wants};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use support::{
    RealClock, access, call, client, over,
    peer::{self, Peer, Say, legacy, modern, plain_tool, result},
    text, tool, with_token,
};

fn clock() -> Arc<RealClock> {
    Arc::new(RealClock)
}

fn hello() -> Value {
    json!({ "content": [{ "type": "text", "text": "hello" }] })
}

fn complete() -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": "hello" }] })
}

#[tokio::test]
async fn the_newest_revision_needs_no_handshake_and_says_everything_each_time() {
    let schema =
        json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
    let tools = json!([{ "name": "look.up", "inputSchema": schema }]);
    let peer =
        Peer::start(move |seen| modern(seen, tools.clone()).unwrap_or_else(|| Say::Json(result(seen, complete()))))
            .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "look.up").await;
    let arguments = json!({ "region": "eu\nwest" });
    let call = ToolCall { tool: &tool, arguments: &arguments, replies: BTreeMap::new(), resume: None };
    let called = client.call(&with_token("t0ken"), &call, &Live::unwatched(), &|_| ()).await;
    assert_eq!(text(&called), "hello");
    assert_eq!(peer.methods(), ["server/discover", "tools/list", "tools/call"]);
    let seen = peer.seen().pop().unwrap();
    let header = |name: &str| seen.headers.get(name).map(String::as_str);
    assert_eq!(header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!((header("mcp-method"), header("mcp-name")), (Some("tools/call"), Some("look.up")));
    assert_eq!(header("mcp-param-region"), Some("=?base64?ZXUKd2VzdA==?="));
    assert_eq!(header("accept"), Some("application/json, text/event-stream"));
    assert_eq!(header("authorization"), Some("Bearer t0ken"));
    assert_eq!((header("user-agent"), header("mcp-session-id")), (Some("bailiwick (test)"), None));
    let meta = &seen.body["params"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "bailiwick");
    assert!(meta["io.modelcontextprotocol/clientCapabilities"]["elicitation"]["form"].is_object());
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn older_revisions_begin_with_a_handshake_and_keep_a_session() {
    for (revision, has_header) in [("2025-03-26", false), ("2025-06-18", true), ("2025-11-25", true)] {
        let peer = Peer::start(move |seen| {
            legacy(seen, revision, json!([plain_tool("a")])).unwrap_or_else(|| Say::Json(result(seen, hello())))
        })
        .await;
        let client = client(&peer.url, clock(), over(&peer.url));
        let agreed = client.agree(&access(), &Live::unwatched()).await.unwrap();
        assert_eq!((agreed.revision.as_str(), agreed.server.as_str()), (revision, "old peer 1"));
        let tool = tool(&client, "a").await;
        assert_eq!(text(&call(&client, &tool, json!({})).await), "hello");
        client.close(&access()).await;
        let methods =
            ["server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call", "DELETE"];
        assert_eq!(peer.methods(), methods);
        let seen = peer.seen();
        assert_eq!(seen[1].body["params"]["protocolVersion"], "2025-11-25");
        assert!(!seen[1].headers.contains_key("mcp-session-id"));
        for after in &seen[2..] {
            assert_eq!(after.headers["mcp-session-id"], "session-1", "{}", after.rpc());
            assert_eq!(after.headers.get("mcp-protocol-version").map(String::as_str), has_header.then_some(revision));
            assert!(!after.headers.contains_key("mcp-method"));
        }
        assert_eq!(seen[4].body["params"]["_meta"].as_object().unwrap().len(), 1, "only the token of progress");
    }
}

#[tokio::test]
async fn a_server_that_speaks_nothing_we_know_is_told_apart_from_one_that_is_older() {
    let peer = Peer::start(|seen| {
        let error = json!({ "code": -32022, "message": "no", "data": { "supported": ["2031-01-01"] } });
        let body = json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": error }).to_string();
        Say::Status(400, vec![("content-type", "application/json".into())], body)
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let trouble = client.agree(&access(), &Live::unwatched()).await.unwrap_err();
    assert_eq!(peer.methods(), ["server/discover"], "it is a new server: there is no handshake to try");
    assert!(!trouble.may_have_happened());
    assert!(trouble.clone().failure().message.contains("-32022"), "{trouble:?}");

    let odd = Peer::start(|seen| legacy(seen, "1999-01-01", json!([])).unwrap_or(Say::Hang)).await;
    let second = support::client(&odd.url, clock(), over(&odd.url));
    let failure = second.agree(&access(), &Live::unwatched()).await.unwrap_err().failure();
    assert!(failure.message.contains("1999-01-01") && failure.message.contains("2025-06-18"), "{failure:?}");
}

#[tokio::test]
async fn one_configured_revision_is_spoken_without_a_probe() {
    let peer = Peer::start(|seen| legacy(seen, "2025-06-18", json!([])).unwrap_or(Say::Hang)).await;
    let server = McpServer { revision: Some(Revision::June2025), ..over(&peer.url) };
    let pinned = client(&peer.url, clock(), server);
    pinned.agree(&access(), &Live::unwatched()).await.unwrap();
    assert_eq!(peer.methods(), ["initialize", "notifications/initialized"]);
    let other = McpServer { revision: Some(Revision::March2025), ..over(&peer.url) };
    let failure = client(&peer.url, clock(), other).agree(&access(), &Live::unwatched()).await.unwrap_err().failure();
    assert_eq!(failure.code, FailureCode::InvalidRequest);
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_begun_anew_and_the_call_is_made() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let peer = Peer::start(move |seen| {
        let gone = || Say::Status(404, vec![], String::new());
        legacy(seen, "2025-11-25", json!([plain_tool("a")])).unwrap_or_else(|| {
            match counted.fetch_add(1, Ordering::Relaxed) {
                0 => gone(),
                _ => Say::Json(result(seen, hello())),
            }
        })
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "a").await;
    assert_eq!(text(&call(&client, &tool, json!({})).await), "hello");
    let sessions: Vec<String> = peer
        .seen()
        .iter()
        .filter(|seen| seen.rpc() == "tools/call")
        .map(|seen| seen.headers["mcp-session-id"].clone())
        .collect();
    assert_eq!(sessions.len(), 2);
    assert_ne!(sessions[0], sessions[1]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_resumed_where_the_revision_has_that() {
    let id = Arc::new(Mutex::new(Value::Null));
    let peer = Peer::start(move |seen| match (seen.method.as_str(), seen.rpc()) {
        ("POST", "tools/call") => {
            *id.lock().unwrap() = seen.body["id"].clone();
            let token = &seen.body["params"]["_meta"]["progressToken"];
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                "params": { "progressToken": token, "progress": 1, "total": 2, "message": "half" } });
            Say::Events(vec!["id: e1\nretry: 1\ndata: ".into(), format!("id: e2\ndata: {progress}")])
        }
        ("GET", _) if seen.headers["last-event-id"] == "e2" => {
            let answer = json!({ "jsonrpc": "2.0", "id": *id.lock().unwrap(), "result": hello() });
            Say::Events(vec![format!("id: e3\ndata: {answer}")])
        }
        _ => legacy(seen, "2025-11-25", json!([plain_tool("a")])).unwrap_or(Say::Hang),
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "a").await;
    let heard = Mutex::new(Vec::new());
    let call = ToolCall { tool: &tool, arguments: &json!({}), replies: BTreeMap::new(), resume: None };
    let watch = |progress| heard.lock().unwrap().push(progress);
    let called = client.call(&access(), &call, &Live::unwatched(), &watch).await;
    assert_eq!(text(&called), "hello");
    assert_eq!(heard.lock().unwrap()[0].message.as_deref(), Some("half"));
    assert_eq!(peer.methods().last().unwrap(), "GET");
}

#[tokio::test]
async fn an_answer_that_breaks_off_for_good_is_unknown_and_made_again_only_where_that_does_no_harm() {
    for (effect, calls) in [(Effect::Write, 1), (Effect::Idempotent, 2), (Effect::Read, 2)] {
        let peer = Peer::start(|seen| {
            modern(seen, json!([plain_tool("a")])).unwrap_or_else(|| Say::Events(vec![": nothing".into()]))
        })
        .await;
        let client = client(&peer.url, clock(), over(&peer.url));
        let mut tool = tool(&client, "a").await;
        tool.effect = effect;
        let called = call(&client, &tool, json!({})).await;
        match effect {
            Effect::Read => assert!(matches!(called, Called::Failed(_)), "{called:?}"),
            _ => assert!(matches!(called, Called::Unknown(_)), "{called:?}"),
        }
        assert_eq!(peer.methods().iter().filter(|method| *method == "tools/call").count(), calls);
    }
}

#[tokio::test]
async fn a_question_of_the_newest_revision_waits_for_a_person_and_goes_on() {
    let peer = Peer::start(|seen| {
        let params = &seen.body["params"];
        modern(seen, json!([plain_tool("book")])).unwrap_or_else(|| {
            Say::Json(result(seen, match params.get("inputResponses") {
                None => json!({
                    "resultType": "input_required", "requestState": "sealed",
                    "inputRequests": { "seat": { "method": "elicitation/create", "params": {
                        "mode": "form", "message": "Which seat?", "requestedSchema": { "type": "object",
                            "properties": { "row": { "type": "integer", "minimum": 1 } }, "required": ["row"] } } } },
                }),
                Some(responses) => {
                    let text = format!("{responses} {}", params["requestState"]);
                    json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
                }
            }))
        })
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "book").await;
    let Called::NeedsPerson(asked) = call(&client, &tool, json!({})).await else { panic!("nobody is asked") };
    assert_eq!(asked.questions[0].message, "Which seat?");
    assert!(matches!(asked.questions[0].wants, Wants::Form { .. }));
    // Days may lie between: it is kept as text.
    let kept: NeedsPerson = serde_json::from_str(&serde_json::to_string(&asked).unwrap()).unwrap();
    let answered = |content: Value| ToolCall {
        tool: &tool,
        arguments: &Value::Null,
        replies: [("seat".to_owned(), Reply::Accept { content: content.as_object().unwrap().clone() })].into(),
        resume: Some(kept.resume.clone()),
    };
    let wrong = client.call(&access(), &answered(json!({ "row": 0 })), &Live::unwatched(), &|_| ()).await;
    assert!(matches!(&wrong, Called::NotSent(failure) if failure.message.contains("`row`")), "{wrong:?}");
    let right = client.call(&access(), &answered(json!({ "row": 7 })), &Live::unwatched(), &|_| ()).await;
    assert_eq!(text(&right), r#"{"seat":{"action":"accept","content":{"row":7}}} "sealed""#);
}

#[tokio::test]
async fn a_question_within_a_session_is_called_off_and_asked_again_with_the_answer() {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&answers);
    let peer = Peer::start(move |seen| {
        if seen.body.get("result").is_some() || seen.body.get("error").is_some() {
            kept.lock().unwrap().push(seen.body.clone());
            return Say::Status(202, vec![], String::new());
        }
        legacy(seen, "2025-06-18", json!([plain_tool("book")])).unwrap_or_else(|| {
            let ask = |id: &str, method: &str, params: Value| {
                format!("data: {}", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            };
            let form = json!({ "message": "Which seat?", "requestedSchema": { "type": "object",
                "properties": { "row": { "type": "integer" } } } });
            Say::Events(vec![
                ask("q1", "elicitation/create", form),
                ask("q2", "sampling/createMessage", json!({ "messages": [] })),
                ask("q3", "roots/list", json!({})),
                ask("q4", "ping", json!({})),
                format!("data: {}", result(seen, hello())),
            ])
        })
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "book").await;
    let Called::NeedsPerson(asked) = call(&client, &tool, json!({})).await else { panic!("nobody is asked") };
    assert!(matches!(&asked.resume, Resume::Again { meanwhile } if meanwhile.len() == 1));
    let said: Vec<Value> = std::mem::take(&mut *answers.lock().unwrap());
    assert_eq!(said[0]["result"], json!({ "action": "cancel" }));
    assert_eq!((&said[1]["error"]["code"], &said[2]["error"]["code"]), (&json!(-32601), &json!(-32601)));
    assert_eq!((&said[3]["id"], &said[3]["result"]), (&json!("q4"), &json!({})));
    let content = json!({ "row": 7 }).as_object().unwrap().clone();
    let replies = [(asked.questions[0].key.clone(), Reply::Accept { content })].into();
    let again = ToolCall { tool: &tool, arguments: &json!({}), replies, resume: Some(asked.resume) };
    assert_eq!(text(&client.call(&access(), &again, &Live::unwatched(), &|_| ()).await), "hello");
    assert_eq!(answers.lock().unwrap()[0]["result"], json!({ "action": "accept", "content": { "row": 7 } }));
}

#[tokio::test]
async fn what_this_side_does_not_offer_is_refused_in_words() {
    let peer = Peer::start(|seen| {
        modern(seen, json!([plain_tool("a")])).unwrap_or_else(|| {
            let request = json!({ "method": "sampling/createMessage", "params": { "messages": [] } });
            Say::Json(result(seen, json!({ "resultType": "input_required", "inputRequests": { "x": request } })))
        })
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "a").await;
    let called = call(&client, &tool, json!({})).await;
    assert!(matches!(&called, Called::Failed(failure) if failure.message.contains("does not offer")), "{called:?}");
}

#[tokio::test]
async fn a_server_that_wants_a_sign_in_says_where_and_nothing_was_done() {
    let challenge = r#"Bearer resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource", scope="files:read""#;
    let peer = Peer::start(move |seen| match seen.headers.get("authorization").map(String::as_str) {
        Some("Bearer good") => modern(seen, json!([plain_tool("a")])).unwrap_or_else(|| {
            Say::Status(
                403,
                vec![("www-authenticate", r#"Bearer error="insufficient_scope", scope="files:write""#.into())],
                String::new(),
            )
        }),
        _ => Say::Status(401, vec![("www-authenticate", challenge.into())], String::new()),
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let Err(Trouble::SignIn(asked)) = client.tools(&access(), &Live::unwatched()).await else {
        panic!("nobody is asked")
    };
    assert_eq!((asked.status, asked.scope.as_deref()), (401, Some("files:read")));
    assert_eq!(peer.methods(), ["server/discover"], "a sign-in is no reason to try an older revision");
    let listed = client.tools(&with_token("good"), &Live::unwatched()).await.unwrap();
    let call = ToolCall { tool: &listed.tools[0], arguments: &json!({}), replies: BTreeMap::new(), resume: None };
    let called = client.call(&with_token("good"), &call, &Live::unwatched(), &|_| ()).await;
    assert!(matches!(&called, Called::SignIn(more) if more.scope.as_deref() == Some("files:write")), "{called:?}");
}

#[tokio::test]
async fn answers_with_a_status_are_told_for_what_they_are() {
    for (status, code, unknown) in [
        (429, FailureCode::RateLimited, false),
        (503, FailureCode::Overloaded, false),
        (400, FailureCode::InvalidRequest, false),
        (500, FailureCode::ServerError, true),
        (502, FailureCode::ServerError, true),
        (302, FailureCode::ConnectionFailed, false),
    ] {
        let peer = Peer::start(move |seen| {
            let to = vec![("location", "http://169.254.169.254/latest/meta-data".to_owned())];
            modern(seen, json!([plain_tool("a")])).unwrap_or_else(|| Say::Status(status, to, String::new()))
        })
        .await;
        let client = client(&peer.url, clock(), over(&peer.url));
        let tool = tool(&client, "a").await;
        match call(&client, &tool, json!({})).await {
            Called::Unknown(Failure { code: is, .. }) if unknown => assert_eq!(is, code, "{status}"),
            Called::Failed(Failure { code: is, .. }) if !unknown => assert_eq!(is, code, "{status}"),
            other => panic!("{status}: {other:?}"),
        }
        assert_eq!(peer.seen().len(), 3, "no redirect is followed and nothing is repeated");
    }
}

#[tokio::test]
async fn a_change_of_the_tools_is_noticed() {
    let peer = Peer::start(|seen| {
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        peer::modern(seen, json!([plain_tool("a")])).unwrap_or_else(|| {
            Say::Events(vec![format!("data: {changed}"), format!("data: {}", result(seen, complete()))])
        })
    })
    .await;
    let client = client(&peer.url, clock(), over(&peer.url));
    let tool = tool(&client, "a").await;
    assert!(!client.take_changed());
    call(&client, &tool, json!({})).await;
    assert!(client.take_changed());
    assert!(!client.take_changed());
}
