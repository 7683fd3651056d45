//! The protocol's half of a server of ours: a message in, an answer out. Who asks, which tools they see, whether a call
//! may be made and what it does is the [`Toolbox`]'s; connections, headers and streams are the mount's.
//!
//! It keeps nothing between messages: older revisions get no session, which they allow, so that any process can answer
//! any message. It never asks the other side anything but, through revision 2026-07-28, to send its person to a page.

mod mount;
mod wire;

pub use wire::MessageHeaders;

use crate::{
    definition::Definition,
    limits::{MAX_BATCH, MAX_CURSOR_BYTES, MAX_REQUEST_BYTES, MAX_REQUEST_STATE_BYTES},
    message::{self, Incoming, RpcError},
    mirror,
    revision::Revision,
};
use async_trait::async_trait;
use bailiwick_core::{Content, Failure, connector::Effect};
use serde_json::{Map, Value, json};
use url::Url;
use wire::Context;

/// Tools on one page of a list.
const PAGE: usize = 100;

/// What one caller may use.
#[async_trait]
pub trait Toolbox: Send + Sync {
    /// The tools that this caller may use, each name once.
    async fn tools(&self) -> Result<Vec<Definition>, Failure>;

    /// Performs a call, or has it refused. `None` where the caller has no such tool.
    async fn call(&self, call: IncomingCall<'_>) -> Option<CallAnswer>;
}

/// A call as the other side sent it.
#[derive(Clone, Copy)]
pub struct IncomingCall<'a> {
    pub name: &'a str,
    pub arguments: &'a Map<String, Value>,
    /// What was given out with [`CallAnswer::Visit`], as the other side claims it to be.
    pub state: Option<&'a str>,
    /// Tells the other side how far it is, where it wants to know: so much of so much, and words.
    pub progress: &'a (dyn Fn(f64, Option<f64>, &str) + Sync),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum CallAnswer {
    Done {
        content: Vec<Content>,
        structured: Option<Value>,
        is_error: bool,
    },
    /// A person has to visit a page first, and the call is to be made again, with `state`, which must not be believed.
    Visit {
        message: String,
        url: Url,
        state: Option<String>,
    },
}

/// What goes back.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerAnswer {
    /// The HTTP status, for a mount that speaks HTTP.
    pub status: u16,
    /// None where the message wants no answer.
    pub body: Option<Value>,
}

/// What this server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    pub name: String,
    pub version: String,
    pub instructions: Option<String>,
}

/// One endpoint.
pub struct Server {
    identity: ServerIdentity,
}

impl Server {
    pub fn new(identity: ServerIdentity) -> Self {
        Self { identity }
    }

    /// Answers a message. `headers` are none where the transport has none. `notify` takes messages for the other side
    /// that belong before the answer; a mount that does not stream drops them.
    pub async fn handle(
        &self,
        body: &[u8],
        headers: Option<&MessageHeaders>,
        toolbox: &dyn Toolbox,
        notify: &(dyn Fn(Value) + Sync),
    ) -> ServerAnswer {
        if body.len() > MAX_REQUEST_BYTES {
            let text = format!("a message may have at most {MAX_REQUEST_BYTES} bytes");
            return refused(413, &Value::Null, &RpcError::new(RpcError::INVALID_REQUEST, text));
        }
        let is_batch = body.trim_ascii_start().first() == Some(&b'[');
        let messages = match message::read(body) {
            Ok(messages) => messages,
            Err(wrong) => return refused(400, &Value::Null, &RpcError::new(RpcError::PARSE, wrong)),
        };
        match messages.as_slice() {
            [] => refused(400, &Value::Null, &RpcError::new(RpcError::INVALID_REQUEST, "there is no message")),
            [one] if !is_batch => self.one(one, headers, toolbox, notify).await,
            batch => self.batch(batch, headers, toolbox, notify).await,
        }
    }

    /// Revision 2025-03-26 has batches, and the others do not.
    async fn batch(
        &self,
        batch: &[Incoming],
        headers: Option<&MessageHeaders>,
        toolbox: &dyn Toolbox,
        notify: &(dyn Fn(Value) + Sync),
    ) -> ServerAnswer {
        let version = headers.and_then(|headers| headers.protocol_version.as_deref());
        if batch.len() > MAX_BATCH || version.is_some_and(|version| version != Revision::March2025.as_str()) {
            let error = RpcError::new(RpcError::INVALID_REQUEST, "this revision takes one message at a time");
            return refused(400, &Value::Null, &error);
        }
        let mut answers = Vec::new();
        for message in batch {
            answers.extend(self.one(message, headers, toolbox, notify).await.body);
        }
        match answers.is_empty() {
            true => accepted(),
            false => ServerAnswer { status: 200, body: Some(Value::Array(answers)) },
        }
    }

