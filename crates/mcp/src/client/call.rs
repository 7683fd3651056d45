//! Calling a tool, and saying exactly what is known of it afterwards.

use super::{
    Access, Agreed, Client,
    agree::mirrored,
    speak::{Answered, Ask, Desk, Progress},
};
use crate::{
    content,
    definition::Definition,
    limits::{MAX_QUESTIONS, MAX_REQUEST_STATE_BYTES},
    message::RpcError,
    mirror,
    oauth::Challenge,
    question::{self, Question, Reply, Wants},
    transport::Marks,
    trouble::Trouble,
};
use bailiwick_core::{ActionResult, Content, Failure, FailureCode, Outcome, connector::Effect};
use bailiwick_gate::Live;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

const CALL: &str = "tools/call";

/// One call.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// The definition that was accepted.
    pub tool: &'a Definition,
    pub arguments: &'a Value,
    /// What people have answered to the questions of an earlier attempt, and where that left off.
    pub replies: BTreeMap<String, Reply>,
    pub resume: Option<Resume>,
}

/// Where a call goes on once its questions are answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "resume", rename_all = "snake_case")]
pub enum Resume {
    /// The server did nothing yet and wants this back (revision 2026-07-28).
    Continue {
        questions: Vec<Question>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// The server asked in the middle of the call and was told that nobody is there: the call is made again. What it had
    /// done before is not known, and `meanwhile` is what it said in the end.
    Again { meanwhile: Vec<Content> },
}

/// A call that a person has to answer for before it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeedsPerson {
    pub questions: Vec<Question>,
    pub resume: Resume,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    /// The server answered. That a tool failed by its own words is an answer: `is_error`.
    Answered { content: Vec<Content>, structured: Option<Value>, is_error: bool },
    /// The server asks something of a person.
    NeedsPerson(NeedsPerson),
    /// The server wants an account, or more rights of the one that it was shown. Nothing was done.
    SignIn(Challenge),
    /// It never left.
    NotSent(Failure),
    /// The server did not do it.
    Failed(Failure),
    /// It left, and what became of it is not known.
    Unknown(Failure),
}

impl Called {
    /// As it is written down. What waits for a person is said in words, for whoever cannot ask.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Answered { content, .. } => Outcome::Confirmed { result: ActionResult::Content { content } },
            Self::NeedsPerson(_) => {
                let text = "the server asks something of a person before it goes on";
                Outcome::Failed { failure: Failure::new(FailureCode::ToolError, text) }
            }
            Self::SignIn(challenge) => {
                Outcome::Failed { failure: Failure::new(FailureCode::AuthenticationFailed, challenge.to_string()) }
            }
            Self::NotSent(failure) | Self::Failed(failure) => Outcome::Failed { failure },
            Self::Unknown(failure) => Outcome::Unknown { reason: failure.message },
        }
    }
}

impl Client {
    /// Calls a tool. `watch` is told how far it is.
    ///
    /// A call whose answer is lost is made once more where its effect allows that.
    pub async fn call(
        &self,
        access: &Access,
        call: &ToolCall<'_>,
        live: &Live,
        watch: &(dyn Fn(Progress) + Sync),
    ) -> Called {
        let repeats = call.tool.effect != Effect::Write;
        let mut tried = self.attempt(access, call, live, watch).await;
        if matches!(&tried, Err(Trouble::Lost(failure)) if repeats && failure.code == FailureCode::StreamCut) {
            tried = self.attempt(access, call, live, watch).await;
        }
        match tried {
            Ok(called) => called,
            Err(Trouble::SignIn(challenge)) => Called::SignIn(challenge),
            Err(trouble @ Trouble::NeverSent(_)) => Called::NotSent(trouble.failure()),
            Err(trouble) if trouble.may_have_happened() && call.tool.effect != Effect::Read => {
                Called::Unknown(trouble.failure())
            }
            Err(trouble) => Called::Failed(trouble.failure()),
        }
    }

    async fn attempt(
        &self,
        access: &Access,
        call: &ToolCall<'_>,
        live: &Live,
        watch: &(dyn Fn(Progress) + Sync),
    ) -> Result<Called, Trouble> {
        let agreed = self.agree(access, live).await.map_err(before_the_call)?;
        match self.send(access, call, live, watch, &agreed).await {
            Err(Trouble::SessionGone) => {
                self.forget(&agreed).await;
                let agreed = self.agree(access, live).await.map_err(before_the_call)?;
                self.send(access, call, live, watch, &agreed).await
            }
            sent => sent,
        }
    }

