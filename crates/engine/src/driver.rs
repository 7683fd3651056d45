//! One session, driven: from its lease to the moment when nothing is left to do.
//!
//! The driver holds the lease, starts a hand for each permit, and puts every outcome into the next commit. It decides
//! nothing: `core` plans, `gate` lets through.

use crate::{
    accounts, away, deletion,
    live::{Channel, place},
    marks,
    scheduler::Scheduler,
    snapshots, stops,
};
use bailiwick_core::{
    Action, ModelCall, Purpose,
    session::{Bounds, Mint, Plan, State, plan, recover},
};
use bailiwick_gate::{
    Batch, Committed, Decision, Executor, GateError, LEASE, Lease, Live, Permit, Release, Settled, Stopper,
};
use bailiwick_ports::TaskHandle;
use bailiwick_types::{ActionId, Millis, SessionId, Timestamp};
use futures_util::FutureExt;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{
    Notify,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tracing::Instrument as _;

/// A hand that was told to stop and has not settled is cut off after this.
const STOP_GRACE: Millis = Millis(2500);
/// How long a lease is kept while the session waits for the application: a quick answer then costs no new lease.
const LINGER: Millis = Millis::from_secs(5);
/// The lease is renewed when this much of it is left.
const RENEW: Millis = Millis(LEASE.0 / 2);
/// For a model that the configuration no longer has.
const UNKNOWN_CONTEXT: u64 = 128_000;

struct Driver<'a> {
    scheduler: &'a Arc<Scheduler>,
    channel: Channel,
    lease: Lease,
    hands: HashMap<ActionId, Hand>,
    // At most one message per hand, so bounded by the parallel actions of a turn.
    outcomes: UnboundedSender<Settled>,
    settled: UnboundedReceiver<Settled>,
    /// Nothing is left to do of the session's deletion.
    finished: bool,
}

/// A hand at work.
struct Hand {
    task: TaskHandle,
    stopper: Stopper,
    stopping: Option<Timestamp>,
}

/// Why the driver woke.
enum Woken {
    Settled(Settled),
    Rung,
    Time,
}

/// The bell holds a ring that nobody has heard.
pub(crate) fn was_rung(bell: &Notify) -> bool {
    bell.notified().now_or_never().is_some()
}

/// Drives a session until it is idle or somebody else has it.
pub(crate) async fn drive(scheduler: &Arc<Scheduler>, session: SessionId, bell: &Notify) -> Result<(), GateError> {
    let options = &scheduler.options;
    let Some(lease) = options.gate.open(session, options.node).await? else { return Ok(()) };
    marks::opened(lease.state());
    let finished = deletion::is_over(lease.state());
    if finished {
        deletion::finish(options, lease.state()).await?;
    } else {
        away::tell(scheduler, session, lease.state()).await?;
        accounts::tell(scheduler, session, lease.state()).await?;
    }
    let (outcomes, settled) = unbounded_channel();
    let channel = scheduler.channels.of(session);
    let mut driver = Driver { scheduler, channel, lease, hands: HashMap::new(), outcomes, settled, finished };
    let result = driver.run(bell).await;
    for hand in driver.hands.values() {
        hand.task.abort();
    }
    if result.is_ok() && !finished && deletion::is_over(driver.lease.state()) {
        // It was left due: taken up again at once.
        bell.notify_one();
    }
    match result {
        // Another node took over: it goes on from the stream.
        Err(GateError::Store(bailiwick_ports::StoreError::StaleEpoch { .. })) => Ok(()),
        other => other,
    }
}

