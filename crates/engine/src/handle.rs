//! The engine's parts and the handle by which others use it.

use crate::{
    live::{Channels, From, Watch, WatchError},
    scheduler::Scheduler,
    sweep,
};
use bailiwick_core::{Approver, record::InputEnvelope};
use bailiwick_gate::{Archive, Executor, Gate, GateError, Journal, Memory, Model, NewSession, Tools};
use bailiwick_ports::{
    Clock, Keys, ModelCards, Random, Store, StoreError, Tasks,
    store::{Accepted, Idempotency, Submission},
};
use bailiwick_types::{NodeId, Principal, SessionId, TenantId, Timestamp};
use std::sync::Arc;

/// Everything that the engine works with.
pub struct Options {
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub gate: Arc<Gate>,
    /// From which a deleted session's bytes are removed, and those that nothing refers to.
    pub archive: Archive,
    pub model: Arc<dyn Model>,
    pub executor: Arc<dyn Executor>,
    /// Reaches the systems that connectors lead to.
    pub tools: Arc<dyn Tools>,
    /// What is remembered between sessions.
    pub memory: Arc<dyn Memory>,
    pub cards: Arc<dyn ModelCards>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
    pub node: NodeId,
    /// Sessions that this process drives at the same time; the others wait their turn.
    pub max_driven: usize,
}

impl Options {
    pub fn build(self) -> Engine {
        let channels = Arc::new(Channels::default());
        let scheduler = Arc::new(Scheduler::new(self, Arc::clone(&channels)));
        Engine { handle: Handle { scheduler, channels } }
    }
}

/// The engine before it runs.
pub struct Engine {
    handle: Handle,
}

impl Engine {
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Drives whatever is due until `stop` returns. Sessions go on by themselves after a restart.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let scheduler = &self.handle.scheduler;
        tokio::select! {
            biased;
            () = scheduler.run(stop) => {}
            () = sweep::run(&scheduler.options) => {}
        }
    }
}

/// How others use the engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    scheduler: Arc<Scheduler>,
    channels: Arc<Channels>,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("there is no session {0}")]
    UnknownSession(SessionId),
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl std::convert::From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// On disk; the session will take it in. `repeated` when the same request had come before.
    Accepted { session: SessionId, sequence: u64, repeated: bool },
    /// The idempotency key was used for another body.
    KeyReused,
}

impl Handle {
    /// Begins a session and lets it go.
    pub async fn create(&self, new: NewSession) -> Result<Submitted, EngineError> {
        let (session, driven) = (new.session, new.input.is_some());
        let (accepted, _changes) = self.scheduler.options.gate.create(new).await?;
        if driven && matches!(accepted, Accepted::New { .. }) {
            self.scheduler.wake(session);
        }
        Ok(submitted(session, accepted))
    }

    /// Whether somebody may answer a question about what `principal` wants to do.
    pub fn may_answer(&self, tenant: TenantId, approver: &Approver, principal: &Principal, by: &Principal) -> bool {
        self.scheduler.options.gate.may_answer(tenant, approver, principal, by)
    }

    /// To be called after a stop was set, a key or a grant revoked, a person disabled, an agent put aside: ends what runs
    /// and may not any more.
    pub fn obey_stops(&self) {
        self.scheduler.ring_all();
    }

    /// Gives a session its next inputs, all or none. They are on disk when this returns; the session takes them in by
    /// itself.
    pub async fn submit(
        &self,
        tenant: TenantId,
        session: SessionId,
        inputs: Vec<InputEnvelope>,
        idempotency: Option<Idempotency>,
    ) -> Result<Submitted, EngineError> {
        let journal = self.journal(tenant, session).await?;
        let inputs = inputs.iter().map(|input| journal.seal_input(input)).collect();
        let submission = Submission { tenant, stream: session.into(), inputs, idempotency };
        let accepted = self.scheduler.options.store.submit(submission).await?;
        if matches!(accepted, Accepted::New { .. }) {
            self.scheduler.wake(session);
        }
        Ok(submitted(session, accepted))
    }

    /// Returns when the session has taken in its inputs up to `sequence`, or at `until`.
    pub async fn taken_in(&self, session: SessionId, sequence: u64, until: Timestamp) -> Result<bool, EngineError> {
        let options = &self.scheduler.options;
        loop {
            let head = options.store.head(session.into()).await?;
            let head = head.ok_or(EngineError::UnknownSession(session))?;
            if head.inbox_through >= sequence {
                return Ok(true);
            }
            let now = options.clock.now();
            if now >= until {
                return Ok(false);
            }
            options.clock.sleep_until(now + bailiwick_types::Millis(5)).await;
        }
    }

    /// Watches a session. Another tenant's session is unknown.
    pub async fn watch(&self, tenant: TenantId, session: SessionId, from: From) -> Result<Watch, EngineError> {
        // The receiver is made before the head is read, so that nothing falls between.
        let journal = self.journal(tenant, session).await?;
        let store = Arc::clone(&self.scheduler.options.store);
        let mut watch = Watch::new(Arc::clone(&store), journal, Arc::clone(&self.channels), from);
        if from == From::Now {
            let head = store.head(session.into()).await?.ok_or(EngineError::UnknownSession(session))?;
            watch.skip_to(head.position);
        }
        Ok(watch)
    }

    /// The codec of a session's sealed rows and objects.
    pub async fn journal(&self, tenant: TenantId, session: SessionId) -> Result<Journal, EngineError> {
        let options = &self.scheduler.options;
        let head = options.store.head(session.into()).await?;
        let head = head.filter(|head| head.tenant == tenant).ok_or(EngineError::UnknownSession(session))?;
        Ok(Journal::open(&*options.keys, tenant, session.into(), &head.key)?)
    }

    /// The door of this process: its budgets and balances.
    pub fn gate(&self) -> &Gate {
        &self.scheduler.options.gate
    }

    pub(crate) fn options(&self) -> &Options {
        &self.scheduler.options
    }

    /// Sessions that this process drives now.
    pub fn driven(&self) -> usize {
        self.scheduler.driven()
    }
}

impl std::convert::From<WatchError> for EngineError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Gate(error) => Self::Gate(error),
        }
    }
}

fn submitted(session: SessionId, accepted: Accepted) -> Submitted {
    match accepted {
        Accepted::New { sequence } => Submitted::Accepted { session, sequence, repeated: false },
        Accepted::Repeated { stream, sequence } => {
            Submitted::Accepted { session: stream.into(), sequence, repeated: true }
        }
        Accepted::KeyReused => Submitted::KeyReused,
    }
}
