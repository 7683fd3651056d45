//! Wrapped keys: found in passes, wrapped anew in batches, and refused when they come too late.
#![allow(clippy::disallowed_methods, reason = "opens a store in a folder of its own")]
#![allow(clippy::unwrap_used, reason = "a test")]

use bailiwick_ports::{
    Store, StoreError, SubjectKey, WrappedKey,
    rewrap::{MAX_REWRAPPED, WrapCursor, WrapPlace, Wrapped, WrappedKeys},
    store::{Administer, NewStream, Tenant},
};
use bailiwick_store::{DataFolder, Options, SqliteStore};
use bailiwick_types::{StreamId, TenantId, UserId};
use common::record;
use futures_util::future::join_all;
use std::path::Path;

mod common;

const TENANT: TenantId = TenantId::from_u128(1);

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(Options::new(DataFolder::open(folder).unwrap())).await.unwrap()
}

fn new(number: u128, key: WrappedKey) -> NewStream {
    NewStream {
        tenant: TENANT,
        stream: StreamId::from_u128(number),
        key,
        records: vec![record(1, 0, 1)],
        rows: Vec::new(),
        inputs: Vec::new(),
        idempotency: None,
    }
}

fn subject(person: u128, key_id: u32) -> SubjectKey {
    SubjectKey { person: UserId::from_u128(person), key_id, bytes: vec![3] }
}

/// All that lie under another key than this, pass by pass.
async fn found(store: &SqliteStore, current: u32) -> Vec<Wrapped> {
    let (mut all, mut place) = (Vec::new(), Some(WrapCursor::START));
    while let Some(from) = place {
        let batch = store.wrapped_otherwise(current, from).await.unwrap();
        assert!(batch.keys.len() <= MAX_REWRAPPED);
        (place, _) = (batch.next, all.extend(batch.keys));
    }
    all
}

fn tenant(key_id: u32) -> Tenant {
    Tenant { id: TENANT, name: "t".into(), key: WrappedKey::new(key_id, vec![1]) }
}

#[tokio::test]
async fn every_key_is_found_once_and_wrapped_anew_unless_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put_tenant(tenant(1)).await.unwrap();
    let person = subject(9, 1);
    store.keep_subject_key(TENANT, person.clone()).await.unwrap();
    let many = (0..MAX_REWRAPPED as u128 + 5).map(|number| {
        let bytes = [vec![1], number.to_be_bytes().to_vec()].concat();
        store.create_stream(new(100 + number, WrappedKey::new(1, bytes)))
    });
    assert!(join_all(many).await.iter().all(Result::is_ok));
    let under = WrappedKey { subject: Some(Box::new(person)), ..WrappedKey::new(1, vec![4]) };
    store.create_stream(new(50, under)).await.unwrap();
    let all = found(&store, 2).await;
    let count = |place: WrapPlace| all.iter().filter(|one| one.place == place).count();
    assert_eq!(
        (count(WrapPlace::Tenant), count(WrapPlace::Stream), count(WrapPlace::Person)),
        (1, MAX_REWRAPPED + 5, 1),
        "one below a person's key is not looked at"
    );
    assert!(found(&store, 1).await.is_empty());
    for part in all.chunks(MAX_REWRAPPED) {
        store.rewrap(part.iter().map(|old| (old.clone(), WrappedKey::new(2, vec![7]))).collect()).await.unwrap();
    }
    assert!(found(&store, 2).await.is_empty());
    // What is not what it was any more stays.
    let old = all.last().unwrap().clone();
    store.rewrap(vec![(old, WrappedKey::new(3, vec![8]))]).await.unwrap();
    assert!(found(&store, 2).await.is_empty());
}

#[tokio::test]
async fn a_key_that_was_wrapped_before_the_change_and_comes_after_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put_tenant(tenant(1)).await.unwrap();
    store.keep_only(Some(2)).await.unwrap();
    let late = |done: Result<(), StoreError>| matches!(done, Err(StoreError::KeyReplaced));
    let key = |id: u32| WrappedKey::new(id, vec![1]);
    assert!(late(store.put_tenant(Tenant { id: TenantId::from_u128(2), ..tenant(1) }).await));
    assert!(late(store.create_stream(new(7, key(1))).await.map(drop)));
    assert!(late(store.keep_subject_key(TENANT, subject(9, 1)).await.map(drop)));
    let change = |id: u32| Administer { tenant: TENANT, key: key(id), record: record(1, 0, 1), documents: Vec::new() };
    assert!(late(store.administer(change(1)).await));
    store.create_stream(new(7, key(2))).await.unwrap();
    store.keep_subject_key(TENANT, subject(9, 2)).await.unwrap();
    store.administer(change(2)).await.unwrap();
    // What lies below a person's key does not lie under the key-encryption key.
    let under = WrappedKey { subject: Some(Box::new(subject(9, 2))), ..key(1) };
    store.create_stream(new(8, under)).await.unwrap();
    let other = found(&store, 2).await;
    assert!(other.len() == 1 && other[0].place == WrapPlace::Tenant, "{other:?}");
    // The next rotation takes all again.
    store.keep_only(None).await.unwrap();
    store.create_stream(new(9, key(3))).await.unwrap();
}
