//! A clock that moves only when it is told to.

use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_types::{Millis, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot};

/// Time in the hands of a test. Clones share it.
#[derive(Clone)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
    /// Somebody began to sleep.
    slept: Arc<Notify>,
    skip: Millis,
}

struct State {
    now: Timestamp,
    next: u64,
    sleepers: BTreeMap<(Timestamp, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    /// Stands still until it is advanced.
    pub fn new(now: Timestamp) -> Self {
        Self::skipping(now, Millis(0))
    }

    /// Sleeps of at most `span` end at once and move the time forward; longer ones wait until it is advanced. So pauses
    /// can go by themselves while time-outs stay in the test's hands.
    pub fn skipping(now: Timestamp, span: Millis) -> Self {
        let state = State { now, next: 0, sleepers: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), slept: Arc::new(Notify::new()), skip: span }
    }

    /// Every sleep ends at once and moves the time forward. Not for code that races a sleep against something real.
    pub fn auto(now: Timestamp) -> Self {
        Self::skipping(now, Millis(u64::MAX))
    }

    pub fn advance(&self, span: Millis) {
        let until = self.now() + span;
        self.advance_to(until);
    }

    /// Moves to `until` and wakes whoever sleeps up to then. Never goes back.
    pub fn advance_to(&self, until: Timestamp) {
        let mut state = self.state();
        state.now = state.now.max(until);
        let later = state.sleepers.split_off(&(Timestamp::from_millis(until.as_millis().saturating_add(1)), 0));
        for (_, sleeper) in std::mem::replace(&mut state.sleepers, later) {
            let _ = sleeper.send(());
        }
    }

    /// Somebody sets the machine's clock back. Nobody wakes by it.
    pub fn set_back(&self, to: Timestamp) {
        let mut state = self.state();
        state.now = state.now.min(to);
    }

    /// Waits until somebody sleeps, and says until when the first of them does.
    pub async fn next_wake(&self) -> Timestamp {
        loop {
            let slept = self.slept.notified();
            let first = {
                let mut state = self.state();
                state.sleepers.retain(|_, sleeper| !sleeper.is_closed());
                state.sleepers.keys().next().map(|(until, _)| *until)
            };
            match first {
                Some(until) => return until,
                None => slept.await,
            }
        }
    }

    /// Waits until somebody sleeps, and wakes the first of them.
    pub async fn step(&self) {
        let until = self.next_wake().await;
        self.advance_to(until);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let mut state = self.state();
        if until <= state.now {
            return Box::pin(std::future::ready(()));
        }
        if until.since(state.now) <= self.skip {
            drop(state);
            let clock = self.clone();
            return Box::pin(async move { clock.advance_to(until) });
        }
        let (sender, woken) = oneshot::channel();
        let key = (until, state.next);
        state.next += 1;
        state.sleepers.insert(key, sender);
        drop(state);
        self.slept.notify_waiters();
        Box::pin(async move {
            // The sender is dropped only with the clock: then nobody can advance it any more.
            if woken.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_793_000_000_000);

    #[tokio::test]
    async fn sleepers_wake_in_order_and_only_when_time_moves() {
        let clock = ManualClock::new(START);
        let mut late = clock.sleep_until(START + Millis(20));
        let early = clock.sleep_until(START + Millis(10));
        clock.step().await;
        early.await;
        assert_eq!(clock.now(), START + Millis(10));
        let pending = std::future::poll_fn(|context| std::task::Poll::Ready(late.as_mut().poll(context).is_pending()));
        assert!(pending.await);
        clock.advance(Millis(10));
        late.await;
        clock.sleep_until(START).await;
    }

    #[tokio::test]
    async fn short_sleeps_are_skipped_and_long_ones_are_not() {
        let clock = ManualClock::skipping(START, Millis(100));
        clock.sleep_until(START + Millis(100)).await;
        assert_eq!(clock.now(), START + Millis(100));
        let long = clock.sleep_until(START + Millis(201));
        assert_eq!(clock.next_wake().await, START + Millis(201));
        drop(long);
        let other = clock.sleep_until(START + Millis(900));
        assert_eq!(clock.next_wake().await, START + Millis(900), "a sleep that was given up is forgotten");
        drop(other);
    }
}
