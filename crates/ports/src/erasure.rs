//! The list of who was erased, in a place that a restore of an older backup does not take back.

use crate::BoxFuture;
use bailiwick_types::{TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// One person whose content was ordered to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedPerson {
    pub tenant: TenantId,
    pub person: UserId,
    /// What was there by then is erased.
    pub at: Timestamp,
}

/// Keeps the list. Ids and times only.
pub trait ErasureList: Send + Sync {
    /// Adds an entry; on disk when it returns.
    fn keep(&self, entry: ErasedPerson) -> BoxFuture<'static, Result<(), String>>;
    /// All entries, oldest first.
    fn entries(&self) -> BoxFuture<'static, Result<Vec<ErasedPerson>, String>>;
}
