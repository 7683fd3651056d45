//! The reference servers, as they are published: over HTTP and over their standard streams.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real servers")]

mod support;

use bailiwick_core::Content;
use bailiwick_gate::Live;
use bailiwick_mcp::{Called, Client, Effect, McpServer, Reply, Revision, ToolCall, TransportConfig};
use serde_json::json;
use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{Arc, Mutex},
};
use support::{RealClock, access, call, client, over, repository, text, tool};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use url::Url;

fn program(server: &str) -> Command {
    let script = repository()
        .join("target/tools/mcp-servers/node_modules/@modelcontextprotocol")
        .join(server)
        .join("dist/index.js");
    assert!(script.exists(), "run .ci/fetch-tools.sh mcp-servers first");
    let mut command = Command::new("node");
    command.arg(script).kill_on_drop(true).stderr(Stdio::null());
    command
}

/// A server on its standard streams, and what speaks with it.
fn over_streams(mut command: Command) -> (Child, Client) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let server = McpServer::new(TransportConfig::Stdio { command: "node".into(), args: vec![], env: BTreeMap::new() });
    (child, Client::over_streams(stdout, stdin, Arc::new(RealClock), server))
}

/// The server with one of everything, over HTTP.
async fn everything_over_http() -> (Child, Url) {
    loop {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = program("server-everything");
        command.arg("streamableHttp").env("PORT", port.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("listening on port") {
                tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
                return (child, Url::parse(&format!("http://127.0.0.1:{port}/mcp")).unwrap());
            }
        }
        // Somebody else took the port meanwhile.
    }
}

/// What every way to this server has to give.
async fn has_one_of_everything(client: &Client) {
    let agreed = client.agree(&access(), &Live::unwatched()).await.unwrap();
    assert_eq!(agreed.revision, Revision::November2025);
    assert!(agreed.has_tools && agreed.server.contains("everything"), "{agreed:?}");
    let listed = client.tools(&access(), &Live::unwatched()).await.unwrap();
    assert_eq!(listed.left_out, []);
    assert!(listed.tools.iter().all(|tool| tool.effect == Effect::Write), "hints are not trusted");
    let echo = tool(client, "echo").await;
    assert_eq!(text(&call(client, &echo, json!({ "message": "grüße\u{1f600}" })).await), "Echo: grüße\u{1f600}");
    let sum = tool(client, "get-sum").await;
    assert!(text(&call(client, &sum, json!({ "a": 2, "b": 3 })).await).contains('5'));
    let image = call(client, &tool(client, "get-tiny-image").await, json!({})).await;
    let Called::Answered { content, .. } = &image else { panic!("{image:?}") };
    assert!(
        content.iter().any(|part| matches!(part, Content::Image { url } if url.starts_with("data:image/png;base64,")))
    );
    let structured = tool(client, "get-structured-content").await;
    assert!(structured.output.is_some());
    let weather = call(client, &structured, json!({ "location": "Chicago" })).await;
    let Called::Answered { structured: Some(value), content, .. } = weather else { panic!("{weather:?}") };
    assert!(value["temperature"].is_number());
    assert_eq!(content.len(), 1, "what is told as text and as structure is shown once");
    let links = call(client, &tool(client, "get-resource-links").await, json!({ "count": 2 })).await;
    assert!(text(&links).contains("[a resource at `"), "{links:?}");
    let reference = tool(client, "get-resource-reference").await;
    let reference = call(client, &reference, json!({ "resourceType": "Text", "resourceId": 1 })).await;
    assert!(text(&reference).contains("[the resource `"), "{reference:?}");
    let wrong = call(client, &sum, json!({ "a": "two" })).await;
    assert!(matches!(wrong, Called::Answered { is_error: true, .. } | Called::Failed(_)), "{wrong:?}");
}

/// Progress is told, and a call that takes longer than the silence allows ends well by it.
async fn tells_progress(client: &Client) {
    let long = tool(client, "trigger-long-running-operation").await;
    let heard = Mutex::new(Vec::new());
    let arguments = json!({ "duration": 1, "steps": 4 });
    let call = ToolCall { tool: &long, arguments: &arguments, replies: BTreeMap::new(), resume: None };
    let watch = |progress: bailiwick_mcp::Progress| heard.lock().unwrap().push((progress.done, progress.total));
    let called = client.call(&access(), &call, &Live::unwatched(), &watch).await;
    assert!(text(&called).contains("completed"), "{called:?}");
    assert_eq!(heard.into_inner().unwrap().last(), Some(&(4.0, Some(4.0))));
}

/// A question to a person in the middle of a call.
async fn asks_a_person(client: &Client) {
    let ask = tool(client, "trigger-elicitation-request").await;
    let Called::NeedsPerson(asked) = call(client, &ask, json!({})).await else { panic!("nobody is asked") };
    let question = &asked.questions[0];
    let content = json!({ "name": "Ada", "check": true }).as_object().unwrap().clone();
    let reply = Reply::Accept { content };
    question.check(&reply).unwrap();
    let replies = [(question.key.clone(), reply)].into();
    let again = ToolCall { tool: &ask, arguments: &json!({}), replies, resume: Some(asked.resume.clone()) };
    let called = client.call(&access(), &again, &Live::unwatched(), &|_| ()).await;
    assert!(text(&called).contains("Name: Ada"), "{called:?}");
}

#[tokio::test]
async fn one_of_everything_over_http() {
    let (_child, url) = everything_over_http().await;
    let client = client(&url, Arc::new(RealClock), over(&url));
    has_one_of_everything(&client).await;
    tells_progress(&client).await;
    asks_a_person(&client).await;
    client.close(&access()).await;
    let echo = tool(&client, "echo").await;
    assert_eq!(text(&call(&client, &echo, json!({ "message": "again" })).await), "Echo: again");
}

#[tokio::test]
async fn one_of_everything_over_streams() {
    let mut command = program("server-everything");
    command.arg("stdio");
    let (_child, client) = over_streams(command);
    has_one_of_everything(&client).await;
    tells_progress(&client).await;
    asks_a_person(&client).await;
}

#[tokio::test]
async fn files_over_streams() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "three o'clock").unwrap();
    let mut command = program("server-filesystem");
    command.arg(folder.path());
    let (_child, client) = over_streams(command);
    let read = tool(&client, "read_text_file").await;
    assert_eq!(read.annotations.effect(), Effect::Read);
    let path = folder.path().join("notes.txt");
    assert!(text(&call(&client, &read, json!({ "path": path })).await).contains("three o'clock"));
    let outside = call(&client, &read, json!({ "path": "/etc/passwd" })).await;
    assert!(matches!(&outside, Called::Answered { is_error: true, .. }), "{outside:?}");
    assert!(text(&outside).contains("Access denied"), "{outside:?}");
}

#[tokio::test]
async fn memory_over_streams() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("server-memory");
    command.env("MEMORY_FILE_PATH", folder.path().join("memory.jsonl"));
    let (_child, client) = over_streams(command);
    let create = tool(&client, "create_entities").await;
    let entity = json!({ "entities": [{ "name": "Ada", "entityType": "person", "observations": ["likes tables"] }] });
    assert!(text(&call(&client, &create, entity).await).contains("Ada"));
    let search = tool(&client, "search_nodes").await;
    assert!(text(&call(&client, &search, json!({ "query": "tables" })).await).contains("Ada"));
}
