//! Immutable bytes: uploaded files, artifacts, long outputs.

use async_trait::async_trait;
use bailiwick_types::TenantId;
use bytes::Bytes;

#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no object `{0}`")]
    Missing(String),
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
    /// Succeeds when there is nothing to remove.
    async fn remove(&self, tenant: TenantId, name: &str) -> Result<(), ObjectError>;
}
