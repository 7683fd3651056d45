//! Background work on tokio's threads.

use bailiwick_ports::{BoxFuture, TaskHandle, Tasks};

/// Spawns onto the runtime in which it is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTasks;

impl Tasks for TokioTasks {
    #[allow(clippy::disallowed_methods, reason = "the one place that spawns for those who ask through the port")]
    fn spawn(&self, name: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        let task = tokio::spawn(async move {
            let work = std::panic::AssertUnwindSafe(work);
            if futures_util::FutureExt::catch_unwind(work).await.is_err() {
                tracing::error!(task = name, "a task ended by a fault of this program; please report it");
            }
        });
        let handle = task.abort_handle();
        TaskHandle::new(move || handle.abort())
    }
}