    async fn one(
        &self,
        message: &Incoming,
        headers: Option<&MessageHeaders>,
        toolbox: &dyn Toolbox,
        notify: &(dyn Fn(Value) + Sync),
    ) -> ServerAnswer {
        let (id, method, params) = match message {
            Incoming::Request { id, method, params } => (id, method.as_str(), params),
            // Nothing is ever asked of the other side, so there is nothing to be told.
            Incoming::Notice { .. } | Incoming::Answer { .. } => return accepted(),
        };
        let context = match Context::read(method, params, headers) {
            Ok(context) => context,
            Err(error) => return refused(400, id, &error),
        };
        let answered = match method {
            "initialize" if !context.is_modern() => Ok(self.initialize(params)),
            "ping" if !context.is_modern() => Ok(Map::new()),
            "server/discover" if context.is_modern() => Ok(self.discover()),
            "tools/list" => list(params, toolbox).await,
            "tools/call" => call(params, &context, toolbox, notify).await,
            _ => Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "there is no such method here")),
        };
        match answered {
            Ok(mut result) => {
                if context.is_modern() {
                    result.entry("resultType").or_insert(json!("complete"));
                    result.insert("_meta".into(), json!({ "io.modelcontextprotocol/serverInfo": self.info() }));
                }
                if context.is_modern() && matches!(method, "tools/list" | "server/discover") {
                    // What a caller may use changes with every rule, and is nobody else's business.
                    result.insert("ttlMs".into(), json!(0));
                    result.insert("cacheScope".into(), json!("private"));
                }
                ServerAnswer { status: 200, body: Some(message::answer(id, Ok(Value::Object(result)))) }
            }
            Err(error) => {
                let status = match (context.is_modern(), error.code) {
                    (true, RpcError::METHOD_NOT_FOUND) => 404,
                    (true, RpcError::INVALID_PARAMS | RpcError::MISSING_CAPABILITY) => 400,
                    _ => 200,
                };
                refused(status, id, &error)
            }
        }
    }

    fn initialize(&self, params: &Map<String, Value>) -> Map<String, Value> {
        let wanted = params.get("protocolVersion").and_then(Value::as_str).and_then(Revision::parse);
        let revision = wanted.filter(|wanted| wanted.has_handshake()).unwrap_or(Revision::LAST_WITH_HANDSHAKE);
        let mut result = Map::new();
        result.insert("protocolVersion".into(), json!(revision.as_str()));
        result.insert("capabilities".into(), json!({ "tools": {} }));
        result.insert("serverInfo".into(), self.info());
        result.extend(self.identity.instructions.as_ref().map(|text| ("instructions".to_owned(), json!(text))));
        result
    }

    fn discover(&self) -> Map<String, Value> {
        let mut result = Map::new();
        result.insert("supportedVersions".into(), json!(Revision::ALL.map(Revision::as_str)));
        result.insert("capabilities".into(), json!({ "tools": {} }));
        result.extend(self.identity.instructions.as_ref().map(|text| ("instructions".to_owned(), json!(text))));
        result
    }

    fn info(&self) -> Value {
        json!({ "name": self.identity.name, "version": self.identity.version })
    }
}

async fn list(params: &Map<String, Value>, toolbox: &dyn Toolbox) -> Result<Map<String, Value>, RpcError> {
    let after = match params.get("cursor") {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) if cursor.len() <= MAX_CURSOR_BYTES => Some(cursor.as_str()),
        Some(_) => return Err(RpcError::new(RpcError::INVALID_PARAMS, "`cursor` is not one of ours")),
    };
    let tools = toolbox.tools().await.map_err(|failure| RpcError::new(RpcError::INTERNAL, failure.message))?;
    let mut tools: Vec<&Definition> =
        tools.iter().filter(|tool| after.is_none_or(|after| tool.name.as_str() > after)).collect();
    tools.sort_by(|one, other| one.name.cmp(&other.name));
    let mut result = Map::new();
    if let Some(next) = tools.get(PAGE - 1).filter(|_| tools.len() > PAGE) {
        result.insert("nextCursor".into(), json!(next.name));
    }
    tools.truncate(PAGE);
    result.insert("tools".into(), tools.into_iter().map(published).collect());
    Ok(result)
}

