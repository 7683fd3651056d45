//! Grants over the API: who may give which, what they let a program do, and that they end at once.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::{Action, Approver};
use bailiwick_ports::{Clock as _, Policy, PolicyRequest, Scope, Verdict};
use bailiwick_types::TenantId;
use common::{Answer, House, RealClock, Say, call, calls, request, say};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

/// Asks the person before a file is written.
struct Asking;

impl Policy for Asking {
    fn version(&self, _: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        match request.action {
            Action::FileWrite { .. } if !request.approved => Verdict::Ask {
                rule: "files-are-asked".into(),
                reason: "it leaves a mark".into(),
                approver: Approver::Person,
            },
            _ => Verdict::allow("all-else"),
        }
    }
}

async fn house() -> Arc<House> {
    House::under(bailiwick_api::Limits::default(), Arc::new(Asking)).await
}

async fn send(house: &House, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
    house.send(request(key, method, path, body.as_ref())).await
}

/// A program of one's own: its key, and the key's id.
async fn program(house: &House) -> (String, String) {
    let key = house.new_key(Scope::OWN_WORK.to_vec()).await;
    let me = send(house, &key, "GET", "/bailiwick/v1/me", None).await.ok();
    (key, me["principal"].as_str().unwrap().to_owned())
}

fn days(number: i64) -> i64 {
    RealClock.now().as_seconds() + number * 24 * 3600
}

fn work(subject: &str, agent: &str) -> Value {
    json!({"agent_id": agent, "agent": {}, "environment": {"type": "none"}, "input": "Go.", "bailiwick": {"subject": subject}})
}

fn message(text: &str) -> Value {
    json!({"events": [{
        "type": "agent.session.input.message",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}],
    }]})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

async fn saved(house: &House) -> String {
    text(&house.post("/v1/agents", json!({"model": "main", "name": "helper"})).await.ok()["id"])
}

