//! What keeps streams, their projections and documents. It stores sealed bytes and decides nothing.
//!
//! Every acknowledged write is on disk. Time is the database's own clock, so that leases are judged by one clock.

use crate::{
    AccountKey, Balance, BalanceChange, DocumentWrite, Keys, KeysError, SpendEntry, SpendQuery, SpendSum, StreamKey,
    SubjectKey, WrappedKey,
};
use async_trait::async_trait;
use bailiwick_types::{ActionId, Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use std::sync::Arc;

/// Inputs that may wait in one stream's inbox; one more is [`StoreError::InboxFull`].
pub const MAX_INBOX: u64 = 1000;
/// Records, and likewise rows, of one write.
pub const MAX_PER_WRITE: usize = 4096;
/// The last position or sequence that a stream can have.
pub const MAX_POSITION: u64 = u32::MAX as u64;

/// After every error but [`StoreError::Unavailable`] nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("there is no stream {0}")]
    UnknownStream(StreamId),
    /// Somebody else drives the stream now, or it moved on. Nothing was written.
    #[error("the lease on {stream} is no longer held at epoch {epoch}")]
    StaleEpoch { stream: StreamId, epoch: u64 },
    /// A document's version or handle is taken, a stream's id exists, or a row belongs to another stream.
    #[error("this document was changed meanwhile")]
    Conflict,
    /// The write contradicts itself: a fault of the caller. The text names the field.
    #[error("the write was refused: {0}")]
    Malformed(String),
    #[error("no space is left on the disk of the data folder: free some and try again")]
    Full,
    /// A new key lies under a key-encryption key that was replaced meanwhile: wrap another one.
    #[error("the key-encryption key was replaced while this was being written: try again")]
    KeyReplaced,
    #[error("the inbox of {0} is full; wait until its session has worked some of it off")]
    InboxFull(StreamId),
    /// Whether a write took effect is not known: read before writing again.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
}

/// One entry of a stream, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// Counts from 1 in each stream.
    pub position: u64,
    pub epoch: u64,
    pub kind: String,
    pub version: u16,
    pub time: Timestamp,
    /// The action that this record is about or was caused by.
    pub cause: Option<ActionId>,
    /// Which key-encryption key is behind the sealing.
    pub key_id: u32,
    /// CRC-32 (ISO-HDLC) of `sealed`, to tell a damaged disk from a changed record.
    pub checksum: u32,
    pub sealed: Bytes,
    /// RFC 6962 leaf hash over envelope and sealed body.
    pub leaf: [u8; 32],
    /// The stream's hash chain up to and with this record.
    pub chain: [u8; 32],
}

/// Which table of derived rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowKind {
    Session,
    Turn,
    Item,
    Artifact,
    /// Something that waits for a person's word; gone when there is nothing to answer any more.
    Approval,
}

/// A derived row: written over when it exists (same kind and id). Its stream, scope, parent and ordinal are fixed when
/// it is first written; another stream that writes it gets [`StoreError::Conflict`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub kind: RowKind,
    pub id: u128,
    /// What lists are made of: the tenant for sessions and approvals, else the session.
    pub scope: u128,
    /// A second filter: the agent of a session, the turn of an item or artifact, the session of an approval, 0 for a
    /// turn.
    pub parent: u128,
    /// Lists are sorted by this, then by id.
    pub ordinal: i64,
    /// Exact-match filters in clear text: a session's metadata. They replace the last ones; names are distinct. Only
    /// sessions have them.
    pub labels: Vec<(String, String)>,
    /// `None` removes the row and its labels.
    pub sealed: Option<Bytes>,
}

/// A page of a list, in either order, by exclusive cursors (ids of rows of the same list).
///
/// With `before` alone it is the page that ends right before that row, still in the list's order, and "more" means
/// rows before the page; else it begins after `after` (or at the list's beginning) and ends before `before`.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub limit: u32,
    pub after: Option<u128>,
    pub before: Option<u128>,
    pub descending: bool,
}

/// A row as it was read. Its stream tells which key opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    pub id: u128,
    pub stream: StreamId,
    pub ordinal: i64,
    pub sealed: Bytes,
}

