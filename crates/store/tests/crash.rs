//! A process that is killed in mid-write loses nothing that it had acknowledged.
#![allow(clippy::disallowed_methods, reason = "starts and kills itself as a child process")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use bailiwick_ports::Objects;
use bailiwick_ports::{
    Store,
    store::{Accepted, Row, RowKind, Submission},
};
use bailiwick_store::{DataFolder, FolderObjects, Options, SqliteStore};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId};
use bytes::Bytes;
use common::append;
use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

const FOLDER: &str = "STORE_CRASH_FOLDER";
const STREAMS: u128 = 6;
const KILLS: u64 = 12;

const TENANT: TenantId = TenantId::from_u128(1);

async fn open(folder: &Path) -> (SqliteStore, FolderObjects) {
    let folder = DataFolder::open(folder).unwrap();
    let store = SqliteStore::open(Options::new(folder.clone())).await.unwrap();
    (store, FolderObjects::open(folder).unwrap())
}

/// Writes for ever, and says on stdout what was acknowledged: `append STREAM POSITION`, `input STREAM SEQUENCE`,
/// `object STREAM POSITION`. Not a test by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (store, objects) = open(Path::new(&folder)).await;
    store.release_node(NodeId::from_u128(1)).await.unwrap();
    let drive = async |number: u128| {
        let stream = StreamId::from_u128(number);
        let say = |what: &str, count: u64| {
            let mut out = std::io::stdout().lock();
            out.write_all(format!("\n{what} {number} {count}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
        };
        let (mut position, epoch) = match store.head(stream).await.unwrap() {
            None => (0, common::leased(&store, number).await.1),
            Some(head) => {
                let grant = store.lease(stream, NodeId::from_u128(1), Millis::from_secs(3600)).await.unwrap().unwrap();
                (head.position, grant.epoch)
            }
        };
        loop {
            position += 1;
            let mut next = append(stream, epoch, position, (position as usize * 397) % 9000);
            next.rows = vec![row(number, position)];
            next.inbox_through = store.head(stream).await.unwrap().unwrap().inbox_through.max(position / 2);
            next.inbox_through = next.inbox_through.min(last_input(&store, stream).await);
            store.append(next).await.unwrap();
            say("append", position);
            let input =
                Submission { tenant: TENANT, stream, inputs: vec![Bytes::from(vec![1; 100])], idempotency: None };
            let Accepted::New { sequence } = store.submit(input).await.unwrap() else { unreachable!() };
            say("input", sequence);
            if position.is_multiple_of(4) {
                objects.put(TENANT, &format!("{number}-{position}"), body(position)).await.unwrap();
                say("object", position);
            }
        }
    };
    join_all((1..=STREAMS).map(drive)).await;
}

async fn last_input(store: &SqliteStore, stream: StreamId) -> u64 {
    let through = store.head(stream).await.unwrap().unwrap().inbox_through;
    store.inbox(stream, 0, 10_000).await.unwrap().last().map_or(through, |entry| entry.sequence)
}

fn row(number: u128, position: u64) -> Row {
    Row {
        kind: RowKind::Item,
        id: number << 64 | u128::from(position),
        scope: number,
        parent: 0,
        ordinal: position as i64,
        labels: Vec::new(),
        sealed: Some(body(position)),
    }
}

fn body(position: u64) -> Bytes {
    Bytes::from(vec![position as u8; position as usize % 3000])
}

/// What the child has said that it has, before it was killed.
fn run_child_until_killed(folder: &Path, lines: u64) -> BTreeMap<(String, u128), u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut left = lines;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let words: Vec<_> = line.split(' ').collect();
        if let [what @ ("append" | "input" | "object"), stream, count] = words[..] {
            acknowledged.insert((what.to_owned(), stream.parse().unwrap()), count.parse().unwrap());
            left = left.saturating_sub(1);
            if left == 0 {
                // SIGKILL. What is in the pipe already is still read: it was acknowledged.
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && left == 0, "the child ended by itself: {status}");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_kill_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for kill in 0..KILLS {
        let acknowledged = run_child_until_killed(folder.path(), random.random_range(1..300));
        let (store, objects) = open(folder.path()).await;
        for ((what, number), count) in &acknowledged {
            let stream = StreamId::from_u128(*number);
            let head = store.head(stream).await.unwrap().unwrap();
            match what.as_str() {
                "append" => assert!(head.position >= *count, "kill {kill}: append {count} of {number} is lost"),
                "input" => {
                    let last = last_input(&store, stream).await;
                    assert!(last >= *count, "kill {kill}: input {count} of {number} is lost");
                }
                _ => {
                    let found = objects.get(TENANT, &format!("{number}-{count}")).await.unwrap();
                    assert_eq!(found, body(*count), "kill {kill}");
                }
            }
        }
        for number in 1..=STREAMS {
            check_stream(&store, number).await;
        }
        store.close().await;
    }
}

/// Records without gaps, each with the row of its append and with nothing half written.
async fn check_stream(store: &SqliteStore, number: u128) {
    let stream = StreamId::from_u128(number);
    let Some(head) = store.head(stream).await.unwrap() else { return };
    let records = store.records(stream, 0, u32::MAX).await.unwrap();
    let positions: Vec<_> = records.iter().map(|record| record.position).collect();
    assert_eq!(positions, (1..=head.position).collect::<Vec<_>>());
    for record in &records {
        let position = record.position;
        assert_eq!(record.sealed, vec![position as u8; (position as usize * 397) % 9000]);
        let row = store.row(TENANT, RowKind::Item, number << 64 | u128::from(position)).await.unwrap().unwrap();
        assert_eq!((row.stream, row.sealed), (stream, body(position)));
    }
    assert_eq!(store.row(TENANT, RowKind::Item, number << 64 | u128::from(head.position + 1)).await, Ok(None));
    let waiting = store.inbox(stream, 0, u32::MAX).await.unwrap();
    let sequences: Vec<_> = waiting.iter().map(|entry| entry.sequence).collect();
    let from = head.inbox_through + 1;
    assert_eq!(sequences, (from..from + waiting.len() as u64).collect::<Vec<_>>());
}
