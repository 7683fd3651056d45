//! Why there is no answer to a request, told apart by what may have happened on the other side.

use crate::{
    http::HttpError,
    message::{RpcError, quoted},
    oauth::Challenge,
};
use bailiwick_core::{Failure, FailureCode};

/// What became of a request that was not answered with a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Trouble {
    /// It never left.
    NeverSent(Failure),
    /// It left, or may have, and what became of it is not known.
    Lost(Failure),
    /// The server turned it away with an HTTP status, and with words where it had some.
    Status { status: u16, error: Option<RpcError> },
    /// The server answered with an error.
    Rpc(RpcError),
    /// The server does not know our session any more: it did nothing, and wants a new one.
    SessionGone,
    /// The server wants to know who asks, or wants more of them than they showed.
    SignIn(Challenge),
}

impl Trouble {
    pub(crate) fn malformed(why: impl std::fmt::Display) -> Self {
        Self::Lost(Failure::new(FailureCode::MalformedAnswer, format!("the server's answer cannot be read: {why}")))
    }

    pub(crate) fn unsendable(why: impl Into<String>) -> Self {
        Self::NeverSent(Failure::new(FailureCode::InvalidRequest, why))
    }

    /// Whether the other side can have done anything.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            // A proxy says these of a request that it passed on, and a server of one that broke half way.
            Self::Status { status, error } => {
                (*status >= 500 && *status != 503) && error.as_ref().is_none_or(|error| !error.is_refusal())
            }
            Self::Rpc(_) | Self::NeverSent(_) | Self::SessionGone | Self::SignIn(_) => false,
        }
    }

    /// In words, for the model and the person.
    pub fn failure(self) -> Failure {
        match self {
            Self::NeverSent(failure) | Self::Lost(failure) => failure,
            Self::Rpc(error) => of_rpc(&error),
            Self::Status { error: Some(error), status } if !matches!(status, 429 | 503) => of_rpc(&error),
            Self::Status { status, .. } => of_status(status),
            Self::SessionGone => {
                Failure::new(FailureCode::ConnectionFailed, "the server ends each session as soon as it is begun")
            }
            Self::SignIn(challenge) => Failure::new(FailureCode::AuthenticationFailed, challenge.to_string()),
        }
    }
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused(why) => Self::NeverSent(Failure::new(FailureCode::InvalidRequest, why)),
            HttpError::Unreachable(why) => Self::NeverSent(Failure::new(FailureCode::ConnectionFailed, why)),
            HttpError::Lost(why) => Self::Lost(Failure::new(FailureCode::StreamCut, why)),
            HttpError::TooLarge(_) => Self::malformed(error),
        }
    }
}

fn of_rpc(error: &RpcError) -> Failure {
    let words = quoted(&error.message);
    let code = match error.code {
        RpcError::PARSE | RpcError::INVALID_REQUEST | RpcError::INVALID_PARAMS => FailureCode::InvalidRequest,
        RpcError::HEADER_MISMATCH => {
            let text = "the server wants other headers than the accepted definition of this tool says: accept its \
                        definition anew";
            return Failure::new(FailureCode::InvalidRequest, text);
        }
        RpcError::INTERNAL => FailureCode::ServerError,
        _ => FailureCode::ToolError,
    };
    Failure::new(code, format!("the server answered with the error {}, in its own words: `{words}`", error.code))
}

fn of_status(status: u16) -> Failure {
    let (code, text) = match status {
        300..=399 => (
            FailureCode::ConnectionFailed,
            "the server redirects to another address, and redirects are not followed: configure the address itself",
        ),
        408 => (FailureCode::FirstByteTimeout, "the server gave up waiting (408)"),
        429 => (FailureCode::RateLimited, "the server says that it is asked too often (429): try again later"),
        503 => (FailureCode::Overloaded, "the server is not available (503): try again later"),
        404 | 405 => (FailureCode::ConnectionFailed, "there is no MCP endpoint at this address"),
        500..=599 => return Failure::new(FailureCode::ServerError, format!("the server broke (status {status})")),
        _ => {
            return Failure::new(FailureCode::InvalidRequest, format!("the server refused with the status {status}"));
        }
    };
    Failure::new(code, text)
}
