//! A model whose key lies in a vault: a whole turn over HTTP, its receipt, and nothing of the secret anywhere.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod support;

use bailiwick_testkit::model_server::{Answer, Behaviour, ModelServer, Seen};
use serde_json::{Value, json};
use std::{fs, path::Path};
use support::{Place, post, wait_for};

const SECRET: &str = "sk-vault-0123456789-QWERTY";
/// What the secret is given anew.
const NEXT: &str = "sk-vault-9876543210-YTREWQ";

const SHARED: &str = r#"
@id("shared-keys")
permit (principal, action == Action::"vault.use", resource) when { resource.scope == "shared" };
"#;

/// A provider that repeats the key that it was called with, as a badly made one may.
fn repeats(_: &Seen) -> Behaviour {
    Behaviour::Answer(Answer::text(format!("Hello, your key is {SECRET}, is it not?")))
}

fn configured(model: &ModelServer) -> Place {
    let place = Place::new();
    let text = format!(
        "[models.main]\nprovider = \"openai-responses\"\nbase_url = \"{}\"\nmodel = \"fake\"\nretries = 0\n\
         credential = \"provider\"\n",
        model.base_url()
    );
    place.write("bailiwick.toml", &text);
    place
}

fn ask(place: &Place, path: &str, body: &Value) -> Value {
    let answer = post(&place.data(), path, &body.to_string());
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn credential(model: &ModelServer, name: &str, token: &str) -> Value {
    json!({"name": name, "auth": {"type": "static_bearer", "token": token, "mcp_server_url": model.base_url()}})
}

/// A shared vault with the model's key in it.
fn keep(place: &Place, model: &ModelServer) -> (String, String) {
    let vault = ask(place, "/v1/vaults", &json!({"name": "Providers", "metadata": {"kind": "models"}}));
    assert_eq!(
        (&vault["object"], &vault["bailiwick"]["owner"]["type"]),
        (&json!("vault"), &json!("shared")),
        "{vault}"
    );
    let vault = vault["id"].as_str().unwrap().to_owned();
    let made = ask(place, &format!("/v1/vaults/{vault}/credentials"), &credential(model, "provider", SECRET));
    assert_eq!((&made["object"], &made["vault_id"]), (&json!("vault.credential"), &json!(vault)), "{made}");
    assert!(!made.to_string().contains(SECRET), "{made}");
    (vault, made["id"].as_str().unwrap().to_owned())
}

fn allow_shared(place: &Place) {
    let starter = place.client(&["policy", "show"]).good().stdout;
    place.write("mine.cedar", &format!("{starter}\n{SHARED}"));
    place.client(&["policy", "apply", "mine.cedar", "--reason", "Models have shared keys"]).good();
}

fn run(place: &Place) -> support::Ended {
    place.client(&["run", "say hello", "--model", "main", "--json"])
}

/// The bearer tokens of the calls so far.
fn bearers(model: &ModelServer) -> Vec<String> {
    let kept = model.kept();
    let bearer = |headers: &axum::http::HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
    kept.iter().map(|kept| bearer(&kept.headers)).collect()
}

/// The newest receipt of a model call that was decided so, once the log has so many of them.
fn receipt(place: &Place, decision: &str, count: usize) -> String {
    let rows = wait_for("the receipt", || {
        let listed = place.client(&["audit", "list", "--json"]).good().json();
        let calls = listed["receipts"].as_array().unwrap().iter();
        let calls = calls.filter(|row| row["operation"] == "model.call" && row["decision"] == decision);
        let ids: Vec<String> = calls.map(|row| row["action"].as_str().unwrap().to_owned()).collect();
        (ids.len() >= count).then_some(ids)
    });
    let newest = rows.iter().max().unwrap();
    place.client(&["audit", "show", newest, "--json"]).good().stdout
}

/// Every file below a folder in which a text stands.
fn found_in(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found_in(&path, text, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_vault_reaches_its_model_and_nobody_else() {
    let model = ModelServer::start(repeats).await;
    let place = configured(&model);
    let server = place.serve();

    // Without the secret there is no call, and the denial says where to put it.
    let none = run(&place);
    assert_ne!(none.code, 0, "{none:?}");
    assert_eq!(model.count(), 0);

    // With it, but without a rule for shared secrets, neither.
    let (vault, id) = keep(&place, &model);
    let denied = run(&place);
    assert_ne!(denied.code, 0, "{denied:?}");
    let without_rule = receipt(&place, "denied", 2);
    assert!(without_rule.contains("vault.use") && without_rule.contains(&id), "{without_rule}");
    assert_eq!(model.count(), 0);

    allow_shared(&place);
    let ran = run(&place).good();
    assert_eq!(bearers(&model), [format!("Bearer {SECRET}")]);
    // What the provider repeats of it is taken out before anybody sees it.
    assert!(ran.stdout.contains("[redacted]") && !ran.stdout.contains(SECRET), "{ran:?}");

    // The receipt of the call names the secret that it used.
    let shown = receipt(&place, "allowed", 1);
    assert!(shown.contains(&id) && shown.contains("shared-keys") && !shown.contains(SECRET), "{shown}");
    let used = |credential: &str| {
        let listed = place.client(&["audit", "list", "--credential", credential, "--json"]).good().json();
        let rows = listed["receipts"].as_array().unwrap().clone();
        assert!(rows.iter().all(|row| row["operation"] == "model.call"), "{listed}");
        rows.iter().filter(|row| row["decision"] == "allowed").count()
    };
    assert_eq!((used(&id), used("cred_01a17720ca7b70008000000000000001")), (1, 0));

    // A new value holds from the next call on.
    let rotated = ask(
        &place,
        &format!("/v1/vaults/{vault}/credentials/{id}"),
        &json!({"auth": {"type": "static_bearer", "token": NEXT}}),
    );
    assert_eq!(rotated["id"], json!(id), "{rotated}");
    run(&place).good();
    assert_eq!(bearers(&model).last(), Some(&format!("Bearer {NEXT}")));

    // Killed and started again it is still there, and still nowhere in the clear.
    server.kill();
    let server = place.serve();
    run(&place).good();
    assert_eq!(bearers(&model).last(), Some(&format!("Bearer {NEXT}")));
    let sessions = place.client(&["session", "list", "--json"]).good().stdout;
    assert_eq!(server.stop(), 0);
    for secret in [SECRET, NEXT] {
        assert!(!sessions.contains(secret) && !place.log().contains(secret));
        let mut found = Vec::new();
        found_in(place.folder.path(), secret, &mut found);
        assert_eq!(found, Vec::<String>::new(), "the secret lies in the clear");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_sessions_and_secrets_are_read_under_another_key_encryption_key() {
    let model = ModelServer::start(repeats).await;
    let place = configured(&model);
    let server = place.serve();
    keep(&place, &model);
    allow_shared(&place);
    run(&place).good();
    let before = place.client(&["session", "list", "--json"]).good().json();
    assert_eq!(server.stop(), 0);
    let old = fs::read_to_string(place.path("data/keys")).unwrap();

    let rotated = place.client(&["key", "rotate", "--json"]).good().json();
    assert!(rotated["rewrapped"].as_u64().unwrap() >= 2, "{rotated}");
    let new = fs::read_to_string(place.path("data/keys")).unwrap();
    assert!(old.contains("key 1 ") && new.contains("key 2 ") && !new.contains("key 1 "));

    // The same key from the environment, as a key service would give it, and another one after it.
    let digits = new.lines().find_map(|line| line.strip_prefix("key 2 ")).unwrap().split(' ').next().unwrap();
    let config = fs::read_to_string(place.path("bailiwick.toml")).unwrap();
    place.write("bailiwick.toml", &format!("[keys]\nvariable = \"DATA_KEY\"\n\n{config}"));
    let (old_key, new_key) = (format!("2:{digits}"), "5a".repeat(32));
    let variables = [("DATA_KEY", &*new_key), ("DATA_KEY_OLD", &*old_key)];
    let server = place.serve_with(&[], &variables);
    assert_eq!(place.client(&["session", "list", "--json"]).good().json(), before);
    run(&place).good();
    assert_eq!(server.stop(), 0);
    let arguments = ["key", "rotate", "--config", &place.text("bailiwick.toml"), "--data", &place.data()];
    support::ended(support::command(&arguments).envs(variables)).good();
    let server = place.serve_with(&[], &variables[..1]);
    run(&place).good();
    assert_eq!(bearers(&model).last(), Some(&format!("Bearer {SECRET}")));
    assert_eq!(server.stop(), 0);
    assert!(!place.log().contains(&new_key) && !place.log().contains(digits));
}

fn key_ids(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("data/keys")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("key "));
    lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_gets_another_key_encryption_key_while_it_works() {
    let model = ModelServer::start(repeats).await;
    let place = configured(&model);
    let server = place.serve();
    keep(&place, &model);
    allow_shared(&place);
    run(&place).good();
    let before = place.client(&["session", "list", "--limit", "100", "--json"]).good().json();

    // Sessions begin while it is replaced, twice.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut ended = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                ended.push(run(&place).code);
            }
            ended
        });
        for to in ["2", "3"] {
            let rotated = place.client(&["key", "rotate", "--reason", "a drill", "--json"]).good().json();
            assert!(rotated["rewrapped"].as_u64().unwrap() >= 2, "{rotated}");
            assert_eq!(key_ids(&place), [to]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        running.join().unwrap()
    });
    assert!(!ended.is_empty() && ended.iter().all(|code| *code == 0), "{ended:?}");
    let changes = place.client(&["audit", "changes", "--json"]).good().stdout;
    for said in ["encryption_key.rotation_begun", "encryption_key.rotated", "a drill"] {
        assert_eq!(changes.matches(said).count(), 2, "{changes}");
    }

    // What was there before, and what came meanwhile, is read by the next process, which knows the new key alone.
    let all = place.client(&["session", "list", "--limit", "100", "--json"]).good().json();
    assert_eq!(server.stop(), 0);
    let server = place.serve();
    assert_eq!(place.client(&["session", "list", "--limit", "100", "--json"]).good().json(), all);
    let count = |listed: &Value| listed["sessions"].as_array().unwrap().len();
    assert_eq!(count(&all), count(&before) + ended.len());
    run(&place).good();
    assert_eq!(bearers(&model).last(), Some(&format!("Bearer {SECRET}")));

    // Killed in the middle, wherever that is, it loses nothing, and the next rotation finishes it.
    let asked = std::process::Command::new(support::BINARY).args(["key", "rotate", "--data", &place.data()]).spawn();
    server.kill();
    let _ = asked.unwrap().wait();
    let server = place.serve();
    assert_eq!(count(&place.client(&["session", "list", "--limit", "100", "--json"]).good().json()), count(&all) + 1);
    place.client(&["key", "rotate", "--json"]).good();
    assert_eq!(key_ids(&place).len(), 1);
    run(&place).good();
    assert_eq!(server.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_goes_only_to_the_host_that_its_vault_names() {
    let model = ModelServer::start(repeats).await;
    let place = configured(&model);
    let _server = place.serve();
    allow_shared(&place);
    let vault = ask(&place, "/v1/vaults", &json!({}))["id"].as_str().unwrap().to_owned();
    let elsewhere = json!({"name": "provider", "auth": {
        "type": "static_bearer", "token": SECRET, "mcp_server_url": "https://elsewhere.example/v1",
    }});
    ask(&place, &format!("/v1/vaults/{vault}/credentials"), &elsewhere);
    assert_ne!(run(&place).code, 0);
    assert_eq!(model.count(), 0);
    let denied = receipt(&place, "denied", 1);
    assert!(denied.contains("elsewhere.example") && !denied.contains(SECRET), "{denied}");
}
