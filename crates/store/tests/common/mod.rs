//! Streams and appends for the tests of the store, and itself as a child process.
#![allow(dead_code, reason = "each test file takes what it needs")]

use bailiwick_ports::{
    Store, WrappedKey,
    store::{Append, Due, NewStream, SealedRecord},
};
use bailiwick_store::SqliteStore;
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp};

pub fn record(position: u64, epoch: u64, size: usize) -> SealedRecord {
    SealedRecord {
        position,
        epoch,
        kind: "test.happened".into(),
        version: 1,
        time: Timestamp::from_millis(0),
        cause: None,
        key_id: 1,
        checksum: 0,
        sealed: vec![position as u8; size].into(),
        leaf: [0; 32],
        chain: [0; 32],
    }
}

/// A stream with a lease, and its epoch.
pub async fn leased(store: &SqliteStore, number: u128) -> (StreamId, u64) {
    let stream = StreamId::from_u128(number);
    let new = NewStream {
        tenant: TenantId::from_u128(1),
        stream,
        key: WrappedKey::new(1, vec![1]),
        records: Vec::new(),
        rows: Vec::new(),
        inputs: Vec::new(),
        idempotency: None,
    };
    store.create_stream(new).await.unwrap();
    let grant = store.lease(stream, NodeId::from_u128(1), Millis::from_secs(3600)).await.unwrap().unwrap();
    (stream, grant.epoch)
}

pub fn append(stream: StreamId, epoch: u64, position: u64, size: usize) -> Append {
    Append {
        tenant: TenantId::from_u128(1),
        stream,
        epoch,
        after: position - 1,
        records: vec![record(position, epoch, size)],
        rows: Vec::new(),
        inbox_through: 0,
        due: Due::Now,
        release: false,
        snapshot: None,
        balances: Vec::new(),
        spend: Vec::new(),
    }
}
