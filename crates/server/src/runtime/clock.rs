//! The machine's clock.

use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_types::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest single sleep: a wall clock that jumps ahead is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Wall-clock time in UTC.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the system's clock is read")]
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Timestamp::from_millis(millis)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that sleeps on the system's timer")]
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let clock = *self;
        Box::pin(async move {
            loop {
                let left = until.since(clock.now()).as_duration();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
            }
        })
    }
}