async fn receipts(house: &House, session: &str) -> Vec<Value> {
    let path = format!("/bailiwick/v1/sessions/{session}/receipts?limit=100");
    house.get(&path).await.ok()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_program_orders_for_a_person_under_a_grant_and_both_are_named_everywhere() {
    let house = house().await;
    let (ada, signed) = house.person("ada", &["member"]).await;
    let ((bot, key), (other_bot, _)) = (program(&house).await, program(&house).await);
    let (agent, (_, eve)) = (saved(&house).await, house.person("mallory", &["member"]).await);

    let refused = send(&house, &bot, "POST", "/v1/agents/sessions", Some(work(&ada, &agent))).await.error(403);
    assert_eq!(refused["param"], "bailiwick.subject");
    assert!(refused["message"].as_str().unwrap().contains("bailiwick grant create subject"), "{refused}");

    let wanted =
        json!({"type": "subject", "person_id": ada, "key_id": key, "until": days(30), "reason": "the chat bot"});
    let agents_token = house.token(&signed, &agent).await;
    for who in [&bot, &eve, &house.key, &agents_token] {
        send(&house, who, "POST", "/bailiwick/v1/grants", Some(wanted.clone())).await.error(403);
    }
    let mut preview = wanted.clone();
    preview["preview"] = json!(true);
    let shown = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(preview)).await.ok();
    assert_eq!(shown["id"], Value::Null);
    let words = shown["words"].as_str().unwrap();
    assert!(words.contains(&format!("the program {key} may order work from any agent for ada")), "{words}");
    assert_eq!(send(&house, &signed, "GET", "/bailiwick/v1/grants", None).await.ok()["data"], json!([]));
    let grant = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(wanted)).await.ok();
    assert_eq!((&grant["status"], &grant["words"]), (&json!("active"), &shown["words"]));
    let path = format!("/bailiwick/v1/grants/{}", text(&grant["id"]));
    for (who, there) in [(&signed, true), (&bot, true), (&house.key, true), (&eve, false), (&other_bot, false)] {
        let listed = send(&house, who, "GET", "/bailiwick/v1/grants", None).await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), usize::from(there), "{listed}");
        assert_eq!(send(&house, who, "GET", &path, None).await.status, if there { 200 } else { 404 });
    }

    house.script([say("Done.")]);
    let session = send(&house, &bot, "POST", "/v1/agents/sessions", Some(work(&ada, &agent))).await.ok();
    let named = |shown: &Value| {
        assert_eq!((&shown["subject"], &shown["actor"]), (&json!(ada), &json!(agent)), "{shown}");
        assert_eq!((&shown["orderer"], &shown["grant"]), (&json!(key), &grant["id"]), "{shown}");
    };
    named(&session["bailiwick"]);
    let id = text(&session["id"]);
    house.until(&id, |shown| shown["status"] == "idle").await;
    let turns = send(&house, &signed, "GET", &format!("/v1/agents/sessions/{id}/turns"), None).await.ok();
    named(&turns["data"][0]["bailiwick"]);
    let items = send(&house, &signed, "GET", &format!("/v1/agents/sessions/{id}/items"), None).await.ok();
    let items = items["data"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    items.iter().for_each(|item| named(&item["bailiwick"]));
    let all = receipts(&house, &id).await;
    all.iter().filter(|receipt| receipt["kind"] == "action.decided").for_each(named);

    // It is Ada's session, and her program may go on with it; nobody else's is.
    let mine = send(&house, &signed, "GET", "/v1/agents/sessions", None).await.ok();
    assert!(mine["data"].as_array().unwrap().iter().any(|one| one["id"] == id.as_str()), "{mine}");
    let its = send(&house, &bot, "GET", "/v1/agents/sessions", None).await.ok();
    assert!(its["data"].as_array().unwrap().iter().any(|one| one["id"] == id.as_str()), "{its}");
    let others = send(&house, &other_bot, "GET", "/v1/agents/sessions", None).await.ok();
    assert_eq!(others["data"], json!([]));
    for stranger in [&eve, &other_bot] {
        send(&house, stranger, "GET", &format!("/v1/agents/sessions/{id}"), None).await.error(404);
    }
    let events = format!("/v1/agents/sessions/{id}/events");
    house.script([say("Again.")]);
    assert_eq!(send(&house, &bot, "POST", &events, Some(message("More."))).await.status, 202);
    house.until(&id, |shown| shown["status"] == "idle").await;
    let mut for_eve = message("More.");
    for_eve["bailiwick"] = json!({"subject": house.person("zelda", &["member"]).await.0});
    assert_eq!(send(&house, &bot, "POST", &events, Some(for_eve)).await.error(403)["param"], "bailiwick.subject");

    send(&house, &eve, "DELETE", &path, None).await.error(404);
    send(&house, &bot, "DELETE", &path, None).await.error(403);
    let revoked = send(&house, &signed, "DELETE", &path, None).await.ok();
    assert_eq!((&revoked["status"], &revoked["revoked_by"]), (&json!("revoked"), &json!(ada)));
    assert_eq!(
        send(&house, &bot, "POST", &events, Some(message("More."))).await.error(403)["param"],
        "bailiwick.subject"
    );
    assert_eq!(send(&house, &signed, "DELETE", &path, None).await.error(409)["code"], "grant_ended");
    let changes = house.get("/bailiwick/v1/administration?limit=100").await.ok().to_string();
    assert!(changes.contains("grant.given") && changes.contains("grant.revoked"), "{changes}");
}

#[tokio::test]
async fn revoking_ends_work_that_runs() {
    let house = house().await;
    let (ada, signed) = house.person("ada", &["member"]).await;
    let ((bot, key), agent) = (program(&house).await, saved(&house).await);
    let wanted = json!({"type": "subject", "key_id": key, "until": days(1)});
    let grant = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(wanted)).await.ok();
    let wait = Arc::new(Notify::new());
    let entries = vec![call("c1", "run_command", json!({"command": "ls"}))];
    house.script([Say { entries, wait: Some(wait), ..Say::default() }]);
    let mut body = work(&ada, &agent);
    body["environment"] = json!({"type": "openai_hosted"});
    let session = text(&send(&house, &bot, "POST", "/v1/agents/sessions", Some(body)).await.ok()["id"]);
    while house.model.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let path = format!("/bailiwick/v1/grants/{}", text(&grant["id"]));
    send(&house, &signed, "DELETE", &path, None).await.ok();
    house.until(&session, |shown| shown["status"] == "idle").await;
    let turn = &house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok()["data"][0];
    assert_eq!((&turn["status"], &turn["bailiwick"]["denied_by"]), (&json!("failed"), &json!("grant-ended")), "{turn}");
    assert_eq!(turn["error"]["code"], "misalignment_policy_violation");
    assert_eq!(house.model.seen.lock().unwrap().len(), 1, "no model was called after it");
    let receipts = receipts(&house, &session).await;
    let ended = receipts.iter().find(|one| one["halted_by"].is_object()).unwrap();
    assert_eq!((&ended["kind"], &ended["halted_by"]["rule"]), (&json!("action.settled"), &json!("grant-ended")));
}

