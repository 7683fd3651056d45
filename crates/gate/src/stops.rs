//! The stops of each tenant, as the gate asks them: in memory, in step with the documents that hold them.
//!
//! A stop that cannot be read is an error, and then nothing of that tenant is driven.

use crate::GateError;
use bailiwick_core::{StopOrder, StopScope};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind, Page},
};
use bailiwick_types::{AgentId, Principal, SessionId, TeamId, TenantId};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::Mutex;

/// Stops of one tenant at the same time. Who needs more stops the tenant.
pub const MAX_STOPS: usize = 1000;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

pub struct Stops {
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    kept: RwLock<HashMap<TenantId, Arc<[StopOrder]>>>,
    /// Who reads later must not be overtaken by who read earlier.
    reading: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("there are {MAX_STOPS} stops already; lift one first, or stop everything")]
    TooMany,
    #[error("there is no such stop")]
    Unknown,
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for StopError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

impl Stops {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self { store, keys, kept: RwLock::default(), reading: Mutex::default() }
    }

    /// The stop that covers a session, the widest first.
    pub(crate) fn covering(
        &self,
        tenant: TenantId,
        session: SessionId,
        agent: AgentId,
        team: Option<TeamId>,
    ) -> Option<StopOrder> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let covering = kept.get(&tenant)?.iter().filter(|stop| stop.scope.covers(session, agent, team));
        covering.min_by_key(|stop| matches!(stop.scope, StopScope::Session { .. })).cloned()
    }

    /// All stops of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[StopOrder]>, GateError> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        match kept {
            Some(known) => Ok(known),
            None => self.refresh(tenant).await,
        }
    }

    async fn refresh(&self, tenant: TenantId) -> Result<Arc<[StopOrder]>, GateError> {
        let _reading = self.reading.lock().await;
        let page = Page { limit: MAX_STOPS as u32, ..Page::default() };
        let found = self.store.documents(tenant, DocumentKind::Stop, page).await?;
        let documents = found.map(|(documents, _)| documents).unwrap_or_default();
        let mut known = Vec::with_capacity(documents.len());
        if !documents.is_empty() {
            let key = self.key(tenant).await?;
            for document in &documents {
                known.push(open(&*key, document)?);
            }
        }
        let known: Arc<[StopOrder]> = known.into();
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(tenant, Arc::clone(&known));
        Ok(known)
    }

    async fn key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, GateError> {
        let tenants = self.store.tenants().await?;
        let tenant = tenants.into_iter().find(|known| known.id == tenant);
        let tenant = tenant.ok_or_else(|| GateError::Unreadable("stops of a tenant that is not there".into()))?;
        Ok(tenant.open_key(&*self.keys)?)
    }

    /// Nothing that it covers is begun from here on. Stopping what is stopped already changes nothing.
    pub async fn set(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        stop: StopOrder,
    ) -> Result<StopOrder, StopError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.refresh(tenant).await?;
            if let Some(there) = known.iter().find(|known| known.scope == stop.scope) {
                return Ok(there.clone());
            }
            if known.len() >= MAX_STOPS {
                return Err(StopError::TooMany);
            }
            let document = seal(&*self.key(tenant).await?, tenant, &stop);
            let change = Change {
                tenant,
                by: stop.by.clone(),
                kind: "stop.set".into(),
                target: stop.scope.target(tenant),
                reason: stop.reason.clone(),
                details: json!({"scope": stop.scope}),
                documents: vec![DocumentWrite::Put(document)],
            };
            match administration.change(change).await {
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    self.refresh(tenant).await?;
                    return Ok(stop);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Work may begin again. What was stopped does not go on by itself.
    pub async fn lift(
        &self,
        administration: &dyn Administration,
        by: &Principal,
        tenant: TenantId,
        scope: StopScope,
        reason: Option<String>,
    ) -> Result<StopOrder, StopError> {
        let known = self.refresh(tenant).await?;
        let stop = known.iter().find(|known| known.scope == scope).cloned().ok_or(StopError::Unknown)?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "stop.lifted".into(),
            target: scope.target(tenant),
            reason,
            details: json!({"scope": scope, "set_by": stop.by, "since": stop.since}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::Stop, id: scope.bits(tenant) }],
        };
        administration.change(change).await?;
        self.refresh(tenant).await?;
        Ok(stop)
    }
}

fn seal(key: &dyn StreamKey, tenant: TenantId, stop: &StopOrder) -> Document {
    let (kind, id, version) = (DocumentKind::Stop, stop.scope.bits(tenant), 1);
    let plain = json!(stop).to_string();
    let sealed = key.seal(&kind.context(id, version), plain.as_bytes()).into();
    Document { kind, id, version, created: stop.since, updated: stop.since, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<StopOrder, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
