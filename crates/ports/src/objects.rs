//! Immutable bytes: uploaded files, artifacts, long outputs.

use async_trait::async_trait;
use bailiwick_types::TenantId;
use bytes::Bytes;

/// Characters of a name.
pub const MAX_NAME: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no object `{0}`")]
    Missing(String),
    #[error("`{0}` cannot name an object: take 1 to {MAX_NAME} letters, digits, `_` and `-`")]
    Name(String),
    #[error("no space is left for objects: free some disk space and try again")]
    Full,
    #[error("objects cannot be reached: {0}")]
    Unavailable(String),
}

/// Keeps sealed objects under names that the caller makes (an id's text). Writing a name twice keeps the first.
#[async_trait]
pub trait Objects: Send + Sync {
    async fn put(&self, tenant: TenantId, name: &str, sealed: Bytes) -> Result<(), ObjectError>;
    async fn get(&self, tenant: TenantId, name: &str) -> Result<Bytes, ObjectError>;
    /// Names of a tenant's objects after `after`, at most `limit`, in an order of this keeper's own; none at the end.
    /// One that comes or goes meanwhile may be missed.
    async fn names(&self, tenant: TenantId, after: Option<&str>, limit: u32) -> Result<Vec<String>, ObjectError>;
    /// Succeeds when there is nothing to remove.
    async fn remove(&self, tenant: TenantId, name: &str) -> Result<(), ObjectError>;
}

/// Whether `name` may name an object; every implementation asks.
pub fn check_name(name: &str) -> Result<(), ObjectError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fine) {
        Ok(())
    } else {
        Err(ObjectError::Name(name.chars().take(MAX_NAME).collect()))
    }
}
