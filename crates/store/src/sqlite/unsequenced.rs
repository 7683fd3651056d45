//! Which streams have records that are no leaves of the log yet.
//!
//! It is known in memory, from every commit of this process, so that the hottest path writes no page for it. What a
//! crash or a broken connection made unknown is found again by one scan of the streams, a few at a time.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Streams that are remembered; when there are more, they are forgotten and found again by a scan.
const MAX_STREAMS: usize = 65_536;

pub struct Unsequenced(Mutex<State>);

struct State {
    streams: HashSet<i64>,
    /// Streams after this number were not looked at since the last time that something was unknown.
    scan: Option<i64>,
}

impl Default for Unsequenced {
    fn default() -> Self {
        Self(Mutex::new(State { streams: HashSet::new(), scan: Some(0) }))
    }
}

impl Unsequenced {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These streams were appended to, and it is on disk.
    pub fn note(&self, streams: Vec<i64>) {
        let mut state = self.state();
        state.streams.extend(streams);
        if state.streams.len() > MAX_STREAMS {
            *state = State { streams: HashSet::new(), scan: Some(0) };
        }
    }

    /// What was committed is not known for sure: all streams are looked at again.
    pub fn forget(&self) {
        self.state().scan = Some(0);
    }

    pub fn len(&self) -> usize {
        self.state().streams.len()
    }

    pub fn scan(&self) -> Option<i64> {
        self.state().scan
    }

    /// The scan from `from` found these and goes on at `end`, unless it was begun anew meanwhile.
    pub fn scanned(&self, from: i64, end: Option<i64>, found: Vec<i64>) {
        self.note(found);
        let mut state = self.state();
        if state.scan == Some(from) {
            state.scan = end;
        }
    }

    /// Takes some out. Whoever finds them still behind notes them again: a commit in between has done so itself.
    pub fn take(&self, limit: usize) -> Vec<i64> {
        let mut state = self.state();
        let taken: Vec<i64> = state.streams.iter().copied().take(limit).collect();
        taken.iter().for_each(|no| {
            state.streams.remove(no);
        });
        taken
    }
}
