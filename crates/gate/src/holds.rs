//! Legal holds: what one covers is not deleted, not erased, and not let go by retention, until somebody lifts it.

use crate::{GateError, shelf::Shelf};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{AgentId, Principal, SessionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Holds of one tenant at the same time.
pub const MAX_HOLDS: usize = 1000;
/// Bytes of a reason.
pub const MAX_HOLD_REASON: usize = 2048;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// What a hold covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HoldScope {
    /// Everything that was done in a person's rights, and what that person keeps here.
    Person {
        id: UserId,
    },
    /// Every session of an agent, and the agent.
    Agent {
        id: AgentId,
    },
    Session {
        id: SessionId,
    },
}

/// Who wants it kept, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub scope: HoldScope,
    pub reason: String,
    pub by: Principal,
    pub since: Timestamp,
}

/// What somebody wants to delete. What is `None` does not concern it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deleting {
    pub person: Option<UserId>,
    pub agent: Option<AgentId>,
    pub session: Option<SessionId>,
}

impl HoldScope {
    fn bits(self) -> u128 {
        match self {
            Self::Person { id } => id.to_u128(),
            Self::Agent { id } => id.to_u128(),
            Self::Session { id } => id.to_u128(),
        }
    }

    /// The id of what it covers.
    pub fn target(self) -> String {
        match self {
            Self::Person { id } => id.to_string(),
            Self::Agent { id } => id.to_string(),
            Self::Session { id } => id.to_string(),
        }
    }

    fn covers(self, deleting: &Deleting) -> bool {
        match self {
            Self::Person { id } => deleting.person == Some(id),
            Self::Agent { id } => deleting.agent == Some(id),
            Self::Session { id } => deleting.session == Some(id),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    #[error("there are {MAX_HOLDS} holds already; lift one first")]
    TooMany,
    #[error("there is no such hold")]
    Unknown,
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for HoldError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

/// The holds of each tenant.
pub struct Holds(Shelf<Hold>);

impl Holds {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::Hold, MAX_HOLDS, open))
    }

    /// All holds of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[Hold]>, GateError> {
        self.0.list(tenant).await
    }

    /// The hold that forbids to delete this. An error forbids it too.
    pub async fn covering(&self, tenant: TenantId, deleting: &Deleting) -> Result<Option<Hold>, GateError> {
        Ok(self.list(tenant).await?.iter().find(|hold| hold.scope.covers(deleting)).cloned())
    }

    /// Nothing that it covers is deleted from here on. Holding what is held already changes nothing.
    pub async fn set(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        hold: Hold,
    ) -> Result<Hold, HoldError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            if let Some(there) = known.iter().find(|known| known.scope == hold.scope) {
                return Ok(there.clone());
            }
            if known.len() >= MAX_HOLDS {
                return Err(HoldError::TooMany);
            }
            let change = Change {
                tenant,
                by: hold.by.clone(),
                kind: "hold.set".into(),
                target: hold.scope.target(),
                reason: Some(hold.reason.clone()),
                details: json!({"scope": hold.scope}),
                documents: vec![DocumentWrite::Put(seal(&*self.0.key(tenant).await?, &hold))],
            };
            match administration.change(change).await {
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    self.0.refresh(tenant).await?;
                    return Ok(hold);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// It may be deleted again, and what waited for that goes on.
    pub async fn lift(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        target: &str,
        by: &Principal,
        reason: String,
    ) -> Result<Hold, HoldError> {
        let known = self.0.refresh(tenant).await?;
        let hold = known.iter().find(|known| known.scope.target() == target).cloned().ok_or(HoldError::Unknown)?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "hold.lifted".into(),
            target: hold.scope.target(),
            reason: Some(reason),
            details: json!({"scope": hold.scope, "set_by": hold.by, "since": hold.since, "was_for": hold.reason}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::Hold, id: hold.scope.bits() }],
        };
        administration.change(change).await?;
        self.0.refresh(tenant).await?;
        Ok(hold)
    }
}

fn seal(key: &dyn StreamKey, hold: &Hold) -> Document {
    let (kind, id, version) = (DocumentKind::Hold, hold.scope.bits(), 1);
    let sealed = key.seal(&kind.context(id, version), json!(hold).to_string().as_bytes()).into();
    Document { kind, id, version, created: hold.since, updated: hold.since, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<Hold, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
