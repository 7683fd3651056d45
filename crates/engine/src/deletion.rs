//! The end of a deleted session: what it has outside its stream goes.
//!
//! A deletion is an input like any other, and when it is taken in the lease is let go in the same commit. So the stream
//! is left due until the rest is done too, and whoever takes it up next, after a crash or at once, does that first.

use crate::handle::Options;
use bailiwick_core::session::State;
use bailiwick_gate::ArchiveError;

/// Whether nothing is left of a session but its end.
pub(crate) fn is_over(state: &State) -> bool {
    state.deleted && state.turn_id().is_none()
}

/// Removes the sandbox, the bytes and the rows. Every part may be done twice, so that it is simply begun again.
pub(crate) async fn finish(options: &Options, state: &State) -> Result<(), ArchiveError> {
    if let Some(environment) = state.environment.id() {
        options.executor.close(state.session, environment).await;
    }
    options.archive.remove_session(state).await
}
