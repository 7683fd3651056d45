//! Reading a stream again, with what each record changed: for watchers that come late, for audit and for comparison.
//! Never writes.

use crate::{GateError, Journal};
use bailiwick_core::{
    item::Change,
    record::{Body, Record},
    session::State,
};
use bailiwick_ports::Store;

/// A stream being read.
pub struct Replay {
    journal: Journal,
    state: Option<State>,
    position: u64,
    /// Records up to here are read where that is needed, and not told.
    after: u64,
}

/// One record with what it changed.
#[derive(Debug)]
pub struct Replayed {
    pub record: Record,
    pub changes: Vec<Change>,
}

impl Replay {
    pub fn new(journal: Journal) -> Self {
        Self::after(journal, 0)
    }

    /// Tells what came after `position`.
    ///
    /// What a record changed depends on everything before it, so that there has to be a state of a moment no later than
    /// `position`: the nearest snapshot, and the records from there. A later snapshot says nothing about it.
    pub fn after(journal: Journal, position: u64) -> Self {
        Self { journal, state: None, position: 0, after: position }
    }

    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    pub fn into_state(self) -> Option<State> {
        self.state
    }

    /// The next records to tell, at most `limit`; none at the end of the stream.
    pub async fn next(&mut self, store: &dyn Store, limit: u32) -> Result<Vec<Replayed>, GateError> {
        if self.state.is_none() && self.after > 0 {
            self.state = nearest(store, &self.journal, self.after).await?;
            self.position = self.state.as_ref().map_or(0, |state| state.position);
        }
        loop {
            let sealed = store.records(self.journal.stream, self.position, limit).await?;
            if sealed.is_empty() {
                return Ok(Vec::new());
            }
            let mut replayed = Vec::with_capacity(sealed.len());
            for sealed in &sealed {
                let record = self.journal.open_record(sealed)?;
                let changes = fold(&mut self.state, &self.journal, &record)?;
                self.position = record.position;
                if self.position > self.after {
                    replayed.push(Replayed { record, changes });
                }
            }
            if !replayed.is_empty() {
                return Ok(replayed);
            }
        }
    }
}

/// The state at the newest snapshot up to `position` that can be read. One that cannot is as good as none.
async fn nearest(store: &dyn Store, journal: &Journal, position: u64) -> Result<Option<State>, GateError> {
    let mut up_to = position;
    while let Some(snapshot) = store.snapshot_up_to(journal.stream, up_to).await? {
        let state = journal.open_snapshot(&snapshot);
        if state.is_some() || snapshot.position == 0 {
            return Ok(state);
        }
        up_to = snapshot.position - 1;
    }
    Ok(None)
}

/// One record further, from the creation on. Recovery and replay both go this way, so that they cannot differ.
pub(crate) fn fold(folded: &mut Option<State>, journal: &Journal, record: &Record) -> Result<Vec<Change>, GateError> {
    match (&mut *folded, &record.body) {
        (Some(state), _) => Ok(state.apply(record)),
        (None, Body::SessionCreated(created)) => {
            let (state, changes) = State::begin(journal.tenant, journal.session(), record.time, created);
            *folded = Some(state);
            Ok(changes)
        }
        (None, _) => Err(GateError::NoBeginning(journal.stream)),
    }
}
