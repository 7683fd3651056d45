//! Which sandboxes are in use, and the end of those that are not: for lack of use, or to make room for another.
//!
//! A sandbox is idle while no action is under way in it and nothing runs in it. It is suspended: its processes, of which
//! there are none, end; its workspace stays, and its session gets it again at its next call. So nothing is ever lost by
//! it, and no outcome becomes unknown.

use super::{Environments, Inner, Place, lock};
use crate::{
    hands::Hands,
    sandbox::{Found, State},
};
use bailiwick_ports::{Clock, TaskHandle};
use bailiwick_types::{EnvironmentId, Millis, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

/// After an action, until a sandbox may be ended to make room: by then the action's outcome is on disk.
const OUTCOME_GRACE: Millis = Millis::from_secs(2);
/// The same for a sandbox that was found again: by then every session that a crash left behind has asked what became of
/// its actions.
const RECOVERY_GRACE: Millis = Millis::from_secs(60);
/// How long a new sandbox waits for room that is about to be.
const ROOM_PATIENCE: Millis = Millis::from_secs(10);
/// How often idle sandboxes are looked for.
const LOOK: Millis = Millis::from_secs(30);

/// How an environment is used by this process.
#[derive(Default)]
pub(super) struct Usage {
    /// Actions under way.
    actions: usize,
    /// The end of the last one.
    last: Option<Timestamp>,
}

/// An action under way. While there is one, the environment's sandbox is not ended.
pub(super) struct InUse {
    place: Arc<Place>,
    clock: Arc<dyn Clock>,
}

impl InUse {
    pub fn begin(place: &Arc<Place>, clock: &Arc<dyn Clock>) -> Self {
        lock(&place.usage).actions += 1;
        Self { place: Arc::clone(place), clock: Arc::clone(clock) }
    }

    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut usage = lock(&self.place.usage);
        usage.actions -= 1;
        usage.last = Some(self.clock.now());
    }
}

impl Place {
    /// Takes the hands away unless an action is under way. An action that begins later finds none, and waits for
    /// whoever holds `starting`.
    fn take_hands(&self) -> Result<Option<Arc<Hands>>, Busy> {
        let usage = lock(&self.usage);
        if usage.actions > 0 {
            return Err(Busy);
        }
        Ok(lock(&self.hands).take())
    }
}

/// An action is under way.
struct Busy;

/// A sandbox that runs and that no action uses right now.
struct Unused {
    environment: EnvironmentId,
    state: State,
    since: Timestamp,
    /// When it may be ended to make room.
    free_at: Timestamp,
}

/// A promise of room for one sandbox, kept until the sandbox itself is there to be counted.
pub(super) struct Room<'a> {
    inner: &'a Inner,
    name: String,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        lock(&self.inner.launching).remove(&self.name);
    }
}

/// Why there is no room for another sandbox.
pub(super) enum Full {
    /// As many as may be are running, and none of them may be ended.
    InUse,
    Unreadable(io::Error),
}

