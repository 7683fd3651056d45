//! The store with crash points: the process may die right before a write reaches the disk, or right after.

use crate::world::World;
use async_trait::async_trait;
use bailiwick_ports::{
    AccountKey, Balance, SpendQuery, SpendSum, Store, StoreError,
    store::{
        Accepted, Administer, Append, Appended, Document, DocumentKind, Idempotency, InboxEntry, LeaseGrant, NewStream,
        Page, Ready, RowKind, RowQuery, SealedRecord, Snapshot, StoredRow, StreamHead, Submission, Tenant,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp};
use std::sync::Arc;

pub struct CrashingStore {
    pub inner: Arc<dyn Store>,
    pub world: World,
}

#[async_trait]
impl Store for CrashingStore {
    async fn create_stream(&self, new: NewStream) -> Result<Accepted, StoreError> {
        self.world.step().await;
        let done = self.inner.create_stream(new).await;
        self.world.step().await;
        done
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, StoreError> {
        self.world.step().await;
        let done = self.inner.submit(submission).await;
        self.world.step().await;
        done
    }

    async fn accepted(&self, tenant: TenantId, idempotency: &Idempotency) -> Result<Option<Accepted>, StoreError> {
        self.inner.accepted(tenant, idempotency).await
    }

    async fn inbox(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        self.inner.inbox(stream, after, limit).await
    }

    async fn head(&self, stream: StreamId) -> Result<Option<StreamHead>, StoreError> {
        self.inner.head(stream).await
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        self.inner.records(stream, after, limit).await
    }

    async fn snapshot_up_to(&self, stream: StreamId, position: u64) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot_up_to(stream, position).await
    }

    async fn put_snapshot(&self, stream: StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.world.step().await;
        let done = self.inner.put_snapshot(stream, snapshot).await;
        self.world.step().await;
        done
    }

    async fn lease(&self, stream: StreamId, node: NodeId, span: Millis) -> Result<Option<LeaseGrant>, StoreError> {
        self.world.step().await;
        let done = self.inner.lease(stream, node, span).await;
        self.world.step().await;
        done
    }

    async fn renew(&self, stream: StreamId, epoch: u64, span: Millis) -> Result<LeaseGrant, StoreError> {
        self.inner.renew(stream, epoch, span).await
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.world.step().await;
        let done = self.inner.append(append).await;
        self.world.step().await;
        done
    }

    async fn release_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.inner.release_node(node).await
    }

    async fn ready(&self, limit: u32) -> Result<Vec<Ready>, StoreError> {
        self.inner.ready(limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn row(&self, tenant: TenantId, kind: RowKind, id: u128) -> Result<Option<StoredRow>, StoreError> {
        self.inner.row(tenant, kind, id).await
    }

    async fn rows(&self, query: RowQuery) -> Result<Option<(Vec<StoredRow>, bool)>, StoreError> {
        self.inner.rows(query).await
    }

    async fn clear_rows(&self, stream: StreamId, limit: u32) -> Result<bool, StoreError> {
        self.world.step().await;
        let done = self.inner.clear_rows(stream, limit).await;
        self.world.step().await;
        done
    }

    async fn put_tenant(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.inner.put_tenant(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        self.inner.tenants().await
    }

    async fn put_document(&self, tenant: TenantId, document: Document) -> Result<(), StoreError> {
        self.inner.put_document(tenant, document).await
    }

    async fn document(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        self.inner.document(tenant, kind, id, version).await
    }

    async fn document_by_handle(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<(TenantId, Document)>, StoreError> {
        self.inner.document_by_handle(kind, handle).await
    }

    async fn documents(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        page: Page,
    ) -> Result<Option<(Vec<Document>, bool)>, StoreError> {
        self.inner.documents(tenant, kind, page).await
    }

    async fn document_versions(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: u128,
    ) -> Result<Vec<Document>, StoreError> {
        self.inner.document_versions(tenant, kind, id).await
    }

    async fn administer(&self, change: Administer) -> Result<(), StoreError> {
        self.world.step().await;
        let done = self.inner.administer(change).await;
        self.world.step().await;
        done
    }

    async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        self.inner.balance(tenant, key).await
    }

    async fn spend(&self, query: SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        self.inner.spend(query).await
    }

    async fn remove_document(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<bool, StoreError> {
        self.inner.remove_document(tenant, kind, id).await
    }
}