#[derive(Debug, Clone)]
pub struct RowQuery {
    pub tenant: TenantId,
    pub kind: RowKind,
    pub scope: u128,
    pub parent: Option<u128>,
    /// All must match.
    pub labels: Vec<(String, String)>,
    pub page: Page,
}

/// When a stream wants to be driven next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once, also after a restart.
    Now,
    /// At a time, or at the next input.
    At(Timestamp),
    /// At the next input.
    OnInput,
}

/// Whose streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subjects {
    Anybody,
    Person(UserId),
    /// Those under no person's key: of services, and from before people had keys.
    Nobody,
}

/// Streams whose own key is there, by their age. A tenant's own stream is not among them.
#[derive(Debug, Clone)]
pub struct ReadableQuery {
    pub tenant: TenantId,
    pub of: Subjects,
    /// Only those whose last record is older.
    pub quiet_since: Option<Timestamp>,
    /// The cursor of the last one; 0 begins.
    pub after: u64,
    pub limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadableStream {
    pub cursor: u64,
    pub stream: StreamId,
    pub subject: Option<UserId>,
    /// Of its last record.
    pub last: Timestamp,
    /// Nobody holds a lease on it, and nothing is due now.
    pub at_rest: bool,
}

/// A new stream with its first records, all in one transaction.
#[derive(Debug, Clone)]
pub struct NewStream {
    pub tenant: TenantId,
    pub stream: StreamId,
    pub key: WrappedKey,
    pub records: Vec<SealedRecord>,
    pub rows: Vec<Row>,
    pub inputs: Vec<Bytes>,
    pub idempotency: Option<Idempotency>,
}

/// A client's promise that a repeated request is the same request. Kept at least 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Who promised, and where: principal and route.
    pub scope: String,
    pub key: String,
    /// Of the request's body.
    pub digest: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// `sequence` is the last input's place in the inbox (0 when there was none).
    New { sequence: u64 },
    /// The same request was accepted before, for this stream. A submission is the same only for the same stream.
    Repeated { stream: StreamId, sequence: u64 },
    /// The key was used for another body, or for another stream.
    KeyReused,
}

/// Inputs for a stream, all or none.
#[derive(Debug, Clone)]
pub struct Submission {
    pub tenant: TenantId,
    pub stream: StreamId,
    pub inputs: Vec<Bytes>,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Counts from 1 in each stream, without gaps.
    pub sequence: u64,
    pub received: Timestamp,
    pub sealed: Bytes,
}

/// A lease that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseGrant {
    pub tenant: TenantId,
    pub epoch: u64,
    /// On the database's clock.
    pub now: Timestamp,
    pub expires: Timestamp,
}

/// What is known of a stream without reading its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    pub tenant: TenantId,
    pub key: WrappedKey,
    /// Position of the last record.
    pub position: u64,
    pub chain: [u8; 32],
    pub epoch: u64,
    /// The last input that a record accounts for.
    pub inbox_through: u64,
}

/// One commit of the gate.
#[derive(Debug, Clone)]
pub struct Append {
    pub tenant: TenantId,
    pub stream: StreamId,
    pub epoch: u64,
    /// Position of the stream's last record before this.
    pub after: u64,
    pub records: Vec<SealedRecord>,
    pub rows: Vec<Row>,
    /// Inputs up to this sequence are accounted for by the records and leave the inbox.
    pub inbox_through: u64,
    /// While inputs after `inbox_through` wait the stream is due now, whatever this says.
    pub due: Due,
    /// Gives the lease back in the same transaction, unless inputs are waiting.
    pub release: bool,
    /// A fold of all records up to the end of this append.
    pub snapshot: Option<Snapshot>,
    /// What the records do to balances: each is added to what is kept. Every account at most once.
    pub balances: Vec<BalanceChange>,
    /// What they add to the book of what was spent.
    pub spend: Vec<SpendEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The lease was given back. `false` when it was not asked for or inputs are waiting.
    pub released: bool,
    /// Until when the lease holds now, on the database's clock. Every append renews it.
    pub expires: Timestamp,
    pub now: Timestamp,
}

