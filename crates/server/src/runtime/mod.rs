//! The real world behind the ports: the wall clock and tokio's tasks. Randomness comes from `identity`.

mod clock;
mod tasks;

pub use clock::SystemClock;
pub use tasks::TokioTasks;

use std::{future::Future, time::Duration};

/// Sleeps. For the binary's own edges; rooms ask a [`Clock`](bailiwick_ports::Clock).
#[allow(clippy::disallowed_methods, reason = "the edges of the process are in real time")]
pub async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}

/// What `work` gives, if it gives it in time.
#[allow(clippy::disallowed_methods, reason = "the edges of the process are in real time")]
pub async fn within<T>(span: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(span, work).await.ok()
}
