//! Ends what runs in a session that a stop covers.
//!
//! The gate lets nothing new through while a stop stands. What was let through before is ended by a cancel, which is an
//! input like any other: it is on disk before it is obeyed, and a crash does not lose it.

use crate::scheduler::Scheduler;
use bailiwick_core::{
    record::{Input, InputEnvelope},
    session::State,
};
use bailiwick_gate::{GateError, Journal};
use bailiwick_ports::store::Submission;
use bailiwick_types::{Principal, SessionId};

/// Cancels the running turn of a stopped session. `true` when there is now an input to take in.
pub(crate) async fn obey(scheduler: &Scheduler, session: SessionId, state: &State) -> Result<bool, GateError> {
    let options = &scheduler.options;
    let runs = state.turn_id().is_some() && !state.is_cancelling();
    if !runs || !options.gate.is_stopped(state) {
        return Ok(false);
    }
    let Some(head) = options.store.head(session.into()).await? else { return Ok(false) };
    let journal = Journal::open(&*options.keys, head.tenant, session.into(), &head.key)?;
    let cancel = InputEnvelope { orderer: Principal::Operator, input: Input::Cancel };
    let inputs = vec![journal.seal_input(&cancel)];
    options.store.submit(Submission { tenant: head.tenant, stream: session.into(), inputs, idempotency: None }).await?;
    Ok(true)
}
