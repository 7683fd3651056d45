//! The stock executor 0.169.0, listening, driven by our client. `.ci/fetch-codex.sh` installs it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "house/behaviour.rs"]
mod behaviour;
#[allow(dead_code, reason = "shared with the tests of sandboxes")]
mod house;

use bailiwick_environments::{
    Connector, ExecutorClient, ExecutorError, Hands, ListeningConnector, hands::CommandError,
};
use bailiwick_types::{Millis, Secret, Timestamp};
use house::{Cutting, RealTasks, environment, request_in, run, tools};
use std::{
    future::pending,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

const TOKEN: &str = "a-token-for-this-test-only-0123456789";

/// A running stock executor with a folder to work in.
struct Stock {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

fn binary() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/codex/bin/codex");
    let found = path.canonicalize().ok();
    if found.is_none() {
        eprintln!("SKIPPED: there is no stock executor at {}; run `.ci/fetch-codex.sh`", path.display());
    }
    found
}

impl Stock {
    fn start(binary: &Path) -> Self {
        // Its home must not be under the system's temporary folder.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (home, token) = (folder.path().join("home"), folder.path().join("token"));
        std::fs::create_dir(&home).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        std::fs::write(&token, TOKEN).unwrap();
        let mut child = Command::new(binary)
            .args(["exec-server", "--listen", "ws://127.0.0.1:0", "--ws-auth", "capability-token", "--ws-token-file"])
            .arg(&token)
            .env_clear()
            .envs([("HOME", &home), ("CODEX_HOME", &home), ("PATH", &PathBuf::from("/usr/bin:/bin"))])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ws://127.0.0.1:"), "{line}");
        Self { child, url: line.trim().to_owned(), folder }
    }

    fn connector(&self) -> Box<dyn Connector> {
        let token = Secret::new(TOKEN);
        Box::new(ListeningConnector::new(&self.url, token, Arc::new(RealTasks)).unwrap())
    }

    async fn hands(&self) -> Hands {
        Hands::new(ExecutorClient::connect(self.connector(), None, tools()).await.unwrap(), environment())
    }

    fn work(&self) -> String {
        self.folder.path().join("work").to_str().unwrap().to_owned()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_stock(test: impl AsyncFnOnce(Stock)) {
    let Some(binary) = binary() else { return };
    run(test(Stock::start(&binary)));
}

#[test]
fn commands_run() {
    with_stock(async |stock| behaviour::commands(&stock.hands().await, &stock.work()).await);
}

#[test]
fn long_output_is_cut() {
    with_stock(async |stock| behaviour::long_output(&stock.hands().await, &stock.work()).await);
}

#[test]
fn commands_are_stopped() {
    with_stock(async |stock| behaviour::stopping(&stock.hands().await, &stock.work()).await);
}

#[test]
fn background_commands() {
    with_stock(async |stock| behaviour::background(&stock.hands().await, &stock.work()).await);
}

#[test]
fn files() {
    with_stock(async |stock| behaviour::files(&stock.hands().await, &stock.work()).await);
}

#[test]
fn a_cut_connection_changes_nothing() {
    with_stock(async |stock| {
        let (connector, scissors) = Cutting::new(stock.connector());
        let client = ExecutorClient::connect(Box::new(connector), None, tools()).await.unwrap();
        behaviour::cut_connection(&Hands::new(client, environment()), &stock.work(), &scissors).await;
    });
}

#[test]
fn a_session_is_taken_up_with_its_commands() {
    with_stock(async |stock| {
        let first = stock.hands().await;
        let session = first.client().session().unwrap();
        assert_eq!((session.version(), session.resumed, session.is_own()), (Some("0.169.0"), false, false));
        let request = request_in("p", "echo x >> ran; echo said; exit 7", &stock.work());
        first.run(&request, false, |_| (), pending()).await.unwrap();
        drop(first);
        // Another server finds what this one left.
        let client = ExecutorClient::resume(stock.connector(), session.id.clone(), tools()).await.unwrap();
        let second = Hands::new(client, environment());
        let report = second.run(&request, true, |_| (), pending()).await.unwrap();
        assert_eq!((report.exit_code, report.output.to_text().as_str()), (Some(7), "said\n"));
        assert_eq!(second.read(&format!("{}/ran", stock.work()), 10).await.unwrap(), b"x\n");
        // A young one that it does not know was never started; of an old one nobody can say.
        let young = request_in("young", "echo young", &stock.work());
        assert_eq!(second.run(&young, true, |_| (), pending()).await.unwrap().output.to_text(), "young\n");
        let mut old = request_in("old", "echo old", &stock.work());
        old.made_at = Timestamp::from_millis(old.made_at.as_millis() - 50_000);
        old.timeout = None;
        let lost = second.run(&old, true, |_| (), pending()).await;
        assert!(matches!(lost, Err(CommandError::Unknown(_))), "{lost:?}");
        // In a session of its own nothing is found.
        let other = ExecutorClient::connect(stock.connector(), Some("gone".to_owned()), tools()).await.unwrap();
        let begun = other.session().unwrap();
        assert!(begun.id != session.id && !begun.resumed);
    });
}

#[test]
fn an_executor_that_dies_leaves_the_outcome_unknown() {
    with_stock(async |mut stock| {
        let tools = {
            let mut tools = tools();
            tools.patience.lost = Millis(300);
            tools.patience.connection = Millis(300);
            tools
        };
        let client = ExecutorClient::connect(stock.connector(), None, tools).await.unwrap();
        let hands = Hands::new(client, environment());
        let request = request_in("p", "echo here; sleep 1000", &stock.work());
        let lost = hands.run(&request, false, |_| stock.child.kill().unwrap(), pending()).await;
        assert!(matches!(&lost, Err(CommandError::Unknown(reason)) if reason.contains("lost")), "{lost:?}");
        let refused = hands.read("/x", 1).await;
        assert!(matches!(refused, Err(ExecutorError::Unreachable(_))), "{refused:?}");
    });
}

#[test]
fn an_executor_that_was_started_again_has_lost_the_session() {
    with_stock(async |stock| {
        let hands = stock.hands().await;
        let session = hands.client().session().unwrap().id;
        drop(hands);
        let again = Stock::start(&binary().unwrap());
        let resumed = ExecutorClient::resume(again.connector(), session, tools()).await;
        assert!(matches!(resumed, Err(ExecutorError::Gone(_))));
    });
}

#[test]
fn a_wrong_token_is_said_to_be_wrong() {
    with_stock(async |stock| {
        let connector = ListeningConnector::new(&stock.url, Secret::new("wrong"), Arc::new(RealTasks)).unwrap();
        let refused = ExecutorClient::connect(Box::new(connector), None, tools()).await;
        assert!(matches!(&refused, Err(ExecutorError::Gone(reason)) if reason.contains("token")));
    });
}
