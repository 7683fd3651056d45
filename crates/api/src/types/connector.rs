//! Connectors: ways to the company's systems, as they are applied and shown, and what an agent is given of them.

use crate::body::{nested, nullable, tagged};
use bailiwick_core::{
    ConnectorKind, Effect, Label,
    connector::{CredentialChoice, HeldTool},
    item::ConnectionView,
    visible::visible,
};
use bailiwick_gate::Connector;
use bailiwick_types::CredentialId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

// ---- what an agent is given ----

/// The tools of an MCP server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpToolParam {
    /// 1 to 32 letters, digits, `_` and `-`, without two underscores in a row; unique in the agent.
    pub server_label: String,
    pub transport: McpTransportParam,
    /// The tools that the agent may call; all when left out.
    #[serde(default)]
    pub allowed_tools: Option<Vec<String>>,
    /// `service` when left out. `environment` is not built and answers 501.
    #[serde(default)]
    pub connection_origin: Option<ConnectionOrigin>,
    /// The vault credential to sign in with. When left out, the one of the session's vaults that names the server's host,
    /// if there is exactly one.
    #[serde(default)]
    pub credential_id: Option<String>,
    /// Not built: anything answers 501.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub request_metadata: Option<Map<String, Value>>,
    /// No turn goes on without it. `false` when left out.
    #[serde(default)]
    pub required: Option<bool>,
    #[serde(default)]
    pub bailiwick: Option<McpExtras>,
}

/// What an MCP server may be given beyond the API.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpExtras {
    /// Its tools are found by `tool_search`, and not told to the model before.
    pub defer_loading: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionOrigin {
    Service,
    Environment,
}

/// How an MCP server is reached.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum McpTransportParam {
    Http(McpHttpParam),
    Stdio(UnbuiltTransport),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpHttpParam {
    pub server_url: String,
    /// Refused: a secret belongs into a vault.
    #[serde(default)]
    pub authorization: Option<String>,
    /// Headers that are no secret.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
}

/// A transport that this version has not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnbuiltTransport {}

impl<'de> Deserialize<'de> for McpTransportParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["http", "stdio"], |tag, rest| match tag {
            "http" => Some(nested(rest).map(Self::Http)),
            "stdio" => Some(Ok(Self::Stdio(UnbuiltTransport {}))),
            _ => None,
        })
    }
}

/// An MCP server as an agent has it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct McpTool {
    pub server_label: String,
    pub transport: McpTransport,
    pub allowed_tools: Option<Vec<String>>,
    pub connection_origin: ConnectionOrigin,
    pub credential_id: Option<String>,
    /// Always empty.
    #[schema(value_type = Object)]
    pub request_metadata: Map<String, Value>,
    pub required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<McpExtras>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum McpTransport {
    Http {
        server_url: String,
        /// Only of a saved agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        headers: Option<BTreeMap<String, String>>,
    },
}

/// What an agent is given of a connector that the organisation keeps.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorGrantParam {
    /// As it is called in `/bailiwick/v1/connectors`.
    pub name: String,
    /// What the model sees before the names of its tools; the name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The tools that the agent may call; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// No turn goes on without it. `false` when left out.
    #[serde(default)]
    pub required: bool,
    /// Its tools are found by the agent's `tool_search`, and not told to the model before. `false` when left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub defer_loading: bool,
}

// ---- connectors ----

/// A connector as it is to be from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorParam {
    #[schema(value_type = String)]
    pub kind: ConnectorKind,
    /// Addresses, names and limits in the words of its kind; never a secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Value,
    /// What it is for, in plain words.
    #[serde(default)]
    pub description: String,
    /// Members may see it and ask for it.
    #[serde(default)]
    pub published: bool,
    /// Its system is inside the company's walls.
    #[serde(default)]
    pub inside: bool,
    /// What it signs in with; nothing when left out.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CredentialParam>)]
    pub credential: Option<Option<CredentialParam>>,
    /// Of everything that comes back from it. Untrusted and public when left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub label: Option<Label>,
    /// What is said of single tools: `read`, `idempotent` or `write`.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub effects: BTreeMap<String, Effect>,
    /// Why it is as it is; on the receipt.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Which secret a connector signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialParam {
    /// By its name: each person's own, from their own vaults or those of the session, else a shared one.
    Name(String),
    /// Exactly this one.
    Id(String),
    /// `true`: the one of the session's vaults that names the host, if there is exactly one.
    Matching(bool),
    /// `true`: the acting person's own account, which that person connects by signing in there. What needs it waits until
    /// it is connected. Only for MCP servers.
    Account(bool),
}

