//! The server's half: our own client in every revision, the official client, and messages that are wrong.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests drive real connections")]

mod support;

use async_trait::async_trait;
use bailiwick_core::{Content, Failure};
use bailiwick_gate::Live;
use bailiwick_mcp::{
    Called, Client, Definition, Effect, Http, HttpError, HttpRequest, HttpResponse, McpServer, Reply, Revision,
    ToolCall, Wants,
    server::{CallAnswer, IncomingCall, MessageHeaders, Server, ServerAnswer, ServerIdentity, Toolbox},
};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
};
use support::{
    RealClock, access, call, over,
    peer::{Peer, Say},
    repository, text,
};
use url::Url;

/// Many tools, one of which adds and one of which wants a person first.
struct Adding;

fn defined(name: &str, effect: Effect) -> Definition {
    let properties = json!({ "a": { "type": "integer", "x-mcp-header": "A" }, "b": { "type": "integer" } });
    let entry =
        json!({ "name": name, "description": "Adds.", "inputSchema": { "type": "object", "properties": properties } });
    Definition { effect, ..Definition::read(&entry).unwrap() }
}

#[async_trait]
impl Toolbox for Adding {
    async fn tools(&self) -> Result<Vec<Definition>, Failure> {
        let many = (0..250).map(|number| defined(&format!("t{number:03}"), Effect::Write));
        Ok([defined("add", Effect::Read), defined("ask", Effect::Write)].into_iter().chain(many).collect())
    }

    async fn call(&self, call: IncomingCall<'_>) -> Option<CallAnswer> {
        let number = |name: &str| call.arguments.get(name).and_then(Value::as_i64).unwrap_or_default();
        match (call.name, call.state) {
            ("add", _) => {
                (call.progress)(1.0, Some(2.0), "half");
                let sum = number("a") + number("b");
                let content = vec![
                    Content::text(sum.to_string()),
                    Content::Image { url: "data:image/png;base64,aGVsbG8=".into() },
                ];
                Some(CallAnswer::Done { content, structured: Some(json!({ "sum": sum })), is_error: false })
            }
            ("ask", None) => Some(CallAnswer::Visit {
                message: "This has to be approved.".into(),
                url: Url::parse("https://bailiwick.example.com/approvals/1").unwrap(),
                state: Some("one".into()),
            }),
            ("ask", Some(state)) => {
                let content = vec![Content::text(format!("it was denied ({state})"))];
                Some(CallAnswer::Done { content, structured: None, is_error: true })
            }
            _ => None,
        }
    }
}

fn server() -> Server {
    Server::new(ServerIdentity { name: "bailiwick".into(), version: "1".into(), instructions: Some("Ask.".into()) })
}

fn headers(all: &BTreeMap<String, String>) -> MessageHeaders {
    let header = |name: &str| all.get(name).cloned();
    MessageHeaders {
        protocol_version: header("mcp-protocol-version"),
        method: header("mcp-method"),
        name: header("mcp-name"),
    }
}

/// The endpoint without a connection in between.
struct Mounted;

#[async_trait]
impl Http for Mounted {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let all: BTreeMap<String, String> = request.headers.into_iter().collect();
        let before = Mutex::new(Vec::new());
        let notify = |message: Value| before.lock().unwrap().push(message);
        let answer = server().handle(&request.body, Some(&headers(&all)), &Adding, &notify).await;
        let messages = before.into_inner().unwrap();
        let (kind, text) = match (answer.body, messages.is_empty()) {
            (None, _) => ("text/plain", String::new()),
            (Some(body), true) => ("application/json", body.to_string()),
            (Some(body), false) => {
                let events = messages.iter().chain([&body]).map(|message| format!("data: {message}\n\n"));
                ("text/event-stream", events.collect())
            }
        };
        Ok(HttpResponse {
            status: answer.status,
            headers: vec![("content-type".into(), kind.into())],
            body: stream::iter([Ok(text.into_bytes().into())]).boxed(),
        })
    }
}

fn ours(revision: Option<Revision>) -> Client {
    let url = Url::parse("https://bailiwick.example.com/mcp/tools").unwrap();
    let server = McpServer { revision, ..over(&url) };
    Client::over_http(Arc::new(Mounted), Arc::new(RealClock), server, url, BTreeMap::new())
}

