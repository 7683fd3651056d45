//! Whole turns, as a client sees them.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_core::{EntryBody, Failure, FailureCode};
use common::{Event, House, Say, assistant, call, calls, say, shorts};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};

const WEATHER: &str = "get_weather";

fn weather_agent() -> Value {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    json!({"agent": {
        "model": "main",
        "tools": [{"type": "function", "name": WEATHER, "description": "Weather.", "parameters": parameters}],
    }})
}

fn id(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_streamed_turn_tells_its_whole_story_in_the_apis_words() {
    let house = House::new().await;
    let thought = EntryBody::Reasoning { summary: vec!["Think.".into(), "More.".into()] };
    house.script([Say {
        entries: vec![thought, assistant("Hello there.")],
        thoughts: vec![(0, 0, "Think.")],
        deltas: vec![(1, "Hel"), (1, "lo")],
        ..Say::default()
    }]);
    let (session, events) = house.run("Hi", json!({"metadata": {"job": "7"}})).await;
    assert_eq!(
        shorts(&events),
        [
            "created",
            "in_progress",
            "turn.created",
            "turn.in_progress",
            "turn.item.added",
            "turn.item.added",
            "turn.reasoning_summary_part.added",
            "turn.reasoning_summary_text.delta",
            "turn.item.added",
            "turn.content_part.added",
            "turn.output_text.delta",
            "turn.output_text.delta",
            "turn.reasoning_summary_text.done",
            "turn.reasoning_summary_part.done",
            "turn.reasoning_summary_part.added",
            "turn.reasoning_summary_text.delta",
            "turn.reasoning_summary_text.done",
            "turn.reasoning_summary_part.done",
            "turn.item.done",
            "turn.output_text.delta",
            "turn.output_text.done",
            "turn.content_part.done",
            "turn.item.done",
            "turn.completed",
            "idle",
        ]
    );
    let deltas: String = events
        .iter()
        .filter(|event| event.short() == "turn.output_text.delta")
        .map(|event| event.data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, "Hello there.");
    let message = &events[events.len() - 3].data;
    assert_eq!(message["item"]["content"], json!([{"type": "output_text", "text": "Hello there."}]));
    assert_eq!(message["item"]["phase"], "final_answer");
    assert_eq!(message["item"]["bailiwick"]["scripted"], true);
    assert_eq!((&message["output_index"], &message["item"]["status"]), (&json!(1), &json!("completed")));
    let ids: HashSet<&str> = events.iter().map(|event| event.data["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
    assert!(events.iter().all(|event| event.data.get("obfuscation").is_none()));

    assert_eq!(session["status"], "idle");
    assert_eq!(session["metadata"], json!({"job": "7"}));
    assert_eq!(session["usage"]["total_tokens"], 15);
    assert_eq!(session["usage"]["input_tokens_details"]["cached_tokens"], 4);
    let shown = house.get(&format!("/v1/agents/sessions/{}", id(&session))).await.ok();
    assert_eq!(shown["status"], "idle");
    assert_eq!(house.get(&format!("/openai/v1/agents/sessions/{}", id(&session))).await.ok()["id"], session["id"]);
}

#[tokio::test]
async fn a_function_call_waits_for_the_application_and_goes_on_with_its_answer() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", WEATHER, json!({"city": "Bonn"}))]), say("Sunny.")]);
    let mut events = house.begin("Weather?", weather_agent()).await;
    let created = events.next().await.unwrap();
    let session = id(&created.data["session"]);
    let item = loop {
        let event = events.find("turn.item.added").await;
        if event.data["item"]["type"] == "function_call" {
            break event.data["item"].clone();
        }
    };
    assert_eq!((&item["name"], &item["arguments"]), (&json!(WEATHER), &json!({"city": "Bonn"})));
    let waiting = events.find("requires_action").await.data["session"].clone();
    assert_eq!(waiting["required_actions"][0]["type"], "function_call");
    assert_eq!(waiting["required_actions"][0]["call_id"], "c1");

    let path = format!("/v1/agents/sessions/{session}/events");
    let result = |call_id: &str, turn: &Value| {
        json!({"events": [{
            "type": "agent.session.input.tool_result", "turn_id": turn, "call_id": call_id, "success": true,
            "output": "18 degrees",
        }]})
    };
    let unknown = house.post(&path, result("c2", &item["turn_id"])).await.error(400);
    assert_eq!(unknown["message"], "Unknown pending tool call: c2");
    assert_eq!(unknown["code"], "invalid_request_error");
    let other_turn = house.post(&path, result("c1", &json!("turn_nonsense"))).await.error(400);
    assert_eq!(other_turn["message"], "Unknown pending tool call: c1");

    let answer = house.post(&path, result("c1", &item["turn_id"])).await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (202, 0));
    let rest = events.all().await;
    assert_eq!(rest.last().unwrap().short(), "idle");
    let again = house.post(&path, result("c1", &item["turn_id"])).await.error(400);
    assert_eq!(again["message"], "Unknown pending tool call: c1");

    let items = house.get(&format!("/v1/agents/sessions/{session}/items?order=asc")).await.ok();
    let kinds: Vec<&str> = items["data"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call_output", "message"]);
    assert_eq!(items["data"][2]["output"], "18 degrees");
    assert_eq!(items["data"][1]["status"], "completed");
}

#[tokio::test]
async fn a_call_beside_a_running_command_can_be_answered_at_once() {
    let house = House::new().await;
    let command = call("c2", "run_command", json!({"command": "slow"}));
    house.script([calls(vec![call("c1", WEATHER, json!({})), command]), say("Done.")]);
    let mut more = weather_agent();
    more["environment"] = json!({"type": "openai_hosted"});
    let mut events = house.begin("Both", more).await;
    let session = id(&events.next().await.unwrap().data["session"]);
    let output = events.find("agent.output.command_execution_output.delta").await;
    assert_eq!(output.data["delta"], "first ");
    let shown = house.get(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!((&shown["status"], shown["required_actions"].as_array().unwrap().len()), (&json!("in_progress"), 1));
    let turn = shown["required_actions"][0]["turn_id"].clone();
    let result = json!({"events": [{"type": "agent.session.input.tool_result", "turn_id": turn, "call_id": "c1",
        "success": false, "error": "no network"}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), result).await.status, 202);
    house.executor.release.notify_one();
    let rest = events.all().await;
    let done = rest.iter().find(|event| event.data["item"]["type"] == "command_execution").unwrap();
    assert_eq!((&done.data["item"]["output"], &done.data["item"]["exit_code"]), (&json!("first second"), &json!(0)));
    assert_eq!(rest.last().unwrap().data["session"]["bailiwick"]["environment"]["facts"]["isolation"], "process");
    let all = format!("{rest:?}");
    assert!(!all.contains("hidden-executor-session"));
}

#[tokio::test]
async fn a_refused_function_call_is_never_announced() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", WEATHER, json!({}))]), say("Then not.")]);
    let mut more = weather_agent();
    more["agent"]["bailiwick"] = json!({"remit": {"allow": ["model.call"]}});
    let (_, events) = house.run("Weather?", more).await;
    let of_call: Vec<&str> =
        events.iter().filter(|event| event.data["item"]["type"] == "function_call").map(Event::short).collect();
    assert_eq!(of_call, ["turn.item.done"]);
    let done = events.iter().find(|event| event.data["item"]["type"] == "function_call").unwrap();
    assert_eq!(done.data["item"]["status"], "failed");
    assert_eq!(done.data["item"]["bailiwick"]["effect"]["type"], "denied");
}

#[tokio::test]
async fn a_retried_answer_begins_its_text_again() {
    let house = House::new().await;
    house.script([Say {
        entries: vec![assistant("Right.")],
        false_start: Some("Wro"),
        deltas: vec![(0, "Right.")],
        ..Say::default()
    }]);
    let (_, events) = house.run("Hi", json!({})).await;
    let mut text = String::new();
    for event in &events {
        match event.short() {
            "turn.content_part.added" => text.clear(),
            "turn.output_text.delta" => text.push_str(event.data["delta"].as_str().unwrap()),
            "turn.output_text.done" => assert_eq!(event.data["text"], text),
            _ => {}
        }
    }
    assert_eq!(text, "Right.");
    let added = events.iter().filter(|event| event.short() == "turn.content_part.added").count();
    assert_eq!(added, 2);
}

#[tokio::test]
async fn whoever_comes_in_the_middle_is_sent_the_text_so_far_and_can_resume() {
    let house = House::new().await;
    let wait = Arc::new(tokio::sync::Notify::new());
    house.script([Say {
        entries: vec![assistant("One two three")],
        deltas: vec![(0, "One "), (0, "two ")],
        wait: Some(Arc::clone(&wait)),
        ..Say::default()
    }]);
    let mut first = house.begin("Count", json!({})).await;
    let session = id(&first.next().await.unwrap().data["session"]);
    let (mut text, mut place) = (String::new(), String::new());
    while text != "One two " {
        let seen = first.find("turn.output_text.delta").await;
        text.push_str(seen.data["delta"].as_str().unwrap());
        place = seen.id.unwrap();
    }
    assert!(place.split_once('.').is_some_and(|(_, count)| count == "2"), "{place}");

    let mut second = house.watch(&session, None).await;
    assert_eq!(second.next().await.unwrap().short(), "turn.item.added");
    assert_eq!(second.next().await.unwrap().short(), "turn.content_part.added");
    assert_eq!(second.next().await.unwrap().data["delta"], "One two ");
    let mut resumed = house.watch(&session, Some(&place)).await;
    assert_eq!(resumed.find("turn.output_text.delta").await.data["delta"], "One two ");
    wait.notify_one();
    for events in [&mut second, &mut resumed] {
        assert_eq!(events.find("turn.output_text.delta").await.data["delta"], "three");
        assert_eq!(events.find("turn.output_text.done").await.data["text"], "One two three");
        events.find("idle").await;
    }
    let all = first.all().await;
    assert_eq!(all.last().unwrap().short(), "idle", "the stream of a creation ends with its turn");

    // From the beginning, everything final is told again, under the same ids.
    let mut again = house.watch(&session, Some("0.0")).await;
    let told = again.find("turn.item.done").await;
    assert_eq!(told.data["event_id"], all.iter().find(|e| e.short() == "turn.item.done").unwrap().data["event_id"]);
    let head = all.last().unwrap().id.clone().unwrap();
    let position: u64 = head.split('.').next().unwrap().parse().unwrap();
    for bad in ["x", "-1.0", "1", &format!("{}.0", position + 100)] {
        let mut request = house.request("GET", &format!("/v1/agents/sessions/{session}/events"), None);
        request.headers_mut().insert("last-event-id", bad.parse().unwrap());
        assert_eq!(house.send(request).await.error(400)["param"], "Last-Event-ID", "{bad}");
    }
}

#[tokio::test]
async fn answered_calls_are_not_announced_again() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", WEATHER, json!({}))]), calls(vec![call("c2", WEATHER, json!({}))])]);
    let mut events = house.begin("Weather?", weather_agent()).await;
    let session = id(&events.next().await.unwrap().data["session"]);
    let turn = events.find("requires_action").await.data["session"]["required_actions"][0]["turn_id"].clone();
    let result = json!({"events": [{"type": "agent.session.input.tool_result", "turn_id": turn, "call_id": "c1",
        "success": true, "output": [{"type": "input_text", "text": "18"}]}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), result).await.status, 202);
    events.find("requires_action").await;
    let mut again = house.watch(&session, Some("0.0")).await;
    let mut announced = Vec::new();
    loop {
        let event = again.next().await.unwrap();
        if event.short() == "turn.item.added" && event.data["item"]["type"] == "function_call" {
            announced.push(event.data["item"]["call_id"].clone());
            break;
        }
    }
    assert_eq!(announced, ["c2"]);
}

#[tokio::test]
async fn a_failed_turn_says_why_and_the_session_goes_on() {
    let house = House::new().await;
    let failure = Some(Failure::new(FailureCode::RateLimited, "The provider is busy."));
    house.script([Say { failure, ..Say::default() }, say("Better.")]);
    let (session, events) = house.run("Hi", json!({})).await;
    let names = shorts(&events);
    assert_eq!(names[names.len() - 3..], ["error", "turn.failed", "idle"]);
    let failed = &events[events.len() - 2].data;
    assert_eq!(failed["turn"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(failed["turn"]["status"], "failed");

    let session = id(&session);
    let mut events = house.watch(&session, None).await;
    let message = json!({"events": [{"type": "agent.session.input.message", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Again"}]}]}]});
    assert_eq!(house.post(&format!("/v1/agents/sessions/{session}/events"), message).await.status, 202);
    assert_eq!(events.find("turn.completed").await.data["turn"]["error"], Value::Null);
    let turns = house.get(&format!("/v1/agents/sessions/{session}/turns")).await.ok();
    let statuses: Vec<&Value> = turns["data"].as_array().unwrap().iter().map(|turn| &turn["status"]).collect();
    assert_eq!(statuses, ["completed", "failed"]);
    let turn = turns["data"][0]["id"].as_str().unwrap();
    let shown = house.get(&format!("/v1/agents/sessions/{session}/turns/{turn}")).await.ok();
    assert_eq!(shown, turns["data"][0]);
    let items = house.get(&format!("/v1/agents/sessions/{session}/turns/{turn}/items?order=asc")).await.ok();
    assert_eq!(items["data"].as_array().unwrap().len(), 2);
    assert_eq!(items["last_id"], items["data"][1]["id"]);
}

#[tokio::test]
async fn cancel_ends_the_turn_and_an_idle_session_has_nothing_to_cancel() {
    let house = House::new().await;
    house.script([Say { deltas: vec![(0, "…")], wait: Some(Arc::default()), ..Say::default() }]);
    let mut events = house.begin("Think long", json!({})).await;
    let session = id(&events.next().await.unwrap().data["session"]);
    events.find("turn.output_text.delta").await;
    let path = format!("/v1/agents/sessions/{session}/events");
    let cancel = json!({"events": [{"type": "agent.session.input.cancel"}]});
    assert_eq!(house.post(&path, cancel.clone()).await.status, 202);
    let rest = events.all().await;
    assert!(rest.iter().any(|event| event.short() == "turn.cancelled"));
    let error = house.post(&path, cancel).await;
    assert_eq!(error.headers["x-should-retry"], "false");
    assert_eq!(error.error(409)["code"], "no_active_turn");
}

#[tokio::test]
async fn a_repeated_request_is_accepted_once_even_where_it_would_be_refused_by_now() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", WEATHER, json!({}))]), say("Done."), say("Unwanted.")]);
    let body = {
        let mut body = weather_agent();
        body["environment"] = json!({"type": "none"});
        body["input"] = json!("Weather?");
        body
    };
    let create = |body: &Value| {
        let mut request = house.request("POST", "/v1/agents/sessions", Some(body));
        request.headers_mut().insert("idempotency-key", "create-1".parse().unwrap());
        request
    };
    let session = id(&house.send(create(&body)).await.ok());
    assert_eq!(id(&house.send(create(&body)).await.ok()), session);
    let mut other = body.clone();
    other["input"] = json!("Something else?");
    assert_eq!(house.send(create(&other)).await.error(409)["code"], "idempotency_key_reused");
    assert_eq!(house.get("/v1/agents/sessions").await.ok()["data"].as_array().unwrap().len(), 1);

    let waiting = house.until(&session, |session| session["status"] == "requires_action").await;
    let turn = waiting["required_actions"][0]["turn_id"].clone();
    let result = json!({"events": [{"type": "agent.session.input.tool_result", "turn_id": turn, "call_id": "c1",
        "success": true, "output": "x"}]});
    let path = format!("/v1/agents/sessions/{session}/events");
    let send = || {
        let mut request = house.request("POST", &path, Some(&result));
        request.headers_mut().insert("idempotency-key", "result-1".parse().unwrap());
        request
    };
    assert_eq!(house.send(send()).await.status, 202);
    house.until(&session, |session| session["status"] == "idle").await;
    assert_eq!(house.send(send()).await.status, 202, "a repetition is told what the first request was told");
    assert_eq!(house.model.seen.lock().unwrap().len(), 2);
    // The promise is the principal's own.
    let key = house.new_key(vec![bailiwick_ports::Scope::Admin]).await;
    let mut request = common::request(&key, "POST", &path, Some(&result));
    request.headers_mut().insert("idempotency-key", "result-1".parse().unwrap());
    assert_eq!(house.send(request).await.error(400)["message"], "Unknown pending tool call: c1");
}

#[tokio::test]
async fn a_session_that_was_given_a_message_is_never_shown_as_idle_before_it_has_answered() {
    let house = House::new().await;
    let wait = Arc::new(tokio::sync::Notify::new());
    house.script([Say { entries: vec![assistant("Yes.")], wait: Some(Arc::clone(&wait)), ..Say::default() }]);
    let body = json!({"agent": {"model": "main"}, "environment": {"type": "none"}, "input": "Hi"});
    let created = house.post("/v1/agents/sessions", body).await.ok();
    assert_eq!(created["status"], "in_progress");
    let shown = house.get(&format!("/v1/agents/sessions/{}", id(&created))).await.ok();
    assert_eq!(shown["status"], "in_progress");
    wait.notify_one();
    house.until(&id(&created), |session| session["status"] == "idle").await;
}

#[tokio::test]
async fn an_update_shows_at_once_and_keeps_what_it_leaves_out() {
    let house = House::new().await;
    house.script([say("Hi.")]);
    let more = json!({"metadata": {"a": "1"}, "prompt_cache_options": {"ttl": "12h"}});
    let (session, _) = house.run("Hi", more).await;
    let path = format!("/v1/agents/sessions/{}", id(&session));
    assert_eq!(session["prompt_cache_options"]["ttl"], "12h");
    let changed = house
        .post(&path, json!({"agent": {"model": "other", "reasoning": {"effort": "high"}, "service_tier": "flex"}}))
        .await
        .ok();
    assert_eq!(changed["agent"]["model"], "other");
    assert_eq!(changed["agent"]["reasoning"], json!({"effort": "high", "summary": null}));
    assert_eq!(changed["agent"]["service_tier"], "flex");
    assert_eq!(changed["metadata"], json!({"a": "1"}));
    let changed = house.post(&path, json!({"metadata": {"b": "2"}})).await.ok();
    assert_eq!(changed["metadata"], json!({"b": "2"}));
    assert_eq!(changed["prompt_cache_options"]["ttl"], "12h");
    let changed = house.post(&path, json!({"prompt_cache_options": null, "metadata": null})).await.ok();
    assert_eq!((&changed["metadata"], changed.get("prompt_cache_options")), (&json!({}), None));
    let error = house.post(&path, json!({"agent": {"model": "nobody"}})).await.error(400);
    assert_eq!((&error["param"], &error["code"]), (&json!("agent.model"), &json!("model_not_found")));
}

#[tokio::test]
async fn a_deleted_session_is_gone_and_its_environment_is_closed() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let (session, _) = house.run("List", json!({"environment": {"type": "openai_hosted"}})).await;
    let session = id(&session);
    let environment = house.get("/v1/agents/environments").await.ok()["data"][0]["id"].clone();
    let mut events = house.watch(&session, None).await;
    let deleted = house.delete(&format!("/v1/agents/sessions/{session}")).await.ok();
    assert_eq!(deleted, json!({"id": session, "object": "agent.session.deleted", "deleted": true}));
    assert_eq!(events.next().await, None, "whoever watched is told by the end");
    assert_eq!(house.closed.lock().await.recv().await.unwrap().to_string(), session);
    house.get(&format!("/v1/agents/sessions/{session}")).await.error(404);
    house.get(&format!("/v1/agents/sessions/{session}/items")).await.error(404);
    house.get(&format!("/v1/agents/environments/{}", environment.as_str().unwrap())).await.error(404);
    assert_eq!(house.get("/v1/agents/sessions").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn an_unknown_outcome_is_shown_and_a_person_resolves_it() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", "run_command", json!({"command": "lost"}))]), say("I do not know.")]);
    let (session, _) = house.run("Do it", json!({"environment": {"type": "openai_hosted"}})).await;
    let unresolved = &session["bailiwick"]["unresolved"][0];
    assert_eq!((&unresolved["operation"], &unresolved["what"]), (&json!("command.run"), &json!("lost")));
    let session_id = id(&session);
    let items = house.get(&format!("/v1/agents/sessions/{session_id}/items?order=asc")).await.ok();
    assert_eq!(items["data"][1]["bailiwick"]["effect"]["type"], "unknown");
    assert_eq!(items["data"][1]["status"], "incomplete");

    let path = format!("/bailiwick/v1/sessions/{session_id}/resolve");
    let wrong = house.post(&path, json!({"action": "act_0", "resolution": "happened"})).await.error(400);
    assert_eq!(wrong["param"], "action");
    let word = house.post(&path, json!({"action": unresolved["action"], "resolution": "maybe"})).await.error(400);
    assert_eq!(word["param"], "resolution");
    let resolved = house.post(&path, json!({"action": unresolved["action"], "resolution": "happened"})).await.ok();
    assert_eq!(resolved["bailiwick"]["unresolved"], json!([]));
    let items = house.get(&format!("/v1/agents/sessions/{session_id}/items?order=asc")).await.ok();
    assert_eq!(items["data"][1]["bailiwick"]["effect"]["resolution"], "happened");
}

#[tokio::test]
async fn receipts_show_what_was_decided_and_what_became_of_it() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let (session, _) = house.run("List", json!({"environment": {"type": "openai_hosted"}})).await;
    let path = format!("/bailiwick/v1/sessions/{}/receipts", id(&session));
    let all = house.get(&format!("{path}?limit=1000")).await.ok();
    let receipts = all["data"].as_array().unwrap();
    let told: Vec<String> = receipts
        .iter()
        .map(|r| {
            format!("{} {}", r["kind"].as_str().unwrap(), r["decision"].as_str().or(r["effect"].as_str()).unwrap())
        })
        .collect();
    let pair = ["action.decided allowed", "action.settled confirmed"];
    assert_eq!(told, [pair; 5].concat(), "model, start, command, model, publish");
    assert!(
        receipts.iter().all(|r| r["leaf"].as_str().unwrap().len() == 64 && r["chain"].as_str().unwrap().len() == 64)
    );
    assert_eq!(receipts[4]["arguments"]["command"], "ls");
    assert!(!all.to_string().contains("hidden-executor-session"));
    let page = house.get(&format!("{path}?limit=3")).await.ok();
    assert_eq!((&page["has_more"], &page["data"][2]), (&json!(true), &receipts[2]));
    let next = house.get(&format!("{path}?limit=1&after={}", page["last_id"].as_str().unwrap())).await.ok();
    assert_eq!(next["data"][0], receipts[3]);
}

#[tokio::test]
async fn padding_is_sent_unless_it_is_not_wanted() {
    let house = House::new().await;
    house.script([say("Hi.")]);
    let events = house.begin("Hi", json!({"stream_options": {}})).await.all().await;
    for event in events {
        assert!(event.data["obfuscation"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(event.data.to_string().len() % 64, 0, "{}", event.data);
    }
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_by_their_metadata() {
    let house = House::new().await;
    let mut made = Vec::new();
    for number in 0..5 {
        house.script([say("Ok.")]);
        let more = json!({"metadata": {"odd": (number % 2 == 1).to_string()}, "role_arn": "arn:aws:iam::1:role/x"});
        made.push(id(&house.run("Hi", more).await.0));
    }
    // Within one millisecond the order is that of the ids.
    let odd = |made: &Vec<String>| [made[1].clone(), made[3].clone()];
    let mut expected_odd = odd(&made);
    expected_odd.sort();
    made.sort();
    let ids = |page: &Value| -> Vec<String> { page["data"].as_array().unwrap().iter().map(id).collect() };
    let first = house.get("/v1/agents/sessions?order=asc&limit=2").await.ok();
    assert_eq!((ids(&first), &first["has_more"]), (made[..2].to_vec(), &json!(true)));
    let last = house.get(&format!("/v1/agents/sessions?order=asc&limit=3&after={}", made[1])).await.ok();
    assert_eq!((ids(&last), &last["has_more"]), (made[2..].to_vec(), &json!(false)));
    let odd = house.get("/v1/agents/sessions?order=asc&metadata%5Bodd%5D=true").await.ok();
    assert_eq!(ids(&odd), expected_odd);
    assert_eq!(odd["data"][0]["bailiwick"]["role_arn"], "arn:aws:iam::1:role/x");
    assert_eq!(odd["data"][0]["metadata"], json!({"odd": "true"}));
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("after=sess_1", "after"),
        ("after=sess_00000000000000000000000000000000", "after"),
        ("agent_id=x", "agent_id"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
        ("metadata%5Bbailiwick.role_arn%5D=x", "metadata"),
    ] {
        let error = house.get(&format!("/v1/agents/sessions?{query}")).await.error(400);
        assert_eq!(error["param"], param, "{query}");
    }
}
