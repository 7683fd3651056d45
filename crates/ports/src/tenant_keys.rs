//! What seals an organisation's documents: found, opened and remembered in one way wherever it is needed.

use crate::{Keys, KeysError, Store, StoreError, StreamKey};
use bailiwick_types::TenantId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Opened keys that are remembered; one machine serves far fewer organisations.
const MAX_KNOWN: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantKeyError {
    #[error("there is no tenant {0}")]
    UnknownTenant(TenantId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// The key that seals a tenant's documents, asked of the store.
pub async fn tenant_key(
    store: &dyn Store,
    keys: &dyn Keys,
    tenant: TenantId,
) -> Result<Arc<dyn StreamKey>, TenantKeyError> {
    let found = store.tenants().await?.into_iter().find(|one| one.id == tenant);
    Ok(found.ok_or(TenantKeyError::UnknownTenant(tenant))?.open_key(keys)?)
}

/// The same, remembered. An organisation's own key is never destroyed, and replacing what it is wrapped under does not
/// change it.
pub struct TenantKeys {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    known: Mutex<HashMap<TenantId, Arc<dyn StreamKey>>>,
}

impl TenantKeys {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self { store, keys, known: Mutex::default() }
    }

    pub async fn get(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, TenantKeyError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known().get(&tenant) {
            return Ok(Arc::clone(key));
        }
        let key = tenant_key(&*self.store, &*self.keys, tenant).await?;
        let mut known = known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(tenant, Arc::clone(&key));
        Ok(key)
    }
}
