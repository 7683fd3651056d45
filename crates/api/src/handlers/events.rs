//! A session's events, in and out.

use super::{history, inputs, sessions};
use crate::{
    app::{Call, key_reused},
    error::ApiError,
    events::{Narrator, Pump, respond},
    routes::Answer,
    types::input::{EventParam, EventsParam},
};
use axum::{http::StatusCode, response::IntoResponse};
use bailiwick_core::{
    item::{Item, ItemStatus, RequiredAction},
    record::InputEnvelope,
};
use bailiwick_engine::{From as WatchFrom, Submitted};
use bailiwick_ports::store::{Page, RowKind};
use bailiwick_types::{SessionId, TurnId};
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
    let inputs = inputs::of_events(app, caller, param.events, &known.view, known.waiting.is_some())?;
    let envelope = |input| InputEnvelope { orderer: caller.principal.clone(), input };
    let inputs = inputs.into_iter().map(envelope).collect();
    match app.options.handle.submit(caller.tenant, session, inputs, idempotency).await? {
        Submitted::Accepted { .. } => Ok(StatusCode::ACCEPTED.into_response()),
        Submitted::KeyReused => Err(key_reused()),
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
