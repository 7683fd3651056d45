//! Sessions: begin, show, change, delete, resolve.

use super::{
    agent_config::{self, Builder},
    agents, connectors, environment_config, environments, events as event_routes, grants, inputs, labels, ok, skills,
    vaults,
};
use crate::{
    app::{App, Call, key_reused},
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        agent::{AgentParam, Deleted, servers},
        extra::ReleaseParam,
        page::Page,
        session::{
            AgentUpdate, CACHE_KEY, MICROS_PER_CENT, PromptCacheOptions, RESERVED, ROLE_KEY, Review, Session,
            SessionCreate, SessionUpdate, SpendControlParam,
        },
    },
};
use bailiwick_core::{
    AgentConfig,
    approval::MAX_REASON,
    item::{SessionStatus, SessionView},
    record::{Input, InputEnvelope, Resolution, SessionCreated, SessionPatch, SpendLimit},
    session::{OWNER_LABEL, PROGRAM_LABEL, PROGRAMS},
};
use bailiwick_engine::{From as WatchFrom, Submitted};
use bailiwick_gate::{Deleting, Journal, NewSession, budgets::check_limit};
use bailiwick_ports::{
    Caller, Reach, Scope,
    store::{Accepted, Idempotency, RowKind, RowQuery, StoredRow, StreamHead},
};
use bailiwick_types::{ActionId, AgentId, Millis, Money, Principal, SessionId};
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

/// How long an answer waits until a change is taken in.
const TAKE_IN: Millis = Millis::from_secs(10);
/// How long showing an idle session waits for inputs that were just accepted.
const SETTLE: Millis = Millis(500);
const MAX_ROLE_BYTES: usize = 2048;

/// A session as it is now.
pub(crate) struct Known {
    pub view: SessionView,
    pub head: StreamHead,
    pub journal: Journal,
    /// The first input that is accepted and not taken in.
    pub waiting: Option<u64>,
}

impl Known {
    /// Refuses whoever may see this session and not give it work.
    pub fn check_change(&self, caller: &Caller) -> Result<(), ApiError> {
        if caller.may_change(&self.view.creator) {
            Ok(())
        } else {
            Err(somebody_elses("cancel it and settle what is open"))
        }
    }

    /// Refuses whoever may see this session and not even stop it.
    pub fn check_stop(&self, caller: &Caller) -> Result<(), ApiError> {
        if caller.may_stop(&self.view.creator) { Ok(()) } else { Err(somebody_elses("see it")) }
    }

    /// What a client is shown: an accepted message makes a session busy at once.
    pub fn show(mut self, base_url: &str) -> Session {
        if self.waiting.is_some() && self.view.status == SessionStatus::Idle {
            self.view.status = SessionStatus::InProgress;
        }
        Session::of(&self.view, base_url)
    }
}

fn somebody_elses(may: &str) -> ApiError {
    ApiError::forbidden(format!("This session is somebody else's: you may {may} at most."))
}

