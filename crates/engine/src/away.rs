//! Tells a session that its executor is gone when nobody else could: it dialled in to a process that has ended, or its
//! sandbox was ended while nobody used it.

use crate::scheduler::Scheduler;
use bailiwick_core::{EnvironmentSpec, EnvironmentStatus, record::Input, session::State};
use bailiwick_gate::GateError;
use bailiwick_types::SessionId;

/// Before a session is driven: when it believes in an executor that has no connection here, or in a sandbox that was
/// suspended, it is told.
pub(crate) async fn tell(scheduler: &Scheduler, session: SessionId, state: &State) -> Result<(), GateError> {
    let Some(environment) = state.environment.id() else { return Ok(()) };
    let believed = matches!(state.environment_status, EnvironmentStatus::Ready | EnvironmentStatus::Connected);
    if believed && matches!(state.environment, EnvironmentSpec::Hosted(_)) {
        if scheduler.options.executor.is_suspended(environment) {
            submit(scheduler, session, EnvironmentStatus::Suspended).await?;
        }
        return Ok(());
    }
    if !state.environment.dials_in() {
        return Ok(());
    }
    let is_away = || scheduler.options.executor.is_away(environment);
    if !believed || !is_away() {
        return Ok(());
    }
    submit(scheduler, session, EnvironmentStatus::Disconnected).await?;
    // It dialled in meanwhile, and what it said of itself may lie before what was just said.
    if !is_away() {
        submit(scheduler, session, EnvironmentStatus::Ready).await?;
    }
    Ok(())
}

async fn submit(scheduler: &Scheduler, session: SessionId, status: EnvironmentStatus) -> Result<(), GateError> {
    scheduler.tell(session, Input::Environment { status }).await
}
