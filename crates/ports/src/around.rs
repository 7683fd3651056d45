//! A store in front of another, for whoever has something to do around its writes. All of its methods are passed on
//! here, once; it changes nothing that goes through.

use crate::{AccountKey, Balance, SpendQuery, SpendSum, Store, StoreError, SubjectKey, store::*};
use async_trait::async_trait;
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use std::{future::Future, sync::Arc};

/// What is done around each write.
pub trait Around: Send + Sync {
    /// Runs one write of the store behind, once, and gives its result. `records` is how many it appends, where it
    /// appends any to a stream.
    fn write<T: Send>(
        &self,
        records: Option<u64>,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

/// A store with something around its writes. Reads go straight through.
pub struct Fronted<A> {
    store: Arc<dyn Store>,
    around: A,
}

impl<A: Around> Fronted<A> {
    pub fn new(store: Arc<dyn Store>, around: A) -> Self {
        Self { store, around }
    }
}

#[async_trait]
impl<A: Around> Store for Fronted<A> {
    async fn create_stream(&self, new: NewStream) -> Result<Accepted, StoreError> {
        let records = Some(new.records.len() as u64);
        self.around.write(records, self.store.create_stream(new)).await
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, StoreError> {
        self.around.write(None, self.store.submit(submission)).await
    }

    async fn accepted(&self, tenant: TenantId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        self.store.accepted(tenant, idempotency).await
    }

    async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        self.store.inbox(stream, after, limit).await
    }

    async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        self.store.head(stream).await
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        self.store.records(stream, after, limit).await
    }

    async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot_up_to(stream, position).await
    }

    async fn put_snapshot(&self, stream: StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.around.write(None, self.store.put_snapshot(stream, snapshot)).await
    }

    async fn lease(&self, stream: StreamId, node: NodeId, span: Millis) -> Result<Option<LeaseGrant>, StoreError> {
        self.around.write(None, self.store.lease(stream, node, span)).await
    }

    async fn renew(&self, stream: StreamId, epoch: u64, span: Millis) -> Result<LeaseGrant, StoreError> {
        self.around.write(None, self.store.renew(stream, epoch, span)).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let records = Some(append.records.len() as u64);
        self.around.write(records, self.store.append(append)).await
    }

    async fn release_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.around.write(None, self.store.release_node(node)).await
    }

    async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        self.store.ready(limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due().await
    }

    async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        self.store.row(tenant, kind, id).await
    }

    async fn rows(&self, query: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        self.store.rows(query).await
    }

    async fn clear_rows(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.around.write(None, self.store.clear_rows(stream, limit)).await
    }

    async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError> {
        self.store.subject_key(tenant, person).await
    }

    async fn keep_subject_key(&self, tenant: TenantId, key: SubjectKey) -> Result<SubjectKey, StoreError> {
        self.around.write(None, self.store.keep_subject_key(tenant, key)).await
    }

    async fn readable_streams(&self, query: ReadableQuery) -> Result<Vec<ReadableStream>, StoreError> {
        self.store.readable_streams(query).await
    }

    async fn erase_stream(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.around.write(None, self.store.erase_stream(stream, limit)).await
    }

    async fn scrub(&self) -> Result<bool, StoreError> {
        self.around.write(None, self.store.scrub()).await
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.around.write(None, self.store.put_tenant(tenant)).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.store.tenants().await
    }

    async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        self.store.balance(tenant, key).await
    }

    async fn spend(&self, query: SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        self.store.spend(query).await
    }

    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError> {
        self.around.write(None, self.store.put_document(tenant, document)).await
    }

    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        self.store.document(tenant, kind, id, version).await
    }

    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        self.store.document_by_handle(kind, handle).await
    }

    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        self.store.documents(tenant, kind, page).await
    }

    async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        self.store.document_versions(tenant, kind, id).await
    }

    async fn administer(&self, change: Administer) -> Result<(), StoreError> {
        let records = Some(1);
        self.around.write(records, self.store.administer(change)).await
    }

    async fn remove_document(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<bool, StoreError> {
        self.around.write(None, self.store.remove_document(tenant, kind, id)).await
    }
}
