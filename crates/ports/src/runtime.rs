//! Time, randomness and tasks. Whatever runs asks for them here, so that a simulator can own them.

use bailiwick_types::Timestamp;
use std::{future::Future, pin::Pin, sync::Arc};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The wall clock.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Returns at or after `until`.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()>;
}

/// Unpredictable bytes.
pub trait Random: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Random + '_ {
    /// Ten bytes, as an id wants them.
    pub fn id_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.fill(&mut bytes);
        bytes
    }
}

/// Starts background work.
pub trait Tasks: Send + Sync {
    /// Starts `work`; it goes on when the handle is dropped. `name` is for diagnostics.
    fn spawn(&self, name: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle;
}

/// A running task.
#[derive(Clone)]
pub struct TaskHandle {
    abort: Arc<dyn Fn() + Send + Sync>,
}

impl TaskHandle {
    pub fn new(abort: impl Fn() + Send + Sync + 'static) -> Self {
        Self { abort: Arc::new(abort) }
    }

    /// Drops the task's future at its next await point.
    pub fn abort(&self) {
        (self.abort)();
    }
}