/// A session of this person that waits for their word on writing a file.
async fn asked(house: &House, who: &str, agent: &str, path: &str) -> (String, Value) {
    house.script([calls(vec![call("c1", "write_file", json!({"path": path, "content": "hello"}))]), say("Written.")]);
    let body = json!({"agent_id": agent, "agent": {}, "environment": {"type": "openai_hosted"}, "input": "Write."});
    let made = send(house, who, "POST", "/v1/agents/sessions", Some(body)).await.ok();
    let id = text(&made["id"]);
    let waiting = house.until(&id, |shown| shown["status"] == "requires_action").await;
    (id, waiting["bailiwick"]["approvals"][0].clone())
}

#[tokio::test]
async fn an_answer_is_widened_in_plain_words_and_stands_until_it_is_revoked() {
    let house = house().await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let agent = saved(&house).await;
    let (session, approval) = asked(&house, &signed, &agent, "report.md").await;
    let path = format!("/bailiwick/v1/approvals/{}", text(&approval["id"]));
    let shown = send(&house, &signed, "GET", &path, None).await.ok();
    let option = shown["widen"].as_array().unwrap().iter().find(|one| one["what"] == "path" && one["for"] == "session");
    let words = text(&option.unwrap_or_else(|| panic!("{shown}"))["words"]);
    assert!(words.starts_with("every `file.write` of /workspace/report.md, whatever else it says"), "{words}");
    assert!(words.contains(&session) && words.contains("the rule `files-are-asked` asks"), "{words}");

    let widen = |what: &str, r#for: &str, until: i64| json!({"what": what, "for": r#for, "until": until});
    for (decision, widen, param) in [
        ("deny", widen("path", "session", days(1)), "widen"),
        ("approve", widen("path", "session", days(31)), "widen.until"),
        ("approve", widen("path", "session", 1), "widen.until"),
        ("approve", widen("command", "session", days(1)), "widen.what"),
    ] {
        let body = json!({"decision": decision, "widen": widen});
        assert_eq!(send(&house, &signed, "POST", &path, Some(body)).await.error(400)["param"], param);
    }
    let body = json!({"decision": "approve", "widen": widen("path", "session", days(1))});
    let answered = send(&house, &signed, "POST", &path, Some(body)).await.ok();
    let grant = &answered["grant"];
    assert!(grant["words"].as_str().unwrap().starts_with(&words), "{grant}");
    assert_eq!((&grant["session_id"], &grant["approval_id"]), (&json!(session), &approval["id"]));
    house.until(&session, |shown| shown["status"] == "idle").await;

    let again = async |file: &str| {
        house.script([calls(vec![call("c2", "write_file", json!({"path": file, "content": "more"}))]), say("Done.")]);
        let events = format!("/v1/agents/sessions/{session}/events");
        assert_eq!(send(&house, &signed, "POST", &events, Some(message("Again."))).await.status, 202);
        let rests = |shown: &Value| shown["status"] == "idle" || shown["status"] == "requires_action";
        text(&house.until(&session, rests).await["status"])
    };
    assert_eq!(again("report.md").await, "idle", "nobody is asked");
    let under: Vec<Value> = receipts(&house, &session)
        .await
        .into_iter()
        .filter(|receipt| receipt["answered"]["under"].is_object())
        .collect();
    assert_eq!((under.len(), &under[0]["answered"]["under"]["grant"]), (1, &grant["id"]), "{under:?}");
    let revoke = format!("/bailiwick/v1/grants/{}", text(&grant["id"]));
    send(&house, &signed, "DELETE", &revoke, None).await.ok();
    assert_eq!(again("report.md").await, "requires_action", "somebody is asked again");
}

