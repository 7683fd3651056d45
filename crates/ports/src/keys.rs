//! Sealing and keyed digests. The implementation is in `identity`.

use bailiwick_types::{StreamId, TenantId, UserId};
use std::sync::Arc;

/// A data key, encrypted with tenant and stream as associated data: under the key-encryption key, or under the key of
/// the person whose stream it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which key-encryption key is behind it.
    pub key_id: u32,
    pub bytes: Vec<u8>,
    /// The person's key around it. Whoever keeps wrapped keys joins it on reading, so that a key that was destroyed is
    /// destroyed for every stream below it.
    pub subject: Option<Box<SubjectKey>>,
}

/// The key of one person, encrypted under the key-encryption key. It is around the keys of that person's streams and
/// seals that person's files. What is left of a destroyed one is zeroes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubjectKey {
    pub person: UserId,
    /// Which key-encryption key wrapped it.
    pub key_id: u32,
    pub bytes: Vec<u8>,
}

impl WrappedKey {
    /// A key under the key-encryption key itself.
    pub fn new(key_id: u32, bytes: Vec<u8>) -> Self {
        Self { key_id, bytes, subject: None }
    }

    /// Whether it can never be opened again.
    pub fn is_destroyed(&self) -> bool {
        is_zero(&self.bytes) || self.subject.as_ref().is_some_and(|subject| subject.is_destroyed())
    }
}

impl SubjectKey {
    pub fn is_destroyed(&self) -> bool {
        is_zero(&self.bytes)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0)
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("key-encryption key {0} is not known here; restore the key file that this data was written with")]
    UnknownKey(u32),
    #[error("sealed data does not open under its key: it was changed, or belongs to another record")]
    DoesNotOpen,
    #[error("its key was destroyed, so that nobody can read it any more")]
    Erased,
}

/// Makes and unwraps data keys.
pub trait Keys: Send + Sync {
    /// A fresh key for a stream.
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>);

    /// [`KeysError::Erased`] when the key, or the person's around it, was destroyed.
    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError>;

    /// A fresh key for a person.
    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey;

    /// A fresh key for a stream of this person's.
    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError>;

    /// The person's key itself, for what lies outside every stream.
    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError>;
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