#[tokio::test]
async fn our_client_and_our_server_understand_each_other_in_every_revision() {
    for revision in Revision::ALL.map(Some).into_iter().chain([None]) {
        let client = ours(revision);
        let agreed = client.agree(&access(), &Live::unwatched()).await.unwrap();
        assert_eq!(agreed.revision, revision.unwrap_or(Revision::NEWEST));
        assert_eq!((agreed.server.as_str(), agreed.instructions.as_deref()), ("bailiwick 1", Some("Ask.")));
        let listed = client.tools(&access(), &Live::unwatched()).await.unwrap();
        assert_eq!((listed.tools.len(), listed.left_out.len()), (252, 0));
        let add = listed.tools.iter().find(|tool| tool.name == "add").unwrap();
        assert_eq!(add.annotations.effect(), Effect::Read);
        assert!(!add.parameters.to_string().contains("x-mcp-header"), "what others want in headers is not for callers");
        let heard = Mutex::new(0);
        let arguments = json!({ "a": 2, "b": 3 });
        let call = ToolCall { tool: add, arguments: &arguments, replies: BTreeMap::new(), resume: None };
        let watch = |_| *heard.lock().unwrap() += 1;
        let called = client.call(&access(), &call, &Live::unwatched(), &watch).await;
        let Called::Answered { content, structured, .. } = called else { panic!("{called:?}") };
        assert_eq!((content.len(), structured), (3, Some(json!({ "sum": 5 }))));
        assert_eq!(*heard.lock().unwrap(), 1);
        let nothing = Definition { name: "nothing".into(), ..add.clone() };
        assert!(matches!(support::call(&client, &nothing, json!({})).await, Called::Failed(_)));
    }
}

#[tokio::test]
async fn a_person_is_sent_to_a_page_as_well_as_the_other_side_can() {
    let client = ours(None);
    let ask = defined("ask", Effect::Write);
    let Called::NeedsPerson(asked) = call(&client, &ask, json!({})).await else { panic!("nobody is asked") };
    assert!(matches!(&asked.questions[0].wants, Wants::Visit { url } if url.path() == "/approvals/1"));
    let replies = [("visit".to_owned(), Reply::Accept { content: Map::new() })].into();
    let again = ToolCall { tool: &ask, arguments: &json!({}), replies, resume: Some(asked.resume) };
    let called = client.call(&access(), &again, &Live::unwatched(), &|_| ()).await;
    assert!(text(&called).ends_with("it was denied (one)"), "{called:?}");
    let older = ours(Some(Revision::June2025));
    let told = call(&older, &ask, json!({})).await;
    assert!(matches!(&told, Called::Answered { is_error: true, .. }));
    assert!(text(&told).contains("https://bailiwick.example.com/approvals/1"), "{told:?}");
}

async fn handle(body: &str, headers: Option<&MessageHeaders>) -> ServerAnswer {
    server().handle(body.as_bytes(), headers, &Adding, &|_| ()).await
}

fn modern(method: &str, params: Value) -> (String, MessageHeaders) {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let name = params["name"].as_str().map(str::to_owned);
    (body, MessageHeaders { protocol_version: Some("2026-07-28".into()), method: Some(method.into()), name })
}

#[tokio::test]
async fn headers_that_say_another_than_the_body_are_refused() {
    let (body, right) = modern("tools/call", json!({ "name": "add", "arguments": {} }));
    assert_eq!(handle(&body, Some(&right)).await.status, 200);
    assert_eq!(handle(&body, None).await.status, 200, "a transport without headers has none to compare");
    let encoded = MessageHeaders { name: Some("=?base64?YWRk?=".into()), ..right.clone() };
    assert_eq!(handle(&body, Some(&encoded)).await.status, 200);
    for wrong in [
        MessageHeaders { protocol_version: None, ..right.clone() },
        MessageHeaders { protocol_version: Some("2025-11-25".into()), ..right.clone() },
        MessageHeaders { method: Some("tools/list".into()), ..right.clone() },
        MessageHeaders { method: None, ..right.clone() },
        MessageHeaders { name: Some("ask".into()), ..right.clone() },
        MessageHeaders { name: Some("=?base64?*?=".into()), ..right.clone() },
        MessageHeaders { name: None, ..right.clone() },
    ] {
        let answer = handle(&body, Some(&wrong)).await;
        assert_eq!((answer.status, &answer.body.unwrap()["error"]["code"]), (400, &json!(-32020)), "{wrong:?}");
    }
}

