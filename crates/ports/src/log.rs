//! The receipt log: every record of a tenant's streams as a leaf of one Merkle tree, with an index for questions.
//!
//! The store keeps hashes, places and ids and decides nothing; the mathematics is `core::tree`. Leaves are added after
//! the records were written, by one sequencer for each tenant, so that no commit waits for the tree.

use crate::{BoxFuture, KeysError, StoreError, StreamKey, store::SealedRecord};
use async_trait::async_trait;
use bailiwick_types::{ActionId, AgentId, CredentialId, SessionId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use std::sync::Arc;

/// Leaves of one [`Advance`], so that a commit that shares its transaction waits a few milliseconds at most.
pub const MAX_ADVANCE: usize = 512;
/// Entries of one page of receipts.
pub const MAX_PAGE: u32 = 1000;

/// A stream with records that are no leaves yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    pub tenant: TenantId,
    pub stream: StreamId,
    /// Records up to here are leaves.
    pub sequenced: u64,
    /// The stream's last record.
    pub position: u64,
}

/// Some of the streams that are behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BehindPage {
    pub streams: Vec<Behind>,
    /// What to ask after for more; `None` at the end. It is the store's own, and good for one pass.
    pub next: Option<u64>,
}

/// A tenant's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Leaves.
    pub size: u64,
    /// The signing key, sealed under the tenant's key.
    pub signing_key: Bytes,
}

/// Records of one stream that follow each other in the log as they do in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub stream: StreamId,
    pub position: u64,
    /// The first record's leaf.
    pub index: u64,
    pub count: u64,
}

/// One tile of the tree (`core::tree::tiles`): 256 hashes of 32 bytes, fewer at the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileWrite {
    pub level: u8,
    pub index: u64,
    pub hashes: Bytes,
}

/// The next leaves of a log with all that is derived from them, in one transaction.
#[derive(Debug, Clone)]
pub struct Advance {
    pub tenant: TenantId,
    /// Leaves before this.
    pub size: u64,
    /// In the order of their leaves, without gaps.
    pub runs: Vec<Run>,
    /// Written over where they exist.
    pub tiles: Vec<TileWrite>,
    pub receipts: Vec<ReceiptRow>,
    pub outcomes: Vec<ReceiptOutcome>,
}

impl Advance {
    /// Whether this is one consistent write; every store asks. Gives the size after it.
    pub fn check(&self) -> Result<u64, StoreError> {
        let mut size = self.size;
        for run in &self.runs {
            if run.index != size || run.count == 0 || run.position == 0 {
                return Err(StoreError::Malformed(format!("`runs`: leaf {} does not follow {size}", run.index)));
            }
            size += run.count;
        }
        if size - self.size > MAX_ADVANCE as u64 {
            return Err(StoreError::Malformed(format!("`runs`: more than {MAX_ADVANCE} leaves at once")));
        }
        Ok(size)
    }
}

/// What kind of receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptKind {
    /// An action that was decided on.
    Action,
    /// A call that never became an action.
    Refusal,
    /// A change of what the administration keeps.
    Administration,
}

impl ReceiptKind {
    pub const ALL: [Self; 3] = [Self::Action, Self::Refusal, Self::Administration];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Refusal => "refusal",
            Self::Administration => "administration",
        }
    }
}

/// One receipt as lists and questions need it: ids and words of ours, in clear; what it is about stays sealed in its
/// record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptRow {
    /// The leaf of the record that says it.
    pub index: u64,
    pub stream: StreamId,
    pub position: u64,
    pub kind: ReceiptKind,
    /// `None` for what is no action.
    pub action: Option<ActionId>,
    /// `model.call`, `agent.published`.
    pub operation: String,
    /// `allowed`, `denied`, `held`, `refused`, `changed`.
    pub decision: String,
    /// Who ordered it, as a principal's text: `user_…`, `key_…`, `operator`.
    pub orderer: Option<String>,
    /// In whose rights it was done.
    pub person: Option<UserId>,
    pub agent: Option<AgentId>,
    /// Of the decision.
    pub time: Timestamp,
    /// Whether it takes data out of the company's walls.
    pub leaves: bool,
    /// The secrets that it uses, to be found by. Not read back: its record says them.
    pub credentials: Vec<CredentialId>,
    pub outcome: Option<Settlement>,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Of the record that says so.
    pub position: u64,
    /// `confirmed`, `failed`, `unknown`, `not_sent`, or `denied` when it was resumed and denied.
    pub effect: String,
    /// In micro-units of the tenant's currency.
    pub cost: Option<i64>,
}

/// An outcome for a receipt of the same stream that is in the index, or comes with the same [`Advance`]: for the last one
/// of its action, which has several when a person was asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptOutcome {
    pub action: ActionId,
    pub stream: StreamId,
    pub settlement: Settlement,
}

/// A signed head of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedCheckpoint {
    pub size: u64,
    pub time: Timestamp,
    /// A C2SP signed note.
    pub note: String,
}

/// Which receipts. Every part that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptFilter {
    pub kind: Option<ReceiptKind>,
    pub orderer: Option<String>,
    pub person: Option<UserId>,
    pub agent: Option<AgentId>,
    pub session: Option<SessionId>,
    pub operation: Option<String>,
    pub decision: Option<String>,
    pub effect: Option<String>,
    /// Only what is for a destination outside the walls, whatever became of it.
    pub leaves: bool,
    /// Of that, only what was allowed and is not known to have stayed here.
    pub left: bool,
    /// Only what uses this secret. Receipts from before uses were indexed are not found by it.
    pub credential: Option<CredentialId>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
}

