//! The stock executor 0.169.0, listening, driven by our client. `.ci/fetch-tools.sh codex` installs it.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "house/behaviour.rs"]
mod behaviour;
#[allow(dead_code, reason = "shared with the tests of sandboxes")]
mod house;
#[allow(dead_code, reason = "shared with the tests of sandboxes")]
#[path = "house/permitted.rs"]
mod permitted;

use bailiwick_core::{
    Action, ActionResult, EnvironmentFacts, EnvironmentSpec, FailureCode, Outcome,
    environment::{Connection, SelfHosted},
};
use bailiwick_environments::{
    Connector, ExecutorClient, ExecutorError, Hands, ListeningConnector, ListeningExecutor, hands::CommandError,
};
use bailiwick_gate::{Executor, ExecutorDoor, ExecutorLine, Live};
use bailiwick_types::{EnvironmentId, Millis, Secret, Timestamp};
use house::{
    Cutting, RealTasks, environment, request_in, run,
    session::{Durable, Session, environment_id, options},
    tools,
};
use std::{
    collections::BTreeMap,
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

fn binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/codex/bin/codex");
    path.canonicalize().unwrap_or_else(|_| {
        panic!(
            "there is no stock executor at {}: run .ci/fetch-tools.sh codex, which installs it with npm",
            path.display()
        )
    })
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
    run(test(Stock::start(&binary())));
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
        let again = Stock::start(&binary());
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

/// A session whose environment is a stock executor.
struct OwnSession {
    durable: Arc<Durable>,
    id: EnvironmentId,
    executors: BTreeMap<String, ListeningExecutor>,
}

impl OwnSession {
    async fn new(stock: &Stock, connection: Connection) -> Self {
        let id = environment_id();
        let own =
            SelfHosted { id, workspace_directory: stock.work(), connection, content: None, skill_folders: Vec::new() };
        let lab = ListeningExecutor { url: stock.url.clone(), token: Secret::new(TOKEN) };
        let durable = Durable::begin(EnvironmentSpec::SelfHosted(own)).await;
        Self { durable, id, executors: BTreeMap::from([("lab".to_owned(), lab)]) }
    }

    async fn server(&self, stock: &Stock) -> Session {
        let options = options(stock.folder.path(), self.durable.archive.clone(), self.executors.clone());
        Session::drive(&self.durable, options.build().unwrap()).await
    }

    async fn start(&self, session: &mut Session) -> EnvironmentFacts {
        match session.perform(Action::EnvironmentStart { environment: self.id }).await {
            Outcome::Confirmed { result: ActionResult::Environment(facts) } => facts,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_action_is_performed_under_a_permit() {
    with_stock(async |stock| {
        let own = OwnSession::new(&stock, Connection::Listen { executor: "lab".to_owned() }).await;
        let mut session = own.server(&stock).await;
        let facts = own.start(&mut session).await;
        assert_eq!((facts.isolation.as_str(), facts.executor_version.as_deref()), ("self_hosted", Some("0.169.0")));
        permitted::every_action(&mut session, own.id, &stock.work()).await;
        let home = permitted::command(session.perform(permitted::run(own.id, &stock.work(), "echo $HOME")).await);
        assert!(home.output.ends_with("/home\n"), "{}", home.output);
        session.environments.close(own.durable.session, own.id).await;
    });
}

#[test]
fn a_command_is_found_again_by_the_next_server() {
    with_stock(async |stock| {
        let own = OwnSession::new(&stock, Connection::Listen { executor: "lab".to_owned() }).await;
        let mut session = own.server(&stock).await;
        own.start(&mut session).await;
        let (ran, never) = (session.new_id(), session.new_id());
        let permit = session.permit(ran, permitted::run(own.id, &stock.work(), "echo x >> ran; echo said")).await;
        drop(session.environments.perform(permit, Live::unwatched()).await);
        drop(session.permit(never, permitted::run(own.id, &stock.work(), "echo y >> ran; echo now")).await);
        drop(session);
        let mut session = own.server(&stock).await;
        assert_eq!(permitted::command(session.resume(ran).await).output, "said\n");
        assert_eq!(permitted::command(session.resume(never).await).output, "now\n");
        let said = permitted::command(session.perform(permitted::run(own.id, &stock.work(), "cat ran")).await);
        assert_eq!(said.output, "x\ny\n");
        // The executor is started anew: it cannot say what became of anything.
        let (lost, again) = (session.new_id(), Stock::start(&binary()));
        drop(session.permit(lost, permitted::run(own.id, &stock.work(), "echo z >> ran")).await);
        drop(session);
        let executors = BTreeMap::from([(
            "lab".to_owned(),
            ListeningExecutor { url: again.url.clone(), token: Secret::new(TOKEN) },
        )]);
        let elsewhere = OwnSession { executors, durable: Arc::clone(&own.durable), id: own.id };
        let mut session = elsewhere.server(&stock).await;
        let outcome = session.resume(lost).await;
        assert!(matches!(&outcome, Outcome::Unknown { reason } if reason.contains("session")), "{outcome:?}");
    });
}

#[test]
fn an_executor_that_dials_in_is_taken_and_may_dial_again() {
    with_stock(async |stock| {
        let own = OwnSession::new(&stock, Connection::DialIn).await;
        let mut session = own.server(&stock).await;
        let dial = async |session: &Session| {
            let frames = stock.connector().connect().await.unwrap();
            let line = ExecutorLine { incoming: frames.incoming, outgoing: frames.outgoing };
            session.environments.attach(own.durable.session, own.id, line).await;
        };
        dial(&session).await;
        let facts = own.start(&mut session).await;
        assert!(session.environments.is_connected(own.id));
        let run = |script: &str| permitted::run(own.id, &stock.work(), script);
        assert_eq!(permitted::command(session.perform(run("echo 1")).await).output, "1\n");
        // It dials again while we still hold the old connection: the new one counts.
        dial(&session).await;
        assert_eq!(permitted::command(session.perform(run("echo 2")).await).output, "2\n");
        drop(session);
        // The next server waits for it, and takes up the same session.
        let mut session = own.server(&stock).await;
        dial(&session).await;
        assert_eq!(permitted::command(session.perform(run("echo 3")).await).output, "3\n");
        assert_eq!(own.start(&mut session).await, facts);
    });
}

#[test]
fn what_is_wrong_with_an_executor_is_said() {
    with_stock(async |stock| {
        let own = OwnSession::new(&stock, Connection::Listen { executor: "other".to_owned() }).await;
        let mut session = own.server(&stock).await;
        let start = Action::EnvironmentStart { environment: own.id };
        let (code, message) = permitted::failure(session.perform(start).await);
        assert!(code == FailureCode::SandboxError && message.contains("[executors.other]"), "{message}");
        let (code, message) = permitted::failure(session.perform(permitted::run(own.id, "/", "true")).await);
        assert!(code == FailureCode::SandboxError && message.contains("not started"), "{message}");

        std::fs::remove_dir_all(stock.work()).unwrap();
        let own = OwnSession::new(&stock, Connection::Listen { executor: "lab".to_owned() }).await;
        let mut session = own.server(&stock).await;
        let start = Action::EnvironmentStart { environment: own.id };
        let (_, message) = permitted::failure(session.perform(start).await);
        assert!(message.contains(&stock.work()) && message.contains("make it"), "{message}");
    });
}
