//! Sealed documents of a tenant: agents, files, environments.

use crate::error::ApiError;
use bailiwick_ports::{
    Keys, Store, StreamKey, TenantKeyError,
    store::{Document, DocumentKind},
};
use bailiwick_types::{TenantId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The keys that seal tenants' documents.
pub(crate) struct TenantKeys(bailiwick_ports::TenantKeys);

impl TenantKeys {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(bailiwick_ports::TenantKeys::new(store, keys))
    }

    pub async fn get(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, ApiError> {
        self.0.get(tenant).await.map_err(|error| match error {
            TenantKeyError::Store(error) => error.into(),
            TenantKeyError::Keys(error) => error.into(),
            TenantKeyError::UnknownTenant(_) => ApiError::internal(error),
        })
    }

    pub async fn seal<B: Serialize>(
        &self,
        tenant: TenantId,
        document: Opened<B>,
        updated: Timestamp,
    ) -> Result<Document, ApiError> {
        let Opened { kind, id, version, created, body, .. } = document;
        let plain = serde_json::to_vec(&body).map_err(ApiError::internal)?;
        let sealed = self.get(tenant).await?.seal(&kind.context(id, version), &plain).into();
        Ok(Document { kind, id, version, created, updated, handle: None, sealed })
    }

    pub async fn open<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        document: &Document,
    ) -> Result<Opened<B>, ApiError> {
        let Document { kind, id, version, created, updated, .. } = *document;
        let plain = self.get(tenant).await?.unseal(&kind.context(id, version), &document.sealed)?;
        let body = serde_json::from_slice(&plain).map_err(ApiError::internal)?;
        Ok(Opened { kind, id, version, created, updated, body })
    }
}

/// A document in the clear.
pub(crate) struct Opened<B> {
    pub kind: DocumentKind,
    pub id: u128,
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub body: B,
}
