//! Agents, files, artifacts, environments, keys, models, and executors that dial in.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the test listens on a socket of its own and connects to it"
)]

mod common;

use axum::body::Body;
use bailiwick_api::Limits;
use bailiwick_gate::PART_BYTES;
use bailiwick_ports::Scope;
use common::{House, call, calls, form, say, signed, upload};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_agent_is_saved_in_versions_and_sessions_keep_the_one_they_began_with() {
    let house = House::new().await;
    let tool = json!({"type": "function", "name": "f", "description": "F.", "parameters": {"type": "object"}});
    let body = json!({"model": "main", "name": "Ada", "instructions": "Be brief.", "metadata": {"team": "x"},
        "tools": [tool], "bailiwick": {"limits": {"steps_per_turn": 7}, "remit": {"allow": ["model.call", "tool.call"]}}});
    let made = house.post("/v1/agents", body).await.ok();
    assert_eq!(
        (&made["object"], &made["name"], &made["bailiwick"]["version"]),
        (&json!("agent"), &json!("Ada"), &json!(1))
    );
    assert_eq!(made["tools"][0]["defer_loading"], false);
    assert_eq!(made["bailiwick"]["limits"]["steps_per_turn"], 7);
    let path = format!("/v1/agents/{}", id(&made));
    assert_eq!(house.get(&path).await.ok(), made);

    house.script([say("Ok.")]);
    let (session, _) = house.run("Hi", json!({"agent_id": id(&made), "agent": {"instructions": "Be long."}})).await;
    assert_eq!(session["agent"]["id"], made["id"]);
    assert_eq!((&session["agent"]["name"], &session["agent"]["instructions"]), (&json!("Ada"), &json!("Be long.")));

    let changed = house.post(&path, json!({"name": null, "model": "other", "tools": null})).await.ok();
    assert_eq!(
        (&changed["name"], &changed["tools"], &changed["bailiwick"]["version"]),
        (&Value::Null, &json!([]), &json!(2))
    );
    assert_eq!((&changed["instructions"], &changed["metadata"]), (&json!("Be brief."), &json!({"team": "x"})));
    let versions = house.get(&format!("/bailiwick{path}/versions")).await.ok();
    let mut before = made.clone();
    before["bailiwick"]["state"] = json!("superseded");
    before["bailiwick"]["published_version"] = json!(2);
    assert_eq!(versions["data"], json!([changed, before]));
    let kept = house.get(&format!("/v1/agents/sessions/{}", id(&session))).await.ok();
    assert_eq!((&kept["agent"]["model"], &kept["agent"]["bailiwick"]["version"]), (&json!("main"), &json!(1)));
    let of_agent = house.get(&format!("/v1/agents/sessions?agent_id={}", id(&made))).await.ok();
    assert_eq!(of_agent["data"].as_array().unwrap().len(), 1);

    let other = house.post("/v1/agents", json!({"model": "main"})).await.ok();
    let page = house.get("/v1/agents?limit=1&order=asc").await.ok();
    assert_eq!((&page["has_more"], page["data"].as_array().unwrap().len()), (&json!(true), 1));
    let next =
        house.get(&format!("/v1/agents?limit=1&order=asc&after={}", page["last_id"].as_str().unwrap())).await.ok();
    let mut both = [id(&page["data"][0]), id(&next["data"][0])];
    both.sort();
    let mut expected = [id(&made), id(&other)];
    expected.sort();
    assert_eq!(both, expected);
    let deleted = house.delete(&path).await.ok();
    assert_eq!(deleted, json!({"id": id(&made), "object": "agent.deleted", "deleted": true}));
    house.get(&path).await.error(404);
    house.delete(&path).await.error(404);
    for (body, param) in [(json!({}), "model"), (json!({"model": "main", "name": "a\nb"}), "name")] {
        assert_eq!(house.post("/v1/agents", body).await.error(400)["param"], param);
    }
}

