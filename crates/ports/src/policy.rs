//! The decision whether an action may be done.

use crate::{Colleague, Meter, ModelCard, Person, vault::Credential};
use bailiwick_core::{
    Action, ActionKind, AgentConfig, Approver, ConnectorSpec, EnvironmentSpec, FunctionTool, Label, Remit,
    ToolDefinition,
};
use bailiwick_types::{Principal, SessionId, TenantId, Timestamp};
use std::collections::BTreeSet;

/// Everything a decision may depend on.
#[derive(Debug, Clone, Copy)]
pub struct PolicyRequest<'a> {
    pub tenant: TenantId,
    pub session: SessionId,
    /// The agent, on behalf of the turn's orderer.
    pub principal: &'a Principal,
    pub agent: &'a AgentConfig,
    /// `None` for an agent written inline.
    pub colleague: Option<&'a Colleague>,
    /// The user it works for; `None` when the orderer is a program that names nobody.
    pub person: Option<&'a Person>,
    /// Where what the action may carry came from, and who may see it.
    pub label: &'a Label,
    /// The addresses, hosts and URLs that the messages of the person who ordered it name, in canonical form.
    pub said: &'a BTreeSet<String>,
    /// Of the mail addresses that it goes to, those of people of the organisation.
    pub colleagues: &'a BTreeSet<String>,
    /// The card of the model that a `model.call` goes to.
    pub model: Option<&'a ModelCard>,
    /// What is known of the connector that performs it, where one does.
    pub connector: Option<ConnectorFacts<'a>>,
    /// Where the session's commands and files live; `None` where that is not known.
    pub environment: Option<&'a EnvironmentSpec>,
    pub action: &'a Action,
    /// The question is whether the action may use this secret (`vault.use`). `None`: whether it may be done at all.
    pub credential: Option<&'a Credential>,
    pub now: Timestamp,
    /// A person's answer or grant covers this action: rules that ask are satisfied.
    pub approved: bool,
}

/// A connector, and the tool of it that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ConnectorFacts<'a> {
    /// The name that the organisation keeps it under; for one that is written into an agent, its label there.
    pub name: &'a str,
    pub kept: bool,
    pub spec: &'a ConnectorSpec,
    /// As its system told of it when the session opened the connector.
    pub tool: Option<&'a ToolDefinition>,
}

impl PolicyRequest<'_> {
    /// What policy calls what is asked about.
    pub fn kind(&self) -> ActionKind {
        if self.credential.is_some() { ActionKind::VaultUse } else { self.action.kind() }
    }

    pub fn operation(&self) -> &'static str {
        if self.credential.is_some() { VAULT_USE } else { self.action.operation() }
    }
}

/// What the use of a secret is called in rules and receipts.
pub const VAULT_USE: &str = "vault.use";

/// A decision with its reason. Anything that goes wrong while deciding is a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// `rule` names what allowed it.
    Allow {
        rule: String,
        /// What it counts against, to be reserved before it is done.
        meters: Vec<Meter>,
    },
    /// It may be done when `approver` says so.
    Ask { rule: String, reason: String, approver: Approver },
    /// `remedy` says what would have to change.
    Deny { rule: String, reason: String, remedy: String },
}

impl Verdict {
    /// Allowed by a rule that counts nothing.
    pub fn allow(rule: impl Into<String>) -> Self {
        Self::Allow { rule: rule.into(), meters: Vec::new() }
    }
}

pub trait Policy: Send + Sync {
    /// Which policy decides now for this tenant, for receipts.
    fn version(&self, tenant: TenantId) -> u64;

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict;

    /// The verdict with the version that gave it, for receipts: between `decide` and `version` another may be applied.
    fn decide_at(&self, request: &PolicyRequest<'_>) -> (u64, Verdict) {
        (self.version(request.tenant), self.decide(request))
    }

    /// Refuses a remit that says something this policy does not understand, naming the entry and the nearest that it
    /// does. For the moment in which an agent is written; deciding never relies on it.
    fn check_remit(&self, _remit: &Remit) -> Result<(), String> {
        Ok(())
    }

    /// Refuses a function whose parameters it could not hold arguments against. For the moment in which an agent is
    /// written.
    fn check_tool(&self, _tool: &FunctionTool) -> Result<(), String> {
        Ok(())
    }
}
