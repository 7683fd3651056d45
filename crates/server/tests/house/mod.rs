//! The real binary as a process, a model server that is a pure function, and the API as a program sees it.

#![allow(dead_code, reason = "each test uses what it needs")]

use bailiwick_testkit::model_server::{Behaviour, ModelServer, Seen};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub const KEY: &str = "test-key-0123456789abcdef";
/// Nothing here takes this long; whoever waits longer has found a fault.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data folder and everything needed to start servers on it, one after the other.
pub struct House {
    pub folder: tempfile::TempDir,
    pub model: ModelServer,
    pub listen: String,
    http: reqwest::Client,
}

impl House {
    pub async fn new(script: impl Fn(&Seen) -> Behaviour + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let model = ModelServer::start(script).await;
        let config = format!(
            "[models.main]\nprovider = \"openai-responses\"\nbase_url = \"{}\"\nmodel = \"scripted\"\n",
            model.base_url()
        );
        std::fs::write(folder.path().join("bailiwick.toml"), config).expect("a configuration");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { folder, model, listen: format!("127.0.0.1:{port}"), http }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The command that starts a server, with `before` in front of it.
    pub fn command(&self, before: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_bailiwick");
        let mut words = before.iter().copied().chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words);
        command.args(["serve", "--listen", &self.listen, "--config"]);
        command.arg(self.folder.path().join("bailiwick.toml")).arg("--data").arg(self.data());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        command.env("BAILIWICK_BOOTSTRAP_KEY", KEY).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    pub async fn start(&self) -> Running {
        self.wait_for(self.command(&[]).spawn().expect("the binary starts")).await
    }

    pub async fn wait_for(&self, child: Child) -> Running {
        let running = Running(child);
        let begun = Instant::now();
        while self.get("/v1/agents/sessions?limit=1").await.is_err() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "the server does not answer: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    pub async fn get(&self, path: &str) -> Result<Value, String> {
        answer(self.http.get(self.url(path)), KEY).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.post_as(KEY, path, body).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &Value) -> Result<Value, String> {
        answer(self.http.post(self.url(path)).json(body), key).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, String> {
        answer(self.http.delete(self.url(path)), KEY).await
    }

    /// A session with a sandbox, ordered to do `order`.
    pub async fn session(&self, order: &str, tools: Value) -> String {
        let body = json!({
            "agent": {"model": "main", "tools": tools},
            "environment": {"type": "openai_hosted"},
            "input": order,
        });
        let made = self.post("/v1/agents/sessions", &body).await.expect("a session");
        made["id"].as_str().expect("an id").to_owned()
    }

    /// A session in an environment of its own kind, ordered to do `order`, as it is answered.
    pub async fn session_in(&self, environment: Value, order: &str) -> Value {
        let body = json!({"agent": {"model": "main"}, "environment": environment, "input": order});
        self.post("/v1/agents/sessions", &body).await.expect("a session")
    }

    /// Adds to the configuration of the servers that are started from now on.
    pub fn configure(&self, text: &str) {
        let path = self.folder.path().join("bailiwick.toml");
        let before = std::fs::read_to_string(&path).expect("a configuration");
        std::fs::write(path, format!("{before}\n{text}")).expect("a configuration");
    }

    pub async fn view(&self, session: &str) -> Result<Value, String> {
        self.get(&format!("/v1/agents/sessions/{session}")).await
    }

    /// What a client command prints with `--json`, run by the operator on the server's own machine.
    pub fn client(&self, words: &[&str]) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(words).args(["--json", "--data"]).arg(self.data());
        let ended = command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).output().expect("it runs");
        assert!(ended.status.success(), "{words:?}: {ended:?}");
        serde_json::from_slice(&ended.stdout).expect("JSON")
    }

    /// Waits until the session is idle.
    pub async fn idle(&self, session: &str) -> Value {
        self.until(session, "the session does not come to rest", |view| view["status"] == "idle").await
    }

    /// Waits until the session, as the API shows it, is as it should be.
    pub async fn until(&self, session: &str, otherwise: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let view = self.view(session).await;
            match &view {
                Ok(view) if is(view) => return view.clone(),
                _ => assert!(begun.elapsed() < PATIENCE, "{otherwise}: {view:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// All items, oldest first.
    pub async fn items(&self, session: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/agents/sessions/{session}/items?order=asc&limit=100{after}");
            let page = self.get(&path).await.expect("items");
            items.extend(page["data"].as_array().expect("a list").clone());
            if page["has_more"] != true {
                return items;
            }
            after = format!("&after={}", page["last_id"].as_str().expect("a cursor"));
        }
    }

    /// All receipts, oldest first.
    pub async fn receipts(&self, session: &str) -> Vec<Value> {
        let mut receipts: Vec<Value> = Vec::new();
        loop {
            let after = receipts.last().map_or(0, |last| last["position"].as_u64().expect("a position"));
            let path = format!("/bailiwick/v1/sessions/{session}/receipts?after={after}");
            let page = self.get(&path).await.expect("receipts");
            receipts.extend(page["data"].as_array().expect("a list").clone());
            if page["has_more"] != true {
                return receipts;
            }
        }
    }
}

/// Waits until something outside is so.
pub async fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn answer(request: reqwest::RequestBuilder, key: &str) -> Result<Value, String> {
    let request = request.bearer_auth(key).header("openai-beta", "agents=v1");
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{status}: {text}"));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
}

/// A server process; it is killed when it goes out of use.
pub struct Running(Child);

impl Running {
    /// As a power cut would: SIGKILL, nothing said.
    pub fn kill(mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        self.0.wait().expect("it ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a path's folder holds, by name.
pub fn files_in(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).expect("a folder");
    read.map(|file| file.expect("a file").path()).collect()
}