#[tokio::test]
async fn only_a_person_widens_and_only_what_was_offered() {
    let house = house().await;
    house.script([calls(vec![call("c1", "write_file", json!({"path": "a", "content": "hello"}))])]);
    let mut events = house.begin("Write.", json!({"environment": {"type": "openai_hosted"}})).await;
    let waiting = events.find("requires_action").await.data["session"].clone();
    let path = format!("/bailiwick/v1/approvals/{}", text(&waiting["bailiwick"]["approvals"][0]["id"]));
    let shown = house.get(&path).await.ok();
    assert_eq!((&shown["may_answer"], shown.get("widen")), (&json!(true), None), "a program answers what it ordered");
    let widen = json!({"what": "exact", "for": "session", "until": days(1)});
    house.post(&path, json!({"decision": "approve", "widen": widen})).await.error(403);

    let (_, signed) = house.person("ada", &["member"]).await;
    house.script([calls(vec![call("c1", "write_file", json!({"path": "a", "content": "hello"}))]), say("Written.")]);
    let inline = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}, "input": "Write."});
    let made = send(&house, &signed, "POST", "/v1/agents/sessions", Some(inline)).await.ok();
    let waiting = house.until(&text(&made["id"]), |shown| shown["status"] == "requires_action").await;
    let path = format!("/bailiwick/v1/approvals/{}", text(&waiting["bailiwick"]["approvals"][0]["id"]));
    let widen = json!({"what": "exact", "for": "agent", "until": days(1)});
    let body = json!({"decision": "approve", "widen": widen});
    let refused = send(&house, &signed, "POST", &path, Some(body)).await.error(400);
    assert_eq!(refused["param"], "widen.what", "an agent written inline works in one session only");
}

#[tokio::test]
async fn a_program_passes_an_answer_on_only_under_the_persons_own_grant_and_is_named() {
    let house = house().await;
    let (ada, signed) = house.person("ada", &["member"]).await;
    let (_, root) = house.person("root", &["admin"]).await;
    let ((bot, key), agent) = (program(&house).await, saved(&house).await);
    let (session, approval) = asked(&house, &signed, &agent, "report.md").await;
    let path = format!("/bailiwick/v1/approvals/{}", text(&approval["id"]));
    let answer = json!({"decision": "approve", "answered_by": ada});
    send(&house, &bot, "POST", &path, Some(answer.clone())).await.error(404);

    let wanted = json!({"type": "relay", "person_id": ada, "key_id": key, "until": days(1)});
    let refused = send(&house, &root, "POST", "/bailiwick/v1/grants", Some(wanted.clone())).await.error(403);
    assert_eq!(refused["param"], "person_id", "nobody lends somebody else's word");
    let grant = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(wanted)).await.ok();
    let shown = send(&house, &bot, "GET", &path, None).await.ok();
    assert_eq!((&shown["may_answer"], &shown["may_relay"]), (&json!(false), &json!([ada])));
    send(&house, &bot, "POST", &path, Some(json!({"decision": "approve"}))).await.error(403);
    let as_other = json!({"decision": "approve", "answered_by": "user_00000000000000000000000000000001"});
    assert_eq!(send(&house, &bot, "POST", &path, Some(as_other)).await.error(403)["param"], "answered_by");
    let mut wider = answer.clone();
    wider["widen"] = json!({"what": "exact", "for": "session", "until": days(1)});
    send(&house, &bot, "POST", &path, Some(wider)).await.error(403);
    send(&house, &bot, "POST", &path, Some(answer)).await.ok();
    house.until(&session, |shown| shown["status"] == "idle").await;
    let said = receipts(&house, &session).await;
    let answered = said.iter().find_map(|receipt| receipt["answered"]["by"].as_object()).unwrap();
    let by = json!({"type": "delegate", "key": key, "subject": ada, "grant": grant["id"]});
    assert_eq!(answered["by"], by, "the relay and the person");
}

#[tokio::test]
async fn a_grant_names_what_is_there() {
    let house = House::new().await;
    let (_, signed) = house.person("ada", &["member"]).await;
    let (_, key) = program(&house).await;
    let good = json!({"type": "subject", "key_id": key, "until": days(1)});
    for (field, value) in [
        ("key_id", json!("key_00000000000000000000000000000001")),
        ("key_id", json!("nothing")),
        ("person_id", json!("somebody")),
        ("agent_id", json!("agent_00000000000000000000000000000001")),
        ("until", json!(days(366))),
        ("until", json!(1)),
        ("until", json!(i64::MAX)),
        ("scopes", json!(["command.run"])),
        ("scopes", json!(["model.call", "no.such"])),
        ("reason", json!("x".repeat(3000))),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(body.clone())).await.error(400);
        assert_eq!(refused["param"], field, "{body}: {refused}");
    }
    let mut relay = good.clone();
    (relay["type"], relay["scopes"]) = (json!("relay"), json!(["model.call"]));
    assert_eq!(send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(relay)).await.error(400)["param"], "scopes");
    let foreign = house.foreign_key().await;
    let made = send(&house, &signed, "POST", "/bailiwick/v1/grants", Some(good)).await.ok();
    let path = format!("/bailiwick/v1/grants/{}", text(&made["id"]));
    send(&house, &foreign, "GET", &path, None).await.error(404);
    send(&house, &foreign, "DELETE", &path, None).await.error(404);
}

