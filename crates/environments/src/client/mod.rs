//! Our end of the executor protocol: one client for every way to an executor.
//!
//! It keeps a session with the executor over lost connections, and knows when the session itself is lost: then what ran
//! in it has an unknown end. It begins a new session only when it is made, never by itself, because whoever uses it has
//! to write the session's id down before anything runs in it.

mod driver;
mod track;

pub use track::Output;

use crate::{connection::Connector, error::ExecutorError};
use bailiwick_executor_protocol::{
    EnvironmentInfo, Method, OWN_VERSION_PREFIX, ProcessParams, ProcessRead, ProcessReadParams, ProcessSignal,
    ProcessStart, ProcessStartParams, ProcessTerminate, ProcessWrite, ProcessWriteParams, RequestId, RpcError, Signal,
    SignalParams, WriteStatus, request,
};
use bailiwick_ports::{Clock, Tasks};
use bailiwick_types::{Millis, Timestamp};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use track::Track;

/// How patient a client is.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For an answer. Longer than the longest wait that is asked for in a request.
    pub answer: Millis,
    /// For the connection to come (back) before an operation is given up.
    pub connection: Millis,
    /// For a lost connection under a running command. The stock executor kills the processes of a session that was
    /// without a connection for 30 to 100 s (measured), so there is no point in more.
    pub lost: Millis,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Millis::from_secs(60), connection: Millis::from_secs(30), lost: Millis::from_secs(120) }
    }
}

/// What a client needs of the house.
#[derive(Clone)]
pub struct Tools {
    pub clock: Arc<dyn Clock>,
    pub tasks: Arc<dyn Tasks>,
    pub patience: Patience,
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not (or no longer) connected; it is being tried. Says why the last try failed.
    Connecting(String),
    /// How many connections there were so far: when it has changed, notifications were missed.
    Connected(u64),
    /// It will not come back.
    Gone(String),
}

type Pending = oneshot::Sender<Result<Box<RawValue>, ExecutorError>>;

struct Shared {
    tools: Tools,
    connector: Box<dyn Connector>,
    link: watch::Sender<Link>,
    state: Mutex<State>,
    next_id: AtomicI64,
    /// Rung when the last handle is dropped.
    closing: Notify,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    outgoing: Option<mpsc::Sender<String>>,
    pending: HashMap<i64, Pending>,
    processes: HashMap<String, Weak<Watched>>,
}

/// The session that the client holds.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: String,
    /// Whether it was taken up, with what ran in it, or begun.
    pub resumed: bool,
    pub environment: Option<EnvironmentInfo>,
}

impl Session {
    /// Whether the executor is ours: then it never forgets a process id.
    pub fn is_own(&self) -> bool {
        self.version().is_some_and(|version| version.starts_with(OWN_VERSION_PREFIX))
    }

    pub fn version(&self) -> Option<&str> {
        self.environment.as_ref()?.executor_version.as_deref()
    }
}

/// A process that is followed.
pub(crate) struct Watched {
    pub(crate) id: String,
    pub(crate) track: Mutex<Track>,
    pub(crate) changed: Notify,
}

impl Watched {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Track> {
        lock(&self.track)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an executor says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is known; its state is in its track.
    Known,
    /// It was certainly never started.
    NeverSeen,
    /// It may have been started and forgotten.
    Forgotten,
}

/// The stock executor forgets an ended process after 64 to 80 s (measured); a start that is younger is not forgotten.
const SURELY_REMEMBERED: Millis = Millis::from_secs(45);
/// While a process is being started, which takes the stock executor some milliseconds. One whose connection broke in
/// that moment stays so for ever (measured), and nobody can say whether it runs.
const STARTING_PAUSE: Millis = Millis(20);
const STARTING_PATIENCE: Millis = Millis::from_secs(3);
/// How much one read of a process's output asks for.
const READ_BYTES: usize = 256 * 1024;
/// Requests that may be under way at once.
const MAX_PENDING: usize = 1024;

/// A handle to an executor; clones share it, and the last one closes the connection.
#[derive(Clone)]
pub struct ExecutorClient {
    shared: Arc<Shared>,
    _closer: Arc<Closer>,
}

struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.closing.notify_one();
    }
}

