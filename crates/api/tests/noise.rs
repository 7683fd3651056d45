//! Requests that were right once, with something in them turned into nonsense: whatever comes, the answer is one of the
//! API's, and never a fault of the server.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may panic, and own the machine's clock and tasks"
)]

mod common;

use axum::{body::Body, http::Request};
use bailiwick_ports::Random;
use bailiwick_testkit::random::SeededRandom;
use common::{House, request};
use serde_json::{Value, json};

const ROUNDS: usize = 1500;

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % bound.max(1) as u64) as usize
    }

    fn nonsense(&self) -> Value {
        let texts =
            ["", "\u{0}", "../..", "file_id", "\u{202e}x", "💥", "sess_00000000000070008000000000000000", "main"];
        match self.below(12) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(-1),
            3 => json!(1.5e300),
            4 => json!(u64::MAX),
            5 => json!([]),
            6 => json!({}),
            7 => json!({"type": texts[self.below(texts.len())]}),
            8 => json!([null, {"a": []}]),
            9 => json!("x".repeat(self.below(3000))),
            10 => serde_json::from_str(&format!("{}{}", "[".repeat(60), "]".repeat(60))).unwrap(),
            _ => json!(texts[self.below(texts.len())]),
        }
    }

    /// Walks to some place in a value and changes what is there.
    fn spoil(&self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && self.below(5) > 0 => {
                let name = fields.keys().nth(self.below(fields.len())).unwrap().clone();
                match self.below(8) {
                    0 => drop(fields.remove(&name)),
                    1 => drop(fields.insert("unexpected".into(), self.nonsense())),
                    _ => self.spoil(&mut fields[&name]),
                }
            }
            Value::Array(entries) if !entries.is_empty() && self.below(5) > 0 => {
                let at = self.below(entries.len());
                match self.below(6) {
                    0 => drop(entries.remove(at)),
                    1 => entries.push(entries[at].clone()),
                    _ => self.spoil(&mut entries[at]),
                }
            }
            other => *other = self.nonsense(),
        }
    }
}

fn seeds(session: &str, environment: &str) -> Vec<(String, Value)> {
    let tool = json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}});
    let agent = json!({
        "model": "main", "instructions": "i", "reasoning": {"effort": "low", "summary": "auto"}, "service_tier": "auto",
        "text": {"format": {"type": "json_schema", "schema": {}}, "verbosity": "low"}, "tools": [tool],
        "compaction": {"async": false}, "experimental": {"time_awareness": false}, "multi_agent": {"enabled": false},
        "bailiwick": {"limits": {"steps_per_turn": 3}, "remit": {"allow": ["model.call"]}},
    });
    let hosted = json!({
        "type": "openai_hosted", "container_size": "small", "env": {"A": "b"}, "network": {"access": "disabled"},
        "files": [{"type": "inline", "data": "aGk=", "path": "/workspace/a"}], "packages": {"npm": []},
        "setup_commands": [{"command": "true", "cwd": "/workspace"}],
    });
    let content = json!([{"type": "input_text", "text": "t"}, {"type": "input_image", "image_url": "data:image/png;base64,aaaa"}]);
    let message = json!({"role": "user", "type": "message", "content": content});
    let mut saved = agent.clone();
    saved["name"] = json!("n");
    saved["metadata"] = json!({"k": "v"});
    let events = json!({"events": [
        {"type": "agent.session.input.message", "input": [message]},
        {"type": "agent.session.input.cancel"},
    ]});
    let result = json!({"events": [{"type": "agent.session.input.tool_result", "turn_id": "turn_1", "call_id": "c",
        "success": true, "error": "e", "output": content}]});
    vec![
        (
            "/v1/agents/sessions".into(),
            json!({"agent": agent, "environment": hosted, "input": [message], "metadata": {"a": "b"}, "review": "none",
                "prompt_cache_options": {"ttl": "30m"}, "spend_control": {"limit": null}, "stream": false,
                "vault_ids": [], "role_arn": "arn:x"}),
        ),
        ("/v1/agents".into(), saved),
        (format!("/v1/agents/sessions/{session}/events"), events),
        (format!("/v1/agents/sessions/{session}/events"), result),
        (
            format!("/v1/agents/sessions/{session}"),
            json!({"agent": {"model": "main", "reasoning": {"effort": "low"}, "tools": [tool]}, "metadata": {"a": "b"}}),
        ),
        (
            format!("/v1/agents/environments/{environment}/files"),
            json!({"type": "inline", "data": "aGk=", "path": "/workspace/a"}),
        ),
        (format!("/bailiwick/v1/sessions/{session}/resolve"), json!({"action": "act_1", "resolution": "happened"})),
        (
            "/bailiwick/v1/keys".into(),
            json!({"kind": "api_key", "name": "n", "scopes": ["files:read"], "expires_at": 1}),
        ),
    ]
}

