//! What is bounded in every request, whoever makes it, and the one place of this room that waits.

use crate::error::{OutboundError, Phase};
use bailiwick_types::Millis;
use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// The longest URL that is asked for.
pub const MAX_URL_BYTES: usize = 8192;
/// Redirects that one request follows.
pub const MAX_REDIRECTS: usize = 5;
/// Header lines that an answer may have.
pub const MAX_HEADERS: usize = 128;
/// Bytes in the names and values of an answer's header lines.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Header lines of a request, with its credentials.
pub(crate) const MAX_SENT_HEADERS: usize = 64;
/// Bytes that a request's header lines may have.
pub(crate) const MAX_SENT_HEADER_BYTES: usize = 32 * 1024;
/// The longest mark behind the product's name in `User-Agent`.
pub(crate) const MAX_WHO_BYTES: usize = 256;
/// How long an unused connection is kept.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// Unused connections that are kept for each authority.
pub(crate) const IDLE_CONNECTIONS: usize = 8;
/// Sets of connections that are kept, one for each way to connect and each set of credentials.
pub(crate) const MAX_CLIENTS: usize = 256;

/// When a request as a whole is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    total: Millis,
}

impl Deadline {
    #[allow(clippy::disallowed_methods, reason = "the one place of this room that reads a clock, to bound waits")]
    pub fn after(total: Millis) -> Self {
        Self { at: Instant::now() + total.as_duration(), total }
    }

    /// Waits for `future` until `limit` has passed or the request as a whole is over.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place of this room that waits, on a peer that may never answer"
    )]
    pub async fn bound<F: Future>(self, future: F, phase: Phase, limit: Millis) -> Result<F::Output, OutboundError> {
        let own = Instant::now() + limit.as_duration();
        let (at, phase, limit) = if own < self.at { (own, phase, limit) } else { (self.at, Phase::Total, self.total) };
        tokio::time::timeout_at(at, future).await.map_err(|_| OutboundError::TimedOut { phase, limit_ms: limit.0 })
    }
}
