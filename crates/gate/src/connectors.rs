//! The connectors that each tenant keeps, as the gate asks them.
//!
//! Which systems there are is an administrator's word, and each change of it has a receipt in the tenant's
//! administration. Nothing here reaches any of them.

use crate::{GateError, Listing, MAX_ASKING_TEAMS, shelf::Shelf};
use bailiwick_core::{
    ConnectorSpec,
    connector::{Pins, is_label},
};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{ConnectorId, Principal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// Connectors of one tenant.
pub const MAX_CONNECTORS: usize = 1000;
/// Bytes of one connector's settings.
pub const MAX_CONNECTOR_BYTES: usize = 1024 * 1024;
/// Bytes of a reason, and of what it is for.
pub const MAX_CONNECTOR_TEXT: usize = 2048;
/// Characters of a title.
const MAX_TITLE: usize = 120;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// A way to one system, kept under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connector {
    pub id: ConnectorId,
    /// Unique in the tenant; also what agents and rules call it.
    pub name: String,
    /// Counts from 1.
    pub version: u32,
    /// What it is for, for people.
    #[serde(default)]
    pub description: String,
    /// Members may see it.
    #[serde(default)]
    pub published: bool,
    /// How it stands in the catalogue. Whoever does not build agents is then given it on request only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    pub spec: ConnectorSpec,
    /// The tools that were accepted, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<Pins>,
    pub by: Principal,
    pub created: Timestamp,
    pub updated: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Connector {
    /// The tools that were accepted, if any were, each with the SHA-256 of its definition in hex.
    pub fn accepted_tools(&self) -> Option<BTreeMap<String, String>> {
        let digests = |pins: &Pins| pins.iter().map(|(name, tool)| (name.clone(), tool.digest())).collect();
        self.pins.as_ref().map(digests)
    }
}

/// What somebody wants a connector to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConnector {
    /// Of a new one; one that is there keeps its own.
    pub id: ConnectorId,
    pub name: String,
    pub description: String,
    pub published: bool,
    pub spec: ConnectorSpec,
    pub by: Principal,
    pub at: Timestamp,
    pub reason: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("`{field}`: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("there are {MAX_CONNECTORS} connectors already; remove one first")]
    TooMany,
    #[error("there is no connector of this name")]
    Unknown,
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for ConnectorError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

/// The connectors of each tenant.
pub struct Connectors(Shelf<Connector>);

impl Connectors {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::Connector, MAX_CONNECTORS, open))
    }

    /// One of a tenant whose connectors were read already.
    pub(crate) fn known(&self, tenant: TenantId, name: &str) -> Option<Connector> {
        self.0.known(tenant)?.iter().find(|known| known.name == name).cloned()
    }

    /// All of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[Connector]>, GateError> {
        self.0.list(tenant).await
    }

    pub async fn find(&self, tenant: TenantId, name: &str) -> Result<Option<Connector>, GateError> {
        Ok(self.list(tenant).await?.iter().find(|known| known.name == name).cloned())
    }

    /// It is as this says from the next action on. What was accepted of its tools is kept where it reaches the same
    /// system.
    pub async fn apply(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        new: NewConnector,
    ) -> Result<Connector, ConnectorError> {
        check(&new)?;
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            let before = known.iter().find(|known| known.name == new.name);
            if before.is_none() && known.len() >= MAX_CONNECTORS {
                return Err(ConnectorError::TooMany);
            }
            let connector = next(before, &new);
            let kind = if before.is_some() { "connector.changed" } else { "connector.created" };
            if let Some(done) = self.write(administration, tenant, kind, &connector).await? {
                return Ok(done);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Only these definitions of its tools are offered from here on.
    pub async fn accept(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        name: &str,
        pins: Pins,
        by: &Principal,
        at: Timestamp,
    ) -> Result<Connector, ConnectorError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            let before = known.iter().find(|known| known.name == name).ok_or(ConnectorError::Unknown)?;
            let connector = Connector {
                version: before.version + 1,
                pins: Some(pins.clone()),
                by: by.clone(),
                updated: at,
                ..before.clone()
            };
            if let Some(done) = self.write(administration, tenant, "connector.accepted", &connector).await? {
                return Ok(done);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// It stands in the catalogue like this from now on, or not any more.
    pub async fn list_in_catalogue(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        name: &str,
        listing: Option<Listing>,
        (by, at, reason): (&Principal, Timestamp, Option<String>),
    ) -> Result<Connector, ConnectorError> {
        if let Some(listing) = &listing {
            check_listing(listing)?;
        }
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            let before = known.iter().find(|known| known.name == name).ok_or(ConnectorError::Unknown)?;
            let connector = Connector {
                version: before.version + 1,
                published: listing.is_some(),
                listing: listing.clone(),
                by: by.clone(),
                updated: at,
                reason: reason.clone(),
                ..before.clone()
            };
            let kind = if listing.is_some() { "connector.published" } else { "connector.withdrawn" };
            if let Some(done) = self.write(administration, tenant, kind, &connector).await? {
                return Ok(done);
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// `None` when somebody else wrote meanwhile.
    async fn write(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        kind: &str,
        connector: &Connector,
    ) -> Result<Option<Connector>, ConnectorError> {
        let change = Change {
            tenant,
            by: connector.by.clone(),
            kind: kind.into(),
            target: connector.id.to_string(),
            reason: connector.reason.clone(),
            details: json!({
                "name": connector.name, "kind": connector.spec.kind, "host": connector.spec.host,
                "inside": connector.spec.inside, "version": connector.version, "accepted_tools": connector.accepted_tools(),
                "published": connector.published, "listing": connector.listing,
            }),
            documents: vec![DocumentWrite::Put(seal(&*self.0.key(tenant).await?, connector))],
        };
        match administration.change(change).await {
            Err(StoreError::Conflict) => Ok(None),
            done => {
                done?;
                self.0.refresh(tenant).await?;
                Ok(Some(connector.clone()))
            }
        }
    }

    /// No agent reaches its system any more, from the next action on.
    pub async fn remove(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        name: &str,
        by: &Principal,
        reason: Option<String>,
    ) -> Result<Connector, ConnectorError> {
        let known = self.0.refresh(tenant).await?;
        let connector = known.iter().find(|known| known.name == name).cloned().ok_or(ConnectorError::Unknown)?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "connector.removed".into(),
            target: connector.id.to_string(),
            reason,
            details: json!({"name": connector.name, "version": connector.version}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::Connector, id: connector.id.to_u128() }],
        };
        administration.change(change).await?;
        self.0.refresh(tenant).await?;
        Ok(connector)
    }
}

fn check(new: &NewConnector) -> Result<(), ConnectorError> {
    let invalid = |field, problem: String| Err(ConnectorError::Invalid { field, problem });
    if !is_label(&new.name) || new.name != new.name.to_ascii_lowercase() {
        let problem = "must be 1 to 32 lower-case letters, digits, `-` or `_`, without two underscores in a row";
        return invalid("name", problem.into());
    }
    if new.description.len() > MAX_CONNECTOR_TEXT {
        return invalid("description", format!("must have at most {MAX_CONNECTOR_TEXT} bytes"));
    }
    if new.reason.as_ref().is_some_and(|reason| reason.len() > MAX_CONNECTOR_TEXT) {
        return invalid("reason", format!("must have at most {MAX_CONNECTOR_TEXT} bytes"));
    }
    if json!(new.spec).to_string().len() > MAX_CONNECTOR_BYTES {
        return invalid("settings", format!("must have at most {MAX_CONNECTOR_BYTES} bytes"));
    }
    Ok(())
}

fn check_listing(listing: &Listing) -> Result<(), ConnectorError> {
    let invalid = |field, problem: String| Err(ConnectorError::Invalid { field, problem });
    let title = listing.title.trim();
    if title.is_empty() || title.chars().count() > MAX_TITLE || title.chars().any(char::is_control) {
        return invalid("title", format!("must have 1 to {MAX_TITLE} characters on one line"));
    }
    if listing.purpose.trim().is_empty() || listing.purpose.len() > MAX_CONNECTOR_TEXT {
        return invalid("purpose", format!("must have 1 to {MAX_CONNECTOR_TEXT} bytes"));
    }
    if listing.teams.len() > MAX_ASKING_TEAMS {
        return invalid("teams", format!("must be at most {MAX_ASKING_TEAMS}"));
    }
    Ok(())
}

fn next(before: Option<&Connector>, new: &NewConnector) -> Connector {
    let same_system = before.is_some_and(|before| before.spec.system(None) == new.spec.system(None));
    Connector {
        id: before.map_or(new.id, |before| before.id),
        name: new.name.clone(),
        version: before.map_or(1, |before| before.version + 1),
        description: new.description.clone(),
        published: new.published,
        listing: before.filter(|_| new.published).and_then(|before| before.listing.clone()),
        spec: new.spec.clone(),
        pins: before.filter(|_| same_system).and_then(|before| before.pins.clone()),
        by: new.by.clone(),
        created: before.map_or(new.at, |before| before.created),
        updated: new.at,
        reason: new.reason.clone(),
    }
}

fn seal(key: &dyn StreamKey, connector: &Connector) -> Document {
    let (kind, id, version) = (DocumentKind::Connector, connector.id.to_u128(), connector.version);
    let sealed = key.seal(&kind.context(id, version), json!(connector).to_string().as_bytes()).into();
    let (created, updated) = (connector.created, connector.updated);
    Document { kind, id, version, created, updated, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<Connector, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
