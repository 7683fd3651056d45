//! The decision whether an action may be done.

use crate::{Colleague, Meter, ModelCard, Person, vault::Credential};
use bailiwick_core::{
    Action, ActionKind, AgentConfig, Approver, ConnectorKind, ConnectorSpec, EnvironmentSpec, FunctionTool, Label,
    Remit, ToolDefinition, canonical,
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

impl ConnectorFacts<'_> {
    /// Whether what an action gives it stays inside the company's walls. `colleagues` are the addresses among those that
    /// it goes to which are in the directory.
    pub fn keeps_inside(&self, action: &Action, colleagues: &BTreeSet<String>) -> bool {
        self.spec.inside && !self.writes_to_strangers(action, colleagues)
    }

    /// A mail server inside carries what it is given to wherever it is addressed, and so does a calendar its
    /// invitations. Whose address is not in the directory is outside.
    fn writes_to_strangers(&self, action: &Action, colleagues: &BTreeSet<String>) -> bool {
        let Action::ConnectorCall(call) = action else { return false };
        if !matches!(self.spec.kind, ConnectorKind::Mail | ConnectorKind::Calendar) {
            return false;
        }
        match self.tool.and_then(|tool| canonical::destinations(&call.arguments, &tool.parameters)) {
            Some(all) => all.iter().any(|one| !one.is_address() || !colleagues.contains(&one.value)),
            None => true,
        }
    }
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

    /// What is said about values that nobody in the session has seen: not what the denial says of them.
    #[must_use]
    pub fn unspoken(self) -> Self {
        match self {
            Self::Deny { rule, .. } => Self::Deny {
                rule,
                reason: "what stands behind its handles may not be sent there".into(),
                remedy: "Leave it, or have a person look at what it is.".into(),
            },
            other => other,
        }
    }

    /// What follows from two verdicts that must both be satisfied.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (denied @ Self::Deny { .. }, _) | (_, denied @ Self::Deny { .. }) => denied,
            (
                Self::Ask { rule, reason, approver },
                Self::Ask { rule: other_rule, reason: other_reason, approver: other },
            ) => match Approver::all([approver.clone(), other.clone()]) {
                Some(all) if all == approver => Self::Ask { rule, reason, approver },
                Some(all) if all == other => Self::Ask { rule: other_rule, reason: other_reason, approver: other },
                // Different people: each must say yes.
                all => Self::Ask {
                    rule: format!("{rule}, {other_rule}"),
                    reason: format!("{reason}; {other_reason}"),
                    approver: all.unwrap_or(approver),
                },
            },
            (asked @ Self::Ask { .. }, Self::Allow { .. }) | (Self::Allow { .. }, asked @ Self::Ask { .. }) => asked,
            (Self::Allow { rule, meters }, Self::Allow { rule: other_rule, meters: others }) => {
                let rule = if rule == other_rule { rule } else { format!("{rule}, {other_rule}") };
                Self::Allow { rule, meters: joined(meters, others) }
            }
        }
    }
}

/// Each account once.
fn joined(mut meters: Vec<Meter>, others: Vec<Meter>) -> Vec<Meter> {
    for meter in others {
        if !meters.iter().any(|known| known.account == meter.account) {
            meters.push(meter);
        }
    }
    meters
}

pub trait Policy: Send + Sync {
    /// Which policy decides now for this tenant, for receipts.
    fn version(&self, tenant: TenantId) -> u64;

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict;

    /// The verdict with the version that gave it, for receipts: between `decide` and `version` another may be applied.
    fn decide_at(&self, request: &PolicyRequest<'_>) -> (u64, Verdict) {
        (self.version(request.tenant), self.decide(request))
    }

    /// Whether an action of this kind on this resource could be let through, or asked about, with whatever arguments and in
    /// whatever circumstances. Never `false` of what could be; for what is offered, never for what is done.
    fn could_allow(&self, _request: &PolicyRequest<'_>) -> bool {
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rule: &str, approver: Approver) -> Verdict {
        Verdict::Ask { rule: rule.into(), reason: "so".into(), approver }
    }

    fn deny(rule: &str) -> Verdict {
        Verdict::Deny { rule: rule.into(), reason: "so".into(), remedy: "thus".into() }
    }

    fn rule_of(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Allow { rule, .. } | Verdict::Ask { rule, .. } | Verdict::Deny { rule, .. } => rule,
        }
    }

    #[test]
    fn both_must_be_allowed_and_a_denial_wins_over_a_question() {
        let second = Approver::Second { role: None, team: None };
        assert_eq!(Verdict::allow("a").and(Verdict::allow("b")), Verdict::allow("a, b"));
        assert_eq!(Verdict::allow("a").and(deny("b")), deny("b"));
        assert_eq!(ask("a", Approver::Person).and(deny("b")), deny("b"));
        assert_eq!(rule_of(&Verdict::allow("a").and(ask("b", Approver::Person))), "b");
        assert_eq!(rule_of(&ask("a", Approver::Person).and(Verdict::allow("b"))), "a");
        assert_eq!(rule_of(&ask("a", Approver::Person).and(ask("b", second.clone()))), "b");
        assert_eq!(rule_of(&ask("a", second.clone()).and(ask("b", Approver::Person))), "a");
        let operator = Approver::Second { role: Some(bailiwick_types::Role::Operator), team: None };
        let Verdict::Ask { rule, approver, .. } = ask("a", second.clone()).and(ask("b", operator.clone())) else {
            panic!("both are asked")
        };
        assert_eq!((rule.as_str(), approver.each()), ("a, b", &[second, operator][..]));
    }
}
