//! Legal holds and erasures, as they are ordered and shown.

use bailiwick_engine::{Erasure, Stage};
use bailiwick_gate::{Hold, HoldScope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HoldParam)]
pub struct HoldParam {
    /// The id of a person, an agent or a session.
    pub target: String,
    /// Why it must be kept; at most 2048 bytes. It is on the receipt, and whoever wants to delete is told.
    pub reason: String,
}

/// Nothing that it covers is deleted, erased or let go until it is lifted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldResource {
    pub object: &'static str,
    /// The id of what is held.
    pub target: String,
    /// `person`, `agent` or `session`.
    pub scope: &'static str,
    pub reason: String,
    pub by: String,
    /// Seconds since 1970.
    pub since: i64,
}

impl HoldResource {
    pub fn of(hold: &Hold) -> Self {
        let scope = match hold.scope {
            HoldScope::Person { .. } => "person",
            HoldScope::Agent { .. } => "agent",
            HoldScope::Session { .. } => "session",
        };
        Self {
            object: "bailiwick.hold",
            target: hold.scope.target(),
            scope,
            reason: hold.reason.clone(),
            by: hold.by.to_string(),
            since: hold.since.as_seconds(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ErasureParam)]
pub struct ErasureParam {
    /// Why; at most 2048 bytes. It is on the receipt.
    pub reason: String,
}

/// The erasure of everything that a person keeps here or that was done in their rights.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub struct ErasureResource {
    pub object: &'static str,
    /// The person's id.
    pub id: String,
    /// `ordered`: the sessions are being ended. `destroyed`: the key is gone and nothing can be read any more. `done`:
    /// nothing is left but the records that nobody can read.
    pub status: &'static str,
    pub reason: String,
    pub by: String,
    /// Seconds since 1970.
    pub ordered_at: i64,
    pub finished_at: Option<i64>,
    /// Sessions whose records nobody can read any more.
    pub sessions: u64,
    /// Uploaded files that were removed.
    pub files: u64,
    /// What was remembered for the person alone and was removed.
    pub memories: u64,
}

impl ErasureResource {
    pub fn of(erasure: &Erasure) -> Self {
        let status = match erasure.stage {
            Stage::Ordered => "ordered",
            Stage::Destroyed => "destroyed",
            Stage::Done => "done",
        };
        Self {
            object: "bailiwick.erasure",
            id: erasure.person.to_string(),
            status,
            reason: erasure.reason.clone(),
            by: erasure.by.to_string(),
            ordered_at: erasure.ordered.as_seconds(),
            finished_at: erasure.finished.map(|at| at.as_seconds()),
            sessions: erasure.sessions,
            files: erasure.files,
            memories: erasure.memories,
        }
    }
}
