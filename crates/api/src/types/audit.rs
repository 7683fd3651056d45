//! The receipt log as it is shown.

use crate::hex::hex;
use bailiwick_core::record::AdministrationChanged;
use bailiwick_ports::{
    log::{Inclusion, LoggedCheckpoint, ReceiptRow, Tally},
    store::SealedRecord,
};
use bailiwick_types::{SessionId, StreamId};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A tenant's receipt log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditLog {
    pub object: &'static str,
    /// The first line of every checkpoint.
    pub origin: String,
    /// The public key, as one line `NAME+ID+KEY` (C2SP signed-note).
    pub key: String,
    /// Records that are leaves.
    pub size: u64,
    pub checkpoint: CheckpointResource,
}

/// A signed head of the tree.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckpointResource {
    /// Its size, as a cursor.
    pub id: String,
    pub object: &'static str,
    pub size: u64,
    /// RFC 3339.
    pub time: String,
    /// A signed note (C2SP tlog-checkpoint).
    pub note: String,
}

/// One receipt: ids and words; what it is about is in its record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditReceipt {
    /// Its leaf, as a cursor.
    pub id: String,
    pub object: &'static str,
    /// `action`, `refusal` or `administration`.
    pub kind: &'static str,
    /// RFC 3339, of the decision.
    pub time: String,
    pub action: Option<String>,
    /// `null` for a change of the administration.
    pub session_id: Option<String>,
    pub position: u64,
    pub operation: String,
    /// `allowed`, `denied`, `asked`, `held`, `refused` or `changed`.
    pub decision: String,
    /// `confirmed`, `failed`, `unknown`, `not_sent` or `denied`; `null` while it is not settled.
    pub effect: Option<String>,
    /// Who ordered it.
    pub orderer: Option<String>,
    /// In whose rights it was done.
    pub person: Option<String>,
    pub agent_id: Option<String>,
    /// Whether it takes data out of the company's walls.
    pub outside: bool,
    /// In micro-units of the currency.
    pub cost_micros: Option<i64>,
}

/// A receipt with its records and the proofs that they are in the log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditReceiptProof {
    #[serde(flatten)]
    pub receipt: AuditReceipt,
    /// The decision, and the outcome where there is one.
    pub records: Vec<AuditRecord>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditRecord {
    pub stream: String,
    pub position: u64,
    pub kind: String,
    pub time: String,
    /// In hexadecimal.
    pub leaf: String,
    pub chain: String,
    pub index: u64,
    /// In base64, from the leaf to the root of `checkpoint`.
    pub proof: Vec<String>,
    pub checkpoint: CheckpointResource,
    /// What it says, for who may read it.
    #[schema(value_type = Object)]
    pub opened: Option<Value>,
}

/// That one tree is the beginning of another.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConsistencyProof {
    pub object: &'static str,
    pub from: u64,
    pub to: u64,
    /// In base64 (RFC 6962 section 2.1.2).
    pub proof: Vec<String>,
}

/// What an agent has asked for so far.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentReach {
    pub object: &'static str,
    pub agent_id: String,
    pub operations: Vec<Reached>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reached {
    pub operation: String,
    pub decision: String,
    pub count: u64,
    /// RFC 3339, of the newest.
    pub last: String,
}

/// Somebody changed what the administration keeps.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AdministrationEntry {
    /// Its position in the tenant's own stream, as a cursor.
    pub id: String,
    pub object: &'static str,
    /// RFC 3339.
    pub time: String,
    /// `agent.published`, `key.revoked`.
    pub change: String,
    /// The id of what changed.
    pub target: String,
    #[schema(value_type = Object)]
    pub by: Value,
    /// In the words of whoever did it.
    pub reason: Option<String>,
    #[schema(value_type = Object)]
    pub details: Value,
}

impl CheckpointResource {
    pub fn of(checkpoint: &LoggedCheckpoint) -> Self {
        Self {
            id: checkpoint.size.to_string(),
            object: "bailiwick.audit.checkpoint",
            size: checkpoint.size,
            time: checkpoint.time.to_string(),
            note: checkpoint.note.clone(),
        }
    }
}

impl AuditReceipt {
    pub fn of(row: &ReceiptRow) -> Self {
        let administration = row.kind == bailiwick_ports::log::ReceiptKind::Administration;
        let outcome = row.outcome.as_ref();
        Self {
            id: row.index.to_string(),
            object: "bailiwick.audit.receipt",
            kind: row.kind.name(),
            time: row.time.to_string(),
            action: row.action.map(|action| action.to_string()),
            session_id: (!administration).then(|| SessionId::from(row.stream).to_string()),
            position: row.position,
            operation: row.operation.clone(),
            decision: row.decision.clone(),
            effect: outcome.map(|outcome| outcome.effect.clone()),
            orderer: row.orderer.clone(),
            person: row.person.map(|person| person.to_string()),
            agent_id: row.agent.map(|agent| agent.to_string()),
            outside: row.leaves,
            cost_micros: outcome.and_then(|outcome| outcome.cost),
        }
    }
}

impl AuditRecord {
    pub fn of(stream: StreamId, sealed: &SealedRecord, included: Inclusion, opened: Option<Value>) -> Self {
        Self {
            stream: stream.to_string(),
            position: sealed.position,
            kind: sealed.kind.clone(),
            time: sealed.time.to_string(),
            leaf: hex(&sealed.leaf),
            chain: hex(&sealed.chain),
            index: included.index,
            proof: included.proof.iter().map(base64).collect(),
            checkpoint: CheckpointResource::of(&included.checkpoint),
            opened,
        }
    }
}

impl ConsistencyProof {
    pub fn of(from: u64, to: u64, proof: &[[u8; 32]]) -> Self {
        Self { object: "bailiwick.audit.consistency", from, to, proof: proof.iter().map(base64).collect() }
    }
}

impl Reached {
    pub fn of(tally: &Tally) -> Self {
        let Tally { operation, decision, count, last } = tally.clone();
        Self { operation, decision, count, last: last.to_string() }
    }
}

impl AdministrationEntry {
    pub fn of(sealed: &SealedRecord, changed: AdministrationChanged) -> Self {
        let AdministrationChanged { by, change, target, reason, details } = changed;
        Self {
            id: sealed.position.to_string(),
            object: "bailiwick.administration.change",
            time: sealed.time.to_string(),
            change,
            target,
            by: json!(by),
            reason,
            details,
        }
    }
}

fn base64(hash: &[u8; 32]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(hash)
}
