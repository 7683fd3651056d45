//! An HTTP server that says byte for byte what a test wants it to say.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use url::Url;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub text: String,
    /// Null where the body is no JSON.
    pub body: Value,
    /// How many came before it.
    pub number: usize,
}

impl Seen {
    pub fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }
}

pub enum Say {
    /// One JSON body.
    Json(Value),
    /// A status, headers, a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Events, each with its fields as they are, and the end.
    Events(Vec<String>),
    /// These bytes, whatever they are, and the end.
    Raw(Vec<u8>),
    /// The first bytes once, the others over and over.
    Flood(Vec<u8>, Vec<u8>),
    /// These bytes, and then nothing, and no end.
    Stall(Vec<u8>),
    /// Nothing, and no end.
    Hang,
}

pub struct Peer {
    pub url: Url,
    /// Somebody waits for an answer that does not come.
    pub hung: Arc<Notify>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Peer {
    pub async fn start(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/mcp", listener.local_addr().unwrap())).unwrap();
        let (hung, seen) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Vec::new())));
        let (script, to_notify, kept) = (Arc::new(script), Arc::clone(&hung), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, hung, seen) = (Arc::clone(&script), Arc::clone(&to_notify), Arc::clone(&kept));
                tokio::spawn(async move { serve(stream, &*script, &hung, &seen).await });
            }
        });
        Self { url, hung, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The JSON-RPC methods, and the HTTP methods of what is no JSON-RPC, in the order of their arrival.
    pub fn methods(&self) -> Vec<String> {
        let name = |seen: &Seen| if seen.rpc().is_empty() { seen.method.clone() } else { seen.rpc().to_owned() };
        self.seen().iter().map(name).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(&Seen) -> Say + Send + Sync),
    hung: &Notify,
    all: &Mutex<Vec<Seen>>,
) {
    let Some(mut seen) = read(&mut stream).await else { return };
    let say = {
        let mut all = all.lock().unwrap();
        seen.number = all.len();
        all.push(seen.clone());
        script(&seen)
    };
    let head = |status: u16, headers: &[(&str, String)], length: Option<usize>| {
        let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = length {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head + "\r\n"
    };
    let bytes = match say {
        Say::Json(value) => {
            let text = value.to_string();
            let headers = [("content-type", "application/json".to_owned())];
            (head(200, &headers, Some(text.len())) + &text).into_bytes()
        }
        Say::Status(status, headers, body) => (head(status, &headers, Some(body.len())) + &body).into_bytes(),
        Say::Events(events) => {
            let headers = [("content-type", "text/event-stream".to_owned())];
            let events: String = events.into_iter().map(|event| event + "\n\n").collect();
            (head(200, &headers, None) + &events).into_bytes()
        }
        Say::Raw(bytes) => bytes,
        Say::Flood(first, bytes) => {
            let _ = stream.write_all(&first).await;
            while stream.write_all(&bytes).await.is_ok() {}
            return;
        }
        stalled @ (Say::Hang | Say::Stall(_)) => {
            if let Say::Stall(bytes) = stalled {
                let _ = stream.write_all(&bytes).await;
            }
            hung.notify_one();
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
            return;
        }
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<String, String> = lines.filter_map(pair).collect();
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => body.extend_from_slice(&chunk[..read]),
        }
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Some(Seen { method, path, headers, text, body, number: 0 })
}

/// The answer to a request.
pub fn result(seen: &Seen, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": result })
}

pub fn error(seen: &Seen, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": code, "message": message } })
}

/// What a well-behaved server of revision 2026-07-28 says to everything but calls.
pub fn modern(seen: &Seen, tools: Value) -> Option<Say> {
    let answer = match seen.rpc() {
        "server/discover" => json!({
            "resultType": "complete", "supportedVersions": ["2025-11-25", "2026-07-28"],
            "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "peer", "version": "1" } },
        }),
        "tools/list" => json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" }),
        _ => return None,
    };
    Some(Say::Json(result(seen, answer)))
}

/// What a well-behaved server with sessions says to everything but calls.
pub fn legacy(seen: &Seen, revision: &str, tools: Value) -> Option<Say> {
    let json = ("content-type", "application/json".to_owned());
    let answer = match (seen.method.as_str(), seen.rpc()) {
        ("POST", "server/discover") => {
            let text = error(seen, -32000, "Bad Request: Server not initialized").to_string();
            return Some(Say::Status(400, vec![json], text));
        }
        ("POST", "initialize") => {
            let answer = json!({
                "protocolVersion": revision, "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "old peer", "version": "1" },
            });
            let session = ("mcp-session-id", format!("session-{}", seen.number));
            return Some(Say::Status(200, vec![json, session], result(seen, answer).to_string()));
        }
        ("POST", "tools/list") => json!({ "tools": tools }),
        ("POST", "tools/call") => return None,
        ("POST", _) => return Some(Say::Status(202, vec![], String::new())),
        ("DELETE", _) => return Some(Say::Status(200, vec![], String::new())),
        _ => return None,
    };
    Some(Say::Json(result(seen, answer)))
}

pub fn plain_tool(name: &str) -> Value {
    json!({ "name": name, "description": "Does it.", "inputSchema": { "type": "object" } })
}
