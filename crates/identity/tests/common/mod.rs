//! A store that keeps documents only, a clock that is set by hand, and a service over both.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use async_trait::async_trait;
use bailiwick_identity::{Credentials, FileKek, OsRandom, Sealing};
use bailiwick_ports::{Administration, BoxFuture, Change, Clock, DocumentWrite, Keys, Store, StoreError, store::*};
use bailiwick_types::{Millis, NodeId, Principal, StreamId, TenantId, Timestamp};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

#[derive(Default)]
pub struct Documents {
    pub tenants: Mutex<Vec<Tenant>>,
    pub documents: Mutex<Vec<(TenantId, Document)>>,
    pub changes: Mutex<Vec<Change>>,
    /// Lookups by handle so far.
    pub lookups: AtomicUsize,
    /// Fails every call.
    pub broken: std::sync::atomic::AtomicBool,
}

impl Documents {
    fn check(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Relaxed) { Err(StoreError::Unavailable("unplugged".into())) } else { Ok(()) }
    }

    fn newest(&self, of: impl Fn(&TenantId, &Document) -> bool) -> Vec<(TenantId, Document)> {
        let mut found: Vec<(TenantId, Document)> = Vec::new();
        for (tenant, document) in self.documents.lock().unwrap().iter().filter(|(t, d)| of(t, d)) {
            found.retain(|(_, older)| older.id != document.id);
            found.push((*tenant, document.clone()));
        }
        found.sort_by_key(|(_, document)| document.id);
        found
    }
}

fn other<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("only documents are kept here".into()))
}

#[async_trait]
impl Store for Documents {
    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.check()?;
        self.tenants.lock().unwrap().push(tenant);
        Ok(())
    }
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.check()?;
        Ok(self.tenants.lock().unwrap().clone())
    }
    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError> {
        self.check()?;
        let stored = self.newest(|_, d| d.kind == document.kind && d.id == document.id);
        let taken = self.newest(|_, d| d.kind == document.kind && d.id != document.id && d.handle == document.handle);
        if document.version != stored.first().map_or(0, |(_, d)| d.version) + 1 || !taken.is_empty() {
            return Err(StoreError::Conflict);
        }
        self.documents.lock().unwrap().push((tenant, document));
        Ok(())
    }
    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        _version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        self.check()?;
        Ok(self.newest(|t, d| *t == tenant && d.kind == kind && d.id == id).pop().map(|(_, d)| d))
    }
    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        self.check()?;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(self.newest(|_, d| d.kind == kind && d.handle.as_deref() == Some(handle)).pop())
    }
    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        self.check()?;
        let after = page.after.unwrap_or(0);
        let all = self.newest(|t, d| *t == tenant && d.kind == kind && d.id > after);
        let more = all.len() > page.limit as usize;
        Ok(Some((all.into_iter().map(|(_, d)| d).take(page.limit as usize).collect(), more)))
    }

    async fn create_stream(&self, _: NewStream) -> Result<Accepted, StoreError> {
        other()
    }
    async fn submit(&self, _: Submission) -> Result<Accepted, StoreError> {
        other()
    }
    async fn accepted(&self, _: TenantId, _: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        other()
    }
    async fn inbox(&self, _: StreamId, _: u64, _: u32) -> Result<Vec<InboxEntry>, StoreError> {
        other()
    }
    async fn head(&self, _: StreamId) -> Result<Option<StreamHead>, StoreError> {
        self.check()?;
        Ok(None)
    }
    async fn records(&self, _: StreamId, _: u64, _: u32) -> Result<Vec<SealedRecord>, StoreError> {
        other()
    }
    async fn clear_rows(&self, _: StreamId, _: u32) -> Result<bool, StoreError> {
        other()
    }
    async fn put_snapshot(&self, _: StreamId, _: Snapshot) -> Result<(), StoreError> {
        other()
    }
    async fn snapshot_up_to(&self, _: StreamId, _: u64) -> Result<Option<Snapshot>, StoreError> {
        other()
    }
    async fn lease(&self, _: StreamId, _: NodeId, _: Millis) -> Result<Option<LeaseGrant>, StoreError> {
        other()
    }
    async fn renew(&self, _: StreamId, _: u64, _: Millis) -> Result<LeaseGrant, StoreError> {
        other()
    }
    async fn append(&self, _: Append) -> Result<Appended, StoreError> {
        other()
    }
    async fn release_node(&self, _: NodeId) -> Result<(), StoreError> {
        other()
    }
    async fn ready(&self, _: u32) -> Result<Vec<Ready>, StoreError> {
        other()
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        other()
    }
    async fn row(&self, _: TenantId, _: RowKind, _: u128) -> Result<Option<StoredRow>, StoreError> {
        other()
    }
    async fn rows(&self, _: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        other()
    }
    async fn document_versions(&self, _: TenantId, _: DocumentKind, _: u128) -> Result<Vec<Document>, StoreError> {
        other()
    }
    async fn administer(&self, change: Administer) -> Result<(), StoreError> {
        self.check()?;
        drop(change);
        other()
    }
    async fn subject_key(
        &self,
        _: TenantId,
        _: bailiwick_types::UserId,
    ) -> Result<Option<(bailiwick_ports::SubjectKey, Timestamp)>, StoreError> {
        other()
    }
    async fn keep_subject_key(
        &self,
        _: TenantId,
        _: bailiwick_ports::SubjectKey,
    ) -> Result<bailiwick_ports::SubjectKey, StoreError> {
        other()
    }
    async fn readable_streams(
        &self,
        _: bailiwick_ports::store::ReadableQuery,
    ) -> Result<Vec<bailiwick_ports::store::ReadableStream>, StoreError> {
        other()
    }
    async fn erase_stream(&self, _: StreamId, _: u32) -> Result<bool, StoreError> {
        other()
    }
    async fn scrub(&self) -> Result<bool, StoreError> {
        other()
    }
    async fn balance(
        &self,
        _: TenantId,
        _: &bailiwick_ports::AccountKey,
    ) -> Result<bailiwick_ports::Balance, StoreError> {
        other()
    }
    async fn spend(&self, _: bailiwick_ports::SpendQuery) -> Result<Vec<bailiwick_ports::SpendSum>, StoreError> {
        other()
    }
    async fn remove_document(&self, _: TenantId, _: DocumentKind, _: u128) -> Result<bool, StoreError> {
        other()
    }
}

