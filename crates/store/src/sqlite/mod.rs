//! `ports::Store` in one SQLite database. All SQL is in this module.
//!
//! One task owns the only connection that writes (`writer`); it puts every write that waits into one transaction and
//! answers when that is on disk. Reads go through a few connections of their own and see whatever was answered.
//!
//! **What a commit costs.** The journal is a write-ahead log with `synchronous=FULL`: one fsync of the log per
//! transaction, shared by all its members. When the log has 4000 pages (16 MiB) it is carried over into the database,
//! which costs three more: of the log, of the database, and of the log's new beginning. SQLite's default of 1000 pages
//! made these a third of all fsyncs under load; four times as many are still read in about 10 ms after a crash. The log
//! is then written over from its start and not cut (unless one huge transaction blew it up), so that most commits do
//! not change the size of a file.
//!
//! **Memory.** The writer's page cache is 2 MiB, a reader's 1 MiB; readers appear when they are needed and go when idle.
//!
//! **Foreign keys are off.** Streams are never deleted, children are always written together with what they belong to
//! and found through it, and one check per row would cost a lookup on the hottest path.

mod administer;
mod append;
mod book;
mod erase;
mod error;
mod log;
mod ops;
mod read;
mod rewrap;
mod schema;
mod script;
mod transaction;
mod unsequenced;
mod write;
mod writer;

use crate::folder::{DataFolder, private_file};
use async_trait::async_trait;
use bailiwick_ports::{
    AccountKey, Balance, SpendQuery, SpendSum, Store, StoreError, SubjectKey,
    store::{
        Accepted, Administer, Append, Appended, Document, DocumentKind, Idempotency, InboxEntry, LeaseGrant, NewStream,
        Page, ReadableQuery, ReadableStream, Ready, RowKind, RowQuery, SealedRecord, Snapshot, StoredRow, StreamHead,
        Submission, Tenant,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{sync::Arc, time::Duration};
use transaction::Inboxes;
use unsequenced::Unsequenced;
use writer::{Operation, Writer};

/// The database's file in the data folder.
const FILE: &str = "bailiwick.db";
/// KiB, negative as SQLite wants it.
const WRITER_CACHE: &str = "-2000";
const READER_CACHE: &str = "-1000";
/// Pages of the log at which it is carried over.
const LOG_PAGES: &str = "4000";
/// What is left of the log, in bytes, after it was carried over: well above those pages.
const LOG_KEPT: &str = "67108864";
/// Nobody but us uses the file, so that only our own checkpoint can be in the way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a connection.
const READER_WAIT: Duration = Duration::from_secs(10);
const READER_IDLE: Duration = Duration::from_secs(60);
/// Prepared statements that are kept.
const WRITER_STATEMENTS: usize = 96;
const READER_STATEMENTS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{file} was written by a newer version (its schema is {found}, this program knows {known}): \
         use that version, or restore an older backup"
    )]
    Newer { file: String, found: i64, known: i64 },
    #[error("{file} cannot be opened: {reason}")]
    Unusable { file: String, reason: String },
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    pub folder: DataFolder,
    /// Connections that read at the same time, 1 or more.
    pub readers: u32,
    /// The database's file grows to this many bytes and no more; then writes get [`StoreError::Full`]. `None` is
    /// whatever the disk holds.
    pub max_bytes: Option<u64>,
}

impl Options {
    pub fn new(folder: DataFolder) -> Self {
        Self { folder, readers: 3, max_bytes: None }
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join(FILE)
    }

    fn connection(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.file())
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(false)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging()
    }

    async fn connect_writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        let options = self
            .connection()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("wal_autocheckpoint", LOG_PAGES)
            .pragma("journal_size_limit", LOG_KEPT)
            .pragma("secure_delete", "FAST")
            .statement_cache_capacity(WRITER_STATEMENTS)
            .thread_name(|_| "store-writer".into());
        let options = match self.max_bytes {
            Some(bytes) => options.pragma("max_page_count", (bytes / schema::PAGE_BYTES).max(1).to_string()),
            None => options,
        };
        let mut connection = SqliteConnection::connect_with(&options).await?;
        connection.execute(sqlx::raw_sql(ops::PROCEDURES)).await?;
        connection.execute(sqlx::raw_sql(book::PROCEDURES)).await?;
        Ok(connection)
    }

    fn readers(&self) -> SqlitePool {
        let options = self
            .connection()
            .read_only(true)
            .pragma("cache_size", READER_CACHE)
            .statement_cache_capacity(READER_STATEMENTS)
            .thread_name(|number| format!("store-read-{number}"));
        SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(self.readers.max(1))
            .acquire_timeout(READER_WAIT)
            .idle_timeout(READER_IDLE)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }
}

/// A store in the data folder. Clones share it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: SqlitePool,
    writer: Writer,
    inboxes: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    folder: DataFolder,
}

