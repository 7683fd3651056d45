//! Wrapped keys as whoever rotates key-encryption keys sees them, and the rotation as whoever asks for it sees it.
//!
//! Work goes on meanwhile: keys are made, destroyed and read while others are wrapped anew.

use crate::{StoreError, WrappedKey};
use async_trait::async_trait;
use bailiwick_types::{Principal, StreamId, TenantId, Timestamp};

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

/// Where the next batch of a pass begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapCursor {
    pub place: WrapPlace,
    /// The store's own number of the last one that was told, 0 for none.
    pub after: u64,
}

impl WrapCursor {
    pub const START: Self = Self { place: WrapPlace::Tenant, after: 0 };
}

/// Part of a pass over all wrapped keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapBatch {
    /// At most [`MAX_REWRAPPED`]; there may be none although the pass goes on.
    pub keys: Vec<Wrapped>,
    /// `None`: the pass is over.
    pub next: Option<WrapCursor>,
}

#[async_trait]
pub trait WrappedKeys: Send + Sync {
    /// Keys from here on that lie under another key-encryption key than `current`. What was destroyed does not count.
    async fn wrapped_otherwise(&self, current: u32, from: WrapCursor) -> Result<WrapBatch, StoreError>;

    /// Puts each second in the place of its first, in one transaction. One that is not what it was stays.
    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError>;

    /// From when this returns until it is said otherwise or the store is closed, no new key is kept that lies under
    /// another than `only`: such a write is refused with [`StoreError::KeyReplaced`]. It was made before the key was
    /// replaced and comes after it. `None` takes all again.
    async fn keep_only(&self, only: Option<u32>) -> Result<(), StoreError>;
}

/// How far the last rotation of this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationProgress {
    pub from: u32,
    /// The key that wraps from now on.
    pub to: u32,
    /// Keys wrapped anew so far.
    pub rewrapped: u64,
    pub begun: Timestamp,
    pub state: RotationState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotationState {
    Running,
    Done(Timestamp),
    /// Nothing was lost; to begin it again goes on with it.
    Failed(Timestamp, String),
}

/// The key-encryption keys, without the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKeys {
    /// The one that wraps.
    pub current: u32,
    /// Keys beside it that something may still lie under: a rotation that is not finished.
    pub older: usize,
    pub rotation: Option<RotationProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefused {
    /// The text says what is wrong with the keys and what to do.
    #[error("{0}")]
    Keys(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Replaces the key-encryption key of a running server.
#[async_trait]
pub trait KeyRotation: Send + Sync {
    /// Begins it, and goes on in the background. One that runs is told of as it is; one that failed is gone on with.
    async fn begin(&self, by: Principal, reason: Option<String>) -> Result<EncryptionKeys, RotationRefused>;

    fn encryption_keys(&self) -> EncryptionKeys;
}
