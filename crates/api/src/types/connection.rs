//! Accounts that people connect, as they are shown.

use bailiwick_gate::Connector;
use bailiwick_ports::vault::{Auth, Credential};
use bailiwick_types::{Timestamp, UserId};
use serde::Serialize;
use utoipa::ToSchema;

/// The caller's own account at one connector.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct Connection {
    pub object: &'static str,
    pub connector: String,
    pub host: Option<String>,
    pub description: String,
    pub connected: bool,
    /// What lies in the caller's vault of it.
    pub credential_id: Option<String>,
    /// Seconds since 1970.
    pub connected_at: Option<i64>,
    /// What the account was asked for, in the words of its authorization server.
    pub scope: Option<String>,
    /// Opened by the caller, in a browser in which the caller is signed in here, it connects the account, or another in
    /// its place.
    pub url: String,
    /// Until when the link is good.
    pub url_expires_at: i64,
}

impl Connection {
    pub fn of(connector: &Connector, account: Option<&Credential>, url: String, until: Timestamp) -> Self {
        let scope = account.and_then(|account| match &account.auth {
            Auth::McpOauth(oauth) => oauth.refresh.as_ref()?.scope.clone(),
            _ => None,
        });
        Self {
            object: "bailiwick.connection",
            connector: connector.name.clone(),
            host: connector.spec.host.clone(),
            description: connector.description.clone(),
            connected: account.is_some(),
            credential_id: account.map(|account| account.id.to_string()),
            connected_at: account.map(|account| account.created.as_seconds()),
            scope,
            url,
            url_expires_at: until.as_seconds(),
        }
    }
}

/// An account that is connected no more.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ConnectionDeleted)]
pub struct Disconnected {
    pub object: &'static str,
    pub connector: String,
    pub credential_id: String,
    pub deleted: bool,
    /// Its authorization server was told to end it.
    pub revoked: bool,
}

/// What an action waits for that needs an account.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AccountWanted)]
pub struct AccountWanted {
    pub connector: String,
    pub host: String,
    /// Whose it has to be.
    pub person_id: Option<String>,
    /// For that person, in a browser in which they are signed in here.
    pub url: Option<String>,
}

/// The link with which one person connects an account, until it is over. It lets nobody do anything: whoever opens it has
/// to be signed in as that person.
pub fn link(base_url: &str, connector: &str, person: UserId, until: Timestamp) -> String {
    format!("{base_url}/bailiwick/v1/connections/{connector}/start?person={person}&until={}", until.as_seconds())
}
