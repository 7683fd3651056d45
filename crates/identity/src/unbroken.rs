//! Renewals are done to their end: a server that has given another refresh token may take the one before for stolen, so
//! that what it gave must not be lost because nobody waits for it any more, or because the store is away for a moment.

use bailiwick_ports::{Clock, Tasks};
use bailiwick_types::Millis;
use tokio::sync::oneshot;

/// Attempts at a write, the first one included.
const MAX_ATTEMPTS: u32 = 8;
/// Between the second attempt and the third; twice as long each time. The second one follows at once.
const PAUSE: Millis = Millis(500);

/// Runs `work` to its end, also when whoever waits for it stops waiting. `None` when the process stops before that.
pub(crate) async fn unbroken<T: Send + 'static>(
    tasks: &dyn Tasks,
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (tell, told) = oneshot::channel();
    // Nobody may be there to hear it.
    tasks.spawn(name, Box::pin(async move { drop(tell.send(work.await)) }));
    told.await.ok()
}

/// How often a write that fails was tried, and how long to wait for the next attempt: about half a minute in all.
pub(crate) struct Retries<'a> {
    clock: &'a dyn Clock,
    made: u32,
}

impl<'a> Retries<'a> {
    pub fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, made: 1 }
    }

    /// Whether to try again, when it is time to.
    pub async fn again(&mut self) -> bool {
        if self.made >= MAX_ATTEMPTS {
            return false;
        }
        if self.made > 1 {
            self.clock.sleep_until(self.clock.now() + Millis(PAUSE.0 << (self.made - 2))).await;
        }
        self.made += 1;
        true
    }
}
