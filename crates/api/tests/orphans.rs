//! Which bytes are somebody's, and which are cleared away.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::{
    environment::HostedFile,
    record::{Input, InputEnvelope},
};
use bailiwick_gate::{Archive, ORPHAN_AGE, PART_BYTES};
use bailiwick_ports::{BoxFuture, Clock, Objects as _, Store as _};
use bailiwick_testkit::keys::PlainKeys;
use bailiwick_types::{ArtifactId, FileId, Millis, NodeId, Principal, SessionId, Timestamp};
use common::{House, RealClock, call, calls, say, upload};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// A clock that is ahead, and on which nobody waits.
struct Ahead(Millis);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        RealClock.now() + self.0
    }

    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

async fn names(house: &House) -> BTreeSet<String> {
    house.objects.names(house.tenant, None, 1000).await.unwrap().into_iter().collect()
}

async fn session_with(house: &House, files: Value) -> SessionId {
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted", "files": files}});
    id(&house.post("/v1/agents/sessions", body).await.ok()).parse().unwrap()
}

#[tokio::test]
async fn what_anybody_refers_to_stays_however_old_and_what_nobody_does_goes_after_a_day() {
    let house = House::new().await;
    let archive = Archive::new(Arc::new(house.store.clone()), Arc::new(PlainKeys), Arc::new(house.objects.clone()));
    let big = vec![7; PART_BYTES + 1];
    // An upload; what a session came with, and was given later; what another has published.
    house.send(upload(&house.key, "upload", &big)).await.ok();
    let inline = |path: &str| json!({"type": "inline", "data": "aGVsbG8=", "path": path});
    let session = session_with(&house, json!([inline("/workspace/a")])).await;
    let info = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    let files = format!("/v1/agents/environments/{}/files", id(&info["environment"]));
    house.post(&files, inline("/workspace/b")).await.ok();
    house.executor.outputs.lock().unwrap().push(("/workspace/outputs/c".into(), big.clone()));
    house.script([calls(vec![call("c1", "run_command", json!({"command": "make"}))]), say("Made.")]);
    house.run("Make", json!({"environment": {"type": "openai_hosted"}})).await;
    // A file in an input that is accepted and not taken in: somebody else drives that session.
    let waiting = session_with(&house, json!([])).await;
    let held = house.store.lease(waiting.into(), NodeId::from_u128(99), Millis::from_secs(3600)).await.unwrap();
    assert!(held.is_some());
    let file = FileId::new(RealClock.now(), [3; 10]);
    archive.put_file(house.tenant, file, b"later").await.unwrap();
    let file =
        HostedFile { file, path: "/workspace/later".into(), size_bytes: 5, inline: true, label: Default::default() };
    let input = InputEnvelope { orderer: Principal::Operator, input: Input::AddFile { file } };
    house.handle.submit(house.tenant, waiting, vec![input], None).await.unwrap();
    let kept = names(&house).await;
    assert_eq!(kept.len(), 7, "{kept:?}");

    // Nobody's: what crashes left of an upload, an inline file and a publication.
    archive.put_file(house.tenant, FileId::new(RealClock.now(), [1; 10]), &big).await.unwrap();
    let artifact = ArtifactId::new(RealClock.now(), [2; 10]);
    archive.put_artifact(house.tenant, session, artifact, b"lost").await.unwrap();
    house.objects.put(house.tenant, "of-another-make", bytes::Bytes::new()).await.unwrap();
    let all = names(&house).await;
    assert_eq!(all.len(), kept.len() + 4);

    assert_eq!(archive.sweep(&Ahead(Millis(ORPHAN_AGE.0 - 60_000))).await.unwrap(), 0);
    assert_eq!(names(&house).await, all, "somebody may be about to refer to them");
    assert_eq!(archive.sweep(&Ahead(Millis(ORPHAN_AGE.0 * 400))).await.unwrap(), 3);
    let mut left = names(&house).await;
    assert!(left.remove("of-another-make"), "what is called otherwise is not ours to judge");
    assert_eq!(left, kept);
}
