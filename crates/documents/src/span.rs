//! How long one call may go on: until its time is over, or until somebody stops it.

use bailiwick_gate::Live;
use bailiwick_ports::Clock;
use bailiwick_types::{Millis, Timestamp};
use std::{future::Future, sync::Arc};

#[derive(Clone)]
pub(crate) struct Span {
    clock: Arc<dyn Clock>,
    until: Timestamp,
    live: Live,
}

impl Span {
    pub(crate) fn new(clock: Arc<dyn Clock>, time: Millis, live: Live) -> Self {
        let until = clock.now() + time;
        Self { clock, until, live }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_stopped() || self.clock.now() >= self.until
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.live.is_cancelled()
    }

    /// What is left of the time.
    pub(crate) fn left(&self) -> Millis {
        self.until.since(self.clock.now())
    }

    /// What `work` comes to, unless the call is over `grace` before that is known.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = T>, grace: Millis) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.live.cancelled() => None,
            () = self.clock.sleep_until(self.until + grace) => None,
        }
    }
}
