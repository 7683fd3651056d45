//! Looks for orphaned objects: at the start, because a crash may have left some, and then rarely.

use crate::handle::Options;
use bailiwick_types::Millis;

/// Well below the age at which an object can become an orphan there is nothing new to find.
const EVERY: Millis = Millis::from_secs(12 * 3600);

/// Never ends by itself.
pub(crate) async fn run(options: &Options) {
    loop {
        match options.archive.sweep(&*options.clock).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed objects that nothing referred to"),
            Err(error) => tracing::error!(%error, "cannot look for objects that nothing refers to"),
        }
        options.clock.sleep_until(options.clock.now() + EVERY).await;
    }
}
