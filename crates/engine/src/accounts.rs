//! Goes on with what waited for a person's account once it is there.
//!
//! Whoever connects it has every question about it decided on again. An account that came while its question was being
//! written is found here, so that no session waits for what is there.

use crate::scheduler::Scheduler;
use bailiwick_core::{record::Input, session::State};
use bailiwick_gate::GateError;
use bailiwick_types::{ActionId, SessionId};

/// Has what waits for an account that is there decided on again. `true` when there is now an input to take in.
pub(crate) async fn tell(scheduler: &Scheduler, session: SessionId, state: &State) -> Result<bool, GateError> {
    let gate = &scheduler.options.gate;
    let there: Vec<ActionId> = state
        .asked_actions()
        .filter(|(_, asked)| {
            let account = asked.question.account.as_ref();
            account.is_some_and(|account| gate.is_connected(state.tenant, &asked.principal, account))
        })
        .map(|(id, _)| id)
        .collect();
    for action in &there {
        scheduler.tell(session, Input::Reconsider { action: *action }).await?;
    }
    Ok(!there.is_empty())
}
