//! Sealing and keyed digests. The implementation is in `identity`.

use bailiwick_types::{StreamId, TenantId};
use std::sync::Arc;

/// A data key, encrypted under the key-encryption key with tenant and stream as associated data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which key-encryption key wrapped it.
    pub key_id: u32,
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("key-encryption key {0} is not known here; restore the key file that this data was written with")]
    UnknownKey(u32),
    #[error("sealed data does not open under its key: it was changed, or belongs to another record")]
    DoesNotOpen,
}

/// Makes and unwraps data keys.
pub trait Keys: Send + Sync {
    /// A fresh key for a stream.
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>);

    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError>;
}

/// One stream's key.
pub trait StreamKey: Send + Sync {
    /// The id of the key-encryption key behind it, for the record's envelope.
    fn key_id(&self) -> u32;

    /// AES-256-GCM with a fresh nonce. `context` says which record or row this is; it is authenticated, not stored.
    fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8>;

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeysError>;

    /// HMAC-SHA-256 under a key derived from this one, so that equal data in two streams has different digests.
    fn digest(&self, data: &[u8]) -> [u8; 32];
}
