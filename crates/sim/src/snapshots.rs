//! Whether a snapshot says what the records say: tried at every position of a finished session.

use crate::check::Violation;
use bailiwick_core::{item::Change, session::State};
use bailiwick_gate::{Gate, GateError, Journal, Replay};
use bailiwick_ports::{
    Store,
    store::{SNAPSHOT_SPAN, Snapshot},
};
use bailiwick_testkit::store::MemoryStore;
use bailiwick_types::{NodeId, SessionId};
use bytes::Bytes;

/// The whole fold: the state after each record, and what each record changed.
struct Folded {
    states: Vec<State>,
    changes: Vec<Vec<Change>>,
}

/// Puts a snapshot of each position in the place of all records before it; and then ones that cannot be read, and
/// none. Whoever reads the session must not see a difference.
pub async fn try_all(store: &MemoryStore, gate: &Gate, journal: &Journal, session: SessionId) -> Vec<Violation> {
    match try_each(store, gate, journal, session).await {
        Ok(wrong) => wrong,
        Err(error) => vec![format!("a snapshot was in the way: {error}")],
    }
}

async fn try_each(
    store: &MemoryStore,
    gate: &Gate,
    journal: &Journal,
    session: SessionId,
) -> Result<Vec<Violation>, GateError> {
    let mut wrong = Vec::new();
    let folded = fold(store, journal).await?;
    let Some(end) = folded.states.last() else { return Ok(wrong) };
    for (position, state) in (1..).zip(&folded.states) {
        let good = journal.seal_snapshot(state);
        let mut flipped = good.sealed.to_vec();
        flipped[position as usize % good.sealed.len()] ^= 1;
        let damaged = Snapshot { sealed: Bytes::from(flipped), ..good.clone() };
        let cut = Snapshot { sealed: good.sealed.slice(1..), ..good.clone() };
        let newer = Snapshot { version: good.version + 1, ..good.clone() };
        let cases = [("good", Some(good)), ("damaged", Some(damaged)), ("cut", Some(cut)), ("newer", Some(newer))];
        for (kind, snapshot) in cases.into_iter().chain([("missing", None)]) {
            store.forget_snapshots();
            if let Some(snapshot) = snapshot {
                store.put_snapshot(session.into(), snapshot).await?;
            }
            let before = store.records_read();
            let lease = gate.open(session, NodeId::from_u128(7)).await?;
            let read = store.records_read() - before;
            let rest = end.position - if kind == "good" { position } else { 0 };
            if read != rest {
                wrong.push(format!("with a {kind} snapshot of {position}, {read} records were read and not {rest}"));
            }
            if lease.as_ref().map(|lease| lease.state()) != Some(end) {
                wrong.push(format!("a {kind} snapshot of {position} leads to another state"));
            }
            if !tells_the_same(store, journal, position, &folded).await? {
                wrong.push(format!("after a {kind} snapshot of {position} another story is told"));
            }
        }
    }
    Ok(wrong)
}

async fn fold(store: &dyn Store, journal: &Journal) -> Result<Folded, GateError> {
    let mut folded = Folded { states: Vec::new(), changes: Vec::new() };
    let mut replay = Replay::new(journal.clone());
    while let Some(one) = replay.next(store, 1).await?.pop() {
        folded.changes.push(one.changes);
        folded.states.extend(replay.state().cloned());
    }
    Ok(folded)
}

async fn tells_the_same(
    store: &dyn Store,
    journal: &Journal,
    position: u64,
    folded: &Folded,
) -> Result<bool, GateError> {
    let mut replay = Replay::after(journal.clone(), position);
    let mut rest = Vec::new();
    loop {
        let more = replay.next(store, SNAPSHOT_SPAN as u32).await?;
        if more.is_empty() {
            break;
        }
        rest.extend(more.into_iter().map(|one| one.changes));
    }
    let state = replay.state().is_none_or(|state| Some(state) == folded.states.last());
    Ok(state && rest == folded.changes[position as usize..])
}
