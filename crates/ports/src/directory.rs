//! Who is who: people and colleagues as decisions need them.
//!
//! Answers come from memory, because the gate asks inside a commit. An implementation keeps what it answers in step
//! with what is stored: a disabled person is disabled here before the call that disabled them returns.

use bailiwick_core::{Action, AgentConfig, ToolDefinition, canonical};
use bailiwick_types::{AgentId, Role, TeamId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// A user as decisions see one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: UserId,
    pub tenant: TenantId,
    /// For people to read.
    pub name: String,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub teams: Vec<TeamId>,
    /// A disabled person may do nothing, and nobody may do anything for them.
    pub disabled: bool,
}

/// A saved agent as decisions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colleague {
    pub id: AgentId,
    pub owner: Option<UserId>,
    pub deputy: Option<UserId>,
    pub team: Option<TeamId>,
    pub status: ColleagueStatus,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColleagueStatus {
    #[default]
    Active,
    /// May do nothing until it is active again.
    Suspended,
    /// Will never do anything again; its id is never reused.
    Retired,
}

pub trait Directory: Send + Sync {
    /// `None` for somebody who is not known here.
    fn person(&self, tenant: TenantId, user: UserId) -> Option<Arc<Person>>;
    /// `None` for an agent that is not saved: one written inline for a session.
    fn colleague(&self, tenant: TenantId, agent: AgentId) -> Option<Arc<Colleague>>;

    /// Whether a mail address, in canonical form, is that of somebody here who is not disabled.
    fn is_address(&self, _tenant: TenantId, _address: &str) -> bool {
        false
    }
}

/// Of the mail addresses that an action goes to, those of people who are known here. `tool` is the connector's, where one
/// performs it.
pub fn addresses(
    directory: &dyn Directory,
    tenant: TenantId,
    agent: &AgentConfig,
    tool: Option<&ToolDefinition>,
    action: &Action,
) -> BTreeSet<String> {
    let (arguments, schema) = match action {
        Action::FunctionCall { name, arguments } => {
            (arguments, agent.tools.iter().find(|tool| tool.name == *name).map(|tool| &tool.parameters))
        }
        Action::ConnectorCall(call) => (&call.arguments, tool.map(|tool| &tool.parameters)),
        _ => return BTreeSet::new(),
    };
    let all = schema.and_then(|schema| canonical::destinations(arguments, schema)).unwrap_or_default();
    let known = all.into_iter().filter(|one| one.is_address() && directory.is_address(tenant, &one.value));
    known.map(|one| one.value).collect()
}

/// A directory in which nobody is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Strangers;

impl Directory for Strangers {
    fn person(&self, _tenant: TenantId, _user: UserId) -> Option<Arc<Person>> {
        None
    }

    fn colleague(&self, _tenant: TenantId, _agent: AgentId) -> Option<Arc<Colleague>> {
        None
    }
}
