//! All environments of a server, behind the gate's traits.
//!
//! Every argument of what is done comes from the opened permit. What this room keeps in memory is only how to reach an
//! environment; after a restart it is found again by what the stream says of it.

mod edit;
mod idle;
mod look;
mod perform;
mod probe;
mod publish;
mod skills;
mod start;

pub use probe::Probe;

use crate::{
    client::{Link, Patience, Tools},
    connection::{AcceptedConnector, Frames, HandOver, ListeningConnector},
    hands::Hands,
    sandbox::Sandboxes,
};
use async_trait::async_trait;
use bailiwick_core::Action;
use bailiwick_gate::{Archive, Executor, ExecutorDoor, ExecutorLine, Live, Mode, Permit, Settled};
use bailiwick_ports::{Clock, Random, Tasks};
use bailiwick_types::{EnvironmentId, Millis, Secret, SessionId, Timestamp};
use idle::{InUse, Usage};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::mpsc::WeakSender;

/// An executor that we dial.
#[derive(Debug, Clone)]
pub struct ListeningExecutor {
    /// `wss://…`, or `ws://` and a loopback address.
    pub url: String,
    /// Its capability token.
    pub token: Secret,
}

/// What environments are made of.
pub struct Options {
    /// Where sandboxes have their folders; made when the first one is launched.
    pub sandboxes: PathBuf,
    /// The server's own binary. Its `main` must begin with [`crate::sandbox::stage`] and the executor's own.
    pub program: PathBuf,
    /// Sandboxes that may run at once.
    pub max_sandboxes: usize,
    /// A sandbox that nobody used for this long is ended; its workspace stays. See [`Environments::end_idle_sandboxes`].
    pub idle_limit: Millis,
    pub executors: BTreeMap<String, ListeningExecutor>,
    /// Where uploaded files come from and artifacts go.
    pub archive: Archive,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
    pub patience: Patience,
}

/// What is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[executors.{executor}] url: {problem}")]
pub struct OptionsError {
    pub executor: String,
    pub problem: String,
}

impl Options {
    pub fn build(self) -> Result<Environments, OptionsError> {
        for (name, executor) in &self.executors {
            ListeningConnector::new(&executor.url, executor.token.clone(), Arc::clone(&self.tasks))
                .map_err(|problem| OptionsError { executor: name.clone(), problem })?;
        }
        let sandboxes = Sandboxes::new(&self.sandboxes, &self.program);
        let begun = self.clock.now();
        let (places, room, launching) = Default::default();
        Ok(Environments(Arc::new(Inner { options: self, sandboxes, begun, places, room, launching })))
    }
}

/// A handle to all environments; clones share them.
#[derive(Clone)]
pub struct Environments(Arc<Inner>);

struct Inner {
    options: Options,
    sandboxes: Sandboxes,
    begun: Timestamp,
    places: Mutex<HashMap<EnvironmentId, Arc<Place>>>,
    /// Held while room for one more sandbox is looked for.
    room: tokio::sync::Mutex<()>,
    /// Sandboxes that were promised room and may not be there yet.
    launching: Mutex<BTreeSet<String>>,
}

/// How one environment is reached.
#[derive(Default)]
struct Place {
    /// Held while it is started, found again or ended.
    starting: tokio::sync::Mutex<()>,
    /// Held while a file is changed, so that two edits do not undo each other.
    changing: tokio::sync::Mutex<()>,
    /// Locked before `hands` where both are.
    usage: Mutex<Usage>,
    hands: Mutex<Option<Arc<Hands>>>,
    door: Mutex<Door>,
    /// The last connection that was dialled in. Does not keep it open.
    line: Mutex<Option<WeakSender<String>>>,
}

/// Where an executor that dials in waits for its client, or the client for it.
#[derive(Default)]
struct Door {
    hand_over: Option<HandOver>,
    /// Not taken by a client yet.
    connector: Option<AcceptedConnector>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    /// The hands, unless their executor is gone for good.
    fn hands(&self) -> Option<Arc<Hands>> {
        let hands = lock(&self.hands).clone()?;
        let gone = matches!(*hands.client().link().borrow(), Link::Gone(_));
        (!gone).then_some(hands)
    }

