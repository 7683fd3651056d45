//! Ends what runs in a session that a stop covers.
//!
//! The gate lets nothing new through while a stop stands. What was let through before is ended by a cancel, which is an
//! input like any other: it is on disk before it is obeyed, and a crash does not lose it.

use crate::scheduler::Scheduler;
use bailiwick_core::{record::Input, session::State};
use bailiwick_gate::GateError;
use bailiwick_types::SessionId;

/// Cancels the running turn of a stopped session. `true` when there is now an input to take in.
pub(crate) async fn obey(scheduler: &Scheduler, session: SessionId, state: &State) -> Result<bool, GateError> {
    let runs = state.turn_id().is_some() && !state.is_cancelling();
    let Some(message) = scheduler.options.gate.stopped(state).filter(|_| runs) else { return Ok(false) };
    scheduler.tell(session, Input::Stop { message }).await?;
    Ok(true)
}
