//! A model server with a script: real HTTP, real server-sent events, no model. It speaks `/v1/responses` and
//! `/v1/chat/completions`, and misbehaves on demand.
//!
//! What it answers is a pure function of the request, so that it is stateless across restarts of whoever calls it. It
//! reads of a request only what [`Seen`] holds, which keeps it fast enough to be the model server of a benchmark.

#![allow(clippy::disallowed_methods, reason = "a server for tests listens and starts tasks of its own")]

mod chat;
mod responses;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::post,
};
use bailiwick_types::Millis;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How many requests are kept to look at.
const KEPT: usize = 1000;

/// Which of the two formats a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Responses,
    Chat,
}

/// What a script may decide by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Counts from 0, in the order of arrival.
    pub number: u64,
    pub wire: Wire,
    pub model: String,
    /// Tool results in the whole history.
    pub results: usize,
    /// Tool results since the last message of the role `user`.
    pub results_since_user: usize,
    /// The text of the last message of the role `user`.
    pub user: String,
    /// The names of the tools.
    pub tools: Vec<String>,
}

/// A request that was kept.
#[derive(Debug, Clone)]
pub struct Kept {
    pub seen: Seen,
    /// Where the connection came from: the same for requests on the same connection.
    pub peer: SocketAddr,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Kept {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    Answer(Answer),
    /// Streams the answer up to before its end, and then nothing more, without closing.
    Stall(Answer),
    /// Streams the answer up to before its end, and breaks the connection.
    Cut(Answer),
    /// Takes the request and says nothing, not even a status.
    Silence,
    /// Waits in real time first.
    Delayed(Millis, Box<Behaviour>),
    /// Any status with any body.
    Status {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// These bytes, with status 200.
    Raw {
        content_type: &'static str,
        body: Bytes,
    },
}

/// An answer of a model.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub reasoning: Option<String>,
    /// Streamed word by word.
    pub text: Option<String>,
    /// Tool and arguments.
    pub calls: Vec<(String, String)>,
    pub finish: Finish,
    pub usage: Usage,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Finish {
    #[default]
    Completed,
    MaxOutputTokens,
    ContentFilter,
}

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub reasoning: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { input: 100, cached: 40, output: 20, reasoning: 5 }
    }
}

impl Answer {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    pub fn call(tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self::default().and_call(tool, arguments)
    }

    pub fn and_call(mut self, tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.calls.push((tool.into(), arguments.into()));
        self
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl Behaviour {
    pub fn text(text: impl Into<String>) -> Self {
        Answer::text(text).into()
    }

    pub fn call(tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        Answer::call(tool, arguments).into()
    }

    /// An error in OpenAI's form.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "error": { "message": message, "type": code, "param": null, "code": code } });
        let json = ("content-type", "application/json".to_owned());
        Self::Status { status, headers: vec![json], body: body.to_string() }
    }

    /// 429, with `Retry-After` in seconds.
    pub fn rate_limited(retry_after: Option<u64>) -> Self {
        let mut behaviour = Self::error(429, "rate_limit_exceeded", "Rate limit reached");
        if let (Self::Status { headers, .. }, Some(seconds)) = (&mut behaviour, retry_after) {
            headers.push(("retry-after", seconds.to_string()));
        }
        behaviour
    }

    pub fn server_error() -> Self {
        Self::error(500, "server_error", "The server had an error")
    }

    pub fn context_overflow() -> Self {
        Self::error(400, "context_length_exceeded", "This model's maximum context length is 8192 tokens")
    }

    pub fn content_filter() -> Self {
        Self::error(400, "content_filter", "The prompt was flagged")
    }

    /// An event stream whose events are not what they should be.
    pub fn garbage() -> Self {
        Self::events("data: {\"a\": <html>\n\n")
    }

    /// One event that is longer than anybody should read.
    pub fn huge_line(bytes: usize) -> Self {
        Self::events("data: ".to_owned() + &"x".repeat(bytes))
    }

    /// This text as an event stream.
    pub fn events(body: impl Into<String>) -> Self {
        Self::Raw { content_type: "text/event-stream", body: body.into().into() }
    }
}

type Script = dyn Fn(&Seen) -> Behaviour + Send + Sync;

struct Shared {
    script: Box<Script>,
    kept: Option<Mutex<VecDeque<Kept>>>,
    count: watch::Sender<u64>,
}

/// A running model server. It stops when this is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl ModelServer {
    /// On a free port of the loopback address. Keeps the last requests to look at.
    pub async fn start(script: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", true, script).await
    }