pub(crate) async fn find(app: &App, caller: &Caller, session: SessionId) -> Result<Known, ApiError> {
    let store = &app.options.store;
    // What waits is read before the row: an input that is taken in between then stands in one of the two at least, and
    // a session with work is never seen idle.
    let (head, journal) = app.open(caller, session).await?;
    let waiting = store.inbox(session.into(), head.inbox_through, 1).await?;
    // Deleted sessions have a stream, but no row.
    let row = store.row(caller.tenant, RowKind::Session, session.to_u128()).await?;
    let row = row.ok_or_else(|| ApiError::not_found("session", &session.to_string()))?;
    let view: SessionView = journal.open_row(RowKind::Session, &row)?;
    if !caller.may_see(&view.creator) {
        return Err(ApiError::not_found("session", &session.to_string()));
    }
    Ok(Known { view, head, journal, waiting: waiting.first().map(|entry| entry.sequence) })
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, body): (SessionCreate, _) = call.json().await?;
    let idempotency = call.idempotency(&body).await?;
    let (app, caller) = (&*call.app, &call.caller);
    let padding = padding(&param);
    // Where no stream may be opened any more, the session is not made either.
    let permit = if param.stream == Some(true) { Some(app.bounds.stream()?) } else { None };
    if let Some(Accepted::Repeated { stream, .. }) = earlier(app, caller, &idempotency).await? {
        return began(&call, stream.into(), permit, padding).await;
    }
    check_create(&param)?;
    let new = new_session(app, caller, param, idempotency).await?;
    let (session, environment) = (new.session, new.created.environment.clone());
    environments::remember(app, caller.tenant, &environment, session).await?;
    match app.options.handle.create(new).await? {
        Submitted::Accepted { session, repeated, .. } => {
            if repeated {
                environments::forget(app, caller.tenant, &environment).await?;
            }
            began(&call, session, permit, padding).await
        }
        Submitted::KeyReused => {
            environments::forget(app, caller.tenant, &environment).await?;
            Err(key_reused())
        }
    }
}

/// What an earlier request with this promise led to; 409 when it was another request.
pub(crate) async fn earlier(
    app: &App,
    caller: &Caller,
    idempotency: &Option<Idempotency>,
) -> Result<Option<Accepted>, ApiError> {
    let Some(idempotency) = idempotency else { return Ok(None) };
    match app.options.store.accepted(caller.tenant, idempotency).await? {
        Some(Accepted::KeyReused) => Err(key_reused()),
        other => Ok(other),
    }
}

fn padding(param: &SessionCreate) -> bool {
    param.stream_options.as_ref().and_then(|options| options.include_obfuscation).unwrap_or(true)
}

async fn began(call: &Call, session: SessionId, stream: Option<OwnedSemaphorePermit>, padding: bool) -> Answer {
    if let Some(permit) = stream {
        return event_routes::open(call, session, WatchFrom::Beginning, padding, true, permit).await;
    }
    ok(find(&call.app, &call.caller, session).await?.show(&call.base_url))
}

fn check_create(param: &SessionCreate) -> Result<(), ApiError> {
    use crate::types::environment::EnvironmentParam;
    let stream = param.stream == Some(true);
    if param.stream_options.is_some() && !stream {
        return Err(ApiError::invalid("stream_options", "`stream_options` needs `stream: true`."));
    }
    if param.agent.is_none() && param.agent_id.is_none() {
        return Err(ApiError::invalid("agent", "`agent` or `agent_id` is needed."));
    }
    let none = matches!(param.environment, EnvironmentParam::None(_));
    let self_hosted = matches!(param.environment, EnvironmentParam::SelfHosted(_));
    if param.input.is_none() && (none || (stream && !self_hosted)) {
        let reason = if none { "a session without an environment" } else { "a stream" };
        return Err(ApiError::invalid("input", format!("`input` is needed for {reason}.")));
    }
    if let Some(role) = &param.role_arn {
        let fine =
            role.starts_with("arn:") && role.len() <= MAX_ROLE_BYTES && role.bytes().all(|b| b.is_ascii_graphic());
        if !fine {
            return Err(ApiError::invalid(
                "role_arn",
                "`role_arn` must be an ARN such as `arn:aws:iam::123456789012:role/NAME`.",
            ));
        }
    }
    agent_config::check_metadata(param.metadata.as_ref().unwrap_or(&BTreeMap::new()))
}