#[tokio::test]
async fn nonsense_in_a_body_is_never_a_fault_of_the_server() {
    let house = House::new().await;
    let made = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}});
    let made = house.post("/v1/agents/sessions", made).await.ok();
    let seeds = seeds(made["id"].as_str().unwrap(), made["environment"]["id"].as_str().unwrap());
    let dice = Dice(SeededRandom::new(20_261_121));
    for round in 0..ROUNDS {
        let (path, mut body) = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(3) {
            dice.spoil(&mut body);
        }
        let mut text = body.to_string().into_bytes();
        if dice.below(20) == 0 && !text.is_empty() {
            let at = dice.below(text.len());
            text[at] = dice.below(256) as u8;
        }
        let mut sent = request(&house.key, "POST", &path, Some(&Value::Null));
        *sent.body_mut() = Body::from(text.clone());
        let answer = house.send(sent).await;
        let status = answer.status.as_u16();
        let shown = String::from_utf8_lossy(&text[..text.len().min(400)]).into_owned();
        assert!(
            matches!(status, 200 | 202 | 400 | 403 | 404 | 409 | 429 | 501),
            "round {round}: {status} for {path} {shown}"
        );
        if status >= 400 {
            let error = answer.error(status);
            let message = error["message"].as_str().unwrap();
            assert!(message.len() < 4000 && !message.chars().any(char::is_control), "round {round}: {message:?}");
        }
    }
    house.get("/v1/agents/sessions").await.ok();
}

#[tokio::test]
async fn nonsense_in_a_path_a_query_or_a_header_is_never_a_fault_of_the_server() {
    let house = House::new().await;
    let dice = Dice(SeededRandom::new(7));
    let pieces = [
        "/v1",
        "/agents",
        "/sessions",
        "/openai/v1",
        "/bailiwick/v1",
        "/files",
        "/..",
        "//",
        "/%2e%2e",
        "/%00",
        "/%ff",
        "/sess_00000000000070008000000000000000",
        "/events",
        "/items",
        "/receipts",
        "?limit=",
        "?after=%F0%9F%92%A5",
        "&order=asc",
        "?metadata[a]=b",
        "?metadata%5B",
        "&page=..",
        "#x",
        "/keys",
        "?limit=-1",
        "?",
        "&&",
        "=",
    ];
    for _ in 0..ROUNDS {
        let path: String = (0..=dice.below(6)).map(|_| pieces[dice.below(pieces.len())]).collect();
        let method = ["GET", "POST", "DELETE", "PUT", "PATCH"][dice.below(5)];
        let uri = if path.starts_with('/') { path } else { format!("/{path}") };
        let Ok(mut sent) = Request::builder().method(method).uri(&uri).body(Body::empty()) else { continue };
        for name in ["authorization", "idempotency-key", "last-event-id", "content-type", "host", "x-amz-date"] {
            let bytes: Vec<u8> =
                (0..dice.below(30)).map(|_| (dice.below(223) + 32) as u8).filter(|b| *b != 127).collect();
            let value = axum::http::HeaderValue::from_bytes(&bytes);
            if let (Ok(value), true) = (value, dice.below(3) == 0) {
                sent.headers_mut().insert(name, value);
            }
        }
        if dice.below(4) > 0 {
            let key = format!("Bearer {}", house.key).parse().unwrap();
            sent.headers_mut().insert("authorization", key);
        }
        let answer = house.send(sent).await;
        let status = answer.status.as_u16();
        assert!(status < 500 || status == 501, "{status} for {method} {uri}");
        if status >= 400 {
            answer.error(status);
        }
    }
}
