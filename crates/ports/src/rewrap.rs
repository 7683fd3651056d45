//! Wrapped keys as whoever rotates key-encryption keys sees them. Only while nobody else writes.

use crate::{StoreError, WrappedKey};
use async_trait::async_trait;
use bailiwick_types::{StreamId, TenantId};

/// Keys of one batch.
pub const MAX_REWRAPPED: usize = 1024;

/// What a wrapped key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapPlace {
    Tenant,
    /// One that lies under the key-encryption key itself, and not under a person's.
    Stream,
    Person,
}

/// A key that lies under a key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    pub place: WrapPlace,
    pub tenant: TenantId,
    /// The id that it is bound to beside the tenant's: the stream's, or the bits of the tenant's or person's.
    pub bound_to: StreamId,
    pub key: WrappedKey,
}

#[async_trait]
pub trait WrappedKeys: Send + Sync {
    /// Keys that lie under another key-encryption key than `current`, at most [`MAX_REWRAPPED`]. What was destroyed does
    /// not count.
    async fn wrapped_otherwise(&self, current: u32) -> Result<Vec<Wrapped>, StoreError>;

    /// Puts each second in the place of its first, in one transaction. One that is not what it was stays.
    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError>;
}