/// The limit in micro-units. It is in US cents whatever the server's currency is, so that it needs one of dollars.
fn spend_limit(app: &App, control: Option<&SpendControlParam>) -> Result<Option<Money>, ApiError> {
    let Some(cents) = control.and_then(|control| control.limit) else { return Ok(None) };
    let refuse = |message: String| Err(ApiError::invalid("spend_control.limit", message));
    let currency = &app.options.handle.gate().money().currency;
    if currency != "USD" {
        return refuse(format!(
            "`spend_control.limit` is in US cents, and this server's currency is {currency}: set a budget for the session \
             instead (`POST /bailiwick/v1/budgets`)."
        ));
    }
    match cents.checked_mul(MICROS_PER_CENT).map(Money::from_micros).filter(|limit| check_limit(*limit).is_ok()) {
        Some(limit) => Ok(Some(limit)),
        None => refuse("`spend_control.limit` must be above 0 and at most 100000000000 cents.".to_owned()),
    }
}

/// A saved agent is used by whoever may see it.
pub(crate) fn check_agent(caller: &Caller) -> Result<(), ApiError> {
    if caller.may(Scope::AgentsRead) {
        return Ok(());
    }
    let message = "`agent_id`: this key lacks the scope `agents:read`, without which it cannot use what is saved.";
    Err(ApiError::forbidden(message).with_param("agent_id"))
}

/// What a saved agent may do, reach and remember goes with its name, its owner and its secrets: in one session it is
/// changed only by whoever may change the agent. `given` are the fields that would.
fn check_widening(caller: &Caller, given: Vec<String>) -> Result<(), ApiError> {
    match given.into_iter().next() {
        Some(field) if !caller.may(Scope::AgentsWrite) => {
            let message = format!(
                "`{field}`: what a saved agent may do and reach is changed on the agent itself, which needs the scope \
                 `agents:write`. Leave it out, or describe an agent of your own without `agent_id`."
            );
            Err(ApiError::forbidden(message).with_param(field))
        }
        _ => Ok(()),
    }
}

/// A session must not be a way around the scopes of what it is made of.
fn check_reach(caller: &Caller, param: &SessionCreate) -> Result<(), ApiError> {
    use crate::types::environment::{EnvironmentParam, FileParam};
    let lacks = |field: &str, scope: Scope| {
        let message =
            format!("`{field}`: this key lacks the scope `{scope}`, without which it cannot use what is saved.");
        Err(ApiError::forbidden(message).with_param(field))
    };
    if param.agent_id.is_some() {
        check_agent(caller)?;
        let given = param.agent.as_ref().map(AgentParam::widening).unwrap_or_default();
        check_widening(caller, given)?;
    }
    let uploaded = match &param.environment {
        EnvironmentParam::OpenaiHosted(hosted) => {
            hosted.files.iter().flatten().any(|file| matches!(file, FileParam::FileId(_)))
        }
        _ => false,
    };
    if uploaded && !caller.may(Scope::FilesRead) {
        return lacks("environment.files", Scope::FilesRead);
    }
    Ok(())
}