impl CredentialParam {
    /// The error goes after the field.
    pub fn read(self) -> Result<CredentialChoice, String> {
        match self {
            Self::Name(name) if name.is_empty() || name.len() > 128 => Err("must have 1 to 128 bytes".into()),
            Self::Name(name) => Ok(CredentialChoice::Named(name)),
            Self::Id(id) => {
                let id: CredentialId = id.parse().map_err(|_| "is no id of a credential")?;
                Ok(CredentialChoice::Fixed(id))
            }
            Self::Matching(true) => Ok(CredentialChoice::Matching),
            Self::Account(true) => Ok(CredentialChoice::Account),
            Self::Matching(false) | Self::Account(false) => Ok(CredentialChoice::None),
        }
    }

    fn of(choice: &CredentialChoice) -> Option<Self> {
        match choice {
            CredentialChoice::None => None,
            CredentialChoice::Matching => Some(Self::Matching(true)),
            CredentialChoice::Named(name) => Some(Self::Name(name.clone())),
            CredentialChoice::Fixed(id) => Some(Self::Id(id.to_string())),
            CredentialChoice::Account => Some(Self::Account(true)),
        }
    }
}

/// A way to one system.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Connector)]
pub struct ConnectorResource {
    pub object: &'static str,
    pub id: String,
    pub name: String,
    /// Counts from 1.
    pub version: u32,
    pub kind: &'static str,
    pub description: String,
    pub published: bool,
    pub inside: bool,
    /// Only for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Value>,
    pub host: Option<String>,
    pub credential: Option<CredentialParam>,
    #[schema(value_type = Object)]
    pub label: Label,
    #[schema(value_type = BTreeMap<String, String>)]
    pub effects: BTreeMap<String, Effect>,
    /// The tools whose definitions were accepted, each with its SHA-256; `null` while nobody accepted any.
    pub accepted_tools: Option<BTreeMap<String, String>>,
    /// Who made it what it is.
    pub by: String,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970.
    pub updated_at: i64,
    pub reason: Option<String>,
}

impl ConnectorResource {
    /// `whole`: also for whoever may change it only.
    pub fn of(connector: &Connector, whole: bool) -> Self {
        let spec = &connector.spec;
        Self {
            object: "bailiwick.connector",
            id: connector.id.to_string(),
            name: connector.name.clone(),
            version: connector.version,
            kind: spec.kind.name(),
            description: connector.description.clone(),
            published: connector.published,
            inside: spec.inside,
            settings: whole.then(|| spec.settings.clone()),
            host: spec.host.clone(),
            credential: CredentialParam::of(&spec.credential),
            label: spec.label.clone(),
            effects: spec.effects.clone(),
            accepted_tools: connector.accepted_tools(),
            by: connector.by.to_string(),
            created_at: connector.created.as_seconds(),
            updated_at: connector.updated.as_seconds(),
            reason: connector.reason.clone(),
        }
    }
}

/// The tools that are accepted from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptParam {
    /// The session that opened the connector and was shown what it offers.
    pub session_id: String,
}

/// A connector as a session has it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionConnector {
    pub label: String,
    /// `ready` or `failed`.
    pub status: &'static str,
    /// The tools that it offers.
    pub tools: Vec<String>,
    /// Tools that are held back until somebody accepts what changed.
    pub held: Vec<HeldToolView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What opening a connector for its caller came to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectorTest {
    pub object: &'static str,
    pub name: String,
    /// Where the connection began: `service`, this server itself.
    pub from: &'static str,
    /// Where it led; `null` for a connector without a network.
    pub host: Option<String>,
    /// For whom it was opened.
    pub principal: String,
    /// The credential that it signed in with; `null`: none.
    pub credential_id: Option<String>,
    /// The session whose receipts tell of it.
    pub session_id: String,
    #[serde(flatten)]
    pub result: SessionConnector,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HeldToolView {
    pub name: String,
    /// In plain words, a line for each thing that changed.
    pub difference: String,
}

impl SessionConnector {
    pub fn of(label: &str, view: &ConnectionView) -> Self {
        let held = |held: &HeldTool| HeldToolView { name: visible(&held.name), difference: held.difference.clone() };
        Self {
            label: label.to_owned(),
            status: if view.error.is_some() { "failed" } else { "ready" },
            tools: view.tools.clone(),
            held: view.held.iter().map(held).collect(),
            error: view.error.clone(),
        }
    }
}
