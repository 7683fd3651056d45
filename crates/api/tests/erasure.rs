//! Erasing one person's content, over the API: nothing of it can be read, everything can still be proven, holds forbid
//! it, and a crash at any write only delays it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the clock and tasks")]

mod common;

use bailiwick_ports::{
    Auditor as _, Clock as _, ErasedPerson, Store as _,
    log::ExportOf,
    store::{RowKind, Subjects},
};
use bailiwick_testkit::store::When;
use bailiwick_types::{Millis, NodeId, SessionId, UserId};
use common::*;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Content that is looked for afterwards.
const SAID: &str = "the heron stands in the reeds";

async fn said(house: &House, person: &str) -> String {
    house.script([say(SAID)]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": SAID});
    let made = house.send(request(person, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
    let session = made["id"].as_str().unwrap().to_owned();
    house.until(&session, |shown| shown["status"] == "idle").await;
    session
}

async fn ordered(house: &House, person: &str) -> Value {
    let path = format!("/bailiwick/v1/people/{person}/erase");
    house.post(&path, json!({"reason": "asked under article 17"})).await.ok()
}

async fn until_erased(house: &House, person: &str) -> Value {
    loop {
        let answer = house.get(&format!("/bailiwick/v1/people/{person}/erasure")).await;
        if answer.status == 200 && answer.json()["status"] == "done" {
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every line of an export of everything.
async fn exported(house: &House) -> String {
    let mut lines = house.audit.export(house.tenant, ExportOf::Everything, true).await.unwrap();
    let mut text = String::new();
    while let Some(bytes) = lines.next().await.unwrap() {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

async fn changes(house: &House) -> Vec<String> {
    let page = house.get("/bailiwick/v1/administration?limit=1000").await.ok();
    page["data"].as_array().unwrap().iter().map(|change| change["change"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_a_person_said_is_gone_and_can_still_be_proven() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let (_, bob) = house.person("bob", &["member"]).await;
    let (hers, his) = (said(&house, &token).await, said(&house, &bob).await);
    let file = house.send(upload(&token, "a.txt", SAID.as_bytes())).await.ok()["id"].as_str().unwrap().to_owned();
    let before = exported(&house).await;
    assert!(before.matches(SAID).count() > 2);
    let proven = house.audit.status(house.tenant).await.unwrap();

    assert_eq!(ordered(&house, &ada).await["status"], "ordered");
    let done = until_erased(&house, &ada).await;
    assert_eq!((done["sessions"].as_u64(), done["files"].as_u64()), (Some(1), Some(1)));

    let gone = house.get(&format!("/v1/agents/sessions/{hers}")).await.error(410);
    assert_eq!(gone["code"], "erased");
    let path = format!("/v1/agents/sessions/{hers}");
    house.send(request(&token, "GET", &path, None)).await.error(410);
    house.send(request(&bob, "GET", &path, None)).await.error(404);
    house.get(&format!("/v1/files/{file}")).await.error(404);
    assert_eq!(house.objects.count(), 0, "the bytes are gone");
    house.get(&format!("/v1/agents/sessions/{his}")).await.ok();

    // Everything is where it was, and what she said is nowhere.
    let after = exported(&house).await;
    let hers: SessionId = hers.parse().unwrap();
    let lines = |text: &str| text.lines().filter(|line| line.contains("\"type\":\"record\"")).count();
    assert!(lines(&after) > lines(&before));
    assert_eq!(after.matches(SAID).count(), before.matches(SAID).count() / 2, "only what he said");
    let now = house.audit.status(house.tenant).await.unwrap();
    house.audit.consistency(house.tenant, proven.size, now.size).await.unwrap();
    for position in 1..=3 {
        house.audit.inclusion(house.tenant, hers.into(), position).await.unwrap().unwrap();
    }
    let about = house.get(&format!("/bailiwick/v1/audit/receipts?person={ada}&kind=action")).await.ok();
    let action = about["data"][0]["action"].as_str().unwrap();
    let shown = house.get(&format!("/bailiwick/v1/audit/receipts/{action}")).await.ok();
    assert!(shown["records"][0]["opened"].is_null() && shown["records"][0]["proof"].is_array());
    let changes = changes(&house).await;
    for change in ["user.erasure_ordered", "user.erased", "user.erasure_finished"] {
        assert!(changes.iter().any(|one| one == change), "{change}: {changes:?}");
    }
    // She may come again, with a key of her own.
    let again = said(&house, &token).await;
    house.get(&format!("/v1/agents/sessions/{again}")).await.ok();
}

#[tokio::test]
async fn a_session_that_runs_is_ended_first() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let wait = Arc::new(tokio::sync::Notify::new());
    house.script([Say { wait: Some(wait), ..say(SAID) }]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": SAID});
    let made = house.send(request(&token, "POST", "/v1/agents/sessions", Some(&body))).await.ok();
    let session: SessionId = made["id"].as_str().unwrap().parse().unwrap();
    while house.model.seen.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ordered(&house, &ada).await;
    until_erased(&house, &ada).await;
    let ended = house.store.records(session.into(), 0, 100).await.unwrap();
    assert!(ended.iter().any(|record| record.kind == "turn.ended"), "it was not just cut off");
    assert!(house.store.row(house.tenant, RowKind::Session, session.to_u128()).await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_that_is_held_is_deleted() {
    let house = House::new().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let (_, auditor) = house.person("quinn", &["auditor"]).await;
    let session = said(&house, &token).await;
    let file = house.send(upload(&token, "a.txt", b"x")).await.ok()["id"].as_str().unwrap().to_owned();
    let hold = json!({"target": ada, "reason": "case 7"});
    let set = |key: String, hold: Value| {
        let house = Arc::clone(&house);
        async move { house.send(request(&key, "POST", "/bailiwick/v1/holds", Some(&hold))).await }
    };
    set(token.clone(), hold.clone()).await.error(403);
    set(auditor.clone(), json!({"target": ada, "reason": " "})).await.error(400);
    set(auditor.clone(), json!({"target": "user_00000000000070008000000000000000", "reason": "x"})).await.error(400);
    assert_eq!(set(auditor.clone(), hold).await.ok()["scope"], "person");
    for (method, path) in
        [("DELETE", format!("/v1/agents/sessions/{session}")), ("DELETE", format!("/v1/files/{file}"))]
    {
        let refused = house.send(request(&token, method, &path, None)).await.error(409);
        assert_eq!(refused["code"], "held");
        assert!(refused["message"].as_str().unwrap().contains("case 7"), "{refused}");
    }
    let path = format!("/bailiwick/v1/people/{ada}/erase");
    assert_eq!(house.post(&path, json!({"reason": "asked"})).await.error(409)["code"], "held");
    assert_eq!(house.eraser(Some(Millis(0))).let_go().await.unwrap(), 0, "retention waits as well");
    let listed = house.send(request(&auditor, "GET", "/bailiwick/v1/holds", None)).await.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    // Lifting wants a reason too.
    let lift = format!("/bailiwick/v1/holds/{ada}");
    house.send(request(&auditor, "DELETE", &lift, None)).await.error(400);
    let mut asked = request(&auditor, "DELETE", &lift, None);
    asked.headers_mut().insert("bailiwick-reason", "settled".parse().unwrap());
    house.send(asked).await.ok();
    house.send(request(&token, "DELETE", &format!("/v1/files/{file}"), None)).await.ok();
    ordered(&house, &ada).await;
    until_erased(&house, &ada).await;
    let changes = changes(&house).await;
    assert!(changes.contains(&"hold.set".to_owned()) && changes.contains(&"hold.lifted".to_owned()));
}

/// Every process dies at one write, after it or before, and the next one goes on.
#[tokio::test]
async fn a_crash_at_any_write_only_delays_it() {
    let house = House::without_eraser().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let (first, second) = (said(&house, &token).await, said(&house, &token).await);
    house.send(upload(&token, "a.txt", SAID.as_bytes())).await.ok();
    ordered(&house, &ada).await;
    let faults = house.store.faults();
    let person: UserId = ada.parse().unwrap();
    let mut crashes = 0;
    loop {
        // What a process does first: its leases of before are void.
        faults.clear();
        house.store.release_node(NodeId::from_u128(1)).await.unwrap();
        let eraser = house.eraser(None);
        faults.crash_after(1 + crashes % 5, if crashes.is_multiple_of(2) { When::Before } else { When::After });
        let _ = eraser.work().await;
        crashes += 1;
        let erasure = eraser.erasure(house.tenant, person).await.unwrap().unwrap();
        if erasure.stage == bailiwick_engine::Stage::Done {
            break;
        }
        assert!(crashes < 2000, "{erasure:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    faults.clear();
    for session in [first, second] {
        house.get(&format!("/v1/agents/sessions/{session}")).await.error(410);
    }
    assert!(!exported(&house).await.contains(SAID));
    assert_eq!(house.objects.count(), 0);
}

#[tokio::test]
async fn what_an_older_backup_brings_back_is_erased_again() {
    let house = House::without_eraser().await;
    let (ada, token) = house.person("ada", &["member"]).await;
    let session = said(&house, &token).await;
    // The list is of after the backup: in the data there is neither an order nor a receipt of it.
    let at = RealClock.now();
    house.list.lock().unwrap().push(ErasedPerson { tenant: house.tenant, person: ada.parse().unwrap(), at });
    let eraser = house.eraser(None);
    let run = tokio::spawn(async move { eraser.run().await });
    until_erased(&house, &ada).await;
    house.get(&format!("/v1/agents/sessions/{session}")).await.error(410);
    assert!(changes(&house).await.contains(&"user.erasure_repeated".to_owned()));
    run.abort();
    // What is begun after that stays, also at the next start.
    let new = said(&house, &token).await;
    let eraser = house.eraser(None);
    let run = tokio::spawn(async move { eraser.run().await });
    tokio::task::yield_now().await;
    house.get(&format!("/v1/agents/sessions/{new}")).await.ok();
    run.abort();
}

#[tokio::test]
async fn content_that_is_old_enough_is_let_go_with_a_receipt() {
    let house = House::without_eraser().await;
    let (_, token) = house.person("ada", &["member"]).await;
    let (old, programs) = (said(&house, &token).await, said(&house, &house.key).await);
    assert_eq!(house.eraser(None).let_go().await.unwrap(), 0, "for ever");
    assert_eq!(house.eraser(Some(Millis::from_secs(3600))).let_go().await.unwrap(), 0, "not old enough");
    let streams = async || {
        let eraser = house.eraser(None);
        eraser.readable(house.tenant, Subjects::Anybody).await.unwrap().iter().filter(|one| one.at_rest).count()
    };
    while streams().await < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(house.eraser(Some(Millis(1))).let_go().await.unwrap(), 2);
    for session in [old, programs] {
        house.get(&format!("/v1/agents/sessions/{session}")).await.error(410);
    }
    assert!(!exported(&house).await.contains(SAID));
    assert_eq!(changes(&house).await.iter().filter(|change| *change == "session.let_go").count(), 2);
    assert_eq!(house.eraser(Some(Millis(1))).let_go().await.unwrap(), 0, "once");
}