async fn new_session(
    app: &App,
    caller: &Caller,
    param: SessionCreate,
    idempotency: Option<Idempotency>,
) -> Result<NewSession, ApiError> {
    check_reach(caller, &param)?;
    let mut agent = match &param.agent_id {
        Some(id) => agents::config(app, caller.tenant, id, "agent_id").await?,
        None => agent_config::blank(AgentId::new(app.now(), app.random())),
    };
    let builder = Builder::new(app, caller).await?;
    agent_config::apply(&builder, param.agent.unwrap_or_default(), "agent", &mut agent)?;
    let input = inputs::first(app, param.input)?;
    let spend_limit = spend_limit(app, param.spend_control.as_ref())?;
    let auto_review = param.review == Some(Review::AutoReview);
    let extras = param.bailiwick.unwrap_or_default();
    let creator = grants::orderer(app, caller, extras.subject.as_deref(), agent.id).await?;
    let vaults = vaults::of_session(app, caller, &creator, agent.id, param.vault_ids)?;
    let label = labels::of_given(app, caller, extras.label, "bailiwick.label").await?;
    let mut metadata = param.metadata.unwrap_or_default();
    if let Some(role) = param.role_arn {
        metadata.insert(ROLE_KEY.into(), role);
    }
    if let Some(options) = param.prompt_cache_options {
        metadata.insert(CACHE_KEY.into(), options.ttl.as_str().into());
    }
    let environment = environment_config::specify(app, caller, param.environment).await?;
    skills::check_session(&agent, &environment)?;
    let input = input.map(|input| InputEnvelope { orderer: creator.clone(), input });
    Ok(NewSession {
        tenant: caller.tenant,
        session: SessionId::new(app.now(), app.random()),
        created: SessionCreated { agent, environment, metadata, creator, spend_limit, auto_review, label, vaults },
        input,
        idempotency,
    })
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let session = call.id("session_id", "session")?;
    let mut known = find(&call.app, &call.caller, session).await?;
    if let (Some(sequence), SessionStatus::Idle) = (known.waiting, known.view.status) {
        let until = call.app.now() + SETTLE;
        if call.app.options.handle.taken_in(session, sequence, until).await? {
            known = find(&call.app, &call.caller, session).await?;
        }
    }
    ok(known.show(&call.base_url))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(SessionId))?;
    let agent: Option<AgentId> = query.id("agent_id")?;
    let labels = query.map("metadata")?;
    query.finish()?;
    if labels.len() > 16 || labels.iter().any(|(key, _)| key.is_empty() || key.starts_with(RESERVED)) {
        let message =
            format!("`metadata` takes up to 16 pairs whose keys are not empty and do not begin with `{RESERVED}`.");
        return Err(ApiError::invalid("metadata", message));
    }
    let (app, caller) = (&*call.app, &call.caller);
    let wanted = RowQuery {
        tenant: caller.tenant,
        kind: RowKind::Session,
        scope: caller.tenant.to_u128(),
        parent: agent.map(AgentId::to_u128),
        labels,
        page: page.clone(),
    };
    let (rows, more) = own_rows(app, caller, wanted).await?.ok_or_else(|| unknown_cursor(&page))?;
    let mut sessions = Vec::with_capacity(rows.len());
    for row in rows {
        // A session that goes away while the page is made is left out.
        let Ok((_, journal)) = app.open(caller, row.stream.into()).await else { continue };
        let view: SessionView = journal.open_row(RowKind::Session, &row)?;
        sessions.push(Session::of(&view, &call.base_url));
    }
    ok(Page::new(sessions, more, |session| session.id.clone()))
}