    /// On `address`; `keep` says whether requests are kept to look at.
    ///
    /// # Panics
    /// When the address cannot be had.
    pub async fn listen(
        address: &str,
        keep: bool,
        script: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        let kept = keep.then(|| Mutex::new(VecDeque::new()));
        let shared = Arc::new(Shared { script: Box::new(script), kept, count: watch::channel(0).0 });
        let router = Router::new()
            .route("/v1/responses", post(on_responses))
            .route("/v1/chat/completions", post(on_chat))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let listener =
            TcpListener::bind(address).await.unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("the listener has no address: {error}"));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await;
        });
        Self { address, shared, task }
    }

    /// What `base_url` of a model is set to.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many requests came.
    pub fn count(&self) -> u64 {
        *self.shared.count.borrow()
    }

    /// Waits until `count` requests have come.
    pub async fn wait_for(&self, count: u64) {
        let _ = self.shared.count.subscribe().wait_for(|came| *came >= count).await;
    }

    /// The last requests, oldest first.
    pub fn kept(&self) -> Vec<Kept> {
        let kept = self.shared.kept.as_ref().map(|kept| kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Peer = ConnectInfo<SocketAddr>;

async fn on_responses(peer: Peer, State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    serve(&shared, Wire::Responses, peer.0, headers, body).await
}

async fn on_chat(peer: Peer, State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    serve(&shared, Wire::Chat, peer.0, headers, body).await
}

async fn serve(shared: &Shared, wire: Wire, peer: SocketAddr, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = match seen(wire, &body) {
        Ok(seen) => seen,
        Err(error) => return status(400, &[], format!("{{\"error\":{{\"message\":\"{error}\"}}}}")),
    };
    if let Some(kept) = &shared.kept {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        shared.count.send_modify(|count| {
            seen.number = *count;
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back(Kept { seen: seen.clone(), peer, headers, body });
            *count += 1;
        });
    } else {
        shared.count.send_modify(|count| {
            seen.number = *count;
            *count += 1;
        });
    }
    let mut behaviour = (shared.script)(&seen);
    while let Behaviour::Delayed(span, then) = behaviour {
        tokio::time::sleep(span.as_duration()).await;
        behaviour = *then;
    }
    perform(&seen, behaviour).await
}

async fn perform(seen: &Seen, behaviour: Behaviour) -> Response {
    let events = |answer: &Answer| match seen.wire {
        Wire::Responses => responses::events(seen, answer),
        Wire::Chat => chat::events(seen, answer),
    };
    match behaviour {
        Behaviour::Answer(answer) => {
            // In chunks without a length, as every model server streams.
            let (body, end) = events(&answer);
            stream_of(Body::from_stream(stream::iter([body, end].map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))))
        }
        Behaviour::Stall(answer) => {
            let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(events(&answer).0))]);
            stream_of(Body::from_stream(first.chain(stream::pending())))
        }
        Behaviour::Cut(answer) => {
            let cut = Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
            // The pause lets the first piece leave before the connection breaks.
            let pieces = stream::iter([Ok(Bytes::from(events(&answer).0)), cut]).then(|piece| async {
                tokio::task::yield_now().await;
                piece
            });
            stream_of(Body::from_stream(pieces))
        }
        Behaviour::Silence | Behaviour::Delayed(..) => std::future::pending().await,
        Behaviour::Status { status: code, headers, body } => status(code, &headers, body),
        Behaviour::Raw { content_type, body } => {
            response(Response::builder().header(header::CONTENT_TYPE, content_type), Body::from(body))
        }
    }
}

fn stream_of(body: Body) -> Response {
    response(Response::builder().header(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), body)
}

fn status(code: u16, headers: &[(&'static str, String)], body: String) -> Response {
    let builder = Response::builder().status(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, value));
    response(builder, Body::from(body))
}

fn response(builder: axum::http::response::Builder, body: Body) -> Response {
    builder.body(body).unwrap_or_else(|error| panic!("the script asks for an impossible response: {error}"))
}

/// Only what `Seen` needs; the rest is skipped unread.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(borrow, default, alias = "messages")]
    input: Vec<Item<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

fn seen(wire: Wire, body: &[u8]) -> Result<Seen, serde_json::Error> {
    let request: Request<'_> = serde_json::from_slice(body)?;
    let is_result =
        |item: &&Item<'_>| item.kind.as_deref() == Some("function_call_output") || item.role.as_deref() == Some("tool");
    let user = request.input.iter().rposition(|item| item.role.as_deref() == Some("user"));
    let text = user.and_then(|at| request.input[at].content).map(|content| serde_json::from_str(content.get()));
    let user_text = match text.transpose()? {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        None => String::new(),
    };
    let since = user.map_or(&request.input[..], |at| &request.input[at + 1..]);
    let name =
        |tool: Tool<'_>| tool.name.or(tool.function.map(|function| function.name)).unwrap_or_default().into_owned();
    Ok(Seen {
        number: 0,
        wire,
        model: request.model.into_owned(),
        results: request.input.iter().filter(is_result).count(),
        results_since_user: since.iter().filter(is_result).count(),
        user: user_text,
        tools: request.tools.into_iter().map(name).collect(),
    })
}
