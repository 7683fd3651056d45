//! Administrative changes written down: one record of the tenant's own stream, in one transaction with the documents
//! that it changes. Nobody drives that stream and it has no lease: writers that meet try again.
//!
//! It never reads or judges the documents it is given.

use crate::{Journal, journal::Tip};
use async_trait::async_trait;
use bailiwick_core::record::{AdministrationChanged, Body, Record};
use bailiwick_ports::{Administration, Change, Clock, Keys, Store, StoreError, WrappedKey, store::Administer};
use bailiwick_types::{StreamId, TenantId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Writers that meet each other try again this often; each time one of them has got through.
const MAX_MEETINGS: usize = 64;
/// Opened journals that are kept.
const MAX_JOURNALS: usize = 1024;

/// Writes changes of tenants' administration down.
pub struct Administrator {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    clock: Arc<dyn Clock>,
    journals: Mutex<HashMap<TenantId, (Journal, WrappedKey)>>,
    /// Writers of this process take turns, first come first served: only those of another one can meet them.
    turns: tokio::sync::Mutex<()>,
}

impl Administrator {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keys, clock, journals: Mutex::default(), turns: tokio::sync::Mutex::default() }
    }

    async fn journal(&self, tenant: TenantId) -> Result<(Journal, WrappedKey), StoreError> {
        let known = || self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&tenant) {
            return Ok(found.clone());
        }
        let stream = StreamId::from(tenant);
        let found = self.store.tenants().await?.into_iter().find(|one| one.id == tenant);
        let key = found.ok_or(StoreError::UnknownStream(stream))?.key;
        let journal = Journal::open(&*self.keys, tenant, stream, &key);
        let journal = journal.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut known = known();
        if known.len() >= MAX_JOURNALS {
            known.clear();
        }
        known.insert(tenant, (journal.clone(), key.clone()));
        Ok((journal, key))
    }
}

#[async_trait]
impl Administration for Administrator {
    async fn change(&self, change: Change) -> Result<(), StoreError> {
        let Change { tenant, by, kind, target, reason, details, documents } = change;
        let (journal, key) = self.journal(tenant).await?;
        let body = Body::AdministrationChanged(AdministrationChanged { by, change: kind, target, reason, details });
        let _turn = self.turns.lock().await;
        let mut stale = StoreError::StaleEpoch { stream: tenant.into(), epoch: 0 };
        for _ in 0..MAX_MEETINGS {
            let head = self.store.head(tenant.into()).await?;
            let mut tip = head
                .map_or(Tip { position: 0, chain: [0; 32] }, |head| Tip { position: head.position, chain: head.chain });
            let record = Record { position: tip.position + 1, time: self.clock.now(), body: body.clone() };
            let record = journal.seal_record(&mut tip, 0, &record);
            let (key, documents) = (key.clone(), documents.clone());
            match self.store.administer(Administer { tenant, key, record, documents }).await {
                Err(error @ StoreError::StaleEpoch { .. }) => stale = error,
                done => return done,
            }
        }
        Err(stale)
    }
}