/// Positions of a stream that share one place for a snapshot: the last one given takes it.
///
/// A smaller number makes resuming cheaper and driving dearer. A snapshot holds what the model sees, 500 KB at the
/// worst, which is about 3 ms of work; a step is four records. At 512 that is less than 0.03 ms a step, a tenth of what
/// a step may cost, and a resuming reader folds at most twice 512 records for nothing.
pub const SNAPSHOT_SPAN: u64 = 512;

/// Whether the snapshot of span number `span` (position / [`SNAPSHOT_SPAN`]) is kept beside one in `newest`.
///
/// The last four are, then every second of the last eight, every fourth of the last sixteen, and so on: a few for a
/// stream of any length, and yet the nearest one before a position is never much farther from it than the stream's end.
/// So whoever resumes folds in vain about as much as it is told, and no more.
pub const fn keeps_snapshot(span: u64, newest: u64) -> bool {
    span >= newest || newest - span < 4 * (span & span.wrapping_neg())
}

/// A fold of a stream up to a position. May be deleted at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub position: u64,
    /// Another version is not read.
    pub version: u16,
    pub sealed: Bytes,
}

/// One administrative change: a record of the tenant's own stream, with the documents that it writes.
#[derive(Debug, Clone)]
pub struct Administer {
    pub tenant: TenantId,
    /// The tenant's key, for its stream, which is made with its first record.
    pub key: WrappedKey,
    /// Follows the stream's last record. Its epoch is 0: nobody drives this stream.
    pub record: SealedRecord,
    pub documents: Vec<DocumentWrite>,
}

impl Administer {
    /// Whether this is one consistent write; every store asks.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.record.epoch != 0 {
            return malformed(format!("`epoch` is {}, and a tenant's own stream has none", self.record.epoch));
        }
        if self.documents.len() > MAX_PER_WRITE {
            return malformed(format!("{} documents at once, at most {MAX_PER_WRITE} fit", self.documents.len()));
        }
        check_records(std::slice::from_ref(&self.record), self.record.position.saturating_sub(1))
    }
}

impl NewStream {
    /// Whether this is one consistent write; every store asks.
    pub fn check(&self) -> Result<(), StoreError> {
        check_records(&self.records, 0)?;
        check_rows(&self.rows)?;
        if self.inputs.len() as u64 > MAX_INBOX { Err(StoreError::InboxFull(self.stream)) } else { Ok(()) }
    }
}

impl Append {
    /// Whether this is one consistent write; every store asks.
    pub fn check(&self) -> Result<(), StoreError> {
        check_records(&self.records, self.after)?;
        if let Some(record) = self.records.iter().find(|record| record.epoch != self.epoch) {
            return malformed(format!("record {} was made under epoch {}", record.position, record.epoch));
        }
        check_rows(&self.rows)?;
        if self.balances.len() + self.spend.len() > MAX_PER_WRITE {
            return malformed(format!("more than {MAX_PER_WRITE} bookings at once"));
        }
        let end = self.after + self.records.len() as u64;
        match &self.snapshot {
            Some(snapshot) if snapshot.position != end => {
                malformed(format!("the snapshot is at {}, the append ends at {end}", snapshot.position))
            }
            _ => Ok(()),
        }
    }
}

fn malformed<T>(text: String) -> Result<T, StoreError> {
    Err(StoreError::Malformed(text))
}

fn check_records(records: &[SealedRecord], after: u64) -> Result<(), StoreError> {
    if records.len() > MAX_PER_WRITE {
        return malformed(format!("{} records at once, at most {MAX_PER_WRITE} fit", records.len()));
    }
    if after > MAX_POSITION - records.len() as u64 {
        return malformed(format!("a stream ends at position {MAX_POSITION}; begin another"));
    }
    match records.iter().zip(after + 1..).find(|(record, position)| record.position != *position) {
        Some((record, expected)) => malformed(format!("`position` is {} where {expected} follows", record.position)),
        None => Ok(()),
    }
}

