//! Which streams have records that are no leaves of the log yet.
//!
//! It is known in memory, from every commit of this process, so that the hottest path writes no page for it. What a
//! crash or a broken connection made unknown is found again by one scan of the streams, a few at a time. A stream is
//! never taken out before it was read as sequenced: whoever reads may be broken off at any moment.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Streams that are remembered; when there are more, they are forgotten and found again by a scan.
const MAX_STREAMS: usize = 65_536;

pub struct Unsequenced(Mutex<State>);

struct State {
    /// The streams' numbers, and when each was noted last.
    streams: BTreeMap<i64, u64>,
    /// Counts what was noted.
    noted: u64,
    /// Streams after this number were not looked at since the last time that something was unknown.
    scan: Option<i64>,
}

/// A stream that may be behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub stream: i64,
    noted: u64,
}

impl Default for Unsequenced {
    fn default() -> Self {
        Self(Mutex::new(State { streams: BTreeMap::new(), noted: 0, scan: Some(0) }))
    }
}

impl Unsequenced {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These streams were appended to, and it is on disk.
    pub fn note(&self, streams: Vec<i64>) {
        let mut state = self.state();
        state.noted += 1;
        let noted = state.noted;
        state.streams.extend(streams.into_iter().map(|stream| (stream, noted)));
        if state.streams.len() > MAX_STREAMS {
            state.streams.clear();
            state.scan = Some(0);
        }
    }

    /// What was committed is not known for sure: all streams are looked at again.
    pub fn forget(&self) {
        self.state().scan = Some(0);
    }

    pub fn scan(&self) -> Option<i64> {
        self.state().scan
    }

    /// The scan from `from` found these and goes on at `end`, unless it was begun anew meanwhile.
    pub fn scanned(&self, from: i64, end: Option<i64>, found: Vec<i64>) {
        let mut state = self.state();
        if state.scan == Some(from) {
            state.scan = end;
        }
        drop(state);
        // Last: where there is no room for them, the scan begins anew.
        self.note(found);
    }

    /// Some of the streams after number `after`, in order.
    pub fn candidates(&self, after: i64, limit: usize) -> Vec<Candidate> {
        let state = self.state();
        let rest = state.streams.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        rest.map(|(stream, noted)| Candidate { stream: *stream, noted: *noted }).collect()
    }

    /// These were read, and are not behind. What was appended to meanwhile was noted again, and stays.
    pub fn settle(&self, read: impl Iterator<Item = Candidate>) {
        let mut state = self.state();
        for candidate in read {
            if state.streams.get(&candidate.stream) == Some(&candidate.noted) {
                state.streams.remove(&candidate.stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_while_it_was_read_is_not_settled() {
        let unsequenced = Unsequenced::default();
        unsequenced.note(vec![3, 1, 2]);
        let read = unsequenced.candidates(0, 2);
        assert_eq!(read.iter().map(|one| one.stream).collect::<Vec<_>>(), [1, 2]);
        unsequenced.note(vec![2]);
        unsequenced.settle(read.into_iter());
        let left = unsequenced.candidates(0, 10);
        assert_eq!(left.iter().map(|one| one.stream).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(unsequenced.candidates(2, 10).len(), 1);
    }
}
