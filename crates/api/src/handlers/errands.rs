//! What a client wants of a session itself, and waits for: files in its environment, calls of its agent's tools.

use crate::{
    app::{App, key_reused},
    error::ApiError,
};
use bailiwick_core::{
    item::{Change, ErrandOutcome},
    record::{Input, InputEnvelope},
};
use bailiwick_engine::{EngineError, EventKind, From as WatchFrom, Submitted, Watch};
use bailiwick_ports::{Caller, store::Idempotency};
use bailiwick_types::{Millis, SessionId};

/// How long a request waits for what it wants: the start of a sandbox and a large file take seconds.
pub(crate) const PATIENCE: Millis = Millis::from_secs(60);

/// Puts an errand into the session's inbox and waits for what became of it; `None` when that took too long. Says whether
/// an earlier request with the same idempotency key had brought it already.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    session: SessionId,
    input: Input,
    idempotency: Option<Idempotency>,
) -> Result<(Option<ErrandOutcome>, bool), ApiError> {
    let handle = &app.options.handle;
    let mut watch = handle.watch(caller.tenant, session, WatchFrom::Now).await?;
    let input = InputEnvelope { orderer: caller.principal.clone(), input };
    let (sequence, repeated) = match handle.submit(caller.tenant, session, vec![input], idempotency).await? {
        Submitted::KeyReused => return Err(key_reused()),
        Submitted::Accepted { sequence, repeated, .. } => (sequence, repeated),
    };
    if repeated {
        watch = handle.watch(caller.tenant, session, WatchFrom::Beginning).await?;
    }
    tokio::select! {
        outcome = outcome(&mut watch, sequence) => Ok((Some(outcome?), repeated)),
        () = app.options.clock.sleep_until(app.now() + PATIENCE) => Ok((None, repeated)),
    }
}

/// What became of what the input `wanted` brought.
async fn outcome(watch: &mut Watch, wanted: u64) -> Result<ErrandOutcome, EngineError> {
    loop {
        let event = watch.next().await?;
        let EventKind::Changes(changes) = &event.kind else { continue };
        for change in changes {
            if let Change::Errand { sequence, outcome } = change
                && *sequence == wanted
            {
                return Ok(outcome.clone());
            }
        }
    }
}
