//! Short words for what the checks do over and over.

use super::Subject;
use bailiwick_ports::{
    LogStore, Store, StoreError, WrappedKey,
    store::{
        Accepted, Append, Appended, Due, Idempotency, LeaseGrant, NewStream, Page, Ready, Row, RowKind, RowQuery,
        SealedRecord, Snapshot, Submission,
    },
};
use bailiwick_types::{ActionId, Millis, NodeId, StreamId, TenantId, Timestamp};
use bytes::Bytes;
use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Longer than any check takes.
pub const LONG: Millis = Millis::from_secs(3600);
/// Over as soon as somebody looks again.
pub const SHORT: Millis = Millis(1);

pub struct Kit {
    subject: Subject,
    next: AtomicU64,
}

impl Deref for Kit {
    type Target = Arc<dyn Store>;

    fn deref(&self) -> &Self::Target {
        &self.subject.store
    }
}

impl Kit {
    pub fn new(subject: Subject) -> Self {
        Self { subject, next: AtomicU64::new(1) }
    }

    pub fn log(&self) -> &dyn LogStore {
        &*self.subject.log
    }

    /// 128 bits that nothing else has, larger each time.
    pub fn fresh(&self) -> u128 {
        (0x0198_0000_0000_7000 << 64) | u128::from(self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub fn tenant(&self) -> TenantId {
        TenantId::from_u128(self.fresh())
    }

    pub fn node(&self) -> NodeId {
        NodeId::from_u128(self.fresh())
    }

    /// An empty stream of a new tenant.
    pub async fn stream(&self) -> (TenantId, StreamId) {
        let tenant = self.tenant();
        (tenant, self.stream_of(tenant).await)
    }

    pub async fn stream_of(&self, tenant: TenantId) -> StreamId {
        let new = self.new_stream(tenant);
        let stream = new.stream;
        assert_eq!(self.create_stream(new).await, Ok(Accepted::New { sequence: 0 }));
        stream
    }

    pub fn new_stream(&self, tenant: TenantId) -> NewStream {
        NewStream {
            tenant,
            stream: StreamId::from_u128(self.fresh()),
            key: WrappedKey::new(7, vec![1, 2, 3]),
            records: Vec::new(),
            rows: Vec::new(),
            inputs: Vec::new(),
            idempotency: None,
        }
    }

    /// A lease of a node that nobody else is.
    pub async fn leased(&self, stream: StreamId, span: Millis) -> LeaseGrant {
        self.lease(stream, self.node(), span).await.unwrap().expect("nobody holds it")
    }

    pub async fn give(&self, tenant: TenantId, stream: StreamId, inputs: &[&'static str]) -> u64 {
        match self.submit(submission(tenant, stream, inputs)).await {
            Ok(Accepted::New { sequence }) => sequence,
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Returns when the store's clock is after `at`.
    pub async fn past(&self, at: Timestamp) {
        let (_, scratch) = self.stream().await;
        while self.leased(scratch, Millis(0)).await.now <= at {
            (self.subject.elapse)(Millis(1)).await;
        }
    }

    /// The store's clock.
    pub async fn now(&self) -> Timestamp {
        let (_, scratch) = self.stream().await;
        self.leased(scratch, Millis(0)).await.now
    }

    pub async fn is_ready(&self, stream: StreamId) -> bool {
        self.all_ready().await.contains(&stream)
    }

    pub async fn all_ready(&self) -> Vec<StreamId> {
        self.ready(1000).await.unwrap().into_iter().map(|Ready { stream, .. }| stream).collect()
    }

    /// The ids of a page, and whether there is more.
    pub async fn ids(&self, query: &RowQuery) -> Option<(Vec<u128>, bool)> {
        let (rows, more) = self.rows(query.clone()).await.unwrap()?;
        Some((rows.into_iter().map(|row| row.id).collect(), more))
    }

    pub async fn positions(&self, stream: StreamId) -> Vec<u64> {
        self.records(stream, 0, 10_000).await.unwrap().into_iter().map(|record| record.position).collect()
    }

    pub async fn waiting(&self, stream: StreamId) -> Vec<u64> {
        self.inbox(stream, 0, 10_000).await.unwrap().into_iter().map(|entry| entry.sequence).collect()
    }
}

pub fn submission(tenant: TenantId, stream: StreamId, inputs: &[&'static str]) -> Submission {
    let inputs = inputs.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
    Submission { tenant, stream, inputs, idempotency: None }
}

pub fn promise(key: &str, body: u8) -> Option<Idempotency> {
    Some(Idempotency { scope: "principal route".into(), key: key.into(), digest: [body; 32] })
}

pub fn record(position: u64, epoch: u64) -> SealedRecord {
    let byte = position as u8;
    SealedRecord {
        position,
        epoch,
        kind: "test.happened".into(),
        version: 3,
        time: Timestamp::from_millis(1_793_000_000_000 + position as i64),
        cause: position.is_multiple_of(2).then(|| ActionId::from_u128(u128::MAX - u128::from(position))),
        key_id: u32::MAX,
        checksum: u32::MAX - position as u32,
        sealed: vec![byte; position as usize % 5 * 1000].into(),
        leaf: [byte; 32],
        chain: [!byte; 32],
    }
}

pub fn row(kind: RowKind, id: u128, scope: u128, ordinal: i64) -> Row {
    Row { kind, id, scope, parent: 0, ordinal, labels: Vec::new(), sealed: Some(Bytes::from(id.to_string())) }
}

pub fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

pub fn query(tenant: TenantId, kind: RowKind, scope: u128) -> RowQuery {
    RowQuery { tenant, kind, scope, parent: None, labels: Vec::new(), page: page(100) }
}

pub fn page(limit: u32) -> Page {
    Page { limit, ..Page::default() }
}

pub fn snapshot(position: u64) -> Option<Snapshot> {
    Some(Snapshot { position, version: 2, sealed: Bytes::from(vec![9; 5000]) })
}

/// One append under a lease, with `count` records after `after`.
pub fn append(tenant: TenantId, stream: StreamId, epoch: u64, after: u64, count: u64) -> Append {
    Append {
        tenant,
        stream,
        epoch,
        after,
        records: (after + 1..=after + count).map(|position| record(position, epoch)).collect(),
        rows: Vec::new(),
        inbox_through: 0,
        due: Due::Now,
        release: false,
        snapshot: None,
        balances: Vec::new(),
        spend: Vec::new(),
    }
}

pub fn stale(stream: StreamId, epoch: u64) -> Result<Appended, StoreError> {
    Err(StoreError::StaleEpoch { stream, epoch })
}

pub fn is_malformed<T: std::fmt::Debug>(result: Result<T, StoreError>, word: &str) {
    match result {
        Err(StoreError::Malformed(text)) => assert!(text.contains(word), "{text}"),
        other => panic!("not refused as malformed: {other:?}"),
    }
}
