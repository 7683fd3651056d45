//! What was erased is in no file of the data folder any more, the write-ahead log included.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests read files")]

use bailiwick_ports::{
    DocumentWrite, Store, SubjectKey, WrappedKey,
    store::{Administer, NewStream, Row, RowKind, Snapshot},
};
use bailiwick_store::{DataFolder, Options, SqliteStore};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use common::{append, record};
use std::path::Path;

mod common;

/// Which of the needles are somewhere in the folder.
fn found(folder: &Path, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        for needle in needles {
            if bytes.windows(needle.len()).any(|part| part == needle.as_bytes()) {
                found.push(format!("{needle} in {}", path.display()));
            }
        }
    }
    found
}

const NEEDLES: [&str; 7] =
    ["wrapped-person", "wrapped-stream", "row-content", "label-value", "input-text", "old-snapshot", "older-row"];

#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(Options::new(DataFolder::open(folder.path()).unwrap())).await.unwrap();
    let (tenant, stream, person) = (TenantId::from_u128(1), StreamId::from_u128(7), UserId::from_u128(9));
    let key = SubjectKey { person, key_id: 1, bytes: b"wrapped-person".to_vec() };
    store.keep_subject_key(tenant, key.clone()).await.unwrap();
    let session = |sealed: &'static str| Row {
        kind: RowKind::Session,
        id: 7,
        scope: 1,
        parent: 0,
        ordinal: 1,
        labels: vec![("name".into(), "label-value".into())],
        sealed: Some(Bytes::from_static(sealed.as_bytes())),
    };
    let items = (0..200).map(|id| Row {
        kind: RowKind::Item,
        id: 100 + id,
        scope: 7,
        parent: 0,
        ordinal: id as i64,
        labels: Vec::new(),
        // Some lie in pages of their own.
        sealed: Some(Bytes::from(format!("row-content {id} ").repeat(1 + 40 * (id as usize % 20)))),
    });
    let new = NewStream {
        tenant,
        stream,
        key: WrappedKey { subject: Some(Box::new(key)), ..WrappedKey::new(1, b"wrapped-stream".to_vec()) },
        records: vec![record(1, 0, 5)],
        rows: [session("older-row")].into_iter().chain(items).collect(),
        inputs: vec![Bytes::from_static(b"input-text")],
        idempotency: None,
    };
    store.create_stream(new).await.unwrap();
    let lease = store.lease(stream, NodeId::from_u128(1), Millis::from_secs(60)).await.unwrap().unwrap();
    let mut write = append(stream, lease.epoch, 2, 10);
    write.rows = vec![session("row-content")];
    write.snapshot = Some(Snapshot { position: 2, version: 1, sealed: Bytes::from("old-snapshot ".repeat(1000)) });
    store.append(write).await.unwrap();
    assert!(!found(folder.path(), &NEEDLES).is_empty());

    let change = Administer {
        tenant,
        key: WrappedKey::new(1, vec![1]),
        record: record(1, 0, 5),
        documents: vec![DocumentWrite::DestroyKey { person, until: Timestamp::from_millis(i64::MAX) }],
    };
    store.administer(change).await.unwrap();
    while store.erase_stream(stream, 50).await.unwrap() {}
    while !store.scrub().await.unwrap() {
        tokio::task::yield_now().await;
    }
    assert_eq!(found(folder.path(), &NEEDLES), Vec::<String>::new());
    assert_eq!(store.records(stream, 0, 10).await.unwrap().len(), 2, "the records stay");
    store.close().await;
    assert_eq!(found(folder.path(), &NEEDLES), Vec::<String>::new());
}