impl Inner {
    /// Room for the sandbox `name`; the one that was idle longest is ended for it when there is none.
    pub(super) async fn room(&self, name: &str) -> Result<Room<'_>, Full> {
        let clock = &self.options.clock;
        let give_up = clock.now() + ROOM_PATIENCE;
        loop {
            let soon = {
                let _one_at_a_time = self.room.lock().await;
                match self.room_now(name).await.map_err(Full::Unreadable)? {
                    Ok(room) => return Ok(room),
                    Err(soon) => soon,
                }
            };
            match soon {
                Some(at) if at <= give_up => clock.sleep_until(at).await,
                _ => return Err(Full::InUse),
            }
        }
    }

    /// Without room, says when there may be some.
    async fn room_now(&self, name: &str) -> io::Result<Result<Room<'_>, Option<Timestamp>>> {
        loop {
            let running = self.running()?;
            {
                let mut launching = lock(&self.launching);
                let others: BTreeSet<&str> =
                    running.keys().chain(launching.iter()).map(String::as_str).filter(|other| *other != name).collect();
                if others.len() < self.options.max_sandboxes {
                    launching.insert(name.to_owned());
                    return Ok(Ok(Room { inner: self, name: name.to_owned() }));
                }
            }
            let now = self.options.clock.now();
            let mut unused = self.unused(running);
            unused.sort_by_key(|sandbox| sandbox.since);
            let soon = unused.iter().map(|sandbox| sandbox.free_at).filter(|at| *at > now).min();
            let mut ended = false;
            for sandbox in unused.iter().filter(|sandbox| sandbox.free_at <= now) {
                ended = self.suspend(sandbox, "to make room").await;
                if ended {
                    break;
                }
            }
            if !ended {
                return Ok(Err(soon));
            }
        }
    }

    fn running(&self) -> io::Result<BTreeMap<String, State>> {
        let names = self.sandboxes.list()?.into_iter();
        let running = |name: String| match self.sandboxes.find(&name) {
            Ok(Found::Running(state)) => Some((name, state)),
            _ => None,
        };
        Ok(names.filter_map(running).collect())
    }

    fn unused(&self, running: BTreeMap<String, State>) -> Vec<Unused> {
        let unused = |(name, state): (String, State)| {
            let environment: EnvironmentId = name.parse().ok()?;
            let place = lock(&self.places).get(&environment).cloned();
            let last = match &place {
                Some(place) => {
                    let usage = lock(&place.usage);
                    if usage.actions > 0 {
                        return None;
                    }
                    usage.last
                }
                None => None,
            };
            let (since, grace) = match last {
                Some(last) => (last, OUTCOME_GRACE),
                // Found again: what happened before this process began is not known to it.
                None => (self.begun, RECOVERY_GRACE),
            };
            Some(Unused { environment, state, since, free_at: since + grace })
        };
        running.into_iter().filter_map(unused).collect()
    }

    /// Ends a sandbox if it is still idle, and says whether it did.
    async fn suspend(&self, sandbox: &Unused, why: &str) -> bool {
        let (environment, name) = (sandbox.environment, sandbox.environment.to_string());
        let place = self.place(environment);
        // Whoever starts it or looks for it right now uses it.
        let Ok(_starting) = place.starting.try_lock() else { return false };
        match self.sandboxes.find(&name) {
            Ok(Found::Running(state)) if state == sandbox.state => {}
            Ok(Found::Running(_)) | Err(_) => return false,
            // It ended by itself.
            Ok(Found::Ended | Found::Nothing) => return true,
        }
        let Ok(hands) = place.take_hands() else { return false };
        let ended = match self.sandboxes.is_quiet(&sandbox.state).await {
            Ok(true) => self.sandboxes.suspend(&name).await.map(|()| true),
            Ok(false) => Ok(false),
            Err(error) => Err(error),
        };
        match ended {
            Ok(true) => {
                tracing::info!(%environment, "an idle sandbox was ended {why}; its workspace is kept");
                return true;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%environment, %error, "an idle sandbox could not be ended"),
        }
        *lock(&place.hands) = hands;
        false
    }

    /// Ends every sandbox that was idle for longer than the limit.
    async fn suspend_idle(&self) -> io::Result<()> {
        let now = self.options.clock.now();
        for sandbox in self.unused(self.running()?) {
            if sandbox.since + self.options.idle_limit <= now {
                self.suspend(&sandbox, "for lack of use").await;
            }
        }
        Ok(())
    }
}

impl Environments {
    /// Ends sandboxes that nobody uses, from now on until this and all its clones are dropped.
    pub fn end_idle_sandboxes(&self) -> TaskHandle {
        let options = &self.0.options;
        let (weak, clock) = (Arc::downgrade(&self.0), Arc::clone(&options.clock));
        let pause = Millis(options.idle_limit.0.min(LOOK.0));
        let look = async move {
            loop {
                clock.sleep_until(clock.now() + pause).await;
                let Some(inner) = weak.upgrade() else { return };
                if let Err(error) = inner.suspend_idle().await {
                    tracing::warn!(%error, "sandboxes cannot be looked for");
                }
            }
        };
        options.tasks.spawn("idle sandboxes", Box::pin(look))
    }
}
