//! One request and everything until its answer: time-outs, cancellation, progress, and what the server asks meanwhile.

use super::Client;
use crate::{
    limits::{FAREWELL_TIME, MAX_MESSAGES_BEFORE_ANSWER, MAX_QUESTIONS, MAX_REQUEST_BYTES, MAX_REQUESTS_BEFORE_ANSWER},
    message::{self, Incoming, RpcError, quoted},
    question::{self, Question, Reply},
    revision::Revision,
    transport::{Exchange, Marks, Sent},
    trouble::Trouble,
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::Live;
use bailiwick_types::{Millis, Timestamp};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, future::Future, sync::atomic::Ordering};

/// How far a call is, as the server says.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    pub done: f64,
    pub total: Option<f64>,
    pub message: Option<String>,
}

/// One request.
pub(super) struct Ask<'a> {
    pub method: &'a str,
    pub params: Map<String, Value>,
    pub marks: Marks<'a>,
    /// Without a sign of life for this long, it is given up.
    pub silence: Millis,
    /// In any case after this long.
    pub longest: Millis,
    pub live: &'a Live,
    pub watch: &'a (dyn Fn(Progress) + Sync),
}

/// What a server with sessions asks of a person while it works, and what people have already answered.
#[derive(Default)]
pub(super) struct Desk {
    pub replies: BTreeMap<String, Reply>,
    /// What nobody has answered. The server was told that the dialogue was closed.
    pub open: Vec<Question>,
    /// Whether somebody can be asked at all.
    pub asks: bool,
}

enum Raced<T> {
    Done(T),
    Late,
    Cancelled,
}

/// What a server gave for an answer, and the session that came with it.
pub(super) struct Answered {
    pub result: Map<String, Value>,
    pub session: Option<String>,
}

impl Client {
    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&self, ask: Ask<'_>, desk: &mut Desk) -> Result<Answered, Trouble> {
        let id = self.next_id();
        let (end, mut silence) = (self.clock.now() + ask.longest, self.clock.now() + ask.silence);
        let message = encode(&message::request(id, ask.method, params(&ask, id)))?;
        let sent = Sent::default();
        let opened = self.race(self.transport.open(message, ask.marks, &sent), silence.min(end), ask.live).await;
        let mut exchange = match opened {
            Raced::Done(opened) => opened?,
            Raced::Late => return Err(self.farewell(None, id, &ask, timed_out(&ask), sent.is()).await),
            Raced::Cancelled => return Err(self.farewell(None, id, &ask, cancelled(), sent.is()).await),
        };
        let mut requests = 0;
        for _ in 0..MAX_MESSAGES_BEFORE_ANSWER {
            let incoming = match self.race(exchange.next(), silence.min(end), ask.live).await {
                Raced::Done(incoming) => incoming?,
                Raced::Late => return Err(self.farewell(Some(exchange), id, &ask, timed_out(&ask), true).await),
                Raced::Cancelled => return Err(self.farewell(Some(exchange), id, &ask, cancelled(), true).await),
            };
            match incoming {
                Incoming::Answer { id: of, result } if is_ours(&of, id, &result) => {
                    let session = exchange.session().map(str::to_owned);
                    return finished(result, session);
                }
                // An answer to something that was given up earlier.
                Incoming::Answer { .. } => {}
                Incoming::Notice { method, params } => {
                    if self.note(&method, &params, id, ask.watch) {
                        silence = self.clock.now() + ask.silence;
                    }
                }
                Incoming::Request { id, method, params } => {
                    requests += 1;
                    if requests > MAX_REQUESTS_BEFORE_ANSWER {
                        let text = format!("it asks more than {MAX_REQUESTS_BEFORE_ANSWER} questions back");
                        return Err(Trouble::malformed(text));
                    }
                    let Some(reply) = self.reply(&ask, desk, &method, &params) else { continue };
                    let text = encode(&message::answer(&id, reply.as_ref().cloned()))?;
                    match self.race(exchange.say(text), silence.min(end), ask.live).await {
                        Raced::Done(said) => said.map_err(after_sending)?,
                        Raced::Late => return Err(given_up(timed_out(&ask), true)),
                        Raced::Cancelled => return Err(given_up(cancelled(), true)),
                    }
                }
            }
        }
        Err(Trouble::malformed(format!("it sent {MAX_MESSAGES_BEFORE_ANSWER} messages and no answer")))
    }

    /// Tells the server something that it does not answer, and does not wait long.
    pub(super) async fn tell(&self, method: &str, params: Value, marks: Marks<'_>) -> Result<(), Trouble> {
        let text = encode(&message::notice(method, params))?;
        let live = Live::unwatched();
        match self.race(self.transport.tell(text, marks), self.clock.now() + FAREWELL_TIME, &live).await {
            Raced::Done(told) => told,
            Raced::Late | Raced::Cancelled => Err(given_up("the server does not take a message".into(), true)),
        }
    }

    async fn race<T>(&self, work: impl Future<Output = T>, until: Timestamp, live: &Live) -> Raced<T> {
        tokio::select! {
            biased;
            () = live.cancelled() => Raced::Cancelled,
            done = work => Raced::Done(done),
            () = self.clock.sleep_until(until) => Raced::Late,
        }
    }

    /// Takes in a notification. True where it is a sign of life of this request.
    fn note(&self, method: &str, params: &Map<String, Value>, id: u64, watch: &(dyn Fn(Progress) + Sync)) -> bool {
        match method {
            "notifications/tools/list_changed" => {
                self.changed.store(true, Ordering::Relaxed);
                false
            }
            "notifications/progress" if params.get("progressToken") == Some(&json!(id)) => {
                if let Some(done) = params.get("progress").and_then(Value::as_f64) {
                    let total = params.get("total").and_then(Value::as_f64);
                    let message = params.get("message").and_then(Value::as_str).map(quoted);
                    watch(Progress { done, total, message });
                }
                true
            }
            _ => false,
        }
    }

    /// What we say to a request of a server with a session. In later revisions there are none: they are not answered.
    fn reply(
        &self,
        ask: &Ask<'_>,
        desk: &mut Desk,
        method: &str,
        params: &Map<String, Value>,
    ) -> Option<Result<Value, RpcError>> {
        if !ask.marks.revision.is_none_or(Revision::has_handshake) {
            return None;
        }
        Some(match method {
            "ping" => Ok(json!({})),
            "elicitation/create" if desk.asks => Ok(desk.answer(params)),
            "sampling/createMessage" | "roots/list" | "elicitation/create" => {
                Err(RpcError::new(RpcError::METHOD_NOT_FOUND, format!("this client does not offer `{method}`")))
            }
            _ => Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "this client does not know this method")),
        })
    }

    /// Tells the server that nobody waits any more. What became of a request that was sent is not known.
    async fn farewell(
        &self,
        exchange: Option<Exchange<'_>>,
        id: u64,
        ask: &Ask<'_>,
        why: String,
        sent: bool,
    ) -> Trouble {
        const METHOD: &str = "notifications/cancelled";
        let params = json!({ "requestId": id, "reason": why });
        let has_session = ask.marks.revision.is_some_and(Revision::has_handshake);
        match exchange {
            // The handshake must not be cancelled.
            _ if !sent || matches!(ask.method, "initialize" | "server/discover") => {}
            Some(Exchange::Lines(mut exchange)) => {
                if let Ok(text) = encode(&message::notice(METHOD, params)) {
                    let until = self.clock.now() + FAREWELL_TIME;
                    self.race(exchange.say(text), until, &Live::unwatched()).await;
                }
            }
            // Without a session, the end of the stream says it.
            Some(Exchange::Http(_)) | None if has_session && self.transport.is_http() => {
                let _ = self.tell(METHOD, params, Marks { mirrored: &[], ..ask.marks }).await;
            }
            Some(Exchange::Http(_)) | None => {}
        }
        given_up(why, sent)
    }
}

