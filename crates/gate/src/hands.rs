//! The traits of everything that performs. Each method takes a [`Permit`] by value and gives back a [`Settled`].

use crate::{Permit, Settled};
use async_trait::async_trait;
use bailiwick_core::connector::{NoStatements, StatementReader};
use bailiwick_types::{ItemId, SessionId};
use std::sync::Arc;
use tokio::sync::watch;

/// Calls models.
#[async_trait]
pub trait Model: Send + Sync {
    /// Performs a `model.call`. Streams deltas while it goes; retries by itself at the same provider, but never once a
    /// partial answer has been streamed and acted on. When cancelled, settles as failed with `Cancelled`.
    async fn call(&self, permit: Permit, live: Live) -> Settled;
}

/// Acts in environments: commands, files, artifacts.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Performs every action that has an environment, and loads skills also where there is none. When cancelled, a running
    /// foreground command is stopped within two seconds, its process group and all, and settles as confirmed with
    /// `CommandEnd::Cancelled`.
    async fn perform(&self, permit: Permit, live: Live) -> Settled;

    /// The session is over or was deleted: stop what runs and wipe what is ours. Belongs to the `environment.start`
    /// that caused it. Succeeds when there is nothing.
    async fn close(&self, session: SessionId, environment: bailiwick_types::EnvironmentId);

    /// Whether the hosted sandbox of this environment was ended while nothing ran in it: it is there again, with its
    /// workspace, once it is started. Never asked of environments of another kind.
    fn is_suspended(&self, _environment: bailiwick_types::EnvironmentId) -> bool {
        false
    }

    /// Whether the executor that dials in to this environment has no connection to this process. Asked only of
    /// environments that are dialled in to.
    fn is_away(&self, _environment: bailiwick_types::EnvironmentId) -> bool {
        false
    }
}

/// Reaches the systems of the company.
#[async_trait]
pub trait Tools: Send + Sync {
    /// Performs every action that has a connector: opens it, calls a tool of it, puts a statement to it. What is known
    /// of the connector is in [`crate::Opened::access`]. When cancelled, stops waiting, tells the system so where it can
    /// be told, and settles as what is then true.
    async fn perform(&self, permit: Permit, live: Live) -> Settled;

    /// Who reads the statements that databases are asked.
    fn statements(&self) -> &dyn StatementReader {
        &NoStatements
    }

    /// The session is over: what was kept open for it may be closed.
    async fn close(&self, _session: SessionId) {}
}

/// Reads and changes what is remembered between sessions.
#[async_trait]
pub trait Memory: Send + Sync {
    /// Performs every action of memory, on nothing but [`crate::Opened::within`].
    async fn perform(&self, permit: Permit) -> Settled;
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemory;

#[async_trait]
impl Memory for NoMemory {
    async fn perform(&self, permit: Permit) -> Settled {
        permit.refuse("this server has no memory")
    }
}

/// Reaches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

#[async_trait]
impl Tools for NoTools {
    async fn perform(&self, permit: Permit, _live: Live) -> Settled {
        permit.refuse("this server reaches no systems")
    }
}

/// What a hand may say while it works. All of it is provisional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More text of an assistant message. `index` is its place in the model's output.
    Text { item: ItemId, index: u16, text: String },
    /// More text of the `part`-th reasoning summary.
    ReasoningSummary { item: ItemId, index: u16, part: u16, text: String },
    /// More output of the command that the permit is for.
    CommandOutput { text: String },
    /// A retry begins: what was streamed for this action so far does not count.
    Restarted,
}

/// The line between a hand and whoever watches: provisional output one way, the wish to stop the other way.
#[derive(Clone)]
pub struct Live {
    emit: Arc<dyn Fn(Delta) + Send + Sync>,
    stop: watch::Receiver<bool>,
}

/// The other end of [`Live`]'s wish to stop.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<watch::Sender<bool>>);

impl Live {
    pub fn new(emit: impl Fn(Delta) + Send + Sync + 'static) -> (Self, Stopper) {
        let (sender, stop) = watch::channel(false);
        (Self { emit: Arc::new(emit), stop }, Stopper(Arc::new(sender)))
    }

    /// The same wish to stop, and another way out for what is said.
    pub(crate) fn through(&self, emit: impl Fn(Delta) + Send + Sync + 'static) -> Self {
        Self { emit: Arc::new(emit), stop: self.stop.clone() }
    }

    /// One that nobody watches and nobody stops.
    pub fn unwatched() -> Self {
        Self::new(|_| ()).0
    }

    pub fn emit(&self, delta: Delta) {
        (self.emit)(delta);
    }

    pub fn is_cancelled(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns once the action is to stop; never, when nobody can ask for it any more.
    pub async fn cancelled(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
