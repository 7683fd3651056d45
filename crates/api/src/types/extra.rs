//! The contents of the objects named `bailiwick`: what we add to the API.

use super::{
    approval::Approval,
    connector::{ConnectorGrantParam, SessionConnector},
    memory::MemoryParam,
    skill::SkillGrantParam,
};
use crate::body::nullable;
use bailiwick_core as core;
use bailiwick_core::Label;
use bailiwick_types::{AgentId, Millis, Principal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an agent may be given beyond the API.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentExtras {
    pub remit: Option<Remit>,
    pub limits: Option<LimitsParam>,
    /// What it is given of the connectors that the organisation keeps.
    pub connectors: Option<Vec<ConnectorGrantParam>>,
    /// Its memory between sessions; `null`: it has none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<MemoryParam>)]
    pub memory: Option<Option<MemoryParam>>,
    /// What it can learn when it needs it. Each is pinned as it is now.
    pub skills: Option<Vec<SkillGrantParam>>,
}

/// What a saved agent may be given beyond the API. What is left out stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedAgentExtras {
    pub remit: Option<Remit>,
    pub limits: Option<LimitsParam>,
    /// What it is given of the connectors that the organisation keeps.
    pub connectors: Option<Vec<ConnectorGrantParam>>,
    /// Its memory between sessions; `null`: it has none.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<MemoryParam>)]
    pub memory: Option<Option<MemoryParam>>,
    /// What it can learn when it needs it. Each is pinned as it is now.
    pub skills: Option<Vec<SkillGrantParam>>,
    /// Id of the user who answers for it; the person who saves it when it is left out.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<String>>,
    /// Id of the user who takes over when the owner is disabled.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub deputy: Option<Option<String>>,
    /// Id of a team.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub team: Option<Option<String>>,
    pub status: Option<AgentStatus>,
    /// When somebody should look whether it is still needed and right; seconds since 1970.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    pub review_at: Option<Option<i64>>,
    /// Why this version is written.
    pub note: Option<String>,
    /// `true`: new sessions do not get this version until it is published.
    pub draft: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    Active,
    /// Does nothing until it is active again.
    Suspended,
    /// Does nothing any more, for ever.
    Retired,
}

/// What we tell of a saved agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SavedExtrasView {
    /// What this version is: `draft`, `published`, `superseded` or `rolled_back`.
    pub state: &'static str,
    /// The version that new sessions get; `null` while there are only drafts.
    pub published_version: Option<u32>,
    /// Who wrote this version.
    pub author: Option<String>,
    pub note: Option<String>,
    pub owner: Option<String>,
    pub deputy: Option<String>,
    pub team: Option<String>,
    pub status: AgentStatus,
    /// Seconds since 1970.
    pub review_at: Option<i64>,
}

/// The allow-list of operations; anything else is denied.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Remit {
    /// Operations (`file.edit`) or kinds (`file.*`).
    pub allow: Vec<String>,
}

/// Where a turn stops by itself. What is left out keeps its default.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsParam {
    /// Model calls in one turn, 1 to 10,000.
    pub steps_per_turn: Option<u32>,
    /// 1 s to 30 days.
    pub turn_time_ms: Option<u64>,
    /// 1 to 64.
    pub parallel_actions: Option<u16>,
    /// 1 KiB to 4 MiB.
    pub output_bytes: Option<u32>,
    /// 1 s to 24 h.
    pub command_time_ms: Option<u64>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Limits {
    pub steps_per_turn: u32,
    pub turn_time_ms: u64,
    pub parallel_actions: u16,
    pub output_bytes: u32,
    pub command_time_ms: u64,
}

impl From<&core::Remit> for Remit {
    fn from(remit: &core::Remit) -> Self {
        Self { allow: remit.allow.clone() }
    }
}

impl From<&core::Limits> for Limits {
    fn from(limits: &core::Limits) -> Self {
        Self {
            steps_per_turn: limits.steps_per_turn,
            turn_time_ms: limits.turn_time_ms.0,
            parallel_actions: limits.parallel_actions,
            output_bytes: limits.output_bytes,
            command_time_ms: limits.command_time_ms.0,
        }
    }
}

impl LimitsParam {
    /// Puts what was given into `limits`, or names the field that lies out of its bounds.
    pub fn apply(&self, limits: &mut core::Limits) -> Result<(), (&'static str, String)> {
        const DAY: u64 = 24 * 3600 * 1000;
        fn set<T: Copy + PartialOrd + std::fmt::Display>(
            name: &'static str,
            given: Option<T>,
            low: T,
            high: T,
            place: &mut T,
        ) -> Result<(), (&'static str, String)> {
            match given {
                Some(value) if value < low || value > high => Err((name, format!("must be {low} to {high}"))),
                Some(value) => {
                    *place = value;
                    Ok(())
                }
                None => Ok(()),
            }
        }
        set("steps_per_turn", self.steps_per_turn, 1, 10_000, &mut limits.steps_per_turn)?;
        set("parallel_actions", self.parallel_actions, 1, 64, &mut limits.parallel_actions)?;
        set("output_bytes", self.output_bytes, 1024, 4 * 1024 * 1024, &mut limits.output_bytes)?;
        let (mut turn, mut command) = (limits.turn_time_ms.0, limits.command_time_ms.0);
        set("turn_time_ms", self.turn_time_ms, 1000, 30 * DAY, &mut turn)?;
        set("command_time_ms", self.command_time_ms, 1000, DAY, &mut command)?;
        (limits.turn_time_ms, limits.command_time_ms) = (Millis(turn), Millis(command));
        Ok(())
    }
}

