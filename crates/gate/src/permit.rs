//! The proof that the gate let one exact action through, and the proof of what became of it.
//!
//! The way is one direction: only the gate makes a [`Permit`], opening it consumes it and gives an [`Opened`], settling
//! that consumes it and gives a [`Settled`], and only the gate takes a `Settled` into the stream. None of the three can
//! be cloned or built elsewhere. One that is dropped on the way settles itself, so that no action is ever forgotten.

use crate::redaction::Redaction;
use bailiwick_core::{
    Action, ActionResult, ConnectorKind, ConnectorSpec, EnvironmentFacts, EnvironmentSpec, Failure, FailureCode,
    Limits, Lost, ModelRequest, OpenedConnector, Outcome, ToolDefinition,
    connector::{Pins, against_pins},
};
use bailiwick_ports::{Clock, ConnectorFacts, memory::Within};
use bailiwick_types::{ActionId, CredentialId, Principal, Secret, SessionId, TenantId, Timestamp, TurnId};
use std::{fmt, sync::Arc};
use tokio::sync::mpsc::UnboundedSender;

/// Whether the action is performed for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing was sent before.
    First,
    /// It may have been sent before and may be sent again (`pure`, `idempotent`, `keyed`).
    Again,
    /// It may have been sent before: ask what became of it; perform it only where the answer is "never seen".
    Lookup,
}

/// Where an action belongs and what bounds it. The same for all actions of a turn.
#[derive(Debug, Clone)]
pub struct Scope {
    pub tenant: TenantId,
    pub session: SessionId,
    pub turn: TurnId,
    pub principal: Principal,
    /// What people call the agent.
    pub agent_name: Option<String>,
    pub environment: Arc<EnvironmentSpec>,
    /// What the environment said of itself when it was started; `None` before.
    pub environment_facts: Option<EnvironmentFacts>,
    pub limits: Limits,
}

/// The connector that performs an action, as it was when the action was let through.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// What policy and receipts call it.
    pub name: String,
    /// The organisation keeps it; else it is written into the agent.
    pub kept: bool,
    /// Whoever keeps it for the organisation chose its secret; else whoever wrote the agent did.
    pub vouched_credential: bool,
    pub spec: ConnectorSpec,
    /// The tools that were accepted, if any were.
    pub pins: Option<Pins>,
    /// The tool that is called, as its system told of it.
    pub tool: Option<ToolDefinition>,
}

impl Access {
    /// As policy is told.
    pub fn facts(&self) -> ConnectorFacts<'_> {
        ConnectorFacts { name: &self.name, kept: self.kept, spec: &self.spec, tool: self.tool.as_ref() }
    }

    /// Where it leads, with the tool that is called.
    pub fn system(&self) -> String {
        self.spec.system(self.tool.as_ref())
    }
}

pub(crate) struct Grant {
    pub(crate) id: ActionId,
    pub(crate) action: Arc<Action>,
    pub(crate) access: Option<Arc<Access>>,
    /// All of memory that it may reach.
    pub(crate) within: Option<Within>,
    pub(crate) request: Option<Arc<ModelRequest>>,
    pub(crate) mode: Mode,
    pub(crate) not_after: Timestamp,
    pub(crate) scope: Arc<Scope>,
    /// The secrets that it may use.
    pub(crate) credentials: Vec<CredentialId>,
    /// Those that were revealed to its hand.
    pub(crate) revealed: Vec<Secret>,
    /// Where whatever is dropped unsettled reports. As many messages as there are permits, so it is bounded by the
    /// number of actions in flight.
    pub(crate) dropped: UnboundedSender<Settled>,
}

/// Lets one exact action through, once, before its time is over.
#[must_use = "a permit that is dropped settles as `not_sent`"]
pub struct Permit(Option<Grant>);

/// An opened permit: the action is being performed.
#[must_use = "an opened permit that is dropped settles as `unknown`"]
pub struct Opened(Option<Grant>);

/// What became of one action. The gate puts it on the stream.
pub struct Settled {
    id: ActionId,
    outcome: Outcome,
    /// Attempts of a model call that broke after they were sent, where its hand knows of all of them.
    lost: Option<Lost>,
}

impl Permit {
    pub(crate) fn new(grant: Grant) -> Self {
        Self(Some(grant))
    }

    pub fn id(&self) -> ActionId {
        self.grant().id
    }

    /// What it would let through, to choose the hand by. The hand itself takes its arguments from [`Opened`].
    pub fn action(&self) -> &Action {
        &self.grant().action
    }

    pub fn mode(&self) -> Mode {
        self.grant().mode
    }

    /// The connector that performs it, to choose the hand by.
    pub fn access(&self) -> Option<&Arc<Access>> {
        self.grant().access.as_ref()
    }

