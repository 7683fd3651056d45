//! Sealed documents of a tenant: agents, files, environments.

use crate::error::ApiError;
use bailiwick_ports::{
    Keys, Store, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{TenantId, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Opened tenant keys that are kept.
const MAX_KEYS: usize = 1024;

/// The keys that seal tenants' documents.
pub(crate) struct TenantKeys {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    known: Mutex<HashMap<TenantId, Arc<dyn StreamKey>>>,
}

impl TenantKeys {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self { store, keys, known: Mutex::default() }
    }

    pub async fn get(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, ApiError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known().get(&tenant) {
            return Ok(Arc::clone(key));
        }
        let found = self.store.tenants().await?.into_iter().find(|one| one.id == tenant);
        let found = found.ok_or_else(|| ApiError::internal(format!("there is no tenant {tenant}")))?;
        let key = found.open_key(&*self.keys)?;
        let mut known = known();
        if known.len() >= MAX_KEYS {
            known.clear();
        }
        known.insert(tenant, Arc::clone(&key));
        Ok(key)
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
