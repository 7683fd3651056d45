//! Where policies are written: versions, drafts, and why a decision is what it is.

use crate::{ConnectorFacts, Policy, StoreError, Verdict};
use async_trait::async_trait;
use bailiwick_core::{Action, AgentConfig, Label};
use bailiwick_types::{CredentialId, Principal, SessionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// One version of a tenant's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Counts from 1; 0 is the starter set, which holds until somebody applies another.
    pub version: u32,
    /// `None` for the starter set, which nobody here wrote.
    pub author: Option<Principal>,
    /// Why, in the author's words.
    pub reason: String,
    pub applied: Option<Timestamp>,
    pub text: String,
}

/// One rule of a policy, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSummary {
    pub id: String,
    /// `permit`, `forbid` or `ask`.
    pub effect: String,
    /// Of the text, counted from 1; where the rule begins.
    pub line: u32,
    pub text: String,
}

/// What is wrong with a policy, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyProblem {
    /// Of the text, counted from 1.
    pub line: Option<u32>,
    pub rule: Option<String>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, "rule `{rule}`: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A policy that holds for nobody yet.
pub struct Draft {
    pub policy: Arc<dyn Explains>,
    pub rules: Vec<RuleSummary>,
}

/// An action that somebody describes, or that was recorded.
#[derive(Debug, Clone)]
pub struct Described<'a> {
    pub tenant: TenantId,
    pub session: SessionId,
    pub principal: &'a Principal,
    pub agent: &'a AgentConfig,
    pub label: &'a Label,
    /// Where the person's messages point to (`PolicyRequest::said`).
    pub said: &'a BTreeSet<String>,
    pub action: &'a Action,
    /// Of the connector that performs it, where one does.
    pub connector: Option<ConnectorFacts<'a>>,
    /// What would really be sent, where the action carries values under handles.
    pub sent: Option<&'a Action>,
    /// The secrets that it would use; with none, a model's own where that is in a shared vault.
    pub credentials: &'a [CredentialId],
    pub at: Timestamp,
    pub approved: bool,
}

/// Which rules decide an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub verdict: Verdict,
    /// The agent first, then the person where there is one. Empty when it was denied before any rule was asked.
    pub sides: Vec<Side>,
    /// About each secret that it would use; the verdict is about all of it.
    pub uses: Vec<(CredentialId, Explanation)>,
}

/// What the rules say about one of those who must both be allowed. Rules are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    pub principal: String,
    /// How many rules could match by their scope, and were evaluated.
    pub evaluated: usize,
    pub permits: Vec<String>,
    pub forbids: Vec<String>,
    pub asks: Vec<String>,
    /// What could not be evaluated. One of these denies.
    pub errors: Vec<String>,
}

/// A policy that can say why.
pub trait Explains: Policy {
    fn explain(&self, request: &crate::PolicyRequest<'_>) -> Explanation;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyDeskError {
    /// Nothing was applied.
    #[error("the policy was refused: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Refused(Vec<PolicyProblem>),
    /// Somebody applied another version meanwhile.
    #[error("version {current} holds, not version {expected}")]
    Moved { expected: u32, current: u32 },
    #[error("`{field}` {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("what keeps policies cannot be used: {0}")]
    Unavailable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads and changes tenants' policies.
#[async_trait]
pub trait PolicyDesk: Send + Sync {
    /// The version that decides now.
    async fn current(&self, tenant: TenantId) -> Result<PolicyVersion, PolicyDeskError>;
    /// Every version there ever was, newest first; the starter set last.
    async fn versions(&self, tenant: TenantId) -> Result<Vec<PolicyVersion>, PolicyDeskError>;
    async fn version(&self, tenant: TenantId, version: u32) -> Result<Option<PolicyVersion>, PolicyDeskError>;
    /// Compiles a text without applying it.
    fn draft(&self, text: &str) -> Result<Draft, PolicyDeskError>;
    /// Makes a text the tenant's policy: for the next action of every session, running ones too. `expected` is the
    /// version that it follows; `None` takes whatever holds.
    async fn apply(
        &self,
        tenant: TenantId,
        by: &Principal,
        text: &str,
        reason: &str,
        expected: Option<u32>,
    ) -> Result<PolicyVersion, PolicyDeskError>;
    /// Why the tenant's policy, or a draft, decides an action as it does.
    fn explain(&self, draft: Option<&dyn Explains>, described: &Described<'_>) -> Explanation;
    /// Whether this person is known here.
    fn knows(&self, tenant: TenantId, user: UserId) -> bool;
}