/// A definition as the other side is shown it. What a server behind us wants in headers stays between it and us.
fn published(tool: &Definition) -> Value {
    let mut entry = json!({
        "name": tool.name,
        "description": tool.shown_description(),
        "inputSchema": mirror::without_marks(&tool.parameters),
        "annotations": {
            "readOnlyHint": tool.effect == Effect::Read,
            "idempotentHint": tool.effect != Effect::Write,
        },
    });
    if let Some(title) = &tool.title {
        entry["title"] = json!(message::quoted(title));
    }
    if let Some(output) = &tool.output {
        entry["outputSchema"] = output.clone();
    }
    entry
}

async fn call(
    params: &Map<String, Value>,
    context: &Context,
    toolbox: &dyn Toolbox,
    notify: &(dyn Fn(Value) + Sync),
) -> Result<Map<String, Value>, RpcError> {
    let wrong = |text: &str| RpcError::new(RpcError::INVALID_PARAMS, text);
    let name = params.get("name").and_then(Value::as_str).ok_or(wrong("`name` is missing"))?;
    let none = Map::new();
    let arguments = match params.get("arguments") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(arguments)) => arguments,
        Some(_) => return Err(wrong("`arguments` is not an object")),
    };
    let state = match params.get("requestState") {
        None | Some(Value::Null) => None,
        Some(Value::String(state)) if state.len() <= MAX_REQUEST_STATE_BYTES => Some(state.as_str()),
        Some(_) => return Err(wrong("`requestState` is not one of ours")),
    };
    let token = params.get("_meta").and_then(|meta| meta.get("progressToken"));
    let progress = |done: f64, total: Option<f64>, words: &str| {
        let Some(token) = token.filter(|token| token.is_string() || token.is_number()) else { return };
        let mut params = json!({ "progressToken": token, "progress": done, "message": words });
        if let Some(total) = total {
            params["total"] = json!(total);
        }
        notify(message::notice("notifications/progress", params));
    };
    let call = IncomingCall { name, arguments, state, progress: &progress };
    match toolbox.call(call).await {
        None => Err(wrong("there is no such tool, or you may not use it")),
        Some(CallAnswer::Done { content, structured, is_error }) => {
            let mut result = Map::new();
            result.insert("content".into(), content.iter().map(part).collect());
            result.insert("isError".into(), json!(is_error));
            // Before 2026-07-28 it had to be an object.
            let structured = structured.filter(|value| context.is_modern() || value.is_object());
            result.extend(structured.map(|structured| ("structuredContent".to_owned(), structured)));
            Ok(result)
        }
        Some(CallAnswer::Visit { message, url, state }) => Ok(visit(context, &message, &url, state)),
    }
}

/// Sends the other side's person to a page: as the protocol has it where the other side can, else in words.
fn visit(context: &Context, message: &str, url: &Url, state: Option<String>) -> Map<String, Value> {
    let mut result = Map::new();
    if context.takes_visits() {
        let params = json!({ "mode": "url", "message": message, "url": url.as_str() });
        result.insert("resultType".into(), json!("input_required"));
        result.insert("inputRequests".into(), json!({ "visit": { "method": "elicitation/create", "params": params } }));
        result.extend(state.map(|state| ("requestState".to_owned(), json!(state))));
    } else {
        let text = format!("{message} A person has to open {url} first; then make this call again.");
        result.insert("content".into(), json!([{ "type": "text", "text": text }]));
        result.insert("isError".into(), json!(true));
    }
    result
}

fn part(content: &Content) -> Value {
    match content {
        Content::Text { text } => json!({ "type": "text", "text": text }),
        Content::Image { url } => match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((kind, data)) => json!({ "type": "image", "data": data, "mimeType": kind }),
            None => json!({ "type": "text", "text": format!("[an image at {url}]") }),
        },
    }
}

fn accepted() -> ServerAnswer {
    ServerAnswer { status: 202, body: None }
}

fn refused(status: u16, id: &Value, error: &RpcError) -> ServerAnswer {
    ServerAnswer { status, body: Some(message::answer(id, Err(error))) }
}
