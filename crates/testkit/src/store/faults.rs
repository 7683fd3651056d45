//! Failures on request, counted in writes, so that a run repeats exactly.

use bailiwick_ports::StoreError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which side of a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The write has no effect.
    Before,
    /// The write took effect, and its answer is lost.
    After,
}

/// Makes chosen writes fail. Clones share their plan.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    writes: u64,
    waiting: Vec<(u64, When, StoreError)>,
}

impl Faults {
    /// The `n`-th write from now (1 is the next) fails as [`StoreError::Unavailable`].
    pub fn crash_after(&self, n: u64, when: When) {
        self.fail(n, when, StoreError::Unavailable("a planned fault".into()));
    }

    /// The `n`-th write from now (1 is the next) fails with `error`.
    pub fn fail(&self, n: u64, when: When, error: StoreError) {
        let mut plan = self.plan();
        let at = plan.writes + n;
        plan.waiting.push((at, when, error));
    }

    /// Takes back what has not happened yet.
    pub fn clear(&self) {
        self.plan().waiting.clear();
    }

    /// Writes that were tried so far, those that failed included.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    /// Counts one write and says how it shall fail.
    pub(super) fn next(&self) -> Option<(When, StoreError)> {
        let mut plan = self.plan();
        plan.writes += 1;
        let now = plan.writes;
        let due = plan.waiting.iter().position(|(at, ..)| *at == now)?;
        let (_, when, error) = plan.waiting.swap_remove(due);
        Some((when, error))
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
