//! Snapshots of a session that is driven for long. The gate writes one when a lease is let go, and a turn of ten
//! thousand steps lets nothing go: whoever resumes its events, and a driver after a crash, would fold all of it.
//!
//! Written beside the commits, while hands are at work, so that no step waits for it. Losing one loses nothing.

use crate::handle::Options;
use bailiwick_core::session::State;
use bailiwick_gate::{GateError, Journal};
use bailiwick_ports::store::SNAPSHOT_SPAN;

/// The span that a snapshot of this state would be in.
pub(crate) fn span(state: &State) -> u64 {
    state.position / SNAPSHOT_SPAN
}

/// Keeps a state that is on disk. A failure is only told: the next span brings the next attempt.
pub(crate) async fn keep(options: &Options, state: &State) {
    if let Err(error) = write(options, state).await {
        tracing::warn!(session = %state.session, %error, "a snapshot could not be kept");
    }
}

async fn write(options: &Options, state: &State) -> Result<(), GateError> {
    let stream = state.session.into();
    let Some(head) = options.store.head(stream).await? else { return Ok(()) };
    let journal = Journal::open(&*options.keys, head.tenant, stream, &head.key)?;
    Ok(options.store.put_snapshot(stream, journal.seal_snapshot(state)).await?)
}
