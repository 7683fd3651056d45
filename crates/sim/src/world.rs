//! What lies outside the process and outlives it: the sandbox with its processes and files, the crash points, and the
//! ledger of everything that really happened.

use bailiwick_types::{ActionId, Timestamp};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Shared by all lives of the simulated process.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
pub struct Inner {
    /// Steps passed in this life; the process dies when `die_at` is reached.
    pub step: u64,
    pub die_at: Option<u64>,
    pub dead: bool,
    /// How often each effect really happened.
    pub effects: BTreeMap<ActionId, u32>,
    /// What the sandbox remembers of its processes.
    pub processes: HashMap<ActionId, String>,
    pub files: BTreeMap<String, String>,
    pub model_calls: u64,
    /// Attempts of model calls that broke before the one that answered.
    pub lost: u64,
    /// How often a client's look was done.
    pub looks: u64,
    /// Actions that did not fit a limit, as the records say in the end.
    pub refused: u64,
    /// Actions that nobody was asked about because an answer stood.
    pub stood: u64,
    /// When that was taken back.
    pub revoked: Option<Timestamp>,
    /// How often the environment was closed for good.
    pub closed: u32,
    pub complaints: Vec<String>,
}

impl World {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more place where the process may die. Never returns when it does.
    pub async fn step(&self) {
        let dies = {
            let mut inner = self.lock();
            inner.step += 1;
            if inner.die_at == Some(inner.step) {
                inner.dead = true;
            }
            inner.dead
        };
        if dies {
            std::future::pending::<()>().await;
        }
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// The next life, dying after `die_in` steps, if at all.
    pub fn revive(&self, die_in: Option<u64>) {
        let mut inner = self.lock();
        inner.dead = false;
        inner.step = 0;
        inner.die_at = die_in;
    }

    /// The sandbox dies with everything it knew.
    pub fn lose_sandbox(&self) {
        self.lock().processes.clear();
    }

    pub fn complain(&self, what: String) {
        self.lock().complaints.push(what);
    }
}