/// Keeps the documents of changes, and what was changed.
#[async_trait]
impl Administration for Documents {
    async fn change(&self, change: Change) -> Result<(), StoreError> {
        for write in change.documents.clone() {
            if let DocumentWrite::Put(document) = write {
                self.put_document(change.tenant, document).await?;
            }
        }
        self.changes.lock().unwrap().push(change);
        Ok(())
    }
}

pub const OPERATOR: Principal = Principal::Operator;

pub struct ManualClock(pub AtomicI64);

impl ManualClock {
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::Relaxed);
    }

    pub fn advance(&self, by: Millis) {
        self.set(self.now() + by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// 2026-11-21T11:30:45Z.
pub const START: Timestamp = Timestamp::from_millis(1_795_260_645_000);

pub struct House {
    pub folder: tempfile::TempDir,
    pub store: Arc<Documents>,
    pub clock: Arc<ManualClock>,
    pub credentials: Credentials,
    pub tenant: TenantId,
}

impl House {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Documents::default());
        let clock = Arc::new(ManualClock(AtomicI64::new(START.as_millis())));
        let credentials = credentials(&folder, store.clone(), clock.clone());
        let tenant = credentials.bootstrap_tenant().await.unwrap().id;
        Self { folder, store, clock, credentials, tenant }
    }

    /// The same data in another process.
    pub fn another_process(&self) -> Credentials {
        credentials(&self.folder, self.store.clone(), self.clock.clone())
    }
}

pub fn credentials(folder: &tempfile::TempDir, store: Arc<Documents>, clock: Arc<ManualClock>) -> Credentials {
    let kek = FileKek::open_or_create(&folder.path().join("keys"), &OsRandom).unwrap();
    let keys: Arc<dyn Keys> = Arc::new(Sealing::new(Arc::new(kek), Arc::new(OsRandom)));
    Credentials::new(store.clone(), keys, store, clock, Arc::new(OsRandom))
}