fn check_rows(rows: &[Row]) -> Result<(), StoreError> {
    if rows.len() > MAX_PER_WRITE {
        return malformed(format!("{} rows at once, at most {MAX_PER_WRITE} fit", rows.len()));
    }
    for row in rows {
        if row.kind != RowKind::Session && !row.labels.is_empty() {
            return malformed(format!("`labels` on a {:?} row: only sessions have them", row.kind));
        }
        let repeated = |at: usize| row.labels[..at].iter().any(|(name, _)| *name == row.labels[at].0);
        if let Some(at) = (1..row.labels.len()).find(|at| repeated(*at)) {
            return malformed(format!("the label `{}` is given twice", row.labels[at].0));
        }
    }
    Ok(())
}

/// A versioned, sealed resource that is not a stream: agents, keys, files, environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub kind: DocumentKind,
    pub id: u128,
    /// Counts from 1; every version is kept until the document is removed.
    pub version: u32,
    /// Of version 1; lists are sorted by this, then by id. Later versions keep it whatever they say.
    pub created: Timestamp,
    pub updated: Timestamp,
    /// A clear-text handle, unique in its kind across tenants, such as the digest of an API key or an access key id.
    /// Only the newest version's handle finds the document.
    pub handle: Option<String>,
    pub sealed: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// A version of an agent's configuration.
    Agent,
    ApiKey,
    AccessKey,
    File,
    Environment,
    User,
    Team,
    /// Who answers for an agent, and which of its versions is live. It outlives the agent.
    Colleague,
    /// How a person signs in here: the digest of a password, or a code to choose one with. Under the user's id.
    Password,
    /// A person who is signed in, in a browser or at a command line.
    SignIn,
    /// A key with which tokens are signed.
    SigningKey,
    /// A token of ours that was ended before its time.
    RevokedToken,
    /// A limit on what may be spent.
    Budget,
    /// Nothing is begun by whom it covers. Under the number of what it covers.
    Stop,
    /// A version of the rules that decide about actions. Under the tenant's id.
    Policy,
    /// A person's standing permission.
    Grant,
    /// Nothing of whom it covers is deleted. Under the number of what it covers.
    Hold,
    /// That a person's content was erased, or is being. Under the person's id; it is never removed.
    Erasure,
    /// A place for secrets.
    Vault,
    /// One secret in a vault.
    Credential,
    /// A way to a system of the company.
    Connector,
    /// A folder of instructions and files, with all its versions.
    Skill,
    /// What somebody asks to be given of a connector.
    ConnectorRequest,
}

impl DocumentKind {
    /// The associated data under which one version of a document is sealed, so that no row opens in another's place.
    pub fn context(self, id: u128, version: u32) -> Vec<u8> {
        let kind = match self {
            Self::Agent => "agent",
            Self::ApiKey => "api_key",
            Self::AccessKey => "access_key",
            Self::File => "file",
            Self::Environment => "environment",
            Self::User => "user",
            Self::Team => "team",
            Self::Colleague => "colleague",
            Self::Password => "password",
            Self::SignIn => "sign_in",
            Self::SigningKey => "signing_key",
            Self::RevokedToken => "revoked_token",
            Self::Budget => "budget",
            Self::Stop => "stop",
            Self::Policy => "policy",
            Self::Grant => "grant",
            Self::Hold => "hold",
            Self::Erasure => "erasure",
            Self::Vault => "vault",
            Self::Credential => "credential",
            Self::Connector => "connector",
            Self::Skill => "skill",
            Self::ConnectorRequest => "connector_request",
        };
        [b"bailiwick.document.v1/", kind.as_bytes(), b"/", &id.to_be_bytes()[..], &version.to_be_bytes()[..]].concat()
    }
}

/// An organisation's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub name: String,
    /// Seals its documents. Made for the stream of the tenant's administration (`StreamId::from(id)`).
    pub key: WrappedKey,
}

impl Tenant {
    /// The key that seals the tenant's documents.
    pub fn open_key(&self, keys: &dyn Keys) -> Result<Arc<dyn StreamKey>, KeysError> {
        keys.open(self.id, self.id.into(), &self.key)
    }
}

/// Work that is due: a stream that nobody holds a lease on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub tenant: TenantId,
    pub stream: StreamId,
}