impl Desk {
    /// The reply that somebody has given to this question, or that the dialogue was closed.
    fn answer(&mut self, params: &Map<String, Value>) -> Value {
        let question = match question::read(None, params) {
            Ok(question) => question,
            // What cannot be asked is declined: a person could not answer it either.
            Err(_) => return json!({ "action": "decline" }),
        };
        if let Some(reply) = self.replies.get(&question.key).filter(|reply| question.check(reply).is_ok()) {
            return reply.to_value(&question.wants);
        }
        if self.open.len() < MAX_QUESTIONS && !self.open.contains(&question) {
            self.open.push(question);
        }
        json!({ "action": "cancel" })
    }
}

/// The parameters with what each revision wants beside them.
fn params(ask: &Ask<'_>, id: u64) -> Value {
    let mut params = ask.params.clone();
    let mut meta = Map::new();
    if ask.method == "tools/call" {
        meta.insert("progressToken".into(), json!(id));
    }
    if let Some(revision) = ask.marks.revision.filter(|revision| !revision.has_handshake()) {
        meta.insert("io.modelcontextprotocol/protocolVersion".into(), json!(revision.as_str()));
        meta.insert("io.modelcontextprotocol/clientInfo".into(), super::agree::client_info());
        meta.insert("io.modelcontextprotocol/clientCapabilities".into(), super::agree::capabilities());
    }
    if !meta.is_empty() {
        params.insert("_meta".into(), Value::Object(meta));
    }
    Value::Object(params)
}

fn encode(message: &Value) -> Result<Vec<u8>, Trouble> {
    let text = message.to_string().into_bytes();
    match text.len() <= MAX_REQUEST_BYTES {
        true => Ok(text),
        false => Err(Trouble::unsendable(format!("the request has more than {MAX_REQUEST_BYTES} bytes: send less"))),
    }
}

/// A server that cannot read a request answers without an id.
fn is_ours(of: &Value, id: u64, result: &Result<Value, RpcError>) -> bool {
    of.as_u64() == Some(id) || (of.is_null() && result.is_err())
}

fn finished(result: Result<Value, RpcError>, session: Option<String>) -> Result<Answered, Trouble> {
    match result {
        Ok(Value::Object(result)) => Ok(Answered { result, session }),
        Ok(_) => Err(Trouble::malformed("`result` is not an object")),
        Err(error) => Err(Trouble::Rpc(error)),
    }
}

fn timed_out(ask: &Ask<'_>) -> String {
    format!("the server did not answer `{}` in time", ask.method)
}

fn cancelled() -> String {
    "it was cancelled".into()
}

fn given_up(why: String, sent: bool) -> Trouble {
    let code = if why == cancelled() { FailureCode::Cancelled } else { FailureCode::StreamStalled };
    match sent {
        true => Trouble::Lost(Failure::new(code, why)),
        false => Trouble::NeverSent(Failure::new(code, why)),
    }
}

/// Trouble with a later message of an exchange is no proof that nothing was done.
fn after_sending(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Lost(_) => trouble,
        other => Trouble::Lost(other.failure()),
    }
}