#[tokio::test]
async fn a_file_goes_up_in_parts_and_comes_back_whole() {
    let house = House::new().await;
    for size in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let made = house.send(upload(&house.key, "Größe ä.csv", &bytes)).await.ok();
        assert_eq!((&made["bytes"], &made["filename"]), (&json!(size), &json!("Größe ä.csv")));
        assert_eq!(
            (&made["object"], &made["purpose"], &made["status"]),
            (&json!("file"), &json!("user_data"), &json!("processed"))
        );
        let path = format!("/v1/files/{}", id(&made));
        assert_eq!(house.get(&path).await.ok(), made);
        let content = house.get(&format!("{path}/content")).await;
        assert_eq!(content.headers["content-length"], size.to_string());
        assert_eq!(content.headers["content-disposition"], "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%C3%A4.csv");
        assert!(content.bytes == bytes, "{size} bytes came back otherwise");
        house.delete(&path).await.ok();
        house.get(&path).await.error(404);
        house.get(&format!("{path}/content")).await.error(404);
    }
    assert_eq!(house.objects.count(), 0, "deleting leaves nothing behind");
    assert_eq!(house.get("/v1/files").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_form_with_errors_leaves_nothing_behind() {
    let house = House::with(Limits { file_bytes: 1000, ..Limits::default() }).await;
    let key = house.key.as_str();
    let file = ("file", Some("a"), &b"x"[..]);
    for (fields, param) in [
        (vec![file], "purpose"),
        (vec![("purpose", None, &b"user_data"[..])], "file"),
        (vec![file, ("purpose", None, b"fun")], "purpose"),
        (vec![file, file], "file"),
        (vec![file, ("purpose", None, b"vision"), ("colour", None, b"red")], "colour"),
        (vec![("purpose", None, b"vision"), file, ("expires_after[seconds]", None, b"60")], "expires_after"),
        (vec![("file", Some("a\tb"), b"x")], "file"),
    ] {
        assert_eq!(house.send(form(key, &fields)).await.error(400)["param"], param);
    }
    assert_eq!(house.send(upload(key, "big", &[b'x'; 1001])).await.error(413)["param"], "file");
    let mut cut = upload(key, "cut", b"whole");
    *cut.body_mut() =
        Body::from("--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhal");
    house.send(cut).await.error(400);
    let mut wrong = upload(key, "wrong", b"whole");
    wrong.headers_mut().insert("content-type", "application/json".parse().unwrap());
    house.send(wrong).await.error(415);
    assert_eq!(house.objects.count(), 0);
}

#[tokio::test]
async fn files_are_listed_by_purpose_and_those_that_expired_are_gone() {
    let house = House::new().await;
    let key = house.key.as_str();
    let user = house.send(upload(key, "a", b"x")).await.ok();
    let vision = house.send(form(key, &[("file", Some("b"), b"y"), ("purpose", None, b"vision")])).await.ok();
    let listed = house.get("/v1/files?purpose=vision").await.ok();
    assert_eq!(listed["data"], json!([vision]));
    let page = house.get("/v1/files?limit=1&order=asc").await.ok();
    assert_eq!(page["has_more"], true);
    let next = house.get(&format!("/v1/files?order=asc&after={}", page["last_id"].as_str().unwrap())).await.ok();
    let mut both = [id(&page["data"][0]), id(&next["data"][0])];
    both.sort();
    let mut expected = [id(&user), id(&vision)];
    expected.sort();
    assert_eq!((both, &next["has_more"]), (expected, &json!(false)));
    let expires = [
        ("file", Some("c"), &b"z"[..]),
        ("purpose", None, b"batch"),
        ("expires_after[anchor]", None, b"created_at"),
        ("expires_after[seconds]", None, b"3600"),
    ];
    let made = house.send(form(key, &expires)).await.ok();
    assert_eq!(made["expires_at"].as_i64().unwrap() - made["created_at"].as_i64().unwrap(), 3600);
    assert_eq!(house.get("/v1/files?limit=0").await.error(400)["param"], "limit");
    assert_eq!(
        house.get(&format!("/v1/files?after={}", id(&made).replace("file", "agent"))).await.error(400)["param"],
        "after"
    );
}

#[tokio::test]
async fn what_a_turn_publishes_can_be_listed_downloaded_and_deleted() {
    let house = House::new().await;
    let big = vec![7_u8; PART_BYTES + 5];
    let outputs =
        [("/workspace/outputs/a.md".to_owned(), b"# A".to_vec()), ("/workspace/outputs/b.bin".into(), big.clone())];
    house.executor.outputs.lock().unwrap().extend(outputs);
    house.script([calls(vec![call("c1", "run_command", json!({"command": "make"}))]), say("Made.")]);
    let (session, _) = house.run("Make", json!({"environment": {"type": "openai_hosted"}})).await;
    let base = format!("/v1/agents/sessions/{}/artifacts", id(&session));
    let listed = house.get(&base).await.ok();
    let artifacts = listed["data"].as_array().unwrap();
    assert_eq!(artifacts.len(), 2);
    let b = artifacts.iter().find(|artifact| artifact["path"] == "/workspace/outputs/b.bin").unwrap();
    assert_eq!((&b["object"], &b["size_bytes"]), (&json!("agent.session.artifact"), &json!(big.len())));
    assert_eq!(house.get(&format!("{base}/{}", id(b))).await.ok(), *b);
    assert!(house.get(&format!("{base}/{}/content", id(b))).await.bytes == big);
    let environment = b["environment_id"].as_str().unwrap();
    assert_eq!(
        house.get(&format!("{base}?environment_id={environment}")).await.ok()["data"].as_array().unwrap().len(),
        2
    );
    let none = "env_00000000000070008000000000000000";
    assert_eq!(house.get(&format!("{base}?environment_id={none}")).await.ok()["data"], json!([]));

    let deleted = house.delete(&format!("{base}/{}", id(b))).await.ok();
    assert_eq!(deleted["object"], "agent.session.artifact.deleted");
    house.get(&format!("{base}/{}/content", id(b))).await.error(404);
    assert_eq!(house.get(&base).await.ok()["data"].as_array().unwrap().len(), 1);
    assert_eq!(house.objects.count(), 1, "its bytes are gone too");
    house.delete(&format!("/v1/agents/sessions/{}", id(&session))).await.ok();
    // What a session published goes with it.
    house.until_objects(0).await;
}

#[tokio::test]
async fn an_environment_is_shown_by_its_own_id() {
    let house = House::new().await;
    let file = id(&house.send(upload(&house.key, "in.csv", b"a,b\n")).await.ok());
    let environment = json!({
        "type": "openai_hosted", "env": {"MODE": "test"},
        "setup_commands": [{"command": "echo secret-setup", "cwd": "/workspace"}],
        "files": [
            {"type": "file_id", "file_id": file, "path": "/workspace/in.csv"},
            {"type": "inline", "data": "aGVsbG8=", "path": "/workspace/sub/hello.txt"},
        ],
    });
    let body = json!({"agent": {"model": "main"}, "environment": environment});
    let made = house.post("/v1/agents/sessions", body).await;
    assert!(!String::from_utf8_lossy(&made.bytes).contains("secret-setup"));
    let made = made.ok();
    assert_eq!(made["status"], "idle");
    let shown = &made["environment"];
    let files = shown["files"].as_array().unwrap();
    assert_eq!(
        (&files[0]["type"], &files[0]["file_id"], &files[0]["size_bytes"]),
        (&json!("file_id"), &json!(file), &json!(4))
    );
    assert_eq!(
        (&files[1]["type"], &files[1]["path"], &files[1]["size_bytes"]),
        (&json!("inline"), &json!("/workspace/sub/hello.txt"), &json!(5))
    );
    let info = house.get(&format!("/v1/agents/environments/{}", shown["id"].as_str().unwrap())).await.ok();
    assert_eq!(
        (&info["object"], &info["type"], &info["status"]),
        (&json!("agent.environment"), &json!("openai_hosted"), &json!("pending"))
    );
    assert_eq!((&info["files"], &info["bailiwick"]["session_id"]), (&shown["files"], &made["id"]));
    assert_eq!(house.get("/v1/agents/environments").await.ok()["data"], json!([info]));
    assert_eq!(house.get("/v1/agents/environments?type=self_hosted").await.ok()["data"], json!([]));
    assert_eq!(house.objects.count(), 2);
    house.delete(&format!("/v1/agents/sessions/{}", id(&made))).await.ok();
    // What came inline goes with its session, the upload stays.
    house.until_objects(1).await;
    assert_eq!(house.get("/v1/agents/environments").await.ok()["data"], json!([]));

    let listening = json!({"type": "self_hosted", "workspace_directory": "/w/", "bailiwick": {"executor": "lab"}});
    let made =
        house.post("/v1/agents/sessions", json!({"agent": {"model": "main"}, "environment": listening})).await.ok();
    assert_eq!(
        (&made["environment"]["remote_url"], &made["environment"]["workspace_directory"]),
        (&json!(""), &json!("/w"))
    );
    assert_eq!(made["bailiwick"]["environment"]["executor"], "lab");
}

#[tokio::test]
async fn files_can_be_given_until_the_environment_starts() {
    let house = House::new().await;
    let uploaded = id(&house.send(upload(&house.key, "a.csv", b"1234")).await.ok());
    let made = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}});
    let made = house.post("/v1/agents/sessions", made).await.ok();
    let path = format!("/v1/agents/environments/{}/files", made["environment"]["id"].as_str().unwrap());
    let give = |file: Value| house.post(&path, file);
    let given = give(json!({"type": "file_id", "file_id": uploaded, "path": "/workspace/b/a.csv"})).await.ok();
    assert_eq!((&given["object"], &given["size_bytes"]), (&json!("agent.environment.file"), &json!(4)));
    for name in ["c.txt", "a.txt", "c.txt"] {
        give(json!({"type": "inline", "data": "aGk=", "path": format!("/workspace/{name}")})).await.ok();
    }
    for (file, param) in [
        (json!({"type": "file_id", "file_id": "file_x", "path": "/workspace/x"}), "file_id"),
        (json!({"type": "inline", "data": "?", "path": "/workspace/x"}), "data"),
        (json!({"type": "inline", "data": "", "path": "/etc/x"}), "path"),
        (json!({"type": "inline", "data": "", "path": "/workspace/b"}), "path"),
    ] {
        assert_eq!(give(file).await.error(400)["param"], param);
    }
    let paths = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
    };
    let all = house.get(&format!("{path}?order=asc")).await.ok();
    assert_eq!(paths(&all), ["/workspace/a.txt", "/workspace/b/a.csv", "/workspace/c.txt"]);
    let page = house.get(&format!("{path}?order=asc&limit=2")).await.ok();
    let next = house.get(&format!("{path}?order=asc&limit=2&page={}", page["next"].as_str().unwrap())).await.ok();
    assert_eq!((paths(&next), &next["has_more"]), (vec!["/workspace/c.txt".to_owned()], &json!(false)));
    assert_eq!(paths(&house.get(&format!("{path}?path=/workspace/b")).await.ok()), ["/workspace/b/a.csv"]);
    assert_eq!(house.get(&format!("{path}?page=%20")).await.error(400)["param"], "page");
    let shown = house.get(&format!("/v1/agents/sessions/{}", id(&made))).await.ok();
    assert_eq!(shown["environment"]["files"].as_array().unwrap().len(), 3);

    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let message = json!({"events": [{"type": "agent.session.input.message", "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "List"}]}]}]});
    house.post(&format!("/v1/agents/sessions/{}/events", id(&made)), message).await;
    house.until(&id(&made), |session| session["status"] == "idle").await;
    // From here on the executor is asked, whose workspace is empty.
    assert_eq!(house.get(&path).await.ok()["data"], json!([]));
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let house = House::new().await;
    let made = house.post("/bailiwick/v1/keys", json!({"name": "ci", "scopes": ["agents:read"]})).await.ok();
    let secret = made["key"].as_str().unwrap().to_owned();
    assert!(secret.ends_with(made["last4"].as_str().unwrap()));
    house.send(common::request(&secret, "GET", "/v1/models", None)).await.ok();
    let listed = house.get("/bailiwick/v1/keys?order=asc").await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(&secret));
    let listed = listed.ok();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let page = house.get("/bailiwick/v1/keys?order=asc&limit=1").await.ok();
    assert_eq!(page["has_more"], true);
    house.delete(&format!("/bailiwick/v1/keys/{}", id(&made))).await.ok();
    house.send(common::request(&secret, "GET", "/v1/models", None)).await.error(401);

    let access =
        json!({"kind": "access_key", "name": "bedrock", "scopes": ["agents:read"], "expires_at": 4_000_000_000_i64});
    let made = house.post("/bailiwick/v1/keys", access).await.ok();
    let pair = (
        made["access_key_id"].as_str().unwrap().to_owned(),
        bailiwick_types::Secret::new(made["secret_access_key"].as_str().unwrap()),
    );
    house.send(signed(&pair, "GET", "/openai/v1/models", None)).await.ok();
    for (body, word) in [
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "", "scopes": ["admin"]}), "name"),
        (json!({"name": "x", "scopes": ["root"]}), "scopes"),
        (json!({"name": "x", "scopes": ["admin"], "expires_at": 1}), "past"),
        (json!({"name": "x", "kind": "access_key", "environment_id": "env_1"}), "environment_id"),
    ] {
        let error = house.post("/bailiwick/v1/keys", body).await.error(400);
        assert!(error["message"].as_str().unwrap().contains(word), "{error}");
    }
}