/// Receipts in the order of their time, then of their leaves.
#[derive(Debug, Clone, Default)]
pub struct ReceiptQuery {
    pub filter: ReceiptFilter,
    pub descending: bool,
    /// A leaf of the list; the page begins behind it.
    pub after: Option<u64>,
    pub limit: u32,
}

/// How often an agent did what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub operation: String,
    pub decision: String,
    pub count: u64,
    /// Of the newest.
    pub last: Timestamp,
}

/// Keeps logs. Everything is of one tenant; another's is unknown.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Streams with records that are no leaves yet, at most `limit`, in an order of the store's own: from the beginning
    /// on with 0, or after the `next` of a page. Asking changes nothing, also when nobody waits for the answer.
    async fn behind(&self, after: u64, limit: u32) -> Result<BehindPage, StoreError>;

    async fn log(&self, tenant: TenantId) -> Result<Option<LogHead>, StoreError>;
    /// Begins an empty log; [`StoreError::Conflict`] when there is one.
    async fn create_log(&self, tenant: TenantId, signing_key: Bytes) -> Result<(), StoreError>;
    /// Adds leaves. [`StoreError::Conflict`] when the log has another size, or a stream was sequenced to elsewhere:
    /// somebody else is at it.
    async fn advance(&self, advance: Advance) -> Result<(), StoreError>;

    /// Tiles by level and index; one that was never written is empty.
    async fn tiles(&self, tenant: TenantId, wanted: &[(u8, u64)]) -> Result<Vec<Bytes>, StoreError>;
    /// The leaf of a record; `None` until it is sequenced.
    async fn leaf_of(&self, tenant: TenantId, stream: StreamId, position: u64) -> Result<Option<u64>, StoreError>;
    /// Records in the order of their leaves, from leaf `from` on, at most `limit` and no more than their runs hold.
    async fn sequenced(
        &self,
        tenant: TenantId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StreamId, SealedRecord)>, StoreError>;

    /// Keeps a checkpoint; one of the same size stays as it is.
    async fn put_checkpoint(&self, tenant: TenantId, checkpoint: LoggedCheckpoint) -> Result<(), StoreError>;
    /// Those of more than `after` leaves, the smallest first.
    async fn checkpoints(&self, tenant: TenantId, after: u64, limit: u32) -> Result<Vec<LoggedCheckpoint>, StoreError>;
    async fn newest_checkpoint(&self, tenant: TenantId) -> Result<Option<LoggedCheckpoint>, StoreError>;

    async fn receipt(&self, tenant: TenantId, action: ActionId) -> Result<Option<ReceiptRow>, StoreError>;
    /// At most `query.limit`, and whether there are more. `None` when `after` is no receipt.
    async fn receipts(
        &self,
        tenant: TenantId,
        query: &ReceiptQuery,
    ) -> Result<Option<(Vec<ReceiptRow>, bool)>, StoreError>;
    /// What an agent asked for so far, by operation and decision.
    async fn tally(&self, tenant: TenantId, agent: AgentId) -> Result<Vec<Tally>, StoreError>;
}

/// An Ed25519 key that signs the heads of one log.
pub trait Signer: Send + Sync {
    fn public_key(&self) -> [u8; 32];
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Makes and opens signing keys.
pub trait Signers: Send + Sync {
    /// A fresh key, sealed.
    fn create(&self, key: &dyn StreamKey) -> Bytes;
    fn open(&self, key: &dyn StreamKey, sealed: &[u8]) -> Result<Arc<dyn Signer>, KeysError>;
}

/// A second place for checkpoints: whoever can change the log must not be able to change what it said earlier.
pub trait SecondPlace: Send + Sync {
    /// Keeps a checkpoint for good; on disk when it returns.
    fn keep(&self, tenant: TenantId, checkpoint: LoggedCheckpoint) -> BoxFuture<'static, Result<(), String>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text names the field and the way out.
    #[error("{0}")]
    Invalid(String),
    #[error("the receipt log cannot be read: {0}")]
    Damaged(String),
}

/// What a log says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    pub origin: String,
    /// The public key, as one line of C2SP's form for verifiers.
    pub key: String,
    /// Records that are leaves.
    pub size: u64,
    pub checkpoint: LoggedCheckpoint,
}

/// That a record is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    pub index: u64,
    /// The tree that the proof leads to the root of.
    pub checkpoint: LoggedCheckpoint,
    /// From the leaf to the root.
    pub proof: Vec<[u8; 32]>,
}

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportOf {
    /// No records: the signed heads and that each is the beginning of the next.
    Checkpoints,
    /// Every record there is.
    Everything,
    /// All records of one stream.
    Stream(StreamId),
    /// The records of receipts that match.
    Receipts(ReceiptFilter),
}

/// The lines of an export, one JSON document each.
#[async_trait]
pub trait Export: Send {
    /// Some whole lines more; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, AuditError>;
}

/// Proves what is in a tenant's log.
#[async_trait]
pub trait Auditor: Send + Sync {
    /// With a checkpoint over everything that is in the log now.
    async fn status(&self, tenant: TenantId) -> Result<LogStatus, AuditError>;
    /// `None` when there is no such record.
    async fn inclusion(
        &self,
        tenant: TenantId,
        stream: StreamId,
        position: u64,
    ) -> Result<Option<Inclusion>, AuditError>;
    /// That the tree of the first `from` leaves is the beginning of that of the first `to`.
    async fn consistency(&self, tenant: TenantId, from: u64, to: u64) -> Result<Vec<[u8; 32]>, AuditError>;
    /// With bodies in the clear only where `opened`.
    async fn export(&self, tenant: TenantId, of: ExportOf, opened: bool) -> Result<Box<dyn Export>, AuditError>;
}