/// What we tell of a session beyond the API.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionExtras {
    /// The turn that is running.
    pub turn_id: Option<String>,
    /// Who created the session.
    pub creator: String,
    #[serde(flatten)]
    pub who: Who,
    /// The role that a Bedrock client gave. It is kept and shown, and grants nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    pub environment: Option<EnvironmentExtras>,
    /// Actions whose outcome nobody knows. The same effect is not tried again before a person resolves them
    /// (`POST /bailiwick/v1/sessions/{session_id}/resolve`).
    pub unresolved: Vec<Unresolved>,
    /// Calls of the running turn that are held because the same effect is unresolved.
    pub held_by: Vec<String>,
    /// Where what it has read came from, and who may see it. What lies in its environment unread is under
    /// `environment.label`.
    #[schema(value_type = Object)]
    pub label: Label,
    /// Actions that wait for a person's word (`POST /bailiwick/v1/approvals/{approval_id}`).
    pub approvals: Vec<Approval>,
    /// What became of opening the agent's connectors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<SessionConnector>,
}

/// Who does something, for whom, and on whose order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Who {
    /// The person for whom it is done; `null` where that is nobody.
    pub subject: Option<String>,
    /// The agent.
    pub actor: String,
    /// Who ordered it: a person, or a program by its key.
    pub orderer: String,
    /// The grant under which a program ordered it for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

impl Who {
    /// What `agent` does on the order of `orderer`.
    pub fn of(orderer: &Principal, agent: AgentId) -> Self {
        Self {
            subject: orderer.person().map(|person| person.to_string()),
            actor: agent.to_string(),
            orderer: orderer.key().map_or_else(|| orderer.to_string(), |key| key.to_string()),
            grant: orderer.grant().map(|grant| grant.to_string()),
        }
    }
}

/// What events may be given beyond the API.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventsExtras {
    /// Id of the person for whom a program sends this, under a grant; that of the session when it is left out.
    pub subject: Option<String>,
}

/// What a new session may be given beyond the API.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionParamExtras {
    /// `{"integrity": "trusted" | "untrusted", "confidentiality": "public" | "internal" | {"groups": […]}}`: of what the
    /// session is begun with. What enters later can only raise it.
    #[schema(value_type = Object)]
    pub label: Option<Label>,
    /// Id of the person for whom a program begins it, under a grant (`/bailiwick/v1/grants`).
    pub subject: Option<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReleaseParam)]
pub struct ReleaseParam {
    /// What is left of the session's label.
    #[schema(value_type = Object)]
    pub label: Label,
    /// Why; the receipt keeps it.
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentExtras {
    pub id: String,
    pub status: &'static str,
    pub error: Option<String>,
    /// `dial_in` or `listen`, for a self-hosted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<&'static str>,
    /// The configured name of a listening executor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// What it turned out to be; `null` until it has started.
    pub facts: Option<EnvironmentFacts>,
    /// Of what lies in it. It joins the session's once something of it is read.
    #[schema(value_type = Object)]
    pub label: Label,
    /// Who vouched for what lies in a self-hosted folder, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_said: Option<ContentSaid>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ContentSaid {
    pub by: String,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentFacts {
    /// `process` for our namespaces, `self_hosted` when it is not ours to say.
    pub isolation: String,
    /// Limits that the machine cannot enforce, each with the reason.
    pub missing_limits: Vec<String>,
    pub executor_version: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Unresolved {
    pub action: String,
    pub operation: String,
    /// The command, the path, in plain words.
    pub what: String,
    pub reason: String,
}

/// What we tell of an item beyond the API.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ItemExtras {
    /// The action behind it, for receipts and for resolving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What is known of its effect, where that is more than the status says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// It came from a scenario file, not from a model.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scripted: bool,
    /// Not there while an item is being streamed, nor on items from before this was kept.
    #[serde(flatten)]
    pub who: Option<Who>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// The rule that denied it, and what would have to change.
    Denied { rule: String, remedy: String },
    /// It may or may not have happened.
    Unknown { reason: String },
    /// The same effect is unknown as this action.
    Held { by: String },
    /// Waits for a person's word (`/bailiwick/v1/approvals`).
    Asked { rule: String, reason: String },
    /// A person said what became of it: `happened`, `did_not_happen` or `do_again`.
    Resolved { resolution: &'static str, by: String },
}