    async fn send(
        &self,
        access: &Access,
        call: &ToolCall<'_>,
        live: &Live,
        watch: &(dyn Fn(Progress) + Sync),
        agreed: &Arc<Agreed>,
    ) -> Result<Called, Trouble> {
        let modern = !agreed.revision.has_handshake();
        let mut headers = Vec::new();
        if modern {
            headers = mirrored(CALL, Some(&call.tool.name));
            if self.transport.is_http() {
                let more = mirror::headers(&call.tool.mirrors(), call.arguments).map_err(Trouble::unsendable)?;
                headers.extend(more);
            }
        }
        let ask = Ask {
            method: CALL,
            params: params(call, modern)?,
            marks: Marks { mirrored: &headers, ..self.marks(access, Some(agreed)) },
            silence: self.server.timeout_ms,
            longest: self.server.max_timeout_ms,
            live,
            watch,
        };
        let mut desk = Desk { replies: call.replies.clone(), open: Vec::new(), asks: true };
        match self.ask(ask, &mut desk).await {
            Ok(Answered { result, .. }) => answered(&result, desk, modern, access.output_bytes),
            Err(Trouble::Rpc(error)) if error.code == RpcError::URL_ELICITATION && !modern => visits(&error),
            Err(trouble) => Err(trouble),
        }
    }
}

/// What is lost in a handshake was not the call.
fn before_the_call(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::SignIn(_) => trouble,
        other => Trouble::NeverSent(other.failure()),
    }
}

fn params(call: &ToolCall<'_>, modern: bool) -> Result<Map<String, Value>, Trouble> {
    let mut params = Map::new();
    params.insert("name".into(), json!(call.tool.name));
    params.insert("arguments".into(), call.arguments.clone());
    let Some(Resume::Continue { questions, state }) = call.resume.as_ref().filter(|_| modern) else {
        return Ok(params);
    };
    let mut responses = Map::new();
    for question in questions {
        let reply = call.replies.get(&question.key).unwrap_or(&Reply::Cancel);
        question.check(reply).map_err(|wrong| Trouble::unsendable(format!("the answer does not fit: {wrong}")))?;
        responses.insert(question.key.clone(), reply.to_value(&question.wants));
    }
    if !responses.is_empty() {
        params.insert("inputResponses".into(), Value::Object(responses));
    }
    params.extend(state.as_ref().map(|state| ("requestState".to_owned(), json!(state))));
    Ok(params)
}

fn answered(result: &Map<String, Value>, desk: Desk, modern: bool, output_bytes: usize) -> Result<Called, Trouble> {
    match result.get("resultType").and_then(Value::as_str).filter(|_| modern) {
        None | Some("complete") => {}
        Some("input_required") => return inputs(result),
        Some(_) => return Err(Trouble::malformed("it has a `resultType` that nobody knows")),
    }
    let content = content::show(result, output_bytes).map_err(Trouble::malformed)?;
    if !desk.open.is_empty() {
        let resume = Resume::Again { meanwhile: content };
        return Ok(Called::NeedsPerson(NeedsPerson { questions: desk.open, resume }));
    }
    let structured = result.get("structuredContent").cloned();
    Ok(Called::Answered { content, structured, is_error: content::is_error(result) })
}

/// What a server of revision 2026-07-28 asks before it does anything.
fn inputs(result: &Map<String, Value>) -> Result<Called, Trouble> {
    let state = match result.get("requestState") {
        None | Some(Value::Null) => None,
        Some(Value::String(state)) if state.len() <= MAX_REQUEST_STATE_BYTES => Some(state.clone()),
        Some(_) => return Err(Trouble::malformed("its `requestState` is not a text of a bearable length")),
    };
    let none = Map::new();
    let requests = match result.get("inputRequests") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(requests)) => requests,
        Some(_) => return Err(Trouble::malformed("its `inputRequests` are not an object")),
    };
    if requests.len() > MAX_QUESTIONS {
        return Err(Trouble::malformed(format!("it asks more than {MAX_QUESTIONS} questions")));
    }
    let mut questions = Vec::new();
    for (key, request) in requests {
        let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
        if method != "elicitation/create" {
            let text = "the server asks for something that this side does not offer (a model's answer, or its folders)";
            return Ok(Called::Failed(Failure::new(FailureCode::ToolError, text)));
        }
        let params = request.get("params").and_then(Value::as_object).unwrap_or(&none);
        match question::read(Some(key), params) {
            Ok(question) => questions.push(question),
            Err(wrong) => {
                let text = format!("the server has a question that nobody can be asked: {wrong}");
                return Ok(Called::Failed(Failure::new(FailureCode::ToolError, text)));
            }
        }
    }
    if questions.is_empty() && state.is_none() {
        return Err(Trouble::malformed("it wants an input and does not say which"));
    }
    let resume = Resume::Continue { questions: questions.clone(), state };
    Ok(Called::NeedsPerson(NeedsPerson { questions, resume }))
}

/// The error by which revision 2025-11-25 asks a person to visit a page first.
fn visits(error: &RpcError) -> Result<Called, Trouble> {
    let list = error.data.as_ref().and_then(|data| data.get("elicitations")).and_then(Value::as_array);
    let mut questions = Vec::new();
    for visit in list.into_iter().flatten().take(MAX_QUESTIONS).filter_map(Value::as_object) {
        match question::read(None, visit) {
            Ok(question) if matches!(question.wants, Wants::Visit { .. }) => questions.push(question),
            _ => return Err(Trouble::Rpc(error.clone())),
        }
    }
    match questions.is_empty() {
        true => Err(Trouble::Rpc(error.clone())),
        false => Ok(Called::NeedsPerson(NeedsPerson { questions, resume: Resume::Again { meanwhile: Vec::new() } })),
    }
}
