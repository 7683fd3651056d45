//! What is remembered between sessions, as people see it, and what an agent may do with it.

use bailiwick_core::{self as core, Consolidate, Label, MemoryKind, MemoryScope, MemoryUse, memory::REST};
use bailiwick_ports::memory::MemoryCount;
use bailiwick_types::{Millis, Money};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// An agent's memory between sessions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryParam {
    /// Whose memory it reads and writes: of `person`, `team`, `agent`, `tenant`. Default `person` alone.
    #[serde(default = "person")]
    pub scopes: Vec<String>,
    /// It remembers by itself what a session was about, when the session rests. Only into the person's own memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidate: Option<ConsolidateParam>,
}

fn person() -> Vec<String> {
    vec![MemoryScope::Person.name().to_owned()]
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsolidateParam {
    /// How long a session rests before; 1 to 604,800. Default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<u64>,
    /// The most that one of these model calls may cost, such as `0.05`, beside every other limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

/// A week.
const LONGEST_REST: u64 = 604_800;

impl MemoryParam {
    /// The error is the field and what goes after its name.
    pub(crate) fn read(self) -> Result<MemoryUse, (String, String)> {
        let mut scopes = BTreeSet::new();
        for (index, name) in self.scopes.iter().enumerate() {
            let all = || MemoryScope::ALL.map(|scope| format!("`{}`", scope.name())).join(", ");
            let scope = MemoryScope::of_name(name);
            scopes.insert(scope.ok_or_else(|| (format!("scopes[{index}]"), format!("must be one of {}", all())))?);
        }
        if scopes.is_empty() {
            return Err((
                "scopes".into(),
                "must not be empty; leave `memory` out, or `null`, for an agent without".into(),
            ));
        }
        let consolidate = self.consolidate.map(|given| given.read(&scopes)).transpose()?;
        Ok(MemoryUse { scopes, consolidate })
    }

    pub fn of(given: &MemoryUse) -> Self {
        Self {
            scopes: given.scopes.iter().map(|scope| scope.name().to_owned()).collect(),
            consolidate: given.consolidate.as_ref().map(|given| ConsolidateParam {
                after_seconds: Some(given.after_ms.0 / 1000),
                limit: given.limit.map(|limit| limit.to_string()),
            }),
        }
    }
}

impl ConsolidateParam {
    fn read(self, scopes: &BTreeSet<MemoryScope>) -> Result<Consolidate, (String, String)> {
        if !scopes.contains(&MemoryScope::Person) {
            let problem = "needs the scope `person`: it writes into the person's own memory only";
            return Err(("consolidate".into(), problem.into()));
        }
        let after_ms = match self.after_seconds {
            None => REST,
            Some(seconds @ 1..=LONGEST_REST) => Millis::from_secs(seconds),
            Some(_) => {
                return Err(("consolidate.after_seconds".into(), format!("must be from 1 to {LONGEST_REST}")));
            }
        };
        let limit = self.limit.map(|limit| limit.parse::<Money>()).transpose();
        let limit = limit.map_err(|error| ("consolidate.limit".to_owned(), format!("cannot be read: {error}")))?;
        Ok(Consolidate { after_ms, limit })
    }
}

/// Something that is remembered.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Memory)]
pub struct MemoryResource {
    pub id: String,
    pub object: &'static str,
    /// `person`, `team`, `agent` or `tenant`.
    pub scope: &'static str,
    /// `fact`, `preference` or `summary`.
    pub kind: &'static str,
    /// `confirmed`, or `proposed`: kept apart from every session until a person confirms it.
    pub state: &'static str,
    /// Counts from 1.
    pub version: u32,
    pub text: String,
    pub source: MemorySource,
    /// Of what it came from.
    #[schema(value_type = Object)]
    pub label: Label,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970.
    pub updated_at: i64,
}

/// Where it came from.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MemorySource)]
pub struct MemorySource {
    /// Who wrote it.
    pub by: String,
    pub session: Option<String>,
    /// The action that wrote it; its receipt has this id.
    pub action: Option<String>,
    /// The model call that remembered it by itself.
    pub consolidated_by: Option<String>,
    /// Who vouched for words that nobody had vouched for.
    pub confirmed_by: Option<String>,
}

impl MemoryResource {
    pub fn of(entry: &core::MemoryEntry) -> Self {
        let source = &entry.source;
        let text = |id: Option<bailiwick_types::ActionId>| id.map(|id| id.to_string());
        Self {
            id: entry.id.to_string(),
            object: "bailiwick.memory",
            scope: entry.scope.name(),
            kind: entry.kind.name(),
            state: entry.state.name(),
            version: entry.version,
            text: entry.text.clone(),
            source: MemorySource {
                by: source.by.to_string(),
                session: source.session.map(|id| id.to_string()),
                action: text(source.action),
                consolidated_by: text(source.consolidated_by),
                confirmed_by: source.confirmed_by.as_ref().map(ToString::to_string),
            },
            label: entry.label.clone(),
            created_at: entry.created.as_seconds(),
            updated_at: entry.updated.as_seconds(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryCreate {
    /// One thing, in at most 4096 bytes.
    pub text: String,
    /// `fact`, `preference` or `summary`.
    pub kind: MemoryKindParam,
    /// Whose: `person` (the caller; the default), `team`, `agent` or `tenant`.
    pub scope: Option<MemoryScopeParam>,
    /// With the scope `team`.
    pub team_id: Option<String>,
    /// With the scope `agent`.
    pub agent_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKindParam {
    Fact,
    Preference,
    Summary,
}

impl From<MemoryKindParam> for MemoryKind {
    fn from(kind: MemoryKindParam) -> Self {
        match kind {
            MemoryKindParam::Fact => Self::Fact,
            MemoryKindParam::Preference => Self::Preference,
            MemoryKindParam::Summary => Self::Summary,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryScopeParam {
    Person,
    Team,
    Agent,
    Tenant,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryCorrection {
    /// What it says from here on.
    pub text: String,
    /// The version that was seen; or in the header `If-Match`.
    pub version: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryConfirmation {
    /// The version that was seen; or in the header `If-Match`.
    pub version: Option<u32>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemorySearchParam {
    /// A few words, at most 1024 bytes. There is no syntax.
    pub query: String,
    /// 1 to 100; default 20.
    pub limit: Option<u32>,
    /// Look into the memory of this agent too.
    pub agent_id: Option<String>,
}

/// How much is remembered, for who may not see what.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemoryCounts {
    pub object: &'static str,
    pub data: Vec<MemoryCountResource>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemoryCountResource {
    pub scope: &'static str,
    pub state: &'static str,
    pub entries: u64,
    /// People, teams or agents that have them.
    pub holders: u64,
}

impl From<MemoryCount> for MemoryCountResource {
    fn from(count: MemoryCount) -> Self {
        let MemoryCount { scope, state, entries, holders } = count;
        Self { scope: scope.name(), state: state.name(), entries, holders }
    }
}

/// The answer to an erasure.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemoryForgotten {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
    /// Where the receipt is: an entry of the organisation's administration with this change and this target.
    pub receipt: MemoryReceipt,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemoryReceipt {
    pub change: &'static str,
    pub target: String,
}
