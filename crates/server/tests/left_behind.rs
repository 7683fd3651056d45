//! What a real server that is killed leaves behind, and that the next one clears it away.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test from outside: processes and files are real")]

mod house;

use bailiwick_testkit::model_server::{Answer, Behaviour};
use bailiwick_types::{FileId, Timestamp};
use house::{House, KEY, files_in, wait_until};
use serde_json::json;
use std::{
    io::Write as _,
    net::TcpStream,
    path::{Path, PathBuf},
};

const FILES: usize = 600;
/// In one of so many deletions at least, the server is killed before it was through.
const ATTEMPTS: usize = 8;

async fn house() -> House {
    House::new(|_| Behaviour::Answer(Answer::text("Nothing to do."))).await
}

/// Every object, of all tenants.
fn objects(house: &House) -> Vec<PathBuf> {
    let root = house.data().join("objects");
    let tenants = files_in(&root).into_iter().filter(|folder| !folder.ends_with("unfinished"));
    let shards = tenants.flat_map(|tenant| files_in(&tenant));
    shards.flat_map(|shard| files_in(&shard)).collect()
}

/// Asks for something and does not wait for the answer.
fn ask(house: &House, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&house.listen).unwrap();
    write!(stream, "{head}\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\n", house.listen).unwrap();
    stream.write_all(body).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_cut_off_by_a_kill_is_finished_by_the_next_server() {
    let house = house().await;
    let mut running = house.start().await;
    for attempt in 1.. {
        let files: Vec<_> = (0..FILES)
            .map(|n| json!({"type": "inline", "data": "aGVsbG8=", "path": format!("/workspace/in/{n}")}))
            .collect();
        let environment = json!({"type": "openai_hosted", "files": files});
        let body = json!({"agent": {"model": "main"}, "environment": environment});
        let made = house.post("/v1/agents/sessions", &body).await.unwrap();
        let session = made["id"].as_str().unwrap().to_owned();
        assert_eq!(objects(&house).len(), FILES);
        let path = format!("/v1/agents/sessions/{session}");
        let asked =
            ask(&house, &format!("DELETE {path} HTTP/1.1"), b"openai-beta: agents=v1\r\ncontent-length: 0\r\n\r\n");
        wait_until("nothing is removed", || objects(&house).len() < FILES).await;
        running.kill();
        drop(asked);
        let left = objects(&house).len();
        running = house.start().await;
        assert!(house.view(&session).await.unwrap_err().contains("404"), "a deleted session does not come back");
        wait_until("the bytes of a deleted session stay", || objects(&house).is_empty()).await;
        if left > 0 {
            break;
        }
        assert!(attempt < ATTEMPTS, "no deletion was cut off");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_cut_off_by_a_kill_is_cleared_away_when_it_is_a_day_old() {
    let house = house().await;
    let running = house.start().await;
    let head = "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000000\r\n\r\n--b\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let mut upload = ask(&house, "POST /v1/files HTTP/1.1", head.as_bytes());
    upload.write_all(&vec![b'x'; 9 * 1024 * 1024]).unwrap();
    wait_until("no part is kept", || objects(&house).len() == 2).await;
    running.kill();
    drop(upload);
    let young = objects(&house);

    // The same as it will be a day later: what its age is told by is its name.
    let old = FileId::new(Timestamp::from_millis(1_700_000_000_000), [1; 10]).to_string();
    let tenant = young[0].parent().and_then(Path::parent).unwrap().to_owned();
    for name in [old.clone(), format!("{old}-1")] {
        let shard = tenant.join(shard(&name));
        std::fs::create_dir_all(&shard).unwrap();
        std::fs::copy(&young[0], shard.join(name)).unwrap();
    }
    assert_eq!(objects(&house).len(), 4);
    let _running = house.start().await;
    wait_until("nobody's bytes stay", || objects(&house).len() == 2).await;
    let (mut left, mut young) = (objects(&house), young);
    left.sort();
    young.sort();
    assert_eq!(left, young, "somebody might be about to refer to what is young");
}

/// As the folder of objects spreads names.
fn shard(name: &str) -> String {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:02x}", (hash ^ (hash >> 16) ^ (hash >> 8) ^ (hash >> 24)) & 0xff)
}
