//! A server's life: start, stop, crash, start again, and being the only one.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _};
use support::{Place, run};

const KEY: &str = "a-key-that-an-operator-chose";

#[test]
fn it_says_where_it_listens_and_stops_when_asked() {
    let place = Place::new();
    let server = place.serve();
    let said: Value = serde_json::from_slice(&fs::read(place.path("data").join("server.json")).unwrap()).unwrap();
    assert_eq!(said["url"], server.url);
    assert_eq!(said["pid"], server.pid());
    assert_eq!(server.get("/healthz", None), (200, "alive\n".into()));
    assert_eq!(server.get("/readyz", None), (200, "ready\n".into()));
    assert_eq!(server.get("/v1/agents", None).0, 401);
    let (status, page) = server.get("/metrics", None);
    assert_eq!(status, 200);
    assert!(
        page.contains("bailiwick_http_requests_total{route=\"/v1/agents\",method=\"GET\",status=\"401\"} 1"),
        "{page}"
    );
    assert!(page.contains("bailiwick_sessions_driven 0"), "{page}");
    let socket = place.path("data").join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(server.stop(), 0);
    assert!(!socket.exists() && !place.path("data").join("server.json").exists());
    assert!(place.client(&["session", "list"]).stderr.contains("no server runs"));
}

#[test]
fn two_servers_cannot_share_a_data_folder() {
    let place = Place::new();
    let server = place.serve();
    let second = run(&["serve", "--data", &place.data(), "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&format!("is in use by process {} (bailiwick)", server.pid())), "{second:?}");
    // The first goes on as if nothing had happened.
    place.client(&["session", "list"]).good();
    assert_eq!(server.get("/readyz", None).0, 200);
}

#[test]
fn after_a_crash_what_lies_around_is_no_obstacle() {
    let place = Place::new();
    let node = |place: &Place| fs::read_to_string(place.path("data").join("node")).unwrap();
    place.serve().kill();
    let first = node(&place);
    assert!(place.path("data").join("admin.sock").exists());
    assert!(place.client(&["session", "list"]).stderr.contains("no server runs on the data folder"));
    let server = place.serve();
    place.client(&["session", "list"]).good();
    assert_eq!(node(&place), first, "a node keeps its id, so that it gets its own leases back");
    drop(server);
}

#[test]
fn the_bootstrap_key_works_and_leaves_the_environment() {
    let place = Place::new();
    let server = place.serve_with(&[], &[("BAILIWICK_BOOTSTRAP_KEY", KEY)]);
    assert_eq!(server.get("/v1/agents", Some(KEY)).0, 200);
    assert_eq!(server.get("/v1/agents", Some("another-key-of-that-length")).0, 401);
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{}/{file}", server.pid())).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{file} holds the key");
    }
    assert!(!place.log().contains(KEY));
    let listed = run(&["key", "list", "--json", "--server", &server.url, "--key", KEY]).good().json();
    assert_eq!(listed["keys"][0]["name"], "bootstrap");
    assert_eq!(server.stop(), 0);
    // At a later start another value makes no second administrator.
    let server = place.serve_with(&[], &[("BAILIWICK_BOOTSTRAP_KEY", "some-other-value-entirely")]);
    assert_eq!(server.get("/v1/agents", Some("some-other-value-entirely")).0, 401);
    assert_eq!(server.get("/v1/agents", Some(KEY)).0, 200);
}

#[test]
fn a_models_key_leaves_the_environment_too() {
    let place = Place::new();
    place.write(
        "bailiwick.toml",
        "[models.main]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\napi_key_env = \"MODEL_KEY\"\n",
    );
    let server =
        place.serve_with(&["--log-format", "json", "--log", "debug"], &[("MODEL_KEY", "sk-models-own-secret")]);
    let environ = fs::read(format!("/proc/{}/environ", server.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("sk-models-own-secret"));
    let log = place.log();
    assert!(!log.contains("sk-models-own-secret"));
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn keys_are_made_shown_once_and_revoked() {
    let place = Place::new();
    let server = place.serve();
    let made = place.client(&["key", "create", "--name", "reader", "--scope", "agents:read", "--json"]).good().json();
    let (id, secret) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    assert_eq!(server.get("/v1/agents", Some(&secret)).0, 200);
    // Without the scope: denied, with its exit code.
    let denied = run(&["session", "list", "--server", &server.url, "--key", &secret]);
    assert_eq!(denied.code, 5, "{denied:?}");
    assert!(denied.stderr.contains("sessions:read"), "{denied:?}");
    let listed = place.client(&["key", "list"]).good().stdout;
    assert!(listed.contains("reader") && !listed.contains(&secret));
    place.client(&["key", "revoke", &id]).good();
    let ended = run(&["agent", "list", "--server", &server.url, "--key", &secret]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let pair = place.client(&["key", "create", "--kind", "access-key", "--json"]).good().json();
    assert!(pair["access_key_id"].is_string() && pair["secret_access_key"].is_string(), "{pair}");
}

#[test]
fn the_socket_knows_how_executors_reach_the_server() {
    let place = Place::new();
    place.write(
        "bailiwick.toml",
        "[models.main]\nprovider = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1/v1\"\nmodel = \"m\"\n",
    );
    let server = place.serve();
    let body =
        r#"{"agent": {"model": "main"}, "environment": {"type": "self_hosted", "workspace_directory": "/work"}}"#;
    let made = support::post(&place.data(), "/v1/agents/sessions", body);
    let made: Value = serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"));
    let url = made["environment"]["remote_url"].as_str().unwrap();
    assert!(url.starts_with(&server.url), "{url} is not below {}", server.url);
    let environment = made["environment"]["id"].as_str().unwrap();
    let pair =
        place.client(&["key", "create", "--kind", "access-key", "--environment", environment, "--json"]).good().json();
    assert_eq!(pair["environment_id"], environment);
}