impl ExecutorClient {
    /// Connects, and takes up the session `resume` or, where that is gone or none is named, begins a new one.
    /// Compare [`Session::id`] to see which.
    pub async fn connect(
        connector: Box<dyn Connector>,
        resume: Option<String>,
        tools: Tools,
    ) -> Result<Self, ExecutorError> {
        Self::open(connector, resume, true, tools).await
    }

    /// Connects and takes up a session; begins no other.
    pub async fn resume(connector: Box<dyn Connector>, session: String, tools: Tools) -> Result<Self, ExecutorError> {
        Self::open(connector, Some(session), false, tools).await
    }

    async fn open(
        connector: Box<dyn Connector>,
        resume: Option<String>,
        may_begin: bool,
        tools: Tools,
    ) -> Result<Self, ExecutorError> {
        let shared = Arc::new(Shared {
            connector,
            link: watch::Sender::new(Link::Connecting("there is no connection yet".to_owned())),
            state: Mutex::default(),
            next_id: AtomicI64::new(1),
            closing: Notify::new(),
            tools,
        });
        let client = Self { _closer: Arc::new(Closer(Arc::clone(&shared))), shared };
        let driver = driver::run(Arc::clone(&client.shared), resume, may_begin);
        client.shared.tools.tasks.spawn("executor client", Box::pin(driver));
        client.connected(client.shared.tools.patience.connection).await?;
        Ok(client)
    }

    /// The session that is held. There is one since the client was made.
    pub fn session(&self) -> Option<Session> {
        lock(&self.shared.state).session.clone()
    }

    /// The state of the connection, to be watched.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// Lets go of the connection at once, because a newer one is about to be handed over: what is sent from now on goes
    /// there. Call it before the newer one is given.
    pub(crate) fn let_go(&self) {
        driver::disconnect(&self.shared);
        self.shared.link.send_if_modified(|link| {
            let connected = matches!(link, Link::Connected(_));
            if connected {
                *link = Link::Connecting("the executor dialled again".to_owned());
            }
            connected
        });
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.shared.tools.clock.as_ref()
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.shared.tools.patience
    }

    /// Waits until there is a connection.
    pub async fn connected(&self, patience: Millis) -> Result<(), ExecutorError> {
        let mut link = self.shared.link.subscribe();
        let settled = async {
            match link.wait_for(|link| !matches!(link, Link::Connecting(_))).await.as_deref() {
                Ok(Link::Gone(reason)) => Err(ExecutorError::Gone(reason.clone())),
                _ => Ok(()),
            }
        };
        let until = self.clock().now() + patience;
        tokio::select! {
            settled = settled => settled,
            () = self.clock().sleep_until(until) => {
                let why = match &*self.shared.link.borrow() {
                    Link::Connecting(why) | Link::Gone(why) => why.clone(),
                    Link::Connected(_) => "it came too late".to_owned(),
                };
                Err(ExecutorError::Unreachable(why))
            }
        }
    }

    /// Sends one request and waits for its answer.
    pub async fn call<M: Method>(&self, params: &M::Params) -> Result<M::Result, ExecutorError> {
        self.connected(self.patience().connection).await?;
        let answer = self.shared.send::<M>(params).await?;
        let until = self.clock().now() + self.patience().answer;
        let raw = tokio::select! {
            raw = answer.receiver => raw.unwrap_or(Err(ExecutorError::Interrupted))?,
            () = self.clock().sleep_until(until) => {
                lock(&self.shared.state).pending.remove(&answer.id);
                return Err(ExecutorError::TimedOut);
            }
        };
        serde_json::from_str(raw.get())
            .map_err(|error| ExecutorError::Incompatible(format!("the answer to {}: {error}", M::NAME)))
    }

    /// As [`ExecutorClient::call`], but tries once more when the connection broke: for what may be done twice.
    pub async fn call_again<M: Method>(&self, params: &M::Params) -> Result<M::Result, ExecutorError> {
        match self.call::<M>(params).await {
            Err(ExecutorError::Interrupted) => self.call::<M>(params).await,
            other => other,
        }
    }

    /// Follows a process from now on, or takes the one that is followed already.
    pub(crate) fn watch(&self, process: &str, max_output_bytes: usize) -> Arc<Watched> {
        let mut state = lock(&self.shared.state);
        state.processes.retain(|_, watched| watched.strong_count() > 0);
        if let Some(watched) = state.processes.get(process).and_then(Weak::upgrade) {
            return watched;
        }
        let watched = Arc::new(Watched {
            id: process.to_owned(),
            track: Mutex::new(Track::new(max_output_bytes)),
            changed: Notify::new(),
        });
        state.processes.insert(process.to_owned(), Arc::downgrade(&watched));
        watched
    }

