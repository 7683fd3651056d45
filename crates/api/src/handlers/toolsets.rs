//! `/mcp/{agent_id}`: the tools of a saved agent, for agents that are not run here.
//!
//! Whoever calls has a session of their own with that agent, a new one each day and for each version of it: its stream
//! has the receipts, its remit and budgets hold, and policy decides on every call. What those agents have read is known
//! to nobody here, so the session is untrusted from its beginning. No call of theirs asks a model of ours; whoever says
//! something to that session is answered as in every other.

use super::{agents, errands, grants, vaults};
use crate::{
    app::{App, Call, key_reused},
    error::ApiError,
    routes::Answer,
    types::session::TOOLSET_KEY,
};
use async_trait::async_trait;
use axum::{
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use bailiwick_core::{
    AgentConfig, EnvironmentSpec, Label, ToolDefinition,
    item::ErrandOutcome,
    record::{Input, OrderedCall, SessionCreated},
};
use bailiwick_engine::Submitted;
use bailiwick_gate::NewSession;
use bailiwick_ports::{
    Caller,
    store::{Accepted, Idempotency},
    toolset::{Called, Toolset, ToolsetMessage},
};
use bailiwick_types::{ItemId, Millis, SessionId};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Sessions of one day that a caller may have deleted before the toolset is closed to them until the next.
const MAX_DELETED: u32 = 16;
const DAY: i64 = 24 * 60 * 60;
/// How long a call may wait to be begun, a person's answer included: [`errands::PATIENCE`] less the time to make it.
const ANSWERABLE: Millis = Millis::from_secs(50);

/// Takes one message of the Model Context Protocol.
pub(crate) async fn answer(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let body = call.bytes().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let Some(protocol) = &app.options.toolset_protocol else {
        return Err(ApiError::not_built("/mcp"));
    };
    super::sessions::check_agent(caller)?;
    let agent = agents::config(app, caller.tenant, call.param("agent_id"), "agent_id").await?;
    let offered = Offered { app, caller, agent };
    let headers = &call.parts.headers;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = protocol.answer(ToolsetMessage { body: &body, header: &header }, &offered).await;
    let response = Response::builder().status(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK));
    let response = match answer.body {
        Some(body) => response.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        None => response.body(Body::empty()),
    };
    response.map_err(ApiError::internal)
}

/// Begins a session in which calls are made and no model is asked.
pub(crate) async fn begin(
    app: &App,
    caller: &Caller,
    agent: AgentConfig,
    idempotency: Option<Idempotency>,
) -> Result<SessionId, ApiError> {
    let creator = grants::orderer(app, caller, None, agent.id).await?;
    let vaults = vaults::usable(app, caller, &creator, agent.id);
    let created = SessionCreated {
        agent,
        environment: EnvironmentSpec::None,
        metadata: BTreeMap::from([(TOOLSET_KEY.to_owned(), "mcp".to_owned())]),
        creator,
        spend_limit: None,
        auto_review: false,
        label: Label::foreign(),
        vaults,
    };
    let session = SessionId::new(app.now(), app.random());
    let new = NewSession { tenant: caller.tenant, session, created, input: None, idempotency };
    match app.options.handle.create(new).await? {
        Submitted::Accepted { session, .. } => Ok(session),
        Submitted::KeyReused => Err(key_reused()),
    }
}

/// Has every connector of such a session opened that is not open yet.
pub(crate) async fn open(app: &App, caller: &Caller, session: SessionId) -> Result<(), ApiError> {
    match errands::run(app, caller, session, Input::Call { call: None, until: Some(app.now() + ANSWERABLE) }, None)
        .await?
        .0
    {
        Some(ErrandOutcome::Done) => Ok(()),
        Some(ErrandOutcome::Failed { failure }) => Err(ApiError::conflict("conflict", failure.message)),
        _ => Err(ApiError::too_slow("The connectors were not opened in time.")),
    }
}

/// What one caller may use of one agent's tools.
struct Offered<'a> {
    app: &'a App,
    caller: &'a Caller,
    agent: AgentConfig,
}

impl Offered<'_> {
    /// The session of today.
    async fn session(&self) -> Result<SessionId, ApiError> {
        let (app, caller) = (self.app, self.caller);
        for number in 0..MAX_DELETED {
            let idempotency = self.promise(number).await?;
            let session = match app.options.store.accepted(caller.tenant, &idempotency).await? {
                Some(Accepted::Repeated { stream, .. }) => stream.into(),
                _ => begin(app, caller, self.agent.clone(), Some(idempotency)).await?,
            };
            // One that was deleted is not begun again.
            match super::sessions::find(app, caller, session).await {
                Ok(_) => return Ok(session),
                Err(error) if error.status == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error),
            }
        }
        Err(ApiError::conflict("conflict", format!("{MAX_DELETED} sessions of this toolset were deleted today.")))
    }

    /// The same for all calls of a day under one version of the agent.
    async fn promise(&self, number: u32) -> Result<Idempotency, ApiError> {
        let (app, AgentConfig { id, version, .. }) = (self.app, &self.agent);
        let day = app.now().as_seconds().div_euclid(DAY);
        let key = format!("{id} {version} {day} {number}");
        let digest = app.tenant_keys.get(self.caller.tenant).await?.digest(key.as_bytes());
        Ok(Idempotency { scope: format!("{} /mcp", self.caller.principal), key, digest })
    }

    async fn opened(&self) -> Result<Vec<ToolDefinition>, ApiError> {
        let session = self.session().await?;
        open(self.app, self.caller, session).await?;
        let state = self.app.state(self.caller, session).await?;
        let orderer = grants::orderer(self.app, self.caller, None, self.agent.id).await?;
        // What policy would let nobody call for them, they need not know of.
        Ok(self.app.options.handle.gate().callable(&state, &orderer))
    }

    async fn called(&self, name: &str, arguments: &Map<String, Value>) -> Result<Called, ApiError> {
        let session = self.session().await?;
        let item = ItemId::new(self.app.now(), self.app.random());
        let arguments = Value::Object(arguments.clone()).to_string();
        let call = OrderedCall { item, name: name.to_owned(), arguments };
        let order = Input::Call { call: Some(call), until: Some(self.app.now() + ANSWERABLE) };
        Ok(match errands::run(self.app, self.caller, session, order, None).await?.0 {
            Some(ErrandOutcome::Answered { failed, content }) => Called { failed, content },
            Some(ErrandOutcome::Failed { failure }) => Called::failed(failure.message),
            Some(ErrandOutcome::Denied { message }) => Called::failed(message),
            Some(ErrandOutcome::Done | ErrandOutcome::Listed(_)) => Called::failed("What came back is no answer."),
            None => Called::failed(format!(
                "There was no answer in time, and the call may still go on. Look at `bailiwick session show {session}` \
                 before calling it again."
            )),
        })
    }
}

#[async_trait]
impl Toolset for Offered<'_> {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, String> {
        self.opened().await.map_err(|error| error.message)
    }

    async fn call(&self, name: &str, arguments: &Map<String, Value>) -> Called {
        self.called(name, arguments).await.unwrap_or_else(|error| Called::failed(error.message))
    }
}
