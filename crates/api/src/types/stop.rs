//! Stops, as they are set and shown.

use bailiwick_core::{StopOrder, StopScope};
use bailiwick_types::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StopParam)]
pub struct StopParam {
    /// `everything`, or the id of a session, an agent or a team.
    pub target: String,
    /// At most 2048 bytes. The agents and whoever watches them are told.
    pub reason: Option<String>,
}

/// Nothing that it covers begins anything until it is lifted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Stop)]
pub struct Stop {
    pub object: &'static str,
    /// The id of what is stopped; the tenant's for everything.
    pub target: String,
    /// `session`, `agent`, `team` or `tenant`.
    pub scope: &'static str,
    pub reason: Option<String>,
    pub by: String,
    /// Seconds since 1970.
    pub since: i64,
}

impl Stop {
    pub fn of(tenant: TenantId, order: &StopOrder) -> Self {
        let scope = match order.scope {
            StopScope::Tenant => "tenant",
            StopScope::Team { .. } => "team",
            StopScope::Agent { .. } => "agent",
            StopScope::Session { .. } => "session",
        };
        Self {
            object: "bailiwick.stop",
            target: order.scope.target(tenant),
            scope,
            reason: order.reason.clone(),
            by: order.by.to_string(),
            since: order.since.as_seconds(),
        }
    }
}
