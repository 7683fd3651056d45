//! A session's events, in and out.

use super::{grants, history, inputs, sessions};
use crate::{
    app::{App, Call, key_reused},
    error::ApiError,
    events::{Narrator, Pump, respond},
    routes::Answer,
    types::input::{EventParam, EventsParam},
};
use axum::{http::StatusCode, response::IntoResponse};
use bailiwick_core::{
    item::{Item, ItemStatus, RequiredAction, SessionView},
    record::{Input, InputEnvelope},
};
use bailiwick_engine::{From as WatchFrom, Submitted};
use bailiwick_ports::{
    Caller,
    store::{Page, RowKind},
};
use bailiwick_types::{Principal, SessionId, TurnId};
use std::collections::HashSet;
use tokio::sync::OwnedSemaphorePermit;

/// Items at work that a connection looks for when it begins in the middle of a turn.
const MAX_AT_WORK: u32 = 100;

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let (param, body): (EventsParam, _) = call.json().await?;
    let idempotency = call.idempotency(&body).await?;
    let (app, caller) = (&*call.app, &call.caller);
    // A repetition is told that it was accepted, also where the same request would not be possible any more.
    if sessions::earlier(app, caller, &idempotency).await?.is_some() {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    // Whoever may only stop it may send what stops it and nothing else.
    match param.events.iter().all(|event| matches!(event, EventParam::Cancel(_))) {
        true => known.check_stop(caller)?,
        false => known.check_change(caller)?,
    }
    let said = param.bailiwick.unwrap_or_default().subject;
    let speaker = Speaker::of(app, caller, said, &known.view, &param.events).await?;
    let inputs = inputs::of_events(app, caller, &speaker.answers, param.events, &known.view, known.waiting.is_some())?;
    let inputs = inputs.into_iter().map(|input| InputEnvelope { orderer: speaker.of_input(&input), input }).collect();
    match app.options.handle.submit(caller.tenant, session, inputs, idempotency).await? {
        Submitted::Accepted { .. } => Ok(StatusCode::ACCEPTED.into_response()),
        Submitted::KeyReused => Err(key_reused()),
    }
}

/// Under whose name each of the events goes.
struct Speaker {
    itself: Principal,
    /// Messages: work that is ordered.
    orders: Principal,
    /// Answers to questions.
    answers: Principal,
}

impl Speaker {
    /// A program that began a session for a person goes on for them; in any other it speaks for itself unless it names
    /// somebody. It needs a grant for what it sends, and none to end or report what it began.
    async fn of(
        app: &App,
        caller: &Caller,
        said: Option<String>,
        view: &SessionView,
        events: &[EventParam],
    ) -> Result<Self, ApiError> {
        let own = view
            .creator
            .key()
            .filter(|_| view.creator.grant().is_some() && view.creator.key() == caller.principal.key());
        let subject = said.or_else(|| own.and(view.creator.person()).map(|person| person.to_string()));
        let itself = caller.principal.clone();
        let mut speaker = Self { itself: itself.clone(), orders: itself.clone(), answers: itself };
        let Some(subject) = subject else { return Ok(speaker) };
        if view.creator.person().is_some_and(|person| person.to_string() != subject) {
            let message = "`bailiwick.subject`: this session works for somebody else; begin another.";
            return Err(ApiError::forbidden(message).with_param("bailiwick.subject"));
        }
        let agent = view.agent.id;
        if events.iter().any(|event| matches!(event, EventParam::Message(_))) {
            speaker.orders = grants::orderer(app, caller, Some(&subject), agent).await?;
        }
        let is_program = matches!(caller.principal, Principal::Service { .. });
        if is_program && events.iter().any(|event| matches!(event, EventParam::McpApproval(_))) {
            speaker.answers = grants::answerer(app, caller, &subject, agent, "bailiwick.subject").await?;
        }
        Ok(speaker)
    }

    fn of_input(&self, input: &Input) -> Principal {
        match input {
            Input::Message { .. } => self.orders.clone(),
            Input::Answer { .. } => self.answers.clone(),
            _ => self.itself.clone(),
        }
    }
}

pub(crate) async fn stream(call: Call) -> Answer {
    let mut query = call.query()?;
    let padding = query.flag("include_obfuscation")?.unwrap_or(true);
    query.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let from = match call.parts.headers.get("last-event-id") {
        None => WatchFrom::Now,
        Some(id) => match id.to_str().ok().and_then(position) {
            Some(position) if position <= known.head.position => WatchFrom::After { position },
            _ => {
                let message = "`Last-Event-ID` must be the `id` of an event of this session; `0.0` is its beginning.";
                return Err(ApiError::invalid("Last-Event-ID", message));
            }
        },
    };
    let permit = call.app.bounds.stream()?;
    open(&call, session, from, padding, false, permit).await
}

/// The position of a place `position.n`.
fn position(id: &str) -> Option<u64> {
    let (position, count) = id.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(position) && digits(count)).then(|| position.parse().ok()).flatten()
}

/// Answers with a session's events. `until_idle` ends with the first turn that ends.
pub(crate) async fn open(
    call: &Call,
    session: SessionId,
    from: WatchFrom,
    padding: bool,
    until_idle: bool,
    permit: OwnedSemaphorePermit,
) -> Answer {
    let handle = &call.app.options.handle;
    // The watch is made before the row is read, so that what the row does not show is told.
    let watch = handle.watch(call.caller.tenant, session, from).await?;
    let head = call.app.open(&call.caller, session).await?.0.position;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let mut narrator = Narrator::new(session, call.base_url.clone(), until_idle);
    match from {
        WatchFrom::Beginning => narrator.repeats(head, pending(&known.view.required_actions)),
        WatchFrom::After { .. } => {
            narrator.repeats(head, pending(&known.view.required_actions));
            narrator.resumes(at_work(call, session, &known).await?);
        }
        WatchFrom::Now => narrator.joins(&known.view, at_work(call, session, &known).await?),
    }
    respond(Pump { app: call.app.clone(), caller: call.caller.clone(), watch, narrator, padding, _permit: permit })
}

fn pending(required: &[RequiredAction]) -> HashSet<(TurnId, String)> {
    let calls = required.iter().filter_map(|required| match required {
        RequiredAction::FunctionCall { turn, call_id, .. } => Some((*turn, call_id.clone())),
        _ => None,
    });
    calls.collect()
}

/// The running turn's items that have begun and not ended.
async fn at_work(call: &Call, session: SessionId, known: &sessions::Known) -> Result<Vec<Item>, ApiError> {
    let Some(turn) = known.view.turn else { return Ok(Vec::new()) };
    let page = Page { limit: MAX_AT_WORK, descending: true, ..Page::default() };
    let parent = Some(turn.to_u128());
    let (items, _) = history::rows::<Item>(call, session, &known.journal, RowKind::Item, parent, page).await?;
    Ok(items.into_iter().filter(|item| item.status == ItemStatus::InProgress).collect())
}
