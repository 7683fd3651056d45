//! The catalogue: connectors that people may ask for, and what became of asking.

use super::connector::ConnectorResource;
use crate::body::nullable;
use bailiwick_gate::{Connector, ConnectorRequest, RequestState, Wanted};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a connector stands in the catalogue from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishConnectorParam {
    /// 1 to 120 characters.
    pub title: String,
    /// What it is for, in plain words.
    pub purpose: String,
    /// Ids of the teams whose members see it and may ask; everybody when left out.
    #[serde(default)]
    pub teams: Vec<String>,
    /// Id of the person who answers requests beside administrators.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<String>>,
    /// Why; the receipt keeps it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Somebody asks to be given a connector.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AskForConnectorParam {
    /// The saved agent that is to get it, which the caller answers for. Left out: the caller, for the agents that they write
    /// for sessions of their own.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// The tools that are asked for; all when left out.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// What it is needed for.
    pub reason: String,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantConnectorParam {
    /// The tools that are given; those that were asked for when left out.
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefuseConnectorParam {
    /// Why; whoever asked is told.
    pub reason: String,
}

/// A connector that people may ask for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CatalogueEntry {
    pub object: &'static str,
    /// Of the connector.
    pub id: String,
    /// As it is called in `/bailiwick/v1/connectors`.
    pub name: String,
    pub title: String,
    pub purpose: String,
    pub kind: &'static str,
    pub inside: bool,
    /// Teams whose members may ask; empty: everybody.
    pub teams: Vec<String>,
    /// Who answers requests beside administrators.
    pub owner: Option<String>,
    /// The tools that were accepted; `null` while nobody accepted any.
    pub tools: Option<Vec<String>>,
    /// The caller may use it in sessions of their own.
    pub granted: bool,
}

impl CatalogueEntry {
    /// `None` of one that is not in the catalogue.
    pub fn of(connector: &Connector, granted: bool) -> Option<Self> {
        let listing = connector.listing.as_ref().filter(|_| connector.published)?;
        let shown = ConnectorResource::of(connector, false);
        Some(Self {
            object: "bailiwick.catalogue.entry",
            id: shown.id,
            name: shown.name,
            title: listing.title.clone(),
            purpose: listing.purpose.clone(),
            kind: shown.kind,
            inside: shown.inside,
            teams: listing.teams.iter().map(ToString::to_string).collect(),
            owner: listing.owner.map(|owner| owner.to_string()),
            tools: shown.accepted_tools.map(|tools| tools.into_keys().collect()),
            granted,
        })
    }
}

/// What somebody asked for, and what came of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConnectorRequest)]
pub struct ConnectorRequestResource {
    pub object: &'static str,
    pub id: String,
    /// The connector's name, as it was when it was asked for.
    pub connector: String,
    /// The saved agent that is to get it.
    pub agent_id: Option<String>,
    /// The person who is to get it for sessions of their own.
    pub user_id: Option<String>,
    /// The tools that are asked for; `null`: all.
    pub tools: Option<Vec<String>>,
    /// Who asks.
    pub by: String,
    pub reason: String,
    /// `open`, `granted` or `refused`.
    pub state: &'static str,
    pub answer: Option<ConnectorAnswer>,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// Who granted or refused it, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectorAnswer {
    pub by: String,
    /// Seconds since 1970.
    pub at: i64,
    pub reason: Option<String>,
    /// Of a grant: the tools that were given; `null`: all.
    pub tools: Option<Vec<String>>,
}

impl ConnectorRequestResource {
    pub fn of(request: &ConnectorRequest) -> Self {
        let (agent_id, user_id) = match request.wanted {
            Wanted::Agent { id } => (Some(id.to_string()), None),
            Wanted::Person { id } => (None, Some(id.to_string())),
        };
        let list = |tools: &Option<std::collections::BTreeSet<String>>| {
            tools.as_ref().map(|tools| tools.iter().cloned().collect())
        };
        let answer = match &request.state {
            RequestState::Open => None,
            RequestState::Granted { by, at, tools, reason } => Some(ConnectorAnswer {
                by: by.to_string(),
                at: at.as_seconds(),
                reason: reason.clone(),
                tools: list(tools),
            }),
            RequestState::Refused { by, at, reason } => Some(ConnectorAnswer {
                by: by.to_string(),
                at: at.as_seconds(),
                reason: Some(reason.clone()),
                tools: None,
            }),
        };
        Self {
            object: "bailiwick.connector_request",
            id: request.id.to_string(),
            connector: request.name.clone(),
            agent_id,
            user_id,
            tools: list(&request.tools),
            by: request.by.to_string(),
            reason: request.reason.clone(),
            state: request.state.name(),
            answer,
            created_at: request.created.as_seconds(),
        }
    }
}
