//! What a call of a company's system costs through the gate, beside the same call without it.

use crate::{client::Client, process::Server, report::Report};
use anyhow::{Context as _, Result, bail};
use bailiwick_testkit::model_server::ModelServer;
use serde_json::{Value, json};
use std::{path::Path, time::Instant};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// Calls of each kind, after as many that are not measured as [`WARM`].
const CALLS: usize = 300;
const WARM: usize = 20;
/// Sessions that are begun with few tools and with many.
const SESSIONS: usize = 40;

pub async fn measure(binary: &Path, folder: &Path, model: &ModelServer, fsync: f64, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(folder)?;
    let server = Server::start(binary, folder.path(), &model.base_url()).await?;
    let client = Client::new(&server);
    let few = Peer::start(5).await?;
    let many = Peer::start(500).await?;
    // An empty file is an empty SQLite database.
    let books = folder.path().join("books.db");
    std::fs::write(&books, [])?;
    let sqlite = json!({"server": {"kind": "sqlite", "path": books}, "sign_in": {"as": "service", "login": "file"}});
    for (name, body) in [
        ("few", few.connector()),
        ("many", many.connector()),
        ("books", json!({"kind": "database", "inside": true, "settings": sqlite})),
    ] {
        client.call(&format!("{}/bailiwick/v1/connectors/{name}", server.url), &body).await?;
    }
    let given = json!([{"name": "few"}, {"name": "books"}]);
    let agent = json!({"model": "main", "name": "Desk", "bailiwick": {"connectors": given}});
    let agent = client.call(&format!("{}/v1/agents", server.url), &agent).await?;
    let toolset = format!("{}/mcp/{}", server.url, agent["id"].as_str().context("an agent has an id")?);

    let direct = calls(&client, &few.url, "tool_1", &json!({"id": 1})).await?;
    let governed = calls(&client, &toolset, "few__tool_1", &json!({"id": 1})).await?;
    report.add("MCP call, direct", direct, "µs");
    report.add("MCP call through the gate", governed, "µs");
    report.add("overhead of an MCP call", governed - direct, "µs");
    report.add("overhead of an MCP call", (governed - direct) / fsync, "× fsync");
    let query = calls(&client, &toolset, "books__query", &json!({"statement": "select 1"})).await?;
    report.add("query of SQLite through the gate", query, "µs");

    let mut begun = [Vec::new(), Vec::new()];
    for _ in 0..SESSIONS {
        for (times, name) in begun.iter_mut().zip(["few", "many"]) {
            let given = json!([{"name": name, "defer_loading": name == "many"}]);
            let tools = json!([{"type": "tool_search"}]);
            let agent = json!({"model": "main", "tools": tools, "bailiwick": {"connectors": given}});
            times.push(client.new_session(&agent).await?);
        }
    }
    let [few, many] = begun.map(median);
    report.add("session of one turn with 5 tools", few / 1e3, "ms");
    report.add("session of one turn with 500 deferred tools", many / 1e3, "ms");
    report.add("500 deferred tools against 5", many / few, "×");
    Ok(())
}

/// Microseconds of one call, the median.
async fn calls(client: &Client, url: &str, name: &str, arguments: &Value) -> Result<f64> {
    let message = |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}});
    let mut times = Vec::with_capacity(CALLS);
    for number in 0..WARM + CALLS {
        let begun = Instant::now();
        let answer = client.call(url, &message(number)).await?;
        let took = begun.elapsed().as_secs_f64() * 1e6;
        if answer["result"]["isError"] != json!(false) {
            bail!("{name} at {url} answered {answer}");
        }
        if number >= WARM {
            times.push(took);
        }
    }
    Ok(median(times))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A server of the Model Context Protocol (revision 2025-06-18) that has tools and does nothing.
struct Peer {
    url: String,
}

impl Peer {
    async fn start(tools: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/mcp", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tools));
            }
        });
        Ok(Self { url })
    }

    fn connector(&self) -> Value {
        json!({"kind": "mcp", "inside": true, "settings": {"transport": {"type": "http", "url": self.url}},
            "effects": {"tool_1": "read"}})
    }
}

/// Answers one connection's requests, one after the other, until it ends.
async fn serve(stream: TcpStream, tools: usize) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut line, mut first) = (0, String::new(), String::new());
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if first.is_empty() {
                header.clone_into(&mut first);
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = if first.starts_with("POST") { answer(&asked, tools) } else { (405, None) };
        let (status, body) = (answer.0, answer.1.map(|body| body.to_string()).unwrap_or_default());
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).await?;
    }
}

fn answer(asked: &Value, tools: usize) -> (u16, Option<Value>) {
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "peer", "version": "1"}}),
        "tools/list" => {
            let parameters = json!({"type": "object", "properties": {"id": {"type": "integer"}}});
            let tool = |number| {
                json!({"name": format!("tool_{number}"), "description": "Looks up a record of the company by its number.",
                    "inputSchema": parameters})
            };
            json!({"tools": (1..=tools).map(tool).collect::<Vec<_>>()})
        }
        "tools/call" => json!({"content": [{"type": "text", "text": "one"}], "isError": false}),
        _ if asked["id"].is_null() => return (202, None),
        _ => {
            let error = json!({"code": -32601, "message": "there is no such method"});
            return (400, Some(json!({"jsonrpc": "2.0", "id": asked["id"], "error": error})));
        }
    };
    (200, Some(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})))
}
