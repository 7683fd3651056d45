//! Documents of one kind, opened and held in memory for the decisions inside a commit, in step with the store.
//!
//! What cannot be read is an error, and then nothing of that tenant is driven: a limit or a stop that is unreadable is
//! not the same as none. One process holds them; several would have to tell each other what they changed.

use crate::GateError;
use bailiwick_ports::{
    Keys, Store, StreamKey,
    store::{Document, DocumentKind, Page},
    tenant_key,
};
use bailiwick_types::TenantId;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::Mutex;

/// How one document is read.
type Open<T> = fn(&dyn StreamKey, &Document) -> Result<T, GateError>;

pub(crate) struct Shelf<T> {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    kind: DocumentKind,
    /// Of one tenant. Who writes sees to it that there are no more.
    most: usize,
    open: Open<T>,
    kept: RwLock<HashMap<TenantId, Arc<[T]>>>,
    /// Who reads later must not be overtaken by who read earlier.
    reading: Mutex<()>,
}

impl<T> Shelf<T> {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, kind: DocumentKind, most: usize, open: Open<T>) -> Self {
        Self { store, keys, kind, most, open, kept: RwLock::default(), reading: Mutex::default() }
    }

    /// Those of a tenant that were read already: of every tenant whose session is being driven.
    pub fn known(&self, tenant: TenantId) -> Option<Arc<[T]>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    /// All of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[T]>, GateError> {
        match self.known(tenant) {
            Some(known) => Ok(known),
            None => self.refresh(tenant).await,
        }
    }

    /// Reads them again. To be called after every change, before it is answered.
    pub async fn refresh(&self, tenant: TenantId) -> Result<Arc<[T]>, GateError> {
        let _reading = self.reading.lock().await;
        let page = Page { limit: self.most as u32, ..Page::default() };
        let found = self.store.documents(tenant, self.kind, page).await?;
        let documents = found.map(|(documents, _)| documents).unwrap_or_default();
        let mut known = Vec::with_capacity(documents.len());
        if !documents.is_empty() {
            let key = self.key(tenant).await?;
            for document in &documents {
                known.push((self.open)(&*key, document)?);
            }
        }
        let known: Arc<[T]> = known.into();
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, Arc::clone(&known));
        Ok(known)
    }

    /// What a tenant's documents are sealed with.
    pub async fn key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, GateError> {
        Ok(tenant_key(&*self.store, &*self.keys, tenant).await?)
    }
}
