//! Money over the API: sessions that keep to their limits, budgets, and what was spent.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::{Failure, FailureCode};
use bailiwick_ports::Scope;
use common::{Event, House, Say, call, calls, request, say};
use serde_json::{Value, json};

/// One call takes this much at most (128,000 tokens of output), and 5 micro-units in the end.
const BOUND: &str = "0.128000";

fn failed(events: &[Event]) -> &Value {
    let failed = events.iter().find(|event| event.short() == "turn.failed");
    &failed.expect("the turn failed").data["turn"]["error"]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test]
async fn a_session_is_refused_by_its_own_limit_before_the_model_is_called() {
    let house = House::priced().await;
    let (session, events) = house.run("Hi", json!({"spend_control": {"limit": 12}})).await;
    let error = failed(&events);
    assert_eq!(error["code"], "session_budget_exceeded");
    assert!(text(&error["message"]).contains("0.120000 USD in all"), "{error}");
    assert!(house.model.seen.lock().unwrap().is_empty(), "nobody was called");
    assert_eq!(session["spend_control"], json!({"limit": 12, "consumed": 0}));

    let id = text(&session["id"]).to_owned();
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts")).await.ok();
    let denied = &receipts["data"][0];
    assert_eq!((&denied["decision"], &denied["operation"]), (&json!("denied"), &json!("model.call")));
    let exceeded = &denied["spending"]["exceeded"];
    assert_eq!((&exceeded["asked"], &exceeded["limit"]), (&json!(128_000), &json!(120_000)), "{denied}");

    // A higher limit lets it go on, and what it cost is told in whole cents.
    let raised = house.post(&format!("/v1/agents/sessions/{id}"), json!({"spend_control": {"limit": 13}})).await.ok();
    assert_eq!(raised["spend_control"], json!({"limit": 13, "consumed": 0}));
    house.script([say("Hello.")]);
    let message = json!({"role": "user", "content": [{"type": "input_text", "text": "Again"}]});
    let again = json!({"events": [{"type": "agent.session.input.message", "input": [message]}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{id}/events"), again).await.status, 202);
    let done = |session: &Value| session["status"] == "idle" && session["usage"]["total_tokens"] != 0;
    house.until(&id, done).await;
    assert_eq!(house.model.seen.lock().unwrap().len(), 1);
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts")).await.ok();
    let settled = receipts["data"].as_array().unwrap().iter().find(|one| one["kind"] == "action.settled").unwrap();
    assert_eq!(settled["cost"], json!({"amount": 5, "price_version": 2}));

    let freed = house.post(&format!("/v1/agents/sessions/{id}"), json!({"spend_control": null})).await.ok();
    assert!(freed.get("spend_control").is_none(), "sessions without a limit leave it out: {freed}");
    let limited = house.post(&format!("/v1/agents/sessions/{id}"), json!({"spend_control": {"limit": 1}})).await.ok();
    assert_eq!(limited["spend_control"]["limit"], 1);
}

#[tokio::test]
async fn a_limit_that_cannot_be_is_refused_with_its_field() {
    let house = House::priced().await;
    for limit in [json!(0), json!(-1), json!(i64::MAX), json!(1.5), json!("1")] {
        let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi",
                          "spend_control": {"limit": limit}});
        let error = house.post("/v1/agents/sessions", body).await.error(400);
        assert!(text(&error["param"]).starts_with("spend_control"), "{error}");
    }
    let set = async |body: Value| house.post("/bailiwick/v1/budgets", body).await;
    let tenant = json!({"type": "tenant"});
    for (body, param) in [
        (json!({"payer": tenant, "per": "day", "limit": "0"}), "limit"),
        (json!({"payer": tenant, "per": "day", "limit": "1e3"}), "limit"),
        (json!({"payer": tenant, "per": "day", "limit": "99999999999999"}), "limit"),
        (json!({"payer": tenant, "per": "hour", "limit": "1"}), "per"),
        (json!({"payer": {"type": "team"}, "per": "day", "limit": "1"}), "payer"),
        (json!({"payer": {"type": "user", "id": "user_1"}, "per": "day", "limit": "1"}), "payer"),
        (json!({"payer": {"type": "tenant", "id": "x"}, "per": "day", "limit": "1"}), "payer"),
        (
            json!({"payer": {"type": "agent", "id": format!("agent_{:032x}", 9)}, "per": "day", "limit": "1"}),
            "payer.id",
        ),
    ] {
        let error = set(body.clone()).await.error(400);
        assert_eq!(error["param"], param, "{body}: {error}");
    }
    house.get("/bailiwick/v1/spend?by=colour").await.error(400);
    house.get("/bailiwick/v1/spend?by=day,day").await.error(400);
    house.get("/bailiwick/v1/spend?from=2026").await.ok();
    house.get("/bailiwick/v1/spend?from=x").await.error(400);
    house.get("/bailiwick/v1/spend?limit=0").await.error(400);
    house.get("/bailiwick/v1/spend/estimate").await.error(400);
    house.delete(&format!("/bailiwick/v1/budgets/budget_{:032x}", 9)).await.error(404);
}

#[tokio::test]
async fn a_budget_is_shown_with_the_numbers_that_it_is_enforced_by() {
    let house = House::priced().await;
    let set = json!({"payer": {"type": "tenant"}, "per": "month", "limit": "0.2"});
    let budget = house.post("/bailiwick/v1/budgets", set.clone()).await.ok();
    let id = text(&budget["id"]).to_owned();
    let numbers =
        |budget: &Value| ["limit", "spent", "reserved", "remaining"].map(|name| text(&budget[name]).to_owned());
    assert_eq!(numbers(&budget), ["0.200000", "0.000000", "0.000000", "0.200000"]);
    assert_eq!((&budget["currency"], &budget["kind"]), (&json!("USD"), &json!("hard")));

    let wait = std::sync::Arc::new(tokio::sync::Notify::new());
    house.script([Say { wait: Some(wait.clone()), ..say("Slow.") }]);
    let mut slow = house.begin("Take your time", json!({})).await;
    slow.find("turn.in_progress").await;
    let listed = || async { house.get("/bailiwick/v1/budgets").await.ok()["data"][0].clone() };
    let held = loop {
        let shown = listed().await;
        if shown["reserved"] != "0.000000" {
            break shown;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(numbers(&held), ["0.200000", "0.000000", BOUND, "0.072000"]);
    // A second call would not fit beside the first.
    let (_, events) = house.run("Me too", json!({})).await;
    assert_eq!(failed(&events)["code"], "organization_spend_limit_exceeded");
    assert_eq!(house.model.seen.lock().unwrap().len(), 1);
    wait.notify_one();
    slow.all().await;
    assert_eq!(numbers(&listed().await), ["0.200000", "0.000005", "0.000000", "0.199995"]);

    // The same payer and window is the same budget.
    let raised = json!({"limit": "0.3", "payer": {"type": "tenant"}, "per": "month"});
    let raised = house.post("/bailiwick/v1/budgets", raised).await.ok();
    assert_eq!((text(&raised["id"]), text(&raised["spent"])), (&*id, "0.000005"));
    assert_eq!(house.delete(&format!("/bailiwick/v1/budgets/{id}")).await.ok()["deleted"], true);
    assert_eq!(house.get("/bailiwick/v1/budgets").await.ok()["data"], json!([]));
    let again = house.post("/bailiwick/v1/budgets", set).await.ok();
    assert_eq!(text(&again["spent"]), "0.000005", "taking a limit away and setting it again forgets nothing");
}

#[tokio::test]
async fn what_was_spent_is_summed_and_outlives_its_session() {
    let house = House::priced().await;
    let agent = house.post("/v1/agents", json!({"model": "main", "name": "clerk"})).await.ok();
    let agent = text(&agent["id"]).to_owned();
    let more = json!({"agent_id": agent, "agent": {}});
    house.script([say("One."), say("Two.")]);
    let (first, _) = house.run("One", more.clone()).await;
    house.run("Two", more.clone()).await;
    house.script([Say { failure: Some(Failure::new(FailureCode::StreamCut, "cut")), ..Say::default() }]);
    house.run("Three", more).await;
    house.delete(&format!("/v1/agents/sessions/{}", text(&first["id"]))).await.ok();

    let report = house.get("/bailiwick/v1/spend?by=agent,outcome,model").await.ok();
    assert_eq!(report["by"], json!(["agent", "outcome", "model"]));
    let line = |outcome: &str| {
        let lines = report["data"].as_array().unwrap();
        lines.iter().find(|line| line["values"][1] == outcome).unwrap_or_else(|| panic!("{report}")).clone()
    };
    assert_eq!(line("completed")["values"], json!([agent, "completed", "main"]));
    assert_eq!((&line("completed")["calls"], &line("completed")["cost"]), (&json!(2), &json!("0.000010")));
    let failed = line("failed");
    assert_eq!((&failed["cost"], &failed["estimated"]), (&json!(BOUND), &json!(BOUND)), "cut calls stay as held");
    assert_eq!((&report["total"]["calls"], &report["total"]["cost"]), (&json!(3), &json!("0.128010")));
    let only = house.get("/bailiwick/v1/spend?by=session&outcome=completed").await.ok();
    assert_eq!((only["data"].as_array().unwrap().len(), &only["total"]["cost"]), (2, &json!("0.000010")));
    let before = house.get("/bailiwick/v1/spend?until=1&from=0").await.ok();
    assert_eq!((&before["total"]["calls"], &before["data"]), (&json!(0), &json!([])));

    let estimate = house.get(&format!("/bailiwick/v1/spend/estimate?agent_id={agent}")).await.ok();
    assert_eq!(estimate["runs"], 3);
    assert_eq!((&estimate["median"], &estimate["percentile_90"]), (&json!("0.000005"), &json!(BOUND)));
    let other = house.get(&format!("/bailiwick/v1/spend/estimate?agent_id=agent_{:032x}", 5)).await.ok();
    assert_eq!((&other["runs"], &other["median"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn money_needs_its_scopes_and_stays_in_its_organisation() {
    let house = House::priced().await;
    let set = json!({"payer": {"type": "tenant"}, "per": "day", "limit": "1"});
    let id = text(&house.post("/bailiwick/v1/budgets", set.clone()).await.ok()["id"]).to_owned();
    let reader = house.new_key(vec![Scope::SpendRead]).await;
    let writer = house.new_key(vec![Scope::BudgetsWrite]).await;
    let send = async |key: &str, method: &str, path: &str, body: Option<&Value>| {
        house.send(request(key, method, path, body)).await.status.as_u16()
    };
    for path in ["/bailiwick/v1/budgets", "/bailiwick/v1/spend"] {
        assert_eq!(send(&reader, "GET", path, None).await, 200, "{path}");
        assert_eq!(send(&writer, "GET", path, None).await, 403, "{path}");
    }
    assert_eq!(send(&reader, "POST", "/bailiwick/v1/budgets", Some(&set)).await, 403);
    assert_eq!(send(&writer, "POST", "/bailiwick/v1/budgets", Some(&set)).await, 200);
    let foreign = house.foreign_key().await;
    let path = format!("/bailiwick/v1/budgets/{id}");
    assert_eq!(send(&foreign, "DELETE", &path, None).await, 404);
    let listed = house.send(request(&foreign, "GET", "/bailiwick/v1/budgets", None)).await.ok();
    assert_eq!(listed["data"], json!([]));
    assert_eq!(send(&writer, "DELETE", &path, None).await, 200);
}

/// A function of the agent's own, with a price that its author gave it.
#[tokio::test]
async fn a_function_with_a_price_of_the_agents_own_is_held_against_the_limit() {
    let house = House::priced().await;
    let function = |price: Value| {
        json!({"type": "function", "name": "send", "description": "Sends.", "parameters": {"type": "object"},
               "bailiwick": {"price": price}})
    };
    for wrong in [json!("-1"), json!("a lot"), json!("0.0000001")] {
        let refused = house.post("/v1/agents", json!({"model": "main", "tools": [function(wrong)]})).await.error(400);
        assert_eq!(refused["param"], "tools[0].bailiwick.price");
    }
    let saved = house.post("/v1/agents", json!({"model": "main", "tools": [function(json!("0.10"))]})).await.ok();
    assert_eq!(saved["tools"][0]["bailiwick"], json!({"price": "0.100000"}));
    house.script([calls(["c1", "c2", "c3"].into_iter().map(|id| call(id, "send", json!({"n": id}))).collect())]);
    let more = json!({"agent_id": saved["id"], "agent": {}, "spend_control": {"limit": 25}});
    let mut events = house.begin("Send them.", more).await;
    let id = text(&events.next().await.unwrap().data["session"]["id"]).to_owned();
    let shown = house.until(&id, |shown| shown["status"] == "requires_action").await;
    assert_eq!(shown["required_actions"].as_array().unwrap().len(), 2, "the third does not fit: {shown}");
    let receipts = house.get(&format!("/bailiwick/v1/sessions/{id}/receipts?limit=100")).await.ok();
    let calls = receipts["data"].as_array().unwrap().iter().filter(|one| one["operation"] == "tool.call");
    let decisions: Vec<&str> = calls.map(|one| text(&one["decision"])).collect();
    assert_eq!(decisions, ["allowed", "allowed", "denied"]);
}
