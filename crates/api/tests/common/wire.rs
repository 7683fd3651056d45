//! Requests as a client writes them, and what comes back: one answer, or a stream of events.

use super::RealClock;
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use bailiwick_ports::Clock;
use bailiwick_types::Secret;
use http_body_util::BodyExt;
use serde_json::Value;

pub fn request(key: &str, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "house.test");
    let request = if key.is_empty() { request } else { request.header("authorization", format!("Bearer {key}")) };
    match body {
        Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, bytes }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The error, whose shape is checked.
    #[track_caller]
    pub fn error(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        let error = body["error"].clone();
        let mut fields: Vec<&String> = error.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["code", "message", "param", "type"], "{error}");
        assert!(error["message"].is_string() && error["code"].is_string() && error["type"].is_string(), "{error}");
        error
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

impl Event {
    /// The type without its common beginning.
    pub fn short(&self) -> &str {
        self.name.strip_prefix("agent.session.").unwrap_or(&self.name)
    }
}

pub struct Events {
    body: Body,
    buffer: String,
}

impl Events {
    pub fn of(body: Body) -> Self {
        Self { body, buffer: String::new() }
    }

    /// The next event; `None` at the end. Comments are left out.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// The next event of this type.
    pub async fn find(&mut self, short: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no `{short}` came"));
            if event.short() == short {
                return event;
            }
        }
    }

    pub async fn all(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

fn parse(block: &str) -> Option<Event> {
    let (mut name, mut id, mut data) = (String::new(), None, None);
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", value)) => name = value.to_owned(),
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("data", value)) => data = Some(serde_json::from_str::<Value>(value).unwrap()),
            _ => {}
        }
    }
    let data = data?;
    assert_eq!(data["type"], name.as_str());
    Some(Event { name, id, data })
}

pub fn shorts(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::short).collect()
}

/// An upload by multipart form.
pub fn upload(key: &str, name: &str, bytes: &[u8]) -> Request<Body> {
    form(key, &[("purpose", None, b"user_data"), ("file", Some(name), bytes)])
}

pub fn form(key: &str, fields: &[(&str, Option<&str>, &[u8])]) -> Request<Body> {
    form_to(key, "/v1/files", fields)
}

pub fn form_to(key: &str, path: &str, fields: &[(&str, Option<&str>, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (field, name, bytes) in fields {
        let name = name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        body.extend_from_slice(
            format!("--b0undary\r\nContent-Disposition: form-data; name=\"{field}\"{name}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--b0undary--\r\n");
    let request = Request::builder().method("POST").uri(path).header("host", "house.test");
    let request = request.header("authorization", format!("Bearer {key}"));
    request.header("content-type", "multipart/form-data; boundary=b0undary").body(Body::from(body)).unwrap()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104 for keys of up to a block.
fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |byte: u8| block.map(|b| b ^ byte).to_vec();
    sha256(&[pad(0x5c), sha256(&[pad(0x36), data.to_vec()].concat()).to_vec()].concat())
}

/// A request signed with AWS Signature 4, its body's digest claimed in a header as the SDK does.
pub fn signed(key: &(String, Secret), method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let digest = hex(&sha256(body.as_bytes()));
    let now = RealClock.now().to_string();
    let date: String = now.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let date = format!("{}Z", &date[..15]);
    let headers = format!("host:house.test\nx-amz-content-sha256:{digest}\nx-amz-date:{date}\n");
    let names = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!("{method}\n{path}\n\n{headers}\n{names}\n{digest}");
    let scope = format!("{}/eu-central-1/bedrock-mantle/aws4_request", &date[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&sha256(canonical.as_bytes())));
    let mut signing = format!("AWS4{}", key.1.expose()).into_bytes();
    for part in scope.split('/').chain([to_sign.as_str()]) {
        signing = hmac(&signing, part.as_bytes()).to_vec();
    }
    let credential = format!("{}/{scope}", key.0);
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "house.test")
        .header("content-type", "application/json")
        .header("x-amz-date", date)
        .header("x-amz-content-sha256", digest)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={}", hex(&signing)),
        )
        .body(Body::from(body))
        .unwrap()
}