    fn give(&self, frames: Frames) {
        if let Some(hands) = self.hands() {
            hands.client().let_go();
        }
        let mut door = lock(&self.door);
        let frames = match &door.hand_over {
            Some(hand_over) => match hand_over.give(frames) {
                Ok(()) => return,
                Err(frames) => frames,
            },
            None => frames,
        };
        let (connector, hand_over) = AcceptedConnector::new();
        // Its client is right here.
        let _ = hand_over.give(frames);
        *door = Door { hand_over: Some(hand_over), connector: Some(connector) };
    }

    fn connector(&self) -> AcceptedConnector {
        let mut door = lock(&self.door);
        door.connector.take().unwrap_or_else(|| {
            let (connector, hand_over) = AcceptedConnector::new();
            door.hand_over = Some(hand_over);
            connector
        })
    }
}

impl Inner {
    fn place(&self, environment: EnvironmentId) -> Arc<Place> {
        Arc::clone(lock(&self.places).entry(environment).or_default())
    }
}

impl Environments {
    fn place(&self, environment: EnvironmentId) -> Arc<Place> {
        self.0.place(environment)
    }

    /// Whether an action finds no sandbox because that was ended while nothing ran in it. Nothing was lost with it, so
    /// the action is not tried, and may simply be asked for again once the environment was started.
    async fn finds_suspended(&self, permit: &Permit, place: &Place) -> bool {
        let starts = matches!(permit.action(), Action::EnvironmentStart { .. });
        let Some(environment) = permit.action().environment() else { return false };
        if starts || permit.mode() != Mode::First || place.hands().is_some() {
            return false;
        }
        // Whoever is ending it right now has to be through.
        let _starting = place.starting.lock().await;
        place.hands().is_none() && self.0.sandboxes.is_suspended(&environment.to_string())
    }

    fn tools(&self) -> Tools {
        let options = &self.0.options;
        Tools {
            clock: Arc::clone(&options.clock),
            tasks: Arc::clone(&options.tasks),
            patience: options.patience.clone(),
        }
    }

    /// Whether the executor of this environment is connected right now.
    pub fn is_connected(&self, environment: EnvironmentId) -> bool {
        let place = lock(&self.0.places).get(&environment).cloned();
        let hands = place.and_then(|place| place.hands());
        hands.is_some_and(|hands| matches!(*hands.client().link().borrow(), Link::Connected(_)))
    }

    /// The sandboxes of this server, running or not.
    pub fn sandboxes(&self) -> &Sandboxes {
        &self.0.sandboxes
    }
}

#[async_trait]
impl Executor for Environments {
    async fn perform(&self, permit: Permit, live: Live) -> Settled {
        let used = permit.action().environment().map(|id| InUse::begin(&self.place(id), &self.0.options.clock));
        if let Some(used) = &used
            && self.finds_suspended(&permit, used.place()).await
        {
            return permit.refuse("the sandbox was ended while nobody used it, and has to be started again");
        }
        let opened = match permit.open(&*self.0.options.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let outcome = self.outcome(&opened, &live).await;
        opened.settle(outcome)
    }

    async fn close(&self, session: SessionId, environment: EnvironmentId) {
        let place = self.place(environment);
        let _starting = place.starting.lock().await;
        if let Some(hands) = place.hands() {
            hands.stop_all().await;
        }
        if let Err(error) = self.0.sandboxes.stop(&environment.to_string()).await {
            tracing::error!(%session, %environment, %error, "a sandbox could not be wiped");
        }
        lock(&self.0.places).remove(&environment);
    }

    fn is_suspended(&self, environment: EnvironmentId) -> bool {
        let place = lock(&self.0.places).get(&environment).cloned();
        place.is_none_or(|place| place.hands().is_none()) && self.0.sandboxes.is_suspended(&environment.to_string())
    }

    fn is_away(&self, environment: EnvironmentId) -> bool {
        let place = lock(&self.0.places).get(&environment).cloned();
        let line = place.and_then(|place| lock(&place.line).as_ref().and_then(WeakSender::upgrade));
        line.is_none_or(|line| line.is_closed())
    }
}

#[async_trait]
impl ExecutorDoor for Environments {
    async fn attach(&self, _: SessionId, environment: EnvironmentId, line: ExecutorLine) {
        let place = self.place(environment);
        *lock(&place.line) = Some(line.outgoing.downgrade());
        place.give(line.into());
    }
}
