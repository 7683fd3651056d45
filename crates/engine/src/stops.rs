//! Ends what runs in a session that may do nothing more: a stop covers it, or whoever ordered it may order no more.
//!
//! The gate lets nothing new through from that moment. What was let through before is ended by a cancel, which is an
//! input like any other: it is on disk before it is obeyed, and a crash does not lose it.

use crate::scheduler::Scheduler;
use bailiwick_core::{
    record::{Halt, Input},
    session::State,
};
use bailiwick_gate::GateError;
use bailiwick_types::{SessionId, Timestamp};

/// Cancels the running turn of a session that has to halt. `true` when there is now an input to take in.
pub(crate) async fn obey(scheduler: &Scheduler, session: SessionId, state: &State) -> Result<bool, GateError> {
    let halt = if runs(state) { scheduler.options.gate.halt(state) } else { None };
    let Some(Halt { rule, message }) = halt else { return Ok(false) };
    scheduler.tell(session, Input::Stop { rule: Some(rule), message }).await?;
    Ok(true)
}

/// When a turn that runs has to halt by itself: the key or the grant that it was ordered with ends then.
pub(crate) fn due(scheduler: &Scheduler, state: &State) -> Option<Timestamp> {
    if runs(state) { scheduler.options.gate.halts_at(state) } else { None }
}

fn runs(state: &State) -> bool {
    state.turn_id().is_some() && !state.is_cancelling()
}
