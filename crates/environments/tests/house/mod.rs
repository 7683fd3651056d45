//! What the tests of this room share: time, tasks, sandboxes, and connections that can be cut.

pub mod session;

use async_trait::async_trait;
use bailiwick_environments::{
    ConnectError, Connector, ExecutorClient, Frames, Hands, HostedConnector, Patience, Tools,
    hands::{Command, CommandRequest},
    sandbox::{Limits, Sandboxes, State},
};
use bailiwick_ports::{BoxFuture, Clock, TaskHandle, Tasks};
use bailiwick_types::{Millis, Timestamp};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// The system's time.
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        Timestamp::from_millis(since.as_millis() as i64)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(until.since(self.now()).as_duration()))
    }
}

/// The system's time and as much more as it was moved on by.
#[derive(Default)]
pub struct MovedClock(watch::Sender<u64>);

impl MovedClock {
    pub fn move_on(&self, span: Millis) {
        self.0.send_modify(|moved| *moved += span.0);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        RealClock.now() + Millis(*self.0.borrow())
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let mut moved = self.0.subscribe();
        Box::pin(async move {
            loop {
                let now = RealClock.now() + Millis(*moved.borrow_and_update());
                if now >= until {
                    return;
                }
                let wait = tokio::time::sleep(until.since(now).as_duration());
                tokio::select! {
                    () = wait => {}
                    Ok(()) = moved.changed() => {}
                }
            }
        })
    }
}

pub struct RealTasks;

impl Tasks for RealTasks {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let handle = tokio::spawn(work).abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}

pub fn tools() -> Tools {
    let patience = Patience { connection: Millis::from_secs(15), lost: Millis::from_secs(20), ..Patience::default() };
    Tools { clock: Arc::new(RealClock), tasks: Arc::new(RealTasks), patience }
}

/// Runs a test with a runtime, but not for ever.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs") });
}

/// A sandbox that is stopped when the test is over, also when it fails.
pub struct Box_ {
    pub sandboxes: Sandboxes,
    pub state: State,
    pub folder: tempfile::TempDir,
}

pub const NAME: &str = "env_test";

impl Box_ {
    pub async fn launch(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sandboxes = Sandboxes::new(folder.path().join("sandboxes"), std::env::current_exe().unwrap());
        let state = sandboxes.launch(NAME, &limits).await.unwrap_or_else(|error| panic!("{error}"));
        Self { sandboxes, state, folder }
    }

    pub fn connector(&self) -> Box<dyn Connector> {
        hosted(&self.sandboxes)
    }

    pub async fn hands(&self) -> Hands {
        hands(self.connector(), &self.state.session).await
    }
}

pub fn hosted(sandboxes: &Sandboxes) -> Box<dyn Connector> {
    Box::new(HostedConnector { sandboxes: sandboxes.clone(), name: NAME.into(), tasks: Arc::new(RealTasks) })
}

pub async fn hands(connector: Box<dyn Connector>, session: &str) -> Hands {
    let client = ExecutorClient::resume(connector, session.to_owned(), tools()).await;
    Hands::new(client.unwrap_or_else(|error| panic!("{error}")), environment())
}

pub fn environment() -> BTreeMap<String, String> {
    bailiwick_environments::sandbox::ENVIRONMENT.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

impl Drop for Box_ {
    fn drop(&mut self) {
        let sandboxes = self.sandboxes.clone();
        let stop = std::thread::spawn(move || run(async move { sandboxes.stop(NAME).await.unwrap() }));
        if stop.join().is_err() && !std::thread::panicking() {
            panic!("the sandbox does not stop");
        }
    }
}

pub fn request(id: &str, script: &str) -> CommandRequest {
    request_in(id, script, "/workspace")
}

pub fn request_in(id: &str, script: &str, cwd: &str) -> CommandRequest {
    CommandRequest {
        id: id.to_owned(),
        made_at: RealClock.now(),
        command: Command::Shell(script.to_owned()),
        cwd: cwd.to_owned(),
        timeout: Some(Millis::from_secs(60)),
        max_output_bytes: 64 * 1024,
        variables: Default::default(),
    }
}

/// Connects as another does, and cuts when it is told to.
pub struct Cutting {
    inner: Box<dyn Connector>,
    cuts: watch::Receiver<u64>,
}

pub struct Scissors(watch::Sender<u64>);

impl Scissors {
    pub fn cut(&self) {
        self.0.send_modify(|cuts| *cuts += 1);
    }
}

impl Cutting {
    pub fn new(inner: Box<dyn Connector>) -> (Self, Scissors) {
        let (sender, cuts) = watch::channel(0);
        (Self { inner, cuts }, Scissors(sender))
    }
}

#[async_trait]
impl Connector for Cutting {
    async fn connect(&self) -> Result<Frames, ConnectError> {
        let mut far = self.inner.connect().await?;
        let (near, mut relay) = Frames::pair();
        let mut cuts = self.cuts.clone();
        cuts.mark_unchanged();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    _ = cuts.changed() => return,
                    frame = relay.incoming.recv() => match frame {
                        Some(frame) => far.outgoing.send(frame).await.unwrap(),
                        None => return,
                    },
                    frame = far.incoming.recv() => match frame {
                        Some(frame) => if relay.outgoing.send(frame).await.is_err() { return },
                        None => return,
                    },
                }
            }
        });
        Ok(near)
    }
}