impl Driver<'_> {
    async fn run(&mut self, bell: &Notify) -> Result<(), GateError> {
        let mut resume: Vec<ActionId> = recover(self.lease.state()).into_iter().map(|(id, _)| id).collect();
        let mut settled = Vec::new();
        let mut take_inputs = true;
        let mut linger: Option<Timestamp> = None;
        let mut span = snapshots::span(self.lease.state());
        loop {
            let release = match linger {
                Some(until) if self.now() >= until => Release::WhenWaiting,
                _ => Release::WhenIdle,
            };
            take_inputs |= stops::obey(self.scheduler, self.lease.state().session, self.lease.state()).await?;
            let committed = self.commit(settled, take_inputs, std::mem::take(&mut resume), release).await?;
            let wake = [committed.wake, stops::due(self.scheduler, self.lease.state())].into_iter().flatten().min();
            let asked = committed.decisions.iter().any(|decision| matches!(decision, Decision::Asked(_)));
            if asked && accounts::tell(self.scheduler, self.lease.state().session, self.lease.state()).await? {
                bell.notify_one();
            }
            if self.take(committed) {
                return Ok(());
            }
            if snapshots::span(self.lease.state()) > span {
                snapshots::keep(&self.scheduler.options, self.lease.state()).await;
                span = snapshots::span(self.lease.state());
            }
            linger = if self.hands.is_empty() { Some(linger.unwrap_or(self.now() + LINGER)) } else { None };
            (settled, take_inputs) = self.wait(bell, wake, linger).await?;
        }
    }

    fn now(&self) -> Timestamp {
        self.scheduler.options.clock.now()
    }

    async fn commit(
        &mut self,
        settled: Vec<Settled>,
        take_inputs: bool,
        resume: Vec<ActionId>,
        release: Release,
    ) -> Result<Committed, GateError> {
        let options = &self.scheduler.options;
        for settled in &settled {
            self.hands.remove(&settled.id());
        }
        let mut next = |state: &State| -> Plan {
            let card = options.cards.card(&state.agent.model);
            let context = card.map_or(UNKNOWN_CONTEXT, |card| card.context_tokens);
            let bounds = Bounds::new(context).reading(options.tools.statements());
            let now = options.clock.now();
            let mut plan = plan(state, bounds, &mut Mint::new(now, options.random.id_bytes()));
            if deletion::is_over(state) && !self.finished {
                plan.wake = Some(now);
            }
            plan
        };
        let batch = Batch { settled, take_inputs, resume, plan: &mut next, release };
        options.gate.commit(&mut self.lease, batch).await
    }

    /// Tells watchers, starts and stops hands. `true` when the lease is given back.
    fn take(&mut self, committed: Committed) -> bool {
        self.channel.publish(committed.changes);
        let now = self.now();
        for decision in committed.decisions {
            if let Decision::Permitted(permit) = decision {
                // What is taken up again only to be ended knows so before it begins.
                let stopping = committed.stop.contains(&permit.id()).then_some(now + STOP_GRACE);
                self.start(permit, stopping);
            }
        }
        for action in committed.stop {
            if let Some(hand) = self.hands.get_mut(&action)
                && hand.stopping.is_none()
            {
                hand.stopper.stop();
                hand.stopping = Some(now + STOP_GRACE);
            }
        }
        committed.released
    }

    fn start(&mut self, permit: Permit, stopping: Option<Timestamp>) {
        let options = &self.scheduler.options;
        let id = permit.id();
        let (live, stopper) = self.live(&permit);
        if stopping.is_some() {
            stopper.stop();
        }
        let outcomes = self.outcomes.clone();
        let span = marks::action(self.lease.state(), &permit);
        let work = match permit.action() {
            Action::ModelCall(_) => {
                let model = Arc::clone(&options.model);
                async move {
                    let _ = outcomes.send(marks::told(model.call(permit, live).await));
                }
                .instrument(span)
                .boxed()
            }
            action if action.connector().is_some() => {
                let tools = Arc::clone(&options.tools);
                async move {
                    let _ = outcomes.send(marks::told(tools.perform(permit, live).await));
                }
                .instrument(span)
                .boxed()
            }
            action if action.is_memory() => {
                let memory = Arc::clone(&options.memory);
                async move {
                    let _ = outcomes.send(marks::told(memory.perform(permit).await));
                }
                .instrument(span)
                .boxed()
            }
            _ => {
                let executor: Arc<dyn Executor> = Arc::clone(&options.executor);
                async move {
                    let _ = outcomes.send(marks::told(executor.perform(permit, live).await));
                }
                .instrument(span)
                .boxed()
            }
        };
        let task = options.tasks.spawn("action", work);
        self.hands.insert(id, Hand { task, stopper, stopping });
    }

    /// The hand's line to whoever watches. Deltas are placed by what the state knows now.
    fn live(&self, permit: &Permit) -> (Live, Stopper) {
        let state = self.lease.state();
        // What is made of content that is kept out of the session is not shown as words of its agent, nor is what the
        // agent notes for itself.
        let aside = |call: &ModelCall| call.extract.is_some() || call.purpose == Purpose::Consolidation;
        let unshown = matches!(permit.action(), Action::ModelCall(call) if aside(call));
        let turn = state.turn_id().filter(|_| !unshown);
        let base = state.next_output_index();
        let command = state.item_of(permit.id());
        let channel = self.channel.clone();
        let streamed = Mutex::new(Vec::new());
        Live::new(move |delta| {
            let Some(turn) = turn else { return };
            let mut streamed = streamed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(delta) = place(delta, turn, base, command, &mut streamed) {
                channel.stream(delta);
            }
        })
    }

    /// Waits for the next thing to put into a commit: outcomes, and whether inputs may have come.
    async fn wait(
        &mut self,
        bell: &Notify,
        wake: Option<Timestamp>,
        linger: Option<Timestamp>,
    ) -> Result<(Vec<Settled>, bool), GateError> {
        loop {
            let renew = Timestamp::from_millis(self.lease.expires().as_millis() - RENEW.0 as i64);
            let stopping = self.hands.values().filter_map(|hand| hand.stopping).min();
            let until = [Some(renew), wake, linger, stopping].into_iter().flatten().min().unwrap_or(renew);
            match self.woken(bell, until).await {
                Woken::Settled(first) => return Ok((self.collect(first), was_rung(bell))),
                Woken::Rung => return Ok((Vec::new(), true)),
                Woken::Time => {}
            }
            let now = self.now();
            for hand in self.hands.values_mut() {
                if hand.stopping.is_some_and(|until| now >= until) {
                    // Its permit then reports by itself that the outcome is unknown.
                    hand.task.abort();
                    hand.stopping = None;
                }
            }
            if now >= renew {
                let gate = Arc::clone(&self.scheduler.options.gate);
                gate.renew(&mut self.lease).await?;
            }
            if wake.is_some_and(|wake| now >= wake) || linger.is_some_and(|linger| now >= linger) {
                return Ok((Vec::new(), true));
            }
        }
    }

    async fn woken(&mut self, bell: &Notify, until: Timestamp) -> Woken {
        let timer = self.scheduler.options.clock.sleep_until(until);
        tokio::select! {
            biased;
            Some(settled) = self.settled.recv() => Woken::Settled(settled),
            settled = self.lease.dropped() => Woken::Settled(settled),
            () = bell.notified() => Woken::Rung,
            () = timer => Woken::Time,
        }
    }

    /// Everything that has settled by now goes into one commit.
    fn collect(&mut self, first: Settled) -> Vec<Settled> {
        let mut all = vec![first];
        while let Ok(settled) = self.settled.try_recv() {
            all.push(settled);
        }
        while let Some(settled) = self.lease.try_dropped() {
            all.push(settled);
        }
        all
    }
}
