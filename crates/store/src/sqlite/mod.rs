//! `ports::Store` in one SQLite database. All SQL is in this module.
//!
//! One connection writes, and whoever asks for a write does it there and then, together with all that wait meanwhile
//! (`writer`): one transaction, answered when it is on disk. Reads go through a few connections of their own and see
//! whatever was answered. Both happen on the thread of whoever asks (`threads`).
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
mod columns;
mod erase;
mod error;
mod log;
mod parts;
mod pen;
mod read;
mod readers;
mod rewrap;
mod schema;
mod statement;
mod threads;
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
use error::Error;
use readers::Readers;
use rusqlite::{Connection, OpenFlags};
use std::{sync::Arc, time::Duration};
use transaction::Inboxes;
use unsequenced::Unsequenced;
use writer::{Operation, Writer};

/// The database's file in the data folder.
const FILE: &str = "bailiwick.db";
/// KiB, negative as SQLite wants it.
const WRITER_CACHE: i64 = -2000;
const READER_CACHE: i64 = -1000;
/// What is left of the log, in bytes, after it was carried over: well above the pages at which it is.
const LOG_KEPT: i64 = 64 << 20;
/// Nobody but us uses the file, so that only our own checkpoint can be in the way.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
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

    fn connect(&self, access: OpenFlags) -> Result<Connection, Error> {
        // A connection is used by one thread at a time, so that it needs no lock of its own.
        let connection = Connection::open_with_flags(self.file(), access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(connection)
    }

    fn connect_writer(&self) -> Result<Connection, Error> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
        connection.pragma_update(None, "journal_size_limit", LOG_KEPT)?;
        connection.pragma_update(None, "secure_delete", "FAST")?;
        if let Some(bytes) = self.max_bytes {
            let pages = i64::try_from((bytes / schema::PAGE_BYTES).max(1)).unwrap_or(i64::MAX);
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        connection.set_prepared_statement_cache_capacity(WRITER_STATEMENTS);
        Ok(connection)
    }

    fn connect_reader(&self) -> Result<Connection, Error> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", READER_CACHE)?;
        connection.set_prepared_statement_cache_capacity(READER_STATEMENTS);
        Ok(connection)
    }
}

/// A store in the data folder. Clones share it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: Readers,
    writer: Writer,
    inboxes: Arc<Inboxes>,
    unsequenced: Arc<Unsequenced>,
    folder: DataFolder,
}

impl SqliteStore {
    /// Opens the database of a data folder, makes it where it is missing, and brings its schema up to date. Reads
    /// nothing else, however much is stored. Its calls need a tokio runtime with time.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let file = options.file().display().to_string();
        let unusable = |reason: String| OpenError::Unusable { file: file.clone(), reason };
        private_file(&options.file()).map_err(|error| unusable(error.to_string()))?;
        let text = |error: Error| unusable(error.meaning(options.folder.path()).to_string());
        let connection = options.connect_writer().map_err(text)?;
        let found = schema::version(&connection).map_err(text)?;
        if found > schema::VERSION {
            return Err(OpenError::Newer { file, found, known: schema::VERSION });
        }
        schema::migrate(&connection, found).map_err(text)?;
        let (readers, folder) = (Readers::new(options.clone()), options.folder.clone());
        let inboxes = Arc::<Inboxes>::default();
        let unsequenced = Arc::<Unsequenced>::default();
        let writer = Writer::new(options.clone(), connection, inboxes.clone(), unsequenced.clone()).map_err(text)?;
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
        read::Reader { readers: &self.0.readers, folder: self.0.folder.path() }
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
        self.write(append::Write(append)).await
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

    #[tokio::test]
    async fn every_commit_reaches_the_disk_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(DataFolder::open(folder.path()).unwrap());
        let _store = SqliteStore::open(options.clone()).await.unwrap();
        let writer = options.connect_writer().unwrap();
        let number = |pragma: &str| writer.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        let journal: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(journal, "wal");
        assert_eq!(number("synchronous"), 2, "FULL");
        assert_eq!(number("page_size") as u64, schema::PAGE_BYTES);
        assert_eq!(number("foreign_keys"), 0);
        assert_eq!(number("secure_delete"), 2, "FAST");
        let refused = options.connect_reader().unwrap().execute("DELETE FROM tenants", []).unwrap_err();
        assert!(refused.to_string().contains("readonly"), "{refused}");
    }

    /// Older ones can lose what was committed when the log is begun anew while two connections use it.
    #[test]
    fn the_library_has_no_known_way_to_lose_a_commit() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    #[tokio::test]
    async fn the_schema_is_made_once_and_has_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(DataFolder::open(folder.path()).unwrap());
        private_file(&options.file()).unwrap();
        let writer = options.connect_writer().unwrap();
        assert_eq!(schema::version(&writer).unwrap(), 0);
        for _ in 0..2 {
            let version = schema::version(&writer).unwrap();
            schema::migrate(&writer, version).unwrap();
            assert_eq!(schema::version(&writer).unwrap(), schema::VERSION);
        }
    }
}
