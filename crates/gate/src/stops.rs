//! The stops of each tenant, as the gate asks them.

use crate::{GateError, shelf::Shelf};
use bailiwick_core::{StopOrder, StopScope};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{AgentId, Principal, SessionId, TeamId, TenantId};
use serde_json::json;
use std::sync::Arc;

/// Stops of one tenant at the same time. Who needs more stops the tenant.
pub const MAX_STOPS: usize = 1000;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// The stops of each tenant.
pub struct Stops(Shelf<StopOrder>);

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
        Self(Shelf::new(store, keys, DocumentKind::Stop, MAX_STOPS, open))
    }

    /// The stop that covers a session, the widest first.
    pub(crate) fn covering(
        &self,
        tenant: TenantId,
        session: SessionId,
        agent: AgentId,
        team: Option<TeamId>,
    ) -> Option<StopOrder> {
        let known = self.0.known(tenant)?;
        let covering = known.iter().filter(|stop| stop.scope.covers(session, agent, team));
        covering.min_by_key(|stop| matches!(stop.scope, StopScope::Session { .. })).cloned()
    }

    /// All stops of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[StopOrder]>, GateError> {
        self.0.list(tenant).await
    }

    /// Nothing that it covers is begun from here on. Stopping what is stopped already changes nothing.
    pub async fn set(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        stop: StopOrder,
    ) -> Result<StopOrder, StopError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            if let Some(there) = known.iter().find(|known| known.scope == stop.scope) {
                return Ok(there.clone());
            }
            if known.len() >= MAX_STOPS {
                return Err(StopError::TooMany);
            }
            let document = seal(&*self.0.key(tenant).await?, tenant, &stop);
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
                    self.0.refresh(tenant).await?;
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
        let known = self.0.refresh(tenant).await?;
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
        self.0.refresh(tenant).await?;
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
