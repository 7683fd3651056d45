//! Sessions of the real server whose commands the stock executor runs: it dials in, or is dialled; it or the server dies.

#![allow(clippy::disallowed_methods, reason = "a test from outside: processes, clocks and sleeps are real")]

mod house;
#[path = "house/stock.rs"]
mod stock;

use bailiwick_testkit::model_server::{Answer, Behaviour, Seen};
use house::{House, KEY, wait_until};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use stock::{Access, Remote, Stock};

const TOKEN: &str = "a-token-for-this-test-only-0123456789";

/// One tool call after the other, then a last word. Sessions get one order each: what the server itself tells the model
/// also looks like somebody's words.
fn steps(steps: Vec<(&'static str, Value)>) -> impl Fn(&Seen) -> Behaviour + Send + Sync + 'static {
    move |seen| match steps.get(seen.results) {
        Some((tool, arguments)) => Behaviour::call(*tool, arguments.to_string()),
        None => Answer::text("All done.").into(),
    }
}

fn command(text: &str) -> (&'static str, Value) {
    ("run_command", json!({"command": text}))
}

/// What every way to an executor must be able to do.
fn errand() -> impl Fn(&Seen) -> Behaviour + Send + Sync + 'static {
    steps(vec![
        command("pwd; echo line >> effects"),
        ("write_file", json!({"path": "notes.txt", "content": "by the agent\n"})),
        ("read_file", json!({"path": "notes.txt"})),
        command("cat notes.txt effects; exit 3"),
    ])
}

/// A folder of the executor's machine, in the house's own.
fn place(house: &House, name: &str) -> PathBuf {
    let path = house.folder.path().join(name);
    fs::create_dir_all(&path).expect("a folder");
    path
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// As docs/environments.md says to make it.
fn access_key(house: &House, environment: &str) -> Access {
    Access::of(&house.client(&["key", "create", "--kind", "access-key", "--environment", environment]))
}

/// A session that waits for its executor, and what starts one.
struct Awaiting {
    session: String,
    remote: Remote,
    access: Access,
    work: PathBuf,
    home: PathBuf,
}

impl Awaiting {
    async fn new(house: &House) -> Self {
        let (work, home) = (place(house, "work"), place(house, "executor"));
        let environment = json!({"type": "self_hosted", "workspace_directory": work});
        let made = house.session_in(environment, "work").await;
        let session = made["id"].as_str().expect("an id").to_owned();
        let remote = Remote::of(&made);
        let access = access_key(house, &remote.environment);
        let waits = house.until(&session, "it does not wait", |view| view["status"] == "requires_action").await;
        let required = json!([{"type": "environment_connection", "environment_id": remote.environment}]);
        assert_eq!(waits["required_actions"], required, "{waits}");
        Self { session, remote, access, work, home }
    }

    fn executor(&self) -> Stock {
        Stock::dial(&self.home, &self.remote, &self.access)
    }
}

/// A session whose executor, `lab`, the server dials.
struct Dialled {
    session: String,
    work: PathBuf,
}

fn listen(house: &House, url: &str) -> Stock {
    let home = place(house, "executor");
    let token = home.join("token");
    fs::write(&token, TOKEN).expect("a token");
    Stock::listen(&home, url, &token)
}

impl Dialled {
    fn configure(house: &House) -> Stock {
        let executor = listen(house, "ws://127.0.0.1:0");
        house.configure(&format!("[executors.lab]\nurl = \"{}\"\ntoken_file = \"executor/token\"\n", executor.url));
        executor
    }

    async fn new(house: &House) -> Self {
        let work = place(house, "work");
        let environment = json!({"type": "self_hosted", "workspace_directory": work, "bailiwick": {"executor": "lab"}});
        let made = house.session_in(environment, "work").await;
        Self { session: made["id"].as_str().expect("an id").to_owned(), work }
    }
}

fn commands(items: &[Value]) -> Vec<&Value> {
    items.iter().filter(|item| item["type"] == "command_execution").collect()
}

async fn assert_errand(house: &House, session: &str, work: &Path) {
    let view = house.idle(session).await;
    let facts = &view["bailiwick"]["environment"]["facts"];
    assert_eq!((&facts["isolation"], &facts["executor_version"]), (&json!("self_hosted"), &json!("0.169.0")), "{view}");
    let items = house.items(session).await;
    let ran = commands(&items);
    assert_eq!(ran.len(), 2, "{items:#?}");
    assert_eq!((&ran[0]["output"], &ran[0]["exit_code"]), (&json!(format!("{}\n", work.display())), &json!(0)));
    assert_eq!((&ran[1]["output"], &ran[1]["exit_code"]), (&json!("by the agent\nline\n"), &json!(3)));
    let read = items.iter().find(|item| item["name"] == "read_file").expect("the file that was read");
    assert!(read["output"].as_str().is_some_and(|output| output.contains("by the agent")), "{read}");
    let said = items.iter().rfind(|item| item["role"] == "assistant").expect("the last word");
    assert_eq!(said["content"][0]["text"], "All done.");
    // It is on the executor's own disk, and receipted as what it was.
    assert_eq!(text(&work.join("notes.txt")), "by the agent\n");
    let receipts = house.receipts(session).await;
    let kinds: Vec<&str> = receipts.iter().filter_map(|receipt| receipt["operation"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "command.run").count(), 2, "{receipts:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_dials_in_does_the_work() {
    let house = House::new(errand()).await;
    let _server = house.start().await;
    let awaiting = Awaiting::new(&house).await;
    let _executor = awaiting.executor();
    assert_errand(&house, &awaiting.session, &awaiting.work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_listens_does_the_work() {
    let house = House::new(errand()).await;
    let _executor = Dialled::configure(&house);
    let _server = house.start().await;
    let dialled = Dialled::new(&house).await;
    assert_errand(&house, &dialled.session, &dialled.work).await;
}

/// Appends a line, and does not end before it may. It also ends when its folder is gone: a command outlives an executor
/// that was killed.
const HELD_OPEN: &str =
    "echo ran >> effects; while [ -e effects ] && [ ! -e go ]; do sleep 0.05; done; echo > ended; echo said";

/// The server is killed while the command runs and started again; the command ends after that or before, and is found.
async fn server_dies(house: &House, running: house::Running, session: &str, work: &Path, ends_alone: bool) {
    wait_until("the command does not begin", || text(&work.join("effects")) == "ran\n").await;
    running.kill();
    if ends_alone {
        fs::write(work.join("go"), "").expect("it may go on");
        wait_until("the command does not end", || work.join("ended").exists()).await;
    }
    let _server = house.start().await;
    if !ends_alone {
        let view = house.view(session).await.expect("the session");
        assert_ne!(view["status"], "idle", "{view}");
        fs::write(work.join("go"), "").expect("it may go on");
    }
    house.idle(session).await;
    let items = house.items(session).await;
    let ran = commands(&items);
    assert_eq!(ran.len(), 1, "{items:#?}");
    assert_eq!((&ran[0]["output"], &ran[0]["exit_code"]), (&json!("said\n"), &json!(0)), "{}", ran[0]);
    assert_eq!(ran[0]["bailiwick"]["effect"], Value::Null);
    assert_eq!(text(&work.join("effects")), "ran\n", "it ran once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_behind_a_dialling_executor_outlives_the_server() {
    for ends_alone in [false, true] {
        let house = House::new(steps(vec![command(HELD_OPEN)])).await;
        let server = house.start().await;
        let awaiting = Awaiting::new(&house).await;
        // One process all the time: it dials again by itself.
        let _executor = awaiting.executor();
        server_dies(&house, server, &awaiting.session, &awaiting.work, ends_alone).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_behind_a_listening_executor_outlives_the_server() {
    for ends_alone in [false, true] {
        let house = House::new(steps(vec![command(HELD_OPEN)])).await;
        let _executor = Dialled::configure(&house);
        let server = house.start().await;
        let dialled = Dialled::new(&house).await;
        server_dies(&house, server, &dialled.session, &dialled.work, ends_alone).await;
    }
}

/// The same command twice; in between the model is told what became of the first.
fn stubborn() -> impl Fn(&Seen) -> Behaviour + Send + Sync + 'static {
    steps(vec![command(HELD_OPEN), command(HELD_OPEN)])
}

/// The executor was killed in mid-command and a new one is there: the outcome is unknown, the model is told, the same
/// command is held, and a person lets it go on.
async fn outcome_is_resolved(house: &House, session: &str, work: &Path) {
    let held = house.until(session, "the second is not held", |view| view["bailiwick"]["held_by"][0].is_string()).await;
    assert_eq!(held["status"], "requires_action", "{held}");
    let unresolved = &held["bailiwick"]["unresolved"][0];
    assert_eq!((&unresolved["what"], &unresolved["operation"]), (&json!(HELD_OPEN), &json!("command.run")), "{held}");
    assert_eq!(held["bailiwick"]["held_by"], json!([unresolved["action"]]));
    let items = house.items(session).await;
    let ran = commands(&items);
    assert_eq!(ran[0]["bailiwick"]["effect"]["type"], "unknown", "{items:#?}");
    assert_eq!(ran[0]["bailiwick"]["action"], unresolved["action"]);
    assert_eq!(ran[1]["bailiwick"]["effect"], json!({"type": "held", "by": unresolved["action"]}));
    let asked = house.model.kept().last().expect("a request").json().to_string();
    assert!(asked.contains("unknown"), "the model is told: {asked}");
    assert_eq!(text(&work.join("effects")), "ran\n", "the second does not run");

    // It may be done again now, and whoever killed the executor has cleaned up behind it.
    fs::remove_file(work.join("effects")).expect("the first one's trace");
    fs::write(work.join("go"), "").expect("it may go on");
    let word = json!({"action": unresolved["action"], "resolution": "did_not_happen"});
    house.post(&format!("/bailiwick/v1/sessions/{session}/resolve"), &word).await.expect("resolved");
    let view = house.idle(session).await;
    assert_eq!(view["bailiwick"]["unresolved"], json!([]), "{view}");
    let items = house.items(session).await;
    let ran = commands(&items);
    let effect = &ran[0]["bailiwick"]["effect"];
    assert_eq!((&effect["type"], &effect["resolution"]), (&json!("resolved"), &json!("did_not_happen")), "{effect}");
    let last = ran.last().expect("the second command");
    assert_eq!((&last["output"], &last["exit_code"]), (&json!("said\n"), &json!(0)), "{items:#?}");
    assert_eq!(text(&work.join("effects")), "ran\n", "it ran once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_died_with_its_dialling_executor_is_unknown_until_resolved() {
    let house = House::new(stubborn()).await;
    let _server = house.start().await;
    let awaiting = Awaiting::new(&house).await;
    let executor = awaiting.executor();
    wait_until("the command does not begin", || text(&awaiting.work.join("effects")) == "ran\n").await;
    executor.kill();
    let _again = awaiting.executor();
    outcome_is_resolved(&house, &awaiting.session, &awaiting.work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_died_with_its_listening_executor_is_unknown_until_resolved() {
    let house = House::new(stubborn()).await;
    let executor = Dialled::configure(&house);
    let _server = house.start().await;
    let dialled = Dialled::new(&house).await;
    wait_until("the command does not begin", || text(&dialled.work.join("effects")) == "ran\n").await;
    let url = executor.url.clone();
    executor.kill();
    let _again = listen(&house, &url);
    outcome_is_resolved(&house, &dialled.session, &dialled.work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_unknown_when_server_and_executor_died_together() {
    let house = House::new(stubborn()).await;
    let server = house.start().await;
    let awaiting = Awaiting::new(&house).await;
    let executor = awaiting.executor();
    wait_until("the command does not begin", || text(&awaiting.work.join("effects")) == "ran\n").await;
    server.kill();
    executor.kill();
    let _server = house.start().await;
    let _again = awaiting.executor();
    outcome_is_resolved(&house, &awaiting.session, &awaiting.work).await;
}

/// Nobody told the server that the executor went, because it went while there was no server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_executor_that_went_while_the_server_was_away_is_waited_for() {
    let house = House::new(|seen| match seen.results_since_user {
        0 => Answer::call("run_command", json!({"command": "echo ran >> effects"}).to_string()).into(),
        _ => Answer::text("Done.").into(),
    })
    .await;
    let server = house.start().await;
    let awaiting = Awaiting::new(&house).await;
    let executor = awaiting.executor();
    house.idle(&awaiting.session).await;
    server.kill();
    executor.kill();
    let _server = house.start().await;
    let more = json!({"events": [{
        "type": "agent.session.input.message", "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "once more"}]},
        ],
    }]});
    house.post(&format!("/v1/agents/sessions/{}/events", awaiting.session), &more).await.expect("accepted");
    let waits = house.until(&awaiting.session, "it does not wait", |view| view["status"] != "in_progress").await;
    assert_eq!(waits["required_actions"][0]["type"], "environment_connection", "{waits}");
    assert_eq!(waits["bailiwick"]["environment"]["status"], "disconnected", "{waits}");
    let _again = awaiting.executor();
    house.idle(&awaiting.session).await;
    assert_eq!(text(&awaiting.work.join("effects")), "ran\nran\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_needs_the_key_of_this_environment() {
    let house = House::new(errand()).await;
    let _server = house.start().await;
    let awaiting = Awaiting::new(&house).await;
    let other = house.session_in(json!({"type": "self_hosted", "workspace_directory": "/other"}), "wait").await;
    let bound_elsewhere = access_key(&house, &Remote::of(&other).environment);
    let wrong_secret = Access { secret: bound_elsewhere.secret.clone(), ..awaiting.access.clone() };
    for (name, access, status) in [("elsewhere", bound_elsewhere, "403"), ("wrong", wrong_secret, "401")] {
        let home = place(&house, name);
        let executor = Stock::dial(&home, &awaiting.remote, &access);
        wait_until("the refusal is not said", || executor.log().contains(status)).await;
    }
    // A bearer token is none, whatever it may do else.
    let path = format!("/cloud/environment/{}/direct/register", awaiting.remote.environment);
    let refused = house.post(&path, &json!({"transport": "direct_jsonrpc_v1"})).await.expect_err("refused");
    assert!(refused.starts_with("403"), "{refused}");
    assert!(!refused.contains(KEY));
    let view = house.view(&awaiting.session).await.expect("the session");
    assert_eq!(view["status"], "requires_action", "nobody got in: {view}");
}
