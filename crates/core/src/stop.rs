//! A stop: nothing new is begun by whoever it covers, until somebody lifts it.

use bailiwick_types::{AgentId, Principal, SessionId, TeamId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// The rule that denies what a stop covers.
pub const STOPPED: &str = "stopped";
/// Bytes of the reason that a person gives.
pub const MAX_STOP_REASON: usize = 2048;

/// Whom a stop covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StopScope {
    /// Every agent of the organisation.
    Tenant,
    /// Every agent of a team.
    Team {
        id: TeamId,
    },
    Agent {
        id: AgentId,
    },
    Session {
        id: SessionId,
    },
}

/// Who pressed the button, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    pub scope: StopScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub by: Principal,
    pub since: Timestamp,
}

impl StopScope {
    /// The number of what it covers. There is at most one stop for each.
    pub fn bits(self, tenant: TenantId) -> u128 {
        match self {
            Self::Tenant => tenant.to_u128(),
            Self::Team { id } => id.to_u128(),
            Self::Agent { id } => id.to_u128(),
            Self::Session { id } => id.to_u128(),
        }
    }

    /// The id of what it covers.
    pub fn target(self, tenant: TenantId) -> String {
        match self {
            Self::Tenant => tenant.to_string(),
            Self::Team { id } => id.to_string(),
            Self::Agent { id } => id.to_string(),
            Self::Session { id } => id.to_string(),
        }
    }

    /// Whether it covers a session of this agent, which belongs to this team.
    pub fn covers(self, session: SessionId, agent: AgentId, team: Option<TeamId>) -> bool {
        match self {
            Self::Tenant => true,
            Self::Team { id } => team == Some(id),
            Self::Agent { id } => agent == id,
            Self::Session { id } => session == id,
        }
    }
}
