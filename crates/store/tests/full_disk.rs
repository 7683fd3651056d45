//! A disk that fills up: a clear answer, nothing lost, and everything goes on when there is room again.
//!
//! The disk is a small tmpfs in a mount namespace of a child process. Where that is not to be had the test says so and
//! ends; `sqlite.rs` has the same with a limit on the database's file.
#![allow(clippy::disallowed_methods, reason = "starts itself in a namespace, and fills the disk")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use bailiwick_ports::{ObjectError, Objects, Store, StoreError};
use bailiwick_store::{DataFolder, FolderObjects, Options, SqliteStore};
use bailiwick_types::TenantId;
use bytes::Bytes;
use common::{append, leased};
use std::{path::Path, process::Command};

const FOLDER: &str = "STORE_FULL_DISK";
const TENANT: TenantId = TenantId::from_u128(1);

#[test]
fn a_full_disk_is_a_clear_answer_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let in_namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg("sh").arg(folder.path());
        command.arg(std::env::current_exe().unwrap()).env(FOLDER, folder.path());
        command
    };
    const MOUNT: &str = "mount -t tmpfs -o size=64m tmpfs \"$1\"";
    match in_namespace(MOUNT).output() {
        Ok(tried) if tried.status.success() => {}
        tried => {
            let reason = tried.map(|tried| String::from_utf8_lossy(&tried.stderr).into_owned());
            println!("skipped: no small disk can be mounted here: {reason:?}");
            return;
        }
    }
    let script = format!("{MOUNT} && exec \"$2\" --exact child_on_a_small_disk --nocapture");
    let output = in_namespace(&script).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("the disk was full and went on"), "{text}");
}

/// Not a test by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_on_a_small_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let ballast = folder.join("ballast");
    // More than the log, so that without it the log can be carried over, which takes as much room again.
    std::fs::write(&ballast, vec![1; 30 << 20]).unwrap();
    let data = DataFolder::open(folder.join("data")).unwrap();
    let objects = FolderObjects::open(data.clone()).unwrap();
    let store = SqliteStore::open(Options::new(data.clone())).await.unwrap();
    let (stream, epoch) = leased(&store, 1).await;
    let mut written = 0;
    for size in [60_000, 3_000, 10] {
        written = fill(&store, stream, epoch, written, size).await;
    }
    // Full is not broken: the same answer again, and reads go on.
    assert_eq!(store.append(append(stream, epoch, written + 1, 60_000)).await, Err(StoreError::Full));
    assert_eq!(store.records(stream, 0, u32::MAX).await.unwrap().len() as u64, written);
    let put = async || objects.put(TENANT, "object", Bytes::from(vec![2; 300_000])).await;
    assert!(matches!(put().await, Err(ObjectError::Full)));
    assert!(matches!(objects.get(TENANT, "object").await, Err(ObjectError::Missing(_))));

    std::fs::remove_file(&ballast).unwrap();
    written += 1;
    store.append(append(stream, epoch, written, 60_000)).await.unwrap();
    put().await.unwrap();
    assert_eq!(objects.get(TENANT, "object").await.unwrap().len(), 300_000);

    // Full once more, and closed like that: what was acknowledged is there.
    written = fill(&store, stream, epoch, written, 20_000).await;
    store.close().await;
    drop((store, objects));
    let store = SqliteStore::open(Options::new(data)).await.unwrap();
    let records = store.records(stream, 0, u32::MAX).await.unwrap();
    assert_eq!(records.len() as u64, written);
    println!("the disk was full and went on after {written} records");
}

/// Appends until the disk is full.
async fn fill(store: &SqliteStore, stream: bailiwick_types::StreamId, epoch: u64, from: u64, size: usize) -> u64 {
    let mut written = from;
    loop {
        match store.append(append(stream, epoch, written + 1, size)).await {
            Ok(_) => written += 1,
            Err(error) => {
                assert_eq!(error, StoreError::Full);
                return written;
            }
        }
    }
}
