//! Keys of people, made when somebody's first session begins or first file comes. They are around the keys of that
//! person's streams, so that destroying one of them ends them all.
//!
//! It never makes a key for whom it does not write anything.

use crate::GateError;
use bailiwick_ports::{Keys, KeysError, Store, StoreError, StreamKey, SubjectKey};
use bailiwick_types::{TenantId, UserId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Wrapped keys that are remembered.
const MAX_KNOWN: usize = 4096;

/// Keys of one person that are made until one is kept.
const MAX_MAKINGS: usize = 3;

/// A person's key as the store has it now, made where there is none.
pub async fn subject_key(
    store: &dyn Store,
    keys: &dyn Keys,
    tenant: TenantId,
    person: UserId,
) -> Result<SubjectKey, StoreError> {
    if let Some((key, _)) = store.subject_key(tenant, person).await? {
        return Ok(key);
    }
    for _ in 1..MAX_MAKINGS {
        match store.keep_subject_key(tenant, keys.create_subject(tenant, person)).await {
            Err(StoreError::KeyReplaced) => {}
            kept => return kept,
        }
    }
    store.keep_subject_key(tenant, keys.create_subject(tenant, person)).await
}

/// The keys of people. Clones share what they remember, which is wrapped.
#[derive(Clone)]
pub(crate) struct Subjects {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    known: Arc<Mutex<HashMap<(TenantId, UserId), SubjectKey>>>,
}

impl Subjects {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self { store, keys, known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(TenantId, UserId), SubjectKey>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key under which something of this person's is to be kept. The store says whether it is still the one.
    pub async fn key(&self, tenant: TenantId, person: UserId) -> Result<SubjectKey, GateError> {
        if let Some(key) = self.known().get(&(tenant, person)) {
            return Ok(key.clone());
        }
        let key = subject_key(&*self.store, &*self.keys, tenant, person).await?;
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert((tenant, person), key.clone());
        Ok(key)
    }

    /// To be called when the store knows another one.
    pub fn forget(&self, tenant: TenantId, person: UserId) {
        self.known().remove(&(tenant, person));
    }

    /// The key of this person for a new file. Asked of the store each time, because nothing else would tell.
    pub async fn sealing(&self, tenant: TenantId, person: UserId) -> Result<Arc<dyn StreamKey>, GateError> {
        self.forget(tenant, person);
        let key = self.key(tenant, person).await?;
        Ok(self.keys.open_subject(tenant, &key)?)
    }

    /// The key of this person for a file that is there.
    pub async fn opening(&self, tenant: TenantId, person: UserId) -> Result<Arc<dyn StreamKey>, GateError> {
        let (key, _) = self.store.subject_key(tenant, person).await?.ok_or(KeysError::Erased)?;
        Ok(self.keys.open_subject(tenant, &key)?)
    }
}