/// One's own are found by a label that the row has from its creator, so that others' are not even read. A program has two
/// kinds of its own: those of all programs, and those that it began for people.
async fn own_rows(app: &App, caller: &Caller, wanted: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, ApiError> {
    let store = &app.options.store;
    let under = |label: &str, value: String| {
        let mut wanted = wanted.clone();
        wanted.labels.push((label.to_owned(), value));
        store.rows(wanted)
    };
    let programs = match (caller.reach(), caller.principal.key()) {
        (Reach::Everyone, _) => return Ok(store.rows(wanted).await?),
        (Reach::Person(person), _) => return Ok(under(OWNER_LABEL, person.to_string()).await?),
        (Reach::Programs, None) => return Ok(under(OWNER_LABEL, PROGRAMS.to_owned()).await?),
        (Reach::Programs, Some(key)) => {
            (under(OWNER_LABEL, PROGRAMS.to_owned()).await?, under(PROGRAM_LABEL, key.to_string()).await?)
        }
    };
    let (Some((mut rows, more)), Some((theirs, theirs_more))) = programs else { return Ok(None) };
    let (limit, page) = (wanted.page.limit as usize, &wanted.page);
    rows.extend(theirs);
    rows.sort_by_key(|row| (row.ordinal, row.id));
    if page.descending {
        rows.reverse();
    }
    let more = more || theirs_more || rows.len() > limit;
    // What comes before a cursor ends at it.
    let first = if page.before.is_some() && page.after.is_none() { rows.len().saturating_sub(limit) } else { 0 };
    Ok(Some((rows.into_iter().skip(first).take(limit).collect(), more)))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let session = call.id("session_id", "session")?;
    let known = find(&call.app, &call.caller, session).await?;
    known.check_change(&call.caller)?;
    let (param, body): (SessionUpdate, _) = call.json().await?;
    let idempotency = call.idempotency(&body).await?;
    let (app, caller) = (&*call.app, &call.caller);
    if app.options.directory.colleague(caller.tenant, known.view.agent.id).is_some() {
        let given = param.agent.as_ref().map(|agent| servers(&agent.tools)).unwrap_or_default();
        check_widening(caller, given)?;
    }
    let patch = patch_of(app, param, &known.view)?;
    if patch != SessionPatch::default() {
        submit(app, caller, session, Input::Update(patch), idempotency).await?;
    }
    ok(find(app, caller, session).await?.show(&call.base_url))
}

fn patch_of(app: &App, param: SessionUpdate, view: &SessionView) -> Result<SessionPatch, ApiError> {
    let mut patch = SessionPatch::default();
    let AgentUpdate { model, reasoning, service_tier, tools } = param.agent.unwrap_or_default();
    if let Some(model) = model {
        agent_config::check_model(app, &model, "agent.model")?;
        patch.model = Some(model);
    }
    if let Some(effort) = reasoning.and_then(|reasoning| reasoning.effort) {
        let mut changed = view.agent.reasoning.clone();
        changed.effort = effort.map(|effort| effort.as_str().to_owned());
        patch.reasoning = Some(changed);
    }
    patch.service_tier = service_tier.map(|tier| tier.map_or("auto", |tier| tier.as_str()).to_owned());
    if let Some(tools) = tools {
        let given = agent_config::tools_of(app, tools.unwrap_or_default(), "agent.tools")?;
        let all = agent_config::with_own(&view.agent.connectors, given.servers);
        let changed =
            AgentConfig { tools: given.functions, tool_search: given.search, connectors: all, ..view.agent.clone() };
        connectors::check_tools(&changed, "agent.tools")?;
        patch.connectors = (changed.connectors != view.agent.connectors).then_some(changed.connectors);
        patch.tools = Some(changed.tools);
        patch.tool_search = changed.tool_search.then_some(true);
    }
    if let Some(metadata) = &param.metadata {
        agent_config::check_metadata(metadata.as_ref().unwrap_or(&BTreeMap::new()))?;
    }
    if let Some(control) = &param.spend_control {
        let limit = spend_limit(app, control.as_ref())?;
        patch.spend_limit = Some(SpendLimit { limit });
    }
    patch.auto_review = param.review.map(|review| review == Review::AutoReview);
    patch.metadata = metadata_of(param.metadata, param.prompt_cache_options, view);
    Ok(patch)
}

/// What is ours in the metadata stays when a client replaces what is its own.
fn metadata_of(
    given: Option<Option<BTreeMap<String, String>>>,
    cache: Option<Option<PromptCacheOptions>>,
    view: &SessionView,
) -> Option<BTreeMap<String, String>> {
    if given.is_none() && cache.is_none() {
        return None;
    }
    let kept = view.metadata.iter().filter(|(key, _)| given.is_none() || key.starts_with(RESERVED));
    let mut metadata: BTreeMap<String, String> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.extend(given.flatten().unwrap_or_default());
    match cache {
        Some(Some(options)) => {
            metadata.insert(CACHE_KEY.into(), options.ttl.as_str().into());
        }
        Some(None) => {
            metadata.remove(CACHE_KEY);
        }
        None => {}
    }
    Some(metadata)
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let session: SessionId = call.id("session_id", "session")?;
    let (app, caller) = (&*call.app, &call.caller);
    let known = find(app, caller, session).await?;
    known.check_change(caller)?;
    let (person, agent) = (known.view.creator.person(), Some(known.view.agent.id));
    super::holds::check(app, caller.tenant, Deleting { person, agent, session: Some(session) }).await?;
    // From here on nobody finds it. What it has kept is removed by itself, through any crash.
    submit(app, caller, session, Input::Delete, None).await?;
    ok(Deleted { id: session.to_string(), object: "agent.session.deleted", deleted: true })
}

/// Gives a session one input and waits until it is taken in, so that the next request sees what it changed.
pub(crate) async fn submit(
    app: &App,
    caller: &Caller,
    session: SessionId,
    input: Input,
    idempotency: Option<Idempotency>,
) -> Result<(), ApiError> {
    submit_as(app, caller, caller.principal.clone(), session, input, idempotency).await
}

/// As [`submit`], in the words of somebody for whom the caller was found to speak.
pub(crate) async fn submit_as(
    app: &App,
    caller: &Caller,
    orderer: Principal,
    session: SessionId,
    input: Input,
    idempotency: Option<Idempotency>,
) -> Result<(), ApiError> {
    let handle = &app.options.handle;
    let input = InputEnvelope { orderer, input };
    match handle.submit(caller.tenant, session, vec![input], idempotency).await? {
        Submitted::KeyReused => Err(key_reused()),
        Submitted::Accepted { sequence, .. } => match handle.taken_in(session, sequence, app.now() + TAKE_IN).await? {
            true => Ok(()),
            false => Err(ApiError::overloaded(
                "The change is accepted and will be made; the server is too busy to say when. Look again in a moment.",
            )),
        },
    }
}

/// Takes a label off, or part of it: the only way down, by a person who is named in the receipt.
pub(crate) async fn release(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let session = call.id("session_id", "session")?;
    let known = find(&call.app, &call.caller, session).await?;
    let (ReleaseParam { label, reason }, _) = call.json::<ReleaseParam>().await?;
    let (app, caller) = (&*call.app, &call.caller);
    labels::check(&label, "label")?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(ApiError::invalid("reason", format!("`reason` must say why, in at most {MAX_REASON} bytes.")));
    }
    if matches!(caller.principal, Principal::Agent { .. }) {
        return Err(ApiError::forbidden("A label is taken off by a person, never by an agent."));
    }
    if !label.is_at_most(&known.view.label) {
        let message = "`label` must be part of the label that the session has: a release takes off, it adds nothing.";
        return Err(ApiError::invalid("label", message));
    }
    submit(app, caller, session, Input::Release { label, reason: Some(reason) }, None).await?;
    ok(find(app, caller, session).await?.show(&call.base_url))
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveParam {
    /// As the item's or the session's `bailiwick` object shows it.
    pub action: String,
    pub resolution: ResolutionParam,
}

/// A person's word on an unknown outcome.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResolutionParam {
    /// It happened, and is not done again.
    Happened,
    DidNotHappen,
    /// Whatever happened, it may be done again.
    DoAgain,
}

pub(crate) async fn resolve(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let session = call.id("session_id", "session")?;
    let known = find(&call.app, &call.caller, session).await?;
    known.check_stop(&call.caller)?;
    let (param, _): (ResolveParam, _) = call.json().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let action: Option<ActionId> = param.action.parse().ok();
    let unresolved = action.filter(|action| known.view.unresolved.iter().any(|one| one.action == *action));
    let Some(action) = unresolved else {
        let message = "`action`: no action of this session with this id has an unknown outcome.";
        return Err(ApiError::invalid("action", message));
    };
    let resolution = match param.resolution {
        ResolutionParam::Happened => Resolution::Happened,
        ResolutionParam::DidNotHappen => Resolution::DidNotHappen,
        ResolutionParam::DoAgain => Resolution::DoAgain,
    };
    submit(app, caller, session, Input::Resolve { action, resolution }, None).await?;
    ok(find(app, caller, session).await?.show(&call.base_url))
}
