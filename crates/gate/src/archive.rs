//! Files and artifacts at rest: sealed objects with the keys that they are sealed under.
//!
//! An uploaded file is sealed under its tenant's key, an artifact under its session's, so that erasing a session takes
//! its artifacts along. Reading and writing here is keeping, not acting: what moves bytes into or out of an environment
//! is an action and has a permit.

use crate::{GateError, Journal};
use bailiwick_ports::{Keys, ObjectError, Objects, Store, StoreError};
use bailiwick_types::{ArtifactId, FileId, SessionId, StreamId, TenantId};
use std::sync::Arc;

/// Reads and writes sealed objects. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    objects: Arc<dyn Objects>,
}

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

impl Archive {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, objects: Arc<dyn Objects>) -> Self {
        Self { store, keys, objects }
    }

    /// The codec of a tenant's documents and files.
    pub async fn tenant_journal(&self, tenant: TenantId) -> Result<Journal, ArchiveError> {
        let known = self.store.tenants().await?.into_iter().find(|known| known.id == tenant);
        let known = known.ok_or(ArchiveError::UnknownTenant(tenant))?;
        let stream = StreamId::from_u128(tenant.to_u128());
        Ok(Journal::open(&*self.keys, tenant, stream, &known.key)?)
    }

    async fn session_journal(&self, tenant: TenantId, session: SessionId) -> Result<Journal, ArchiveError> {
        let stream = session.into();
        let head = self.store.head(stream).await?.filter(|head| head.tenant == tenant);
        let head = head.ok_or(StoreError::UnknownStream(stream))?;
        Ok(Journal::open(&*self.keys, tenant, stream, &head.key)?)
    }

    pub async fn put_file(&self, tenant: TenantId, file: FileId, bytes: &[u8]) -> Result<(), ArchiveError> {
        let journal = self.tenant_journal(tenant).await?;
        self.put(&journal, tenant, &file.to_string(), bytes).await
    }

    pub async fn file(&self, tenant: TenantId, file: FileId) -> Result<Vec<u8>, ArchiveError> {
        let journal = self.tenant_journal(tenant).await?;
        self.get(&journal, tenant, &file.to_string()).await
    }

    pub async fn remove_file(&self, tenant: TenantId, file: FileId) -> Result<(), ArchiveError> {
        Ok(self.objects.remove(tenant, &file.to_string()).await?)
    }

    /// Keeps an artifact's bytes; the name under which they are kept is the artifact's id.
    pub async fn put_artifact(
        &self,
        tenant: TenantId,
        session: SessionId,
        artifact: ArtifactId,
        bytes: &[u8],
    ) -> Result<(), ArchiveError> {
        let journal = self.session_journal(tenant, session).await?;
        self.put(&journal, tenant, &artifact.to_string(), bytes).await
    }

    pub async fn artifact(
        &self,
        tenant: TenantId,
        session: SessionId,
        artifact: ArtifactId,
    ) -> Result<Vec<u8>, ArchiveError> {
        let journal = self.session_journal(tenant, session).await?;
        self.get(&journal, tenant, &artifact.to_string()).await
    }

    async fn put(&self, journal: &Journal, tenant: TenantId, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        Ok(self.objects.put(tenant, name, journal.seal_object(name, bytes)).await?)
    }

    async fn get(&self, journal: &Journal, tenant: TenantId, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let sealed = self.objects.get(tenant, name).await?;
        Ok(journal.open_object(name, &sealed)?)
    }
}
