//! What people ask to be given of the connectors that are published, and what came of it.
//!
//! A request is a document of the organisation, and asking, granting and refusing are changes of its administration, each
//! with a receipt. Nothing here gives an agent anything: who grants writes the agent's new version in the same transaction.

use crate::{Connector, GateError, shelf::Shelf};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{AgentId, ConnectorId, ConnectorRequestId, Principal, TeamId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Requests of one tenant that are kept, answered ones among them.
pub const MAX_CONNECTOR_REQUESTS: usize = 5000;
/// Of one asker that wait for an answer.
pub const MAX_OPEN_CONNECTOR_REQUESTS: usize = 50;
/// Teams that may ask for one connector.
pub const MAX_ASKING_TEAMS: usize = 100;

/// How a connector stands in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub title: String,
    /// What it is for, in plain words.
    pub purpose: String,
    /// Whose members may ask for it; empty: everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<TeamId>,
    /// Who answers requests beside administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
}

impl Listing {
    /// Whether somebody in these teams may ask.
    pub fn is_for(&self, teams: &[TeamId]) -> bool {
        self.teams.is_empty() || teams.iter().any(|team| self.teams.contains(team))
    }
}

/// Who is to get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Wanted {
    /// A saved agent.
    Agent { id: AgentId },
    /// A person, for the agents that they write for sessions of their own.
    Person { id: UserId },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RequestState {
    Open,
    Granted {
        by: Principal,
        at: Timestamp,
        /// The tools that were given; `None`: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools: Option<BTreeSet<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Refused {
        by: Principal,
        at: Timestamp,
        reason: String,
    },
}

impl RequestState {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Granted { .. } => "granted",
            Self::Refused { .. } => "refused",
        }
    }
}

/// Somebody asks to be given a connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorRequest {
    pub id: ConnectorRequestId,
    /// Counts its changes from 1.
    pub revision: u32,
    /// This one, and no other that has its name later.
    pub connector: ConnectorId,
    /// As it was called when it was asked for.
    pub name: String,
    pub wanted: Wanted,
    /// The tools that are asked for; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<BTreeSet<String>>,
    pub by: Principal,
    pub reason: String,
    pub state: RequestState,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl ConnectorRequest {
    pub fn is_open(&self) -> bool {
        self.state == RequestState::Open
    }

    /// With an answer.
    pub fn answered(&self, state: RequestState, at: Timestamp) -> Self {
        Self { revision: self.revision + 1, state, updated: at, ..self.clone() }
    }

    fn told(&self) -> Value {
        json!({"connector": self.connector, "name": self.name, "for": self.wanted, "tools": self.tools, "by": self.by})
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{MAX_CONNECTOR_REQUESTS} requests are kept already; remove answered ones first")]
    TooMany,
    #[error("{MAX_OPEN_CONNECTOR_REQUESTS} of your requests wait for an answer; take one back first")]
    TooManyOpen,
    #[error("this was asked for already, as {0}")]
    AskedAlready(ConnectorRequestId),
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

/// The requests of each tenant.
pub struct ConnectorRequests(Shelf<ConnectorRequest>);

impl ConnectorRequests {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::ConnectorRequest, MAX_CONNECTOR_REQUESTS, open))
    }

    /// All of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[ConnectorRequest]>, GateError> {
        self.0.list(tenant).await
    }

    pub async fn find(&self, tenant: TenantId, id: ConnectorRequestId) -> Result<Option<ConnectorRequest>, GateError> {
        Ok(self.list(tenant).await?.iter().find(|known| known.id == id).cloned())
    }

    /// What this person was given of a connector for themselves: the tools of each grant, `None` for all of them.
    pub async fn granted_to(
        &self,
        tenant: TenantId,
        person: UserId,
        connector: &Connector,
    ) -> Result<Vec<Option<BTreeSet<String>>>, GateError> {
        let mine = Wanted::Person { id: person };
        let all = self.list(tenant).await?;
        let granted = all.iter().filter(|one| one.wanted == mine && one.connector == connector.id);
        let tools = granted.filter_map(|one| match &one.state {
            RequestState::Granted { tools, .. } => Some(tools.clone()),
            RequestState::Open | RequestState::Refused { .. } => None,
        });
        Ok(tools.collect())
    }

    /// Keeps a new request, which waits for an answer.
    pub async fn ask(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        request: ConnectorRequest,
    ) -> Result<ConnectorRequest, RequestError> {
        let known = self.0.refresh(tenant).await?;
        if known.len() >= MAX_CONNECTOR_REQUESTS {
            return Err(RequestError::TooMany);
        }
        let waiting = || known.iter().filter(|one| one.is_open());
        if let Some(same) = waiting().find(|one| {
            one.connector == request.connector && one.wanted == request.wanted && one.tools == request.tools
        }) {
            return Err(RequestError::AskedAlready(same.id));
        }
        if waiting().filter(|one| one.by == request.by).count() >= MAX_OPEN_CONNECTOR_REQUESTS {
            return Err(RequestError::TooManyOpen);
        }
        let reason = Some(request.reason.clone());
        self.write(administration, tenant, "connector.asked", &request.by.clone(), reason, &request).await?;
        Ok(request)
    }

    /// Keeps an answer where it is nothing but an answer.
    pub async fn answer(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        kind: &str,
        (by, reason): (&Principal, Option<String>),
        answered: &ConnectorRequest,
    ) -> Result<(), RequestError> {
        self.write(administration, tenant, kind, by, reason, answered).await
    }

    /// What an answer writes, for who writes more with it. Afterwards [`Self::refresh`] has to be called.
    pub async fn document(&self, tenant: TenantId, answered: &ConnectorRequest) -> Result<DocumentWrite, GateError> {
        Ok(DocumentWrite::Put(seal(&*self.0.key(tenant).await?, answered)))
    }

    /// Reads them again.
    pub async fn refresh(&self, tenant: TenantId) -> Result<(), GateError> {
        self.0.refresh(tenant).await.map(drop)
    }

    /// Lets a request go, and with it what it gave a person.
    pub async fn remove(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        request: &ConnectorRequest,
        (by, reason): (&Principal, Option<String>),
    ) -> Result<(), RequestError> {
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "connector.request_removed".into(),
            target: request.id.to_string(),
            reason,
            details: json!({"request": request.told(), "state": request.state.name()}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::ConnectorRequest, id: request.id.to_u128() }],
        };
        administration.change(change).await?;
        Ok(self.refresh(tenant).await?)
    }

    async fn write(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        kind: &str,
        by: &Principal,
        reason: Option<String>,
        request: &ConnectorRequest,
    ) -> Result<(), RequestError> {
        let change = Change {
            tenant,
            by: by.clone(),
            kind: kind.into(),
            target: request.id.to_string(),
            reason,
            details: json!({"request": request.told(), "answer": request.state}),
            documents: vec![self.document(tenant, request).await?],
        };
        let done = administration.change(change).await;
        self.refresh(tenant).await?;
        Ok(done?)
    }
}

fn seal(key: &dyn StreamKey, request: &ConnectorRequest) -> Document {
    let (kind, id, version) = (DocumentKind::ConnectorRequest, request.id.to_u128(), request.revision);
    let sealed = key.seal(&kind.context(id, version), json!(request).to_string().as_bytes()).into();
    let (created, updated) = (request.created, request.updated);
    Document { kind, id, version, created, updated, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<ConnectorRequest, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