#[tokio::test]
async fn wrong_messages_are_refused_with_the_code_that_the_protocol_has_for_them() {
    let legacy = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    let version = |text: &str| MessageHeaders { protocol_version: Some(text.into()), ..MessageHeaders::default() };
    let none = MessageHeaders::default();
    let huge = legacy("tools/call", json!({ "name": "x".repeat(2 << 20) }));
    let cases: Vec<(String, MessageHeaders, u16, i64)> = vec![
        ("{".into(), none.clone(), 400, -32700),
        ("[]".into(), none.clone(), 400, -32600),
        (String::new(), none.clone(), 400, -32600),
        (huge, none.clone(), 413, -32600),
        (legacy("nothing", json!({})), none.clone(), 200, -32601),
        (legacy("server/discover", json!({})), none.clone(), 200, -32601),
        (legacy("tools/list", json!({ "cursor": 7 })), none.clone(), 200, -32602),
        (legacy("tools/call", json!({})), none.clone(), 200, -32602),
        (legacy("tools/call", json!({ "name": "nothing" })), none.clone(), 200, -32602),
        (legacy("tools/call", json!({ "name": "add", "arguments": [] })), none.clone(), 200, -32602),
        (legacy("tools/list", json!({})), version("1999-01-01"), 400, -32022),
        (legacy("tools/list", json!({})), version("2026-07-28"), 400, -32602),
        (format!("[{}]", legacy("ping", json!({}))), version("2025-06-18"), 400, -32600),
    ];
    for (body, headers, status, code) in cases {
        let answer = handle(&body, Some(&headers)).await;
        let shown: String = body.chars().take(100).collect();
        assert_eq!((answer.status, &answer.body.unwrap()["error"]["code"]), (status, &json!(code)), "{shown}");
    }
    for (method, status) in
        [("initialize", 404), ("ping", 404), ("subscriptions/listen", 404), ("server/discover", 200)]
    {
        let (body, headers) = modern(method, json!({}));
        assert_eq!(handle(&body, Some(&headers)).await.status, status, "{method}");
    }
    let batch = format!(
        "[{},{}]",
        legacy("ping", json!({})),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
    );
    let answer = handle(&batch, Some(&none)).await;
    assert_eq!(answer.body.unwrap().as_array().unwrap().len(), 1);
    let notice = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    assert_eq!(handle(&notice, Some(&none)).await, ServerAnswer { status: 202, body: None });
}

#[tokio::test]
async fn the_official_client_uses_our_server() {
    let peer = Peer::start(|seen| {
        if seen.method != "POST" {
            return Say::Status(405, vec![], String::new());
        }
        let server = server();
        let headers = headers(&seen.headers);
        let answer = server.handle(seen.text.as_bytes(), Some(&headers), &Adding, &|_| ()).now_or_never().unwrap();
        let json = vec![("content-type", "application/json".to_owned())];
        match answer.body {
            Some(body) => Say::Status(answer.status, json, body.to_string()),
            None => Say::Status(answer.status, vec![], String::new()),
        }
    })
    .await;
    let sdk = repository().join("target/tools/mcp-servers/node_modules/@modelcontextprotocol/sdk");
    assert!(sdk.exists(), "run .ci/fetch-tools.sh mcp-servers first");
    let script = repository().join("tests/mcp/client.mjs");
    let output = tokio::process::Command::new("node")
        .args([script.as_os_str(), sdk.as_os_str(), peer.url.as_str().as_ref()])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&said["server"]["name"], &said["tools"]), (&json!("bailiwick"), &json!(252)));
    assert_eq!(said["sum"]["content"][0]["text"], "5");
    assert_eq!(said["missing"]["refused"], -32602);
}