    /// Opens it, unless its time is over: then it settles as `not_sent`.
    pub fn open(mut self, clock: &dyn Clock) -> Result<Opened, Settled> {
        // INVARIANT: the grant is there until `open` or `drop` takes it, and both end the permit's life.
        let grant = self.0.take().expect("a permit holds its grant");
        if clock.now() > grant.not_after {
            let reason = "its permit was opened too late".to_owned();
            return Err(Settled { id: grant.id, outcome: Outcome::NotSent { reason }, lost: None });
        }
        Ok(Opened(Some(grant)))
    }

    /// Refuses to perform it: it settles as `not_sent`.
    pub fn refuse(mut self, reason: impl Into<String>) -> Settled {
        // INVARIANT: as in `open`.
        let grant = self.0.take().expect("a permit holds its grant");
        Settled { id: grant.id, outcome: Outcome::NotSent { reason: reason.into() }, lost: None }
    }

    fn grant(&self) -> &Grant {
        // INVARIANT: as in `open`.
        self.0.as_ref().expect("a permit holds its grant")
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(grant) = self.0.take() {
            let reason = "its permit was dropped before it was opened".to_owned();
            let _ = grant.dropped.send(Settled { id: grant.id, outcome: Outcome::NotSent { reason }, lost: None });
        }
    }
}

impl Opened {
    pub fn id(&self) -> ActionId {
        self.grant().id
    }

    /// The canonical arguments that policy saw.
    pub fn action(&self) -> &Action {
        &self.grant().action
    }

    /// The whole prompt of a model call; `None` for every other action.
    pub fn request(&self) -> Option<&Arc<ModelRequest>> {
        self.grant().request.as_ref()
    }

    pub fn mode(&self) -> Mode {
        self.grant().mode
    }

    pub fn scope(&self) -> &Scope {
        &self.grant().scope
    }

    /// What is known of the connector that performs it; `None` for what needs none.
    pub fn access(&self) -> Option<&Arc<Access>> {
        self.grant().access.as_ref()
    }

    /// All of memory that it may reach; `None` for what is about nothing remembered.
    pub fn within(&self) -> Option<&Within> {
        self.grant().within.as_ref()
    }

    /// Settles the opening of a connector with the tools that its system offers. What is not what was accepted is held
    /// back, and what an administrator says of a tool's effect counts before what the system says.
    pub fn settle_tools(self, mut offered: Vec<ToolDefinition>) -> Settled {
        let Some(access) = self.access().cloned() else {
            let failure = Failure::new(FailureCode::Internal, "no connector is known of this action");
            return self.settle(Outcome::Failed { failure });
        };
        for tool in &mut offered {
            tool.effect = access.spec.effects.get(&tool.name).copied().unwrap_or(tool.effect);
        }
        let (tools, held) = against_pins(offered, access.pins.as_ref());
        let opened = OpenedConnector {
            kind: access.spec.kind,
            tools,
            held,
            // Words that nobody accepted are the system's own; those of kinds other than MCP are ours.
            vouched: access.pins.is_some() || !matches!(access.spec.kind, ConnectorKind::Mcp | ConnectorKind::Openapi),
            label: access.spec.label.clone(),
            dialect: access.spec.dialect,
        };
        self.settle(Outcome::Confirmed { result: ActionResult::Connector(opened) })
    }

    /// Says what became of it. Secrets that were revealed for it are taken out of the outcome.
    pub fn settle(self, outcome: Outcome) -> Settled {
        self.settle_after(outcome, None)
    }

    /// The same of a model call of which every attempt that broke after it was sent is known.
    pub fn settle_after(mut self, outcome: Outcome, lost: Option<Lost>) -> Settled {
        // INVARIANT: the grant is there until `settle` or `drop` takes it, and both end its life.
        let grant = self.0.take().expect("an opened permit holds its grant");
        Settled { id: grant.id, outcome: Redaction::new(&grant.revealed).outcome(outcome), lost }
    }

    pub(crate) fn grant(&self) -> &Grant {
        // INVARIANT: as in `settle`.
        self.0.as_ref().expect("an opened permit holds its grant")
    }

    pub(crate) fn grant_mut(&mut self) -> &mut Grant {
        // INVARIANT: as in `settle`.
        self.0.as_mut().expect("an opened permit holds its grant")
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(grant) = self.0.take() {
            let reason = "whoever performed it vanished before saying what became of it".to_owned();
            let _ = grant.dropped.send(Settled { id: grant.id, outcome: Outcome::Unknown { reason }, lost: None });
        }
    }
}

impl Settled {
    pub fn id(&self) -> ActionId {
        self.id
    }

    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub(crate) fn into_parts(self) -> (ActionId, Outcome, Option<Lost>) {
        (self.id, self.outcome, self.lost)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.0.as_ref().map(|grant| grant.id)).finish()
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled").field("id", &self.id).finish_non_exhaustive()
    }
}
