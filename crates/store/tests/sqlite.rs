//! The SQLite store keeps what every store must keep, and what is its own: files, schema, size.
#![allow(clippy::disallowed_methods, reason = "waits on the database's clock, and looks at the store's files")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use bailiwick_ports::{
    LogStore as _, Store, StoreError, WrappedKey,
    store::{Accepted, Append, Document, DocumentKind, Due, Idempotency, Submission, Tenant},
};
use bailiwick_store::{DataFolder, OpenError, Options, SqliteStore};
use bailiwick_testkit::conformance::{self, Subject};
use bailiwick_types::{Millis, StreamId, TenantId, Timestamp};
use bytes::Bytes;
use common::{append, leased, record};
use futures_util::{FutureExt as _, future::join_all};
use rusqlite::Connection;
use std::{future::Future as _, os::unix::fs::PermissionsExt, path::Path, sync::Arc, task::Poll};

async fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(Options::new(DataFolder::open(folder).unwrap())).await.unwrap()
}

fn plain_connection(folder: &Path) -> Connection {
    Connection::open(folder.join("bailiwick.db")).unwrap()
}

fn tenant(number: u128) -> Tenant {
    let key = WrappedKey::new(1, vec![1]);
    Tenant { id: TenantId::from_u128(number), name: "name".into(), key }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_keeps_the_contract() {
    conformance::run(async || {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        Subject {
            store: Arc::new(store.clone()),
            log: Arc::new(store),
            elapse: Arc::new(move |span: Millis| {
                let _kept = &folder;
                Box::pin(tokio::time::sleep(span.as_duration()))
            }),
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_written_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        let store = open(folder.path()).await;
        store.put_tenant(tenant(number)).await.unwrap();
        store.close().await;
        assert!(matches!(store.put_tenant(tenant(9)).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.tenants().await, Err(StoreError::Unavailable(_))));
        assert!(!folder.path().join("bailiwick.db-wal").exists(), "the log was carried over");
    }
    let store = open(folder.path()).await;
    let found = store.tenants().await.unwrap();
    assert_eq!(found, [tenant(1), tenant(2), tenant(3)]);
}

#[tokio::test]
async fn a_store_that_is_dropped_gives_its_folder_up_when_its_writes_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put_tenant(tenant(1)).await.unwrap();
    assert!(DataFolder::open(folder.path()).is_err());
    drop(store);
    while DataFolder::open(folder.path()).is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(open(folder.path()).await.tenants().await.unwrap().len(), 1);
}

/// A stream that nobody asked for again would be missing in the receipt log until the next start.
#[tokio::test]
async fn a_question_for_what_is_behind_that_is_broken_off_forgets_no_stream() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (stream, epoch) = leased(&store, 1).await;
    store.append(append(stream, epoch, 1, 10)).await.unwrap();
    let streams = async || store.behind(0, 10).await.unwrap().streams;
    assert_eq!(streams().await.len(), 1, "the scan after a start is over");
    for _ in 0..3 {
        // It is through by then where it had to wait for nothing.
        drop(store.behind(0, 10).now_or_never());
    }
    assert_eq!(streams().await.iter().map(|one| one.stream).collect::<Vec<_>>(), [stream]);
}

#[tokio::test]
async fn the_files_are_for_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put_tenant(tenant(1)).await.unwrap();
    for name in ["bailiwick.db", "bailiwick.db-wal", "bailiwick.db-shm", "lock"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.close().await;
    plain_connection(folder.path()).execute_batch("PRAGMA user_version = 1000").unwrap();
    let opened = loop {
        match DataFolder::open(folder.path()) {
            Ok(folder) => break SqliteStore::open(Options::new(folder)).await,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let Err(error @ OpenError::Newer { found: 1000, .. }) = opened else { panic!("it was opened") };
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn what_is_not_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bailiwick.db"), "name,amount\n".repeat(1000)).unwrap();
    let opened = SqliteStore::open(Options::new(DataFolder::open(folder.path()).unwrap())).await;
    let Err(error) = opened else { panic!("it was opened") };
    assert!(error.to_string().contains("bailiwick.db cannot be opened"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_may_not_grow_is_full_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: Some(1 << 20), ..Options::new(DataFolder::open(folder.path()).unwrap()) };
    let store = SqliteStore::open(options).await.unwrap();
    let (stream, epoch) = leased(&store, 1).await;
    let (other, other_epoch) = leased(&store, 2).await;
    let document = Document {
        kind: DocumentKind::File,
        id: 1,
        version: 1,
        created: Timestamp::default(),
        updated: Timestamp::default(),
        handle: None,
        sealed: vec![1; 200_000].into(),
    };
    store.put_document(TenantId::from_u128(1), document.clone()).await.unwrap();
    let mut written = 0;
    let full = loop {
        match store.append(append(stream, epoch, written + 1, 50_000)).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full, StoreError::Full);
    // Of a group, those that fit are written.
    let group = [append(stream, epoch, written + 1, 50_000), append(other, other_epoch, 1, 10)];
    let answers = join_all(group.into_iter().map(|append| store.append(append))).await;
    assert_eq!(answers[0], Err(StoreError::Full));
    answers[1].as_ref().unwrap();
    assert_eq!(store.head(stream).await.unwrap().unwrap().position, written);
    // Room is made, and the same stream goes on.
    assert_eq!(store.remove_document(TenantId::from_u128(1), document.kind, 1).await, Ok(true));
    store.append(append(stream, epoch, written + 1, 50_000)).await.unwrap();
    let records = store.records(stream, 0, 1000).await.unwrap();
    assert_eq!(records.len() as u64, written + 1);
    assert!(records.iter().all(|record| record.sealed.len() == 50_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_transactions_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut streams = Vec::new();
    for number in 0..150 {
        streams.push(leased(&store, number).await);
    }
    let drive = async |(stream, epoch): (StreamId, u64)| {
        for position in 1..=5 {
            store.append(append(stream, epoch, position, 700)).await.unwrap();
        }
    };
    join_all(streams.iter().map(|stream| drive(*stream))).await;
    store.close().await;
    drop(store);
    let store = loop {
        match DataFolder::open(folder.path()) {
            Ok(folder) => break SqliteStore::open(Options::new(folder)).await.unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    for (stream, epoch) in streams {
        let records = store.records(stream, 0, 100).await.unwrap();
        assert_eq!(records, (1..=5).map(|position| record(position, epoch, 700)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn idempotency_keys_are_kept_a_day_and_then_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = TenantId::from_u128(1);
    let submission = |key: &str| Submission {
        tenant,
        stream: StreamId::from_u128(1),
        inputs: vec![Bytes::from_static(b"x")],
        idempotency: Some(Idempotency { scope: "scope".into(), key: key.into(), digest: [1; 32] }),
    };
    let store = open(folder.path()).await;
    let stream = leased(&store, 1).await.0;
    for key in ["old", "recent"] {
        store.submit(submission(key)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let connection = plain_connection(folder.path());
    connection.execute("UPDATE promises SET created = created - 23 * 3600 * 1000", []).unwrap();
    connection.execute("UPDATE promises SET created = created - 3 * 3600 * 1000 WHERE key = 'old'", []).unwrap();
    connection.close().unwrap();

    let store = open(folder.path()).await;
    let repeated = |sequence| Ok(Accepted::Repeated { stream, sequence });
    assert_eq!(store.submit(submission("old")).await, repeated(1), "kept until there is something newer");
    assert_eq!(store.submit(submission("new")).await, Ok(Accepted::New { sequence: 3 }));
    assert_eq!(store.submit(submission("recent")).await, repeated(2));
    assert_eq!(store.submit(submission("old")).await, Ok(Accepted::New { sequence: 4 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (stream, epoch) = leased(&store, 1).await;
    for number in 2..100 {
        // Polled once, so that it is on its way, and dropped.
        let mut asked = Box::pin(store.put_tenant(tenant(number)));
        let _ = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await;
        drop(asked);
        store.append(append(stream, epoch, u64::try_from(number).unwrap() - 1, 10)).await.unwrap();
    }
    assert_eq!(store.records(stream, 0, 1000).await.unwrap().len(), 98);
}

#[tokio::test]
async fn an_inbox_that_is_known_to_be_empty_is_not_forgotten_when_it_fills() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = TenantId::from_u128(1);
    let input = |stream| Submission { tenant, stream, inputs: vec![Bytes::from_static(b"x")], idempotency: None };
    let store = open(folder.path()).await;
    let (stream, epoch) = leased(&store, 1).await;
    for sequence in 1..=20 {
        assert!(store.inbox(stream, sequence - 1, 10).await.unwrap().is_empty());
        store.submit(input(stream)).await.unwrap();
        assert_eq!(store.inbox(stream, sequence - 1, 10).await.unwrap().len(), 1);
        let taken = Append { inbox_through: sequence, ..append(stream, epoch, sequence, 10) };
        store.append(taken).await.unwrap();
        assert!(store.inbox(stream, 0, 10).await.unwrap().is_empty());
    }
}

/// What a start has to look at does not grow with the streams that are idle.
#[tokio::test]
async fn an_idle_stream_is_neither_due_nor_leased_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (stream, epoch) = leased(&store, 1).await;
    let last = Append { release: true, due: Due::OnInput, ..append(stream, epoch, 1, 10) };
    assert!(store.append(last).await.unwrap().released);
    store.close().await;
    let busy = "SELECT count(*) FROM streams WHERE due_at IS NOT NULL OR lease_node IS NOT NULL";
    let busy: i64 = plain_connection(folder.path()).query_row(busy, [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

/// 16 MiB, at which it is carried over, and what the writes add that come before that is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_carried_over_and_does_not_grow_with_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (stream, epoch) = leased(&store, 1).await;
    for position in 1..=60 {
        store.append(append(stream, epoch, position, 1 << 20)).await.unwrap();
    }
    let bytes = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert!(bytes("bailiwick.db-wal") < 24 << 20, "{}", bytes("bailiwick.db-wal"));
    assert!(bytes("bailiwick.db") > 30 << 20, "{}", bytes("bailiwick.db"));
}

#[tokio::test]
async fn a_store_that_is_closed_twice_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    tokio::join!(store.close(), store.close());
    store.put_tenant(tenant(1)).await.unwrap_err();
    store.close().await;
}
