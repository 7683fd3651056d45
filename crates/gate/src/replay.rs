//! Reading a stream again from its beginning, with what each record changed: for watchers that come late, for audit
//! and for comparison. Never writes.

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
}

/// One record with what it changed.
#[derive(Debug)]
pub struct Replayed {
    pub record: Record,
    pub changes: Vec<Change>,
}

impl Replay {
    pub fn new(journal: Journal) -> Self {
        Self { journal, state: None, position: 0 }
    }

    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The next records, at most `limit`; none at the end of the stream.
    pub async fn next(&mut self, store: &dyn Store, limit: u32) -> Result<Vec<Replayed>, GateError> {
        let sealed = store.records(self.journal.stream, self.position, limit).await?;
        let mut replayed = Vec::with_capacity(sealed.len());
        for sealed in &sealed {
            let record = self.journal.open_record(sealed)?;
            let changes = fold(&mut self.state, &self.journal, &record)?;
            self.position = record.position;
            replayed.push(Replayed { record, changes });
        }
        Ok(replayed)
    }
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