#[async_trait]
pub trait Store: Send + Sync {
    /// It is due now when it has inputs, else at the next one. [`StoreError::Conflict`] also when the person's key around
    /// its own is not the one that is kept now.
    async fn create_stream(&self, new: NewStream) -> Result<Accepted, StoreError>;
    /// Adds inputs, and makes the stream due now when there are any.
    async fn submit(&self, submission: Submission) -> Result<Accepted, StoreError>;
    /// What became of an earlier request with this promise; `None` when there was none. Writes nothing: for a caller
    /// that would refuse the repetition of what it has accepted.
    async fn accepted(&self, tenant: TenantId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError>;
    /// Inputs after `after` that no record accounts for, oldest first.
    async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError>;

    async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError>;
    /// Records after position `after`, oldest first.
    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError>;
    /// The newest snapshot of a position up to `position`.
    async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError>;
    async fn snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>, StoreError> {
        self.snapshot_up_to(stream, MAX_POSITION).await
    }
    /// Keeps a snapshot of what is on disk already, for a stream that is driven for long; those that
    /// [`keeps_snapshot`] gives up go. [`StoreError::Malformed`] when its position lies beyond the stream.
    async fn put_snapshot(&self, stream: StreamId, snapshot: Snapshot) -> Result<(), StoreError>;

    /// `None` while another node holds it; the holder itself gets a new grant. Each has a higher epoch than any before.
    async fn lease(&self, stream: StreamId, node: NodeId, span: Millis) -> Result<Option<LeaseGrant>, StoreError>;
    /// Renews without appending; appends after it renew for this span.
    async fn renew(&self, stream: StreamId, epoch: u64, span: Millis) -> Result<LeaseGrant, StoreError>;
    /// Appends under the lease and renews it for the span it was granted with.
    async fn append(&self, append: Append) -> Result<Appended, StoreError>;
    /// Drops every lease of `node`: for a node that starts again under its old id.
    async fn release_node(&self, node: NodeId) -> Result<(), StoreError>;
    /// Streams that are due and not leased, longest waiting first.
    async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError>;
    /// When the next stream falls due by time; those that are due already do not count.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError>;
    /// At most `page.limit` rows, and whether there are more. An unknown cursor gives `None`.
    async fn rows(&self, query: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError>;

    /// Removes up to `limit` rows from the lists of a stream itself: turns, items and artifacts whose scope is the
    /// stream. For one whose subject is deleted. `true` while there may be more.
    async fn clear_rows(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError>;

    /// The key of a person, and when it was made; `None` where there is none that was not destroyed.
    async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError>;
    /// Keeps a person's key where there is none, and gives the one that is kept.
    async fn keep_subject_key(&self, tenant: TenantId, key: SubjectKey) -> Result<SubjectKey, StoreError>;
    async fn readable_streams(&self, query: ReadableQuery) -> Result<Vec<ReadableStream>, StoreError>;
    /// Destroys a stream's key and all that was derived from it: rows, labels, snapshots and inputs, up to `limit` rows at
    /// a time; `true` while there may be more. Its records stay. Nobody drives it again, and a lease on it is void.
    async fn erase_stream(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError>;
    /// Rewrites what is left of removed data in the store's own journals. `false` when somebody was in the way: ask again.
    async fn scrub(&self) -> Result<bool, StoreError>;

    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError>;
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// What is kept of an account; nothing kept is nothing spent.
    async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError>;
    /// Sums over the book of what was spent, the dearest first.
    async fn spend(&self, query: SpendQuery) -> Result<Vec<SpendSum>, StoreError>;

    /// Writes version `document.version`, which must follow the stored one; else [`StoreError::Conflict`].
    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError>;
    /// The newest version, or the one asked for.
    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError>;
    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError>;
    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError>;
    async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError>;
    /// Appends the record to the tenant's own stream and writes the documents, in one transaction.
    ///
    /// [`StoreError::StaleEpoch`] when the stream has moved on: read its head and seal the record again.
    /// [`StoreError::Conflict`] when a document was changed meanwhile, or its handle is taken.
    async fn administer(&self, change: Administer) -> Result<(), StoreError>;
    /// Removes every version. `false` when there was none.
    async fn remove_document(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<bool, StoreError>;
}