impl SqliteStore {
    /// Opens the database of a data folder, makes it where it is missing, and brings its schema up to date. Reads
    /// nothing else, however much is stored. Needs a tokio runtime with time, in which its writer lives.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let file = options.file().display().to_string();
        let unusable = |reason: String| OpenError::Unusable { file: file.clone(), reason };
        private_file(&options.file()).map_err(|error| unusable(error.to_string()))?;
        let text = |error: sqlx::Error| unusable(error::store_error(&error, options.folder.path()).to_string());
        let mut connection = options.connect_writer().await.map_err(text)?;
        let found = schema::version(&mut connection).await.map_err(text)?;
        if found > schema::VERSION {
            return Err(OpenError::Newer { file, found, known: schema::VERSION });
        }
        schema::migrate(&mut connection, found).await.map_err(text)?;
        let (readers, folder) = (options.readers(), options.folder.clone());
        let inboxes = Arc::<Inboxes>::default();
        let unsequenced = Arc::<Unsequenced>::default();
        let writer = Writer::start(options, connection, inboxes.clone(), unsequenced.clone());
        Ok(Self(Arc::new(Inner { readers, writer, inboxes, unsequenced, folder })))
    }

    /// Finishes what was begun, carries the log over into the database, and gives the files up. Later calls fail.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
        self.0.inboxes.forget();
    }

    async fn write<O: Operation>(&self, operation: O) -> Result<O::Output, StoreError> {
        self.0.writer.write(operation).await
    }

    fn read(&self) -> read::Reader<'_> {
        read::Reader { pool: &self.0.readers, folder: self.0.folder.path() }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_stream(&self, new: NewStream) -> Result<Accepted, StoreError> {
        new.check()?;
        self.write(write::CreateStream(new)).await
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, StoreError> {
        self.write(write::Submit(submission)).await
    }

    async fn accepted(&self, tenant: TenantId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        self.read().accepted(tenant, idempotency).await
    }

    async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        if self.0.inboxes.has_none_after(stream, after) {
            return Ok(Vec::new());
        }
        self.read().inbox(stream, after, limit).await
    }

    async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        self.read().head(stream).await
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        self.read().records(stream, after, limit).await
    }

    async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        self.read().snapshot_up_to(stream, position).await
    }

    async fn put_snapshot(&self, stream: StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.write(write::PutSnapshot { stream, snapshot }).await
    }

    async fn lease(&self, stream: StreamId, node: NodeId, span: Millis) -> Result<Option<LeaseGrant>, StoreError> {
        self.write(write::Lease { stream, node, span }).await
    }

    async fn renew(&self, stream: StreamId, epoch: u64, span: Millis) -> Result<LeaseGrant, StoreError> {
        self.write(write::Renew { stream, epoch, span }).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        append.check()?;
        self.0.writer.append(append).await
    }

    async fn release_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.write(write::ReleaseNode(node)).await
    }

    async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        self.read().ready(limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read().next_due().await
    }

    async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        self.read().row(tenant, kind, id).await
    }

    async fn rows(&self, query: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        self.read().rows(&query).await
    }

    async fn clear_rows(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.write(write::ClearRows { stream, limit }).await
    }

    async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError> {
        self.read().subject_key(tenant, person).await
    }

    async fn keep_subject_key(&self, tenant: TenantId, key: SubjectKey) -> Result<SubjectKey, StoreError> {
        self.write(erase::KeepSubjectKey { tenant, key }).await
    }

    async fn readable_streams(&self, query: ReadableQuery) -> Result<Vec<ReadableStream>, StoreError> {
        self.read().readable_streams(&query).await
    }

    async fn erase_stream(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.write(erase::EraseStream { stream, limit }).await
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        self.write(erase::Scrub).await
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.write(write::PutTenant(tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.read().tenants().await
    }

    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError> {
        self.write(write::PutDocument { tenant, document }).await
    }

    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        self.read().document(tenant, kind, id, version).await
    }

    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        self.read().document_by_handle(kind, handle).await
    }

    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        self.read().documents(tenant, kind, &page).await
    }

    async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        self.read().document_versions(tenant, kind, id).await
    }

    async fn administer(&self, change: Administer) -> Result<(), StoreError> {
        change.check()?;
        self.write(administer::Write(change)).await
    }

    async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        self.read().balance(tenant, key).await
    }

    async fn spend(&self, query: SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        self.read().spend(&query).await
    }

    async fn remove_document(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<bool, StoreError> {
        self.write(write::RemoveDocument { tenant, kind, id }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row as _;

    #[tokio::test]
    async fn every_commit_reaches_the_disk_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(DataFolder::open(folder.path()).unwrap());
        let store = SqliteStore::open(options.clone()).await.unwrap();
        let mut writer = options.connect_writer().await.unwrap();
        let mut ask = async |pragma: &'static str| writer.fetch_one(pragma).await.unwrap();
        assert_eq!(ask("PRAGMA journal_mode").await.get::<String, _>(0), "wal");
        assert_eq!(ask("PRAGMA synchronous").await.get::<i64, _>(0), 2, "FULL");
        assert_eq!(ask("PRAGMA page_size").await.get::<i64, _>(0) as u64, schema::PAGE_BYTES);
        assert_eq!(ask("PRAGMA wal_autocheckpoint").await.get::<i64, _>(0), 4000);
        let refused = store.0.readers.execute("DELETE FROM tenants").await.unwrap_err();
        assert!(refused.to_string().contains("readonly"), "{refused}");
    }

    #[tokio::test]
    async fn the_schema_is_made_once_and_has_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(DataFolder::open(folder.path()).unwrap());
        private_file(&options.file()).unwrap();
        let mut writer = options.connect_writer().await.unwrap();
        assert_eq!(schema::version(&mut writer).await.unwrap(), 0);
        for _ in 0..2 {
            let version = schema::version(&mut writer).await.unwrap();
            schema::migrate(&mut writer, version).await.unwrap();
            assert_eq!(schema::version(&mut writer).await.unwrap(), schema::VERSION);
        }
    }
}