    /// Starts a process. One that was started under that id before is that one.
    pub(crate) async fn start(&self, params: &ProcessStartParams) -> Result<(), ExecutorError> {
        match self.call::<ProcessStart>(params).await {
            Err(error) if error.is_existing_process() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads all that was missed of a process. `made_at` is when its id was made.
    pub(crate) async fn look_up(&self, watched: &Watched, made_at: Timestamp) -> Result<Lookup, ExecutorError> {
        match self.catch_up(watched).await {
            Ok(()) => Ok(Lookup::Known),
            Err(error) if error.is_unknown_process() => {
                let session = self.session();
                let own = session.as_ref().is_some_and(Session::is_own);
                let young = self.clock().now() <= made_at + SURELY_REMEMBERED;
                Ok(if own || young { Lookup::NeverSeen } else { Lookup::Forgotten })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads all that was missed of a process.
    pub(crate) async fn catch_up(&self, watched: &Watched) -> Result<(), ExecutorError> {
        let give_up = self.clock().now() + STARTING_PATIENCE;
        loop {
            let after_seq = Some(watched.lock().last_seq());
            let params = ProcessReadParams {
                process_id: watched.id.clone(),
                after_seq,
                max_bytes: Some(READ_BYTES),
                wait_ms: None,
            };
            let read = match self.call_again::<ProcessRead>(&params).await {
                Err(error) if error.is_starting_process() && self.clock().now() < give_up => {
                    self.clock().sleep_until(self.clock().now() + STARTING_PAUSE).await;
                    continue;
                }
                read => read?,
            };
            let more = watched.lock().take_read(read);
            watched.changed.notify_waiters();
            if !more {
                return Ok(());
            }
        }
    }

    pub(crate) async fn interrupt(&self, process: &str) -> Result<(), ExecutorError> {
        let params = SignalParams { process_id: process.to_owned(), signal: Signal::Interrupt };
        self.call::<ProcessSignal>(&params).await.map(drop)
    }

    /// Kills a process with its group; says whether it ran until now.
    pub(crate) async fn terminate(&self, process: &str) -> Result<bool, ExecutorError> {
        let params = ProcessParams { process_id: process.to_owned() };
        self.call_again::<ProcessTerminate>(&params).await.map(|terminated| terminated.running)
    }

    /// Writes to a process's input; a `write_id` that was used before is not written again.
    pub(crate) async fn write(
        &self,
        process: &str,
        write_id: String,
        bytes: Vec<u8>,
    ) -> Result<WriteStatus, ExecutorError> {
        let params = ProcessWriteParams { process_id: process.to_owned(), chunk: bytes.into(), write_id };
        self.call_again::<ProcessWrite>(&params).await.map(|written| written.status)
    }
}

struct Answer {
    id: i64,
    receiver: oneshot::Receiver<Result<Box<RawValue>, ExecutorError>>,
}

impl Shared {
    async fn send<M: Method>(&self, params: &M::Params) -> Result<Answer, ExecutorError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let frame = request::<M>(&RequestId::Number(id), params);
        if frame.len() > bailiwick_executor_protocol::MAX_FRAME_BYTES {
            return Err(ExecutorError::TooLarge(format!("the request {} is too large to be sent", M::NAME)));
        }
        let (sender, receiver) = oneshot::channel();
        let outgoing = {
            let mut state = lock(&self.state);
            if state.pending.len() >= MAX_PENDING {
                return Err(ExecutorError::Unreachable("too many requests wait for an answer".to_owned()));
            }
            let outgoing = state.outgoing.clone();
            let outgoing =
                outgoing.ok_or_else(|| ExecutorError::Unreachable("the connection just broke".to_owned()))?;
            state.pending.insert(id, sender);
            outgoing
        };
        if outgoing.send(frame).await.is_err() {
            lock(&self.state).pending.remove(&id);
            return Err(ExecutorError::Interrupted);
        }
        Ok(Answer { id, receiver })
    }

    fn answered(&self, id: i64, answer: Result<Box<RawValue>, RpcError>) {
        let pending = lock(&self.state).pending.remove(&id);
        if let Some(pending) = pending {
            let _ = pending.send(answer.map_err(ExecutorError::Refused));
        }
    }
}