/// An answer that is to stand is one to the questions that wait already, and to no others.
#[tokio::test]
async fn questions_that_wait_are_answered_by_a_grant_that_covers_them() {
    let house = house().await;
    let (_, ada) = house.person("ada", &["member"]).await;
    let agent = saved(&house).await;
    let write = |id: &str, path: &str| call(id, "write_file", json!({"path": path, "content": "x"}));
    let begin = async |paths: &[&str]| {
        let written = paths.iter().map(|path| write(path, path)).collect();
        house.script([calls(written)]);
        let body = json!({"agent_id": agent, "agent": {}, "environment": {"type": "openai_hosted"}, "input": "Write."});
        let made = send(&house, &ada, "POST", "/v1/agents/sessions", Some(body)).await.ok();
        let id = text(&made["id"]);
        let waits = |shown: &Value| shown["bailiwick"]["approvals"].as_array().map_or(0, Vec::len) == paths.len();
        let shown = house.until(&id, waits).await;
        (id, shown["bailiwick"]["approvals"].as_array().unwrap().clone())
    };
    let (first, asked) = begin(&["a", "b"]).await;
    let (other, _) = begin(&["a"]).await;
    let (unlike, _) = begin(&["c"]).await;
    let about_a = asked.iter().find(|one| one["arguments"]["path"] == "/workspace/a").unwrap();
    house.script([say("Done.")]);
    let answer = json!({"decision": "approve", "widen": {"what": "path", "for": "agent", "until": days(1)}});
    let path = format!("/bailiwick/v1/approvals/{}", text(&about_a["id"]));
    let grant = send(&house, &ada, "POST", &path, Some(answer)).await.ok()["grant"]["id"].clone();
    house.until(&other, |shown| shown["status"] == "idle").await;
    let by = |all: &[Value]| all.iter().find(|one| one["answered"].is_object()).unwrap()["answered"].clone();
    assert_eq!(by(&receipts(&house, &other).await)["under"]["grant"], grant);
    let still = house.until(&first, |shown| shown["bailiwick"]["approvals"].as_array().unwrap().len() == 1).await;
    assert_eq!(still["bailiwick"]["approvals"][0]["arguments"]["path"], "/workspace/b");
    let untouched = house.get(&format!("/v1/agents/sessions/{unlike}")).await.ok();
    assert_eq!(untouched["bailiwick"]["approvals"].as_array().unwrap().len(), 1);
    assert_eq!(receipts(&house, &unlike).await.iter().filter(|one| one["decision"] == "asked").count(), 1);
}

/// Nothing more is done on the order of a key that was revoked, and whoever else may can go on with the session.
#[tokio::test]
async fn work_that_a_revoked_key_ordered_stops_with_its_next_action() {
    let house = house().await;
    let (bot, key) = program(&house).await;
    let wait = Arc::new(Notify::new());
    let entries = vec![call("c1", "run_command", json!({"command": "ls"}))];
    house.script([Say { entries, wait: Some(wait.clone()), ..Say::default() }]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}, "input": "Go."});
    let session = text(&send(&house, &bot, "POST", "/v1/agents/sessions", Some(body)).await.ok()["id"]);
    while house.model.seen.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    send(&house, &house.key, "DELETE", &format!("/bailiwick/v1/keys/{key}"), None).await.ok();
    wait.notify_one();
    house.until(&session, |shown| shown["status"] == "idle").await;
    let turn = &house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok()["data"][0];
    assert_eq!((&turn["status"], &turn["bailiwick"]["denied_by"]), (&json!("failed"), &json!("key-revoked")), "{turn}");
    assert_eq!(house.model.seen.lock().unwrap().len(), 1, "no model was called after it");
    house.script([say("I go on.")]);
    let events = format!("/v1/agents/sessions/{session}/events");
    assert_eq!(send(&house, &house.key, "POST", &events, Some(message("Go on."))).await.status, 202);
    house.until(&session, |shown| shown["status"] == "idle").await;
    assert_eq!(house.model.seen.lock().unwrap().len(), 2);
}
