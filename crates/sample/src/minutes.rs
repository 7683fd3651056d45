//! The minutes of meetings, as a server of the Model Context Protocol (Streamable HTTP, revision 2025-11-25 and the two
//! before it): <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports>. It keeps no sessions, answers
//! with JSON, and sends nothing by itself.

use crate::{
    company::Employee,
    http::{Answers, Asked, json, plain, sign_in_first},
};
use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

const REVISIONS: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// Decisions that are kept, and bytes of one.
const MAX_DECISIONS: usize = 1_000;
const MAX_TEXT: usize = 4_096;

/// One meeting: an id, a title, and what was said.
const MINUTES: [(&str, &str, &str); 3] = [
    (
        "M-41",
        "Receivables review, last month",
        "Decided: the north gets reminders after 14 days and a call after 30. Ben speaks with Fjord Marine himself. \
         Open: whether deliveries to accounts rated D stop at 60 days.",
    ),
    (
        "M-38",
        "Audit kick-off",
        "Iris Vogel needs the overdue sums by region each month, as one page, before the review.",
    ),
    ("M-35", "Warehouse move", "Noah moves the spare parts in spring. Nothing was said about customers."),
];

pub(crate) struct Minutes {
    people: Vec<Employee>,
    decisions: Mutex<Vec<String>>,
}

impl Minutes {
    pub fn new(people: Vec<Employee>) -> Self {
        Self { people, decisions: Mutex::new(Vec::new()) }
    }

    fn call(&self, who: &Employee, name: &str, arguments: &Value) -> Result<String, String> {
        let text = |key: &str| arguments[key].as_str().ok_or_else(|| format!("`{key}` must be a text"));
        match name {
            "find_minutes" => {
                let wanted = text("about")?.to_lowercase();
                let fits = |(_, title, said): &&(&str, &str, &str)| {
                    let all = format!("{title} {said}").to_lowercase();
                    wanted.split_whitespace().all(|word| all.contains(word))
                };
                let found: Vec<String> =
                    MINUTES.iter().filter(fits).map(|(id, title, said)| format!("{id} {title}\n{said}")).collect();
                Ok(if found.is_empty() { "No minutes say anything of it.".into() } else { found.join("\n\n") })
            }
            "record_decision" => {
                let (meeting, decided) = (text("meeting")?, text("decision")?);
                let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
                if decided.len() > MAX_TEXT || decisions.len() >= MAX_DECISIONS {
                    return Err("this is too much".into());
                }
                decisions.push(format!("{meeting}: {decided} ({})", who.name));
                Ok(format!("Recorded as decision {} by {}.", decisions.len(), who.name))
            }
            _ => Err(format!("there is no tool `{name}`")),
        }
    }

    fn result(&self, who: &Employee, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        match method {
            "initialize" => {
                let asked = params["protocolVersion"].as_str().unwrap_or_default();
                let revision = REVISIONS.into_iter().find(|one| *one == asked).unwrap_or(REVISIONS[0]);
                Ok(json!({
                    "protocolVersion": revision,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "minutes", "title": "Minutes of meetings", "version": "1.0.0"},
                }))
            }
            "ping" => Ok(json!({})),
            "tools/list" => Ok(json!({"tools": tools()})),
            "tools/call" => {
                let name = params["name"].as_str().unwrap_or_default();
                let (text, is_error) = match self.call(who, name, &params["arguments"]) {
                    Ok(text) => (text, false),
                    Err(text) => (text, true),
                };
                Ok(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
            }
            _ => Err((-32601, format!("there is no method `{method}`"))),
        }
    }
}

impl Answers for Minutes {
    fn answer(&self, asked: Asked) -> Response {
        let Some(who) = asked.bearer(&self.people) else { return sign_in_first("Bearer") };
        if asked.uri.path() != "/mcp" {
            return plain(StatusCode::NOT_FOUND, "the minutes are at /mcp");
        }
        if asked.method.as_str() != "POST" {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "POST only: nothing is sent from here");
        }
        let Ok(message) = serde_json::from_slice::<Value>(&asked.body) else {
            let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "this is no JSON"}});
            return json(StatusCode::BAD_REQUEST, &error);
        };
        let Some(id) = message.get("id").filter(|id| !id.is_null()) else {
            return plain(StatusCode::ACCEPTED, "");
        };
        let answer = match self.result(who, message["method"].as_str().unwrap_or_default(), &message["params"]) {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, text)) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}}),
        };
        json(StatusCode::OK, &answer)
    }
}

fn tools() -> Value {
    json!([
        {
            "name": "find_minutes",
            "title": "Find minutes",
            "description": "Finds the minutes of meetings that have every one of these words.",
            "inputSchema": {
                "type": "object",
                "properties": {"about": {"type": "string", "description": "Words, such as `overdue north`."}},
                "required": ["about"],
                "additionalProperties": false
            },
            "annotations": {"readOnlyHint": true}
        },
        {
            "name": "record_decision",
            "title": "Record a decision",
            "description": "Adds a decision to the minutes of a meeting. It cannot be taken out again.",
            "inputSchema": {
                "type": "object",
                "properties": {"meeting": {"type": "string"}, "decision": {"type": "string", "maxLength": MAX_TEXT}},
                "required": ["meeting", "decision"],
                "additionalProperties": false
            },
            "annotations": {"readOnlyHint": false, "idempotentHint": false}
        }
    ])
}