#[tokio::test]
async fn the_local_socket_is_the_operators() {
    use tower::ServiceExt;
    let house = House::new().await;
    let router = house.api.router_for(bailiwick_ports::Caller::operator(house.tenant));
    let request = common::request(
        "",
        "POST",
        "/v1/agents/sessions",
        Some(&json!({"agent": {"model": "main"},
        "environment": {"type": "none"}, "input": "Hi"})),
    );
    let made = common::Answer::of(router.oneshot(request).await.unwrap()).await.ok();
    assert_eq!(made["bailiwick"]["creator"], "operator");
}

#[tokio::test]
async fn an_executor_registers_connects_and_its_session_is_told() {
    let house = House::new().await;
    house.script([calls(vec![call("c1", "run_command", json!({"command": "ls"}))]), say("Listed.")]);
    let more = json!({"environment": {"type": "self_hosted", "workspace_directory": "/w"}});
    let mut events = house.begin("List", more).await;
    let created = events.next().await.unwrap().data["session"].clone();
    assert_eq!(created["environment"]["remote_url"], "http://house.test");
    let waiting = events.find("requires_action").await.data["session"].clone();
    let environment = waiting["required_actions"][0]["environment_id"].as_str().unwrap().to_owned();
    assert_eq!(waiting["required_actions"][0]["type"], "environment_connection");

    let key = house.access_key(Some(environment.parse().unwrap()), vec![Scope::EnvironmentsConnect]).await;
    let register = format!("/cloud/environment/{environment}/direct/register");
    let wrong = json!({"transport": "noise"});
    assert_eq!(house.send(signed(&key, "POST", &register, Some(&wrong))).await.error(400)["param"], "transport");
    let body = json!({"transport": "direct_jsonrpc_v1", "later_field": 1});
    let registered = house.send(signed(&key, "POST", &register, Some(&body))).await.ok();
    assert_eq!(registered["transport"], "direct_jsonrpc_v1");
    let url = registered["url"].as_str().unwrap();
    let path = url.strip_prefix("ws://house.test").unwrap();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = house.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let connect = || async {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in signed(&key, "GET", path, None).headers() {
            if name != "content-type" {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.unwrap().0
    };
    let mut socket = connect().await;
    let (session, told, mut line) = house.door.lock().await.recv().await.unwrap();
    assert_eq!((session.to_string(), told.to_string()), (id(&created), environment.clone()));
    line.outgoing.send("{\"method\":\"initialize\"}".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("{\"method\":\"initialize\"}"));
    socket.send(Message::text("{\"result\":1}")).await.unwrap();
    assert_eq!(line.incoming.recv().await.unwrap(), "{\"result\":1}");
    assert_eq!(events.find("environment.ready").await.data["environment"]["type"], "self_hosted");
    assert_eq!(events.find("environment.connected").await.data["environment"]["status"], "connected");
    events.find("turn.completed").await;

    // A second connection takes over; the end of the first is not told.
    let second = connect().await;
    let (_, _, newer) = house.door.lock().await.recv().await.unwrap();
    drop((socket, line));
    house.until(&id(&created), |session| session["bailiwick"]["environment"]["status"] == "ready").await;
    drop(second);
    house.until(&id(&created), |session| session["bailiwick"]["environment"]["status"] == "disconnected").await;
    drop(newer);

    let hosted = json!({"agent": {"model": "main"}, "environment": {"type": "openai_hosted"}});
    let hosted = house.post("/v1/agents/sessions", hosted).await.ok()["environment"]["id"].clone();
    let hosted = hosted.as_str().unwrap();
    let path = format!("/cloud/environment/{hosted}/direct/register");
    assert_eq!(house.post(&path, body.clone()).await.error(403)["code"], "insufficient_permissions");
    let key = house.access_key(Some(hosted.parse().unwrap()), vec![Scope::EnvironmentsConnect]).await;
    let refused = house.send(signed(&key, "POST", &path, Some(&body))).await.error(409);
    assert_eq!(refused["code"], "environment_not_dial_in");
}
