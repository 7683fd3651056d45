//! What the engine's log lines and spans say of who does what: the session, the actor, and the subject it works for.
//! Ids alone, the same as on receipts; never what was asked, done or answered.

use bailiwick_core::{Outcome, session::State};
use bailiwick_gate::{Permit, Settled};
use bailiwick_types::{Mark, SessionId};
use tracing::{
    Span,
    field::{Empty, display},
};

/// The span of a session that is driven; [`opened`] completes it.
pub(crate) fn session(session: SessionId) -> Span {
    tracing::error_span!("session", %session, actor = Empty, subject = Empty)
}

/// Says whose session it is, as soon as it has been read.
pub(crate) fn opened(state: &State) {
    let subject = Mark(&state.creator).subject();
    Span::current().record("actor", display(state.agent.id)).record("subject", display(subject));
}

/// The span of one action, in which its hand works.
pub(crate) fn action(state: &State, permit: &Permit) -> Span {
    let (session, id, operation) = (state.session, permit.id(), permit.action().operation());
    let by = state.acting();
    let subject = by.as_ref().map(|by| display(Mark(by).subject()));
    tracing::error_span!("action", %id, operation, %session, actor = %state.agent.id, subject)
}

/// Says that an action is over, in its span.
pub(crate) fn told(settled: Settled) -> Settled {
    match settled.outcome() {
        Outcome::Confirmed { .. } => tracing::debug!(effect = "confirmed", "an action is over"),
        Outcome::Failed { failure } => tracing::debug!(effect = "failed", code = ?failure.code, "an action is over"),
        Outcome::NotSent { .. } => tracing::debug!(effect = "not_sent", "an action is over"),
        Outcome::Unknown { .. } => tracing::warn!(effect = "unknown", "nobody knows what became of an action"),
    }
    settled
}
