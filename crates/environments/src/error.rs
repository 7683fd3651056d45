//! What can be wrong with an executor, by what its user can do about it.

use bailiwick_executor_protocol::{RpcError, code};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExecutorError {
    /// The executor said no; nothing was done.
    #[error("{}", .0.message)]
    Refused(RpcError),
    /// Nothing was sent: there is no connection, and none came while we waited.
    #[error("the executor cannot be reached: {0}")]
    Unreachable(String),
    /// It was sent, and the connection went before the answer came.
    #[error("the connection to the executor broke before it answered")]
    Interrupted,
    /// It was sent, and no answer came in time.
    #[error("the executor did not answer in time")]
    TimedOut,
    /// The executor, or its session with all processes in it, is gone for good.
    #[error("{0}")]
    Gone(String),
    /// The executor breaks the protocol.
    #[error("the executor does not speak the protocol that this server speaks: {0}")]
    Incompatible(String),
    /// It is larger than this server takes.
    #[error("{0}")]
    TooLarge(String),
}

impl ExecutorError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(error) if error.code == code::NOT_FOUND)
    }

    /// Whether what was asked may have been done.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Interrupted | Self::TimedOut)
    }

    pub(crate) fn is_existing_process(&self) -> bool {
        matches!(self, Self::Refused(error)
            if error.code == code::INVALID_REQUEST && error.message.ends_with("already exists"))
    }

    /// It was asked for and is not there yet.
    pub(crate) fn is_starting_process(&self) -> bool {
        matches!(self, Self::Refused(error)
            if error.code == code::INVALID_REQUEST && error.message.ends_with("is starting"))
    }

    pub(crate) fn is_unknown_process(&self) -> bool {
        matches!(self, Self::Refused(error)
            if error.code == code::INVALID_REQUEST && error.message.starts_with("unknown process id"))
    }
}
