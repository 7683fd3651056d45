//! What can go wrong at the door.

use bailiwick_core::record::DecodeError;
use bailiwick_ports::{KeysError, ObjectError, StoreError, TenantKeyError};
use bailiwick_types::{ActionId, StreamId};

#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Nothing was written, so nothing may be done. A stale lease must be let go.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("record {position} of {stream} is damaged on disk: restore it from a backup")]
    Damaged { stream: StreamId, position: u64 },
    /// What is needed to decide cannot be read now.
    #[error("nothing can be decided now: {0}")]
    Undecidable(String),
    #[error("sealed data does not read: {0}")]
    Unreadable(String),
    #[error("{0} does not begin with its session's creation")]
    NoBeginning(StreamId),
    /// An earlier commit on this lease failed, so its state is ahead of the disk. Let it go and open it again.
    #[error("the lease on {0} cannot be used any more")]
    Spent(StreamId),
    /// The engine asked for something that the state does not allow. A fault in the engine.
    #[error("{action} {reason}")]
    Refused { action: ActionId, reason: &'static str },
}

impl From<TenantKeyError> for GateError {
    fn from(error: TenantKeyError) -> Self {
        match error {
            TenantKeyError::Store(error) => Self::Store(error),
            TenantKeyError::Keys(error) => Self::Keys(error),
            TenantKeyError::UnknownTenant(_) => Self::Unreadable(error.to_string()),
        }
    }
}
