//! Why there is no answer, and what that says about the request.

/// What happened to the request, as far as can be known from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It never left.
    Never,
    /// It may have been received and acted on.
    Unknown,
    /// The other side answered.
    Answered,
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Finding the address, connecting, and TLS.
    Connect,
    /// The answer's status and headers, after the request was sent.
    FirstByte,
    /// The next piece of the body.
    Body,
    /// All of it together.
    Total,
}

/// Messages are for the person or model that named the URL. They say what to do and never hold a secret, so they never
/// hold more of a URL than its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The rules do not let it out. The reason names the way out.
    #[error("{0}")]
    Refused(String),
    /// It is no request that can be sent.
    #[error("{0}")]
    Invalid(String),
    /// Too many requests are under way.
    #[error("{0} requests are under way already; try again in a moment")]
    Busy(usize),
    /// No connection came about.
    #[error("`{host}` cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{}", timed_out(*phase, *limit_ms))]
    TimedOut { phase: Phase, limit_ms: u64 },
    /// The connection broke after the request was given to it.
    #[error("the connection to `{host}` broke before the whole answer was there: {reason}")]
    Lost { host: String, reason: String },
    /// What came back is no HTTP that can be read, or breaks a limit.
    #[error("`{host}` sent an answer that cannot be read: {reason}")]
    Malformed { host: String, reason: String },
    /// The body is longer than what was asked for.
    #[error("the answer is longer than {limit_bytes} bytes; ask for less of it, or raise the limit")]
    TooLong { limit_bytes: u64 },
    /// It was answered with a redirect that is not followed.
    #[error("`{from}` redirects to a place where this request may not go: {reason}")]
    Redirected { from: String, reason: String },
}

impl OutboundError {
    /// What became of the request. Whoever asked for an effect must treat [`Arrival::Unknown`] as unknown.
    pub fn arrival(&self) -> Arrival {
        match self {
            Self::Refused(_) | Self::Invalid(_) | Self::Busy(_) | Self::Unreachable { .. } => Arrival::Never,
            Self::TimedOut { phase: Phase::Connect, .. } => Arrival::Never,
            Self::TimedOut { .. } | Self::Lost { .. } | Self::Malformed { .. } => Arrival::Unknown,
            Self::TooLong { .. } | Self::Redirected { .. } => Arrival::Answered,
        }
    }
}

fn timed_out(phase: Phase, limit_ms: u64) -> String {
    let waited = match phase {
        Phase::Connect => "no connection came about",
        Phase::FirstByte => "no answer came",
        Phase::Body => "the answer stood still",
        Phase::Total => "it was not done",
    };
    format!("{waited} within {limit_ms} ms")
}
