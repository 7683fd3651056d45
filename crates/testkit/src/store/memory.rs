//! [`MemoryStore`]: the port's methods over the plain state.

use super::{
    faults::{Faults, When},
    log::Logs,
    state::State,
};
use async_trait::async_trait;
use bailiwick_ports::{
    AccountKey, Balance, Clock, SpendQuery, SpendSum, Store, StoreError, SubjectKey,
    store::{
        Accepted, Administer, Append, Appended, Document, DocumentKind, Idempotency, InboxEntry, LeaseGrant, NewStream,
        Page, ReadableQuery, ReadableStream, Ready, RowKind, RowQuery, SealedRecord, Snapshot, StoredRow, StreamHead,
        Submission, Tenant,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// A store whose database clock is the given one. Clones share their data, so that it outlives whoever "crashed".
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    records_read: Arc<AtomicU64>,
    logs: Arc<Mutex<Logs>>,
}

impl MemoryStore {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Arc::default(),
            clock,
            faults: Faults::default(),
            records_read: Arc::default(),
            logs: Arc::default(),
        }
    }

    /// Records that were handed out so far: what reading streams has cost.
    pub fn records_read(&self) -> u64 {
        self.records_read.load(Ordering::Relaxed)
    }

    /// Loses every snapshot, which must lose nothing.
    pub fn forget_snapshots(&self) {
        self.state().forget_snapshots();
    }

    /// Makes chosen writes fail.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Every balance that is kept.
    pub fn balances(&self) -> Vec<(AccountKey, Balance)> {
        self.state().book.balances()
    }

    pub(super) fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, work: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = self.faults.next();
        if let Some((When::Before, error)) = fault {
            return Err(error);
        }
        let done = work(&mut self.state(), self.clock.now());
        match fault {
            Some((_, error)) => Err(error),
            None => done,
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create_stream(&self, new: NewStream) -> Result<Accepted, StoreError> {
        self.write(|state, now| state.create_stream(new, now))
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, StoreError> {
        self.write(|state, now| state.submit(submission, now))
    }

    async fn accepted(&self, tenant: TenantId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        Ok(self.state().promised(tenant, idempotency, None))
    }

    async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        let state = self.state();
        let waiting = state.stream(stream)?.inbox.iter().filter(|entry| entry.sequence > after);
        Ok(waiting.take(limit as usize).cloned().collect())
    }

    async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        Ok(self.state().head_of(stream))
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        let state = self.state();
        let records = state.stream(stream)?.records.iter().filter(|record| record.position > after);
        let records: Vec<SealedRecord> = records.take(limit as usize).cloned().collect();
        self.records_read.fetch_add(records.len() as u64, Ordering::Relaxed);
        Ok(records)
    }

    async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.state().stream(stream)?.snapshot_up_to(position))
    }

    async fn put_snapshot(&self, stream: StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.write(|state, _| state.put_snapshot(stream, snapshot))
    }

    async fn lease(&self, stream: StreamId, node: NodeId, span: Millis) -> Result<Option<LeaseGrant>, StoreError> {
        self.write(|state, now| state.lease(stream, node, span, now))
    }

    async fn renew(&self, stream: StreamId, epoch: u64, span: Millis) -> Result<LeaseGrant, StoreError> {
        self.write(|state, now| state.renew(stream, epoch, span, now))
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.write(|state, now| state.append(append, now))
    }

    async fn release_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.write(|state, _| {
            state.release_node(node);
            Ok(())
        })
    }

    async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        Ok(self.state().ready(limit, self.clock.now()))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().next_due(self.clock.now()))
    }

    async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        Ok(self.state().row(tenant, kind, id))
    }

    async fn rows(&self, query: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        Ok(self.state().rows(&query))
    }

    async fn clear_rows(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.write(|state, _| state.clear_rows(stream, limit as usize))
    }

    async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError> {
        Ok(self.state().subject_key(tenant, person))
    }

    async fn keep_subject_key(&self, tenant: TenantId, key: SubjectKey) -> Result<SubjectKey, StoreError> {
        self.write(|state, now| state.keep_subject_key(tenant, key, now))
    }

    async fn readable_streams(&self, query: ReadableQuery) -> Result<Vec<ReadableStream>, StoreError> {
        Ok(self.state().readable_streams(&query, self.clock.now()))
    }

    async fn erase_stream(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.write(|state, _| state.erase_stream(stream, limit as usize))
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.write(|state, _| {
            state.tenants.insert(tenant.id, tenant);
            Ok(())
        })
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        Ok(self.state().tenants.values().cloned().collect())
    }

    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError> {
        self.write(|state, _| state.put_document(tenant, document))
    }

    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        let state = self.state();
        let versions = state.documents.get(&(tenant, kind, id)).map_or(&[][..], Vec::as_slice);
        let found = match version {
            None => versions.last(),
            Some(version) => versions.iter().find(|document| document.version == version),
        };
        Ok(found.cloned())
    }

    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        Ok(self.state().document_by_handle(kind, handle))
    }

    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        Ok(self.state().documents(tenant, kind, &page))
    }

    async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        Ok(self.state().documents.get(&(tenant, kind, id)).cloned().unwrap_or_default())
    }

    async fn administer(&self, change: Administer) -> Result<(), StoreError> {
        self.write(|state, _| state.administer(change))
    }

    async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        Ok(self.state().book.balance(tenant, key))
    }

    async fn spend(&self, query: SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        self.state().book.sums(&query)
    }

    async fn remove_document(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<bool, StoreError> {
        self.write(|state, _| Ok(state.documents.remove(&(tenant, kind, id)).is_some()))
    }
}
