//! Which sessions are driven: those that were just given something, and those that the store says are due.

use crate::{driver, handle::Options, live::Channels, marks};
use bailiwick_core::record::{Input, InputEnvelope};
use bailiwick_gate::{GateError, Journal};
use bailiwick_ports::store::Submission;
use bailiwick_types::{Millis, Principal, SessionId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tracing::Instrument as _;

/// How often the store is asked for streams that are due: after a restart, by time, or left behind by another node.
const LOOK: Millis = Millis(500);
/// Streams taken up at one look.
const BATCH: u32 = 256;
/// How long a session that failed to drive is left alone.
const PAUSE: Millis = Millis(1000);

pub(crate) struct Scheduler {
    pub(crate) options: Options,
    pub(crate) channels: Arc<Channels>,
    driven: Mutex<HashMap<SessionId, Arc<Notify>>>,
    paused: Mutex<HashMap<SessionId, Timestamp>>,
    freed: Notify,
}

impl Scheduler {
    pub(crate) fn new(options: Options, channels: Arc<Channels>) -> Self {
        Self { options, channels, driven: Mutex::default(), paused: Mutex::default(), freed: Notify::new() }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Notify>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn driven(&self) -> usize {
        self.map().len()
    }

    /// Gives a session an input of the house's own. It is on disk when this returns.
    pub(crate) async fn tell(&self, session: SessionId, input: Input) -> Result<(), GateError> {
        let (store, stream) = (&self.options.store, session.into());
        let Some(head) = store.head(stream).await? else { return Ok(()) };
        let journal = Journal::open(&*self.options.keys, head.tenant, stream, &head.key)?;
        let inputs = vec![journal.seal_input(&InputEnvelope { orderer: Principal::Operator, input })];
        store.submit(Submission { tenant: head.tenant, stream, inputs, idempotency: None }).await?;
        Ok(())
    }

    /// Has every driver look at what stands.
    pub(crate) fn ring_all(&self) {
        self.map().values().for_each(|bell| bell.notify_one());
    }

    pub(crate) async fn run(self: &Arc<Self>, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            self.look().await;
            let wait = self.options.clock.sleep_until(self.options.clock.now() + LOOK);
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = wait => {}
                () = self.freed.notified() => {}
            }
        }
    }

    /// Takes up what is due, oldest first, as far as there is room.
    async fn look(self: &Arc<Self>) {
        self.unpause();
        if self.driven() >= self.options.max_driven {
            return;
        }
        match self.options.store.ready(BATCH).await {
            Ok(ready) => {
                for due in ready {
                    let session = due.stream.into();
                    if !self.is_paused(session) {
                        self.wake(session);
                    }
                }
            }
            Err(error) => tracing::error!(%error, "cannot look for sessions that are due"),
        }
    }

    /// Rings the session's driver, or starts one where there is room; where there is none the next look finds it.
    pub(crate) fn wake(self: &Arc<Self>, session: SessionId) {
        let bell = {
            let mut map = self.map();
            if let Some(bell) = map.get(&session) {
                bell.notify_one();
                return;
            }
            if map.len() >= self.options.max_driven {
                return;
            }
            let bell = Arc::new(Notify::new());
            map.insert(session, Arc::clone(&bell));
            bell
        };
        let scheduler = Arc::clone(self);
        let work = async move {
            let _guard = Guard { scheduler: Arc::clone(&scheduler), session };
            if let Err(error) = driver::drive(&scheduler, session, &bell).await {
                tracing::error!(%error, "a session could not go on; it is tried again");
                scheduler.pause(session);
            }
        };
        let work = Box::pin(work.instrument(marks::session(session)));
        self.options.tasks.spawn("session", work);
    }

    fn pauses(&self) -> MutexGuard<'_, HashMap<SessionId, Timestamp>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, session: SessionId) {
        self.pauses().insert(session, self.options.clock.now() + PAUSE);
    }

    fn is_paused(&self, session: SessionId) -> bool {
        self.pauses().contains_key(&session)
    }

    fn unpause(&self) {
        let now = self.options.clock.now();
        self.pauses().retain(|_, until| *until > now);
    }
}

/// Marks a session as no longer driven, however its driver ended.
struct Guard {
    scheduler: Arc<Scheduler>,
    session: SessionId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let bell = self.scheduler.map().remove(&self.session);
        self.scheduler.channels.forget_unwatched(self.session);
        // Somebody rang after the driver's last look: the store knows what for.
        let rung = bell.is_some_and(|bell| driver::was_rung(&bell));
        if rung || self.scheduler.driven() + 1 >= self.scheduler.options.max_driven {
            self.scheduler.freed.notify_one();
        }
    }
}
