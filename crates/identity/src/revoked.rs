//! Which keys were revoked, in memory: the gate asks inside a commit whether who ordered something still may.
//!
//! What is here was written first, and what was written in this process is here before the call that wrote it returns.

use crate::{access_key::AccessKeyBody, api_key::ApiKeyBody, credentials::Credentials};
use async_trait::async_trait;
use bailiwick_ports::{Revocations, store::DocumentKind};
use bailiwick_types::{KeyId, TenantId};
use std::{
    collections::{HashMap, HashSet},
    sync::{PoisonError, RwLock},
};

#[derive(Default)]
pub(crate) struct Revoked(RwLock<HashMap<TenantId, Known>>);

#[derive(Default)]
struct Known {
    keys: HashSet<KeyId>,
    /// What was revoked before this process began is among them.
    complete: bool,
}

impl Revoked {
    pub fn add(&self, tenant: TenantId, key: KeyId) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(tenant).or_default().keys.insert(key);
    }

    fn complete(&self, tenant: TenantId, keys: impl Iterator<Item = KeyId>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let theirs = known.entry(tenant).or_default();
        theirs.keys.extend(keys);
        theirs.complete = true;
    }

    fn look<T>(&self, tenant: TenantId, look: impl FnOnce(&Known) -> T) -> Option<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).map(look)
    }
}

#[async_trait]
impl Revocations for Credentials {
    async fn recall(&self, tenant: TenantId) -> Result<(), String> {
        if self.revoked.look(tenant, |known| known.complete) == Some(true) {
            return Ok(());
        }
        let told = |error: crate::CredentialError| error.to_string();
        let api_keys = self.documents.all::<ApiKeyBody>(tenant, DocumentKind::ApiKey).await.map_err(told)?;
        let access_keys = self.documents.all::<AccessKeyBody>(tenant, DocumentKind::AccessKey).await.map_err(told)?;
        let api_keys = api_keys.into_iter().filter(|key| key.body.revoked.is_some()).map(|key| key.id);
        let access_keys = access_keys.into_iter().filter(|key| key.body.revoked.is_some()).map(|key| key.id);
        self.revoked.complete(tenant, api_keys.chain(access_keys));
        Ok(())
    }

    fn is_revoked(&self, tenant: TenantId, key: KeyId) -> bool {
        self.revoked.look(tenant, |known| known.keys.contains(&key)) == Some(true)
    }
}
