//! Which keys have an end, in memory: the gate asks inside a commit whether who ordered something still may.
//!
//! What is here was written first, and what was written in this process is here before the call that wrote it returns.

use crate::{access_key::AccessKeyBody, api_key::ApiKeyBody, credentials::Credentials};
use async_trait::async_trait;
use bailiwick_ports::{KeyEnd, Revocations, store::DocumentKind};
use bailiwick_types::{KeyId, TenantId, Timestamp};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

#[derive(Default)]
pub(crate) struct Revoked(RwLock<HashMap<TenantId, Known>>);

#[derive(Default)]
struct Known {
    ends: HashMap<KeyId, KeyEnd>,
    /// What was written before this process began is among them.
    complete: bool,
}

impl Known {
    /// A revocation is never taken back, whatever was read meanwhile.
    fn note(&mut self, key: KeyId, end: KeyEnd) {
        let known = self.ends.entry(key).or_insert(end);
        if end == KeyEnd::Revoked {
            *known = end;
        }
    }
}

impl Revoked {
    pub fn add(&self, tenant: TenantId, key: KeyId) {
        self.note(tenant, key, KeyEnd::Revoked);
    }

    /// A key was made that holds until then.
    pub fn made(&self, tenant: TenantId, key: KeyId, expires: Option<Timestamp>) {
        if let Some(expires) = expires {
            self.note(tenant, key, KeyEnd::Expires(expires));
        }
    }

    fn note(&self, tenant: TenantId, key: KeyId, end: KeyEnd) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(tenant).or_default().note(key, end);
    }

    fn complete(&self, tenant: TenantId, ends: impl Iterator<Item = (KeyId, KeyEnd)>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let theirs = known.entry(tenant).or_default();
        ends.for_each(|(key, end)| theirs.note(key, end));
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
        let api_keys = api_keys.into_iter().map(|key| (key.id, key.body.revoked, key.body.expires));
        let access_keys = access_keys.into_iter().map(|key| (key.id, key.body.revoked, key.body.expires));
        let ends = api_keys.chain(access_keys).filter_map(|(id, revoked, expires)| match revoked {
            Some(_) => Some((id, KeyEnd::Revoked)),
            None => expires.map(|at| (id, KeyEnd::Expires(at))),
        });
        self.revoked.complete(tenant, ends);
        Ok(())
    }

    fn end_of(&self, tenant: TenantId, key: KeyId) -> Option<KeyEnd> {
        self.revoked.look(tenant, |known| known.ends.get(&key).copied()).flatten()
    }
}
