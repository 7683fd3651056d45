//! Organisations on one server. Each is apart from the others: its people, agents, rules, money, keys and receipts are
//! its own, and another's id is unknown to it.

use async_trait::async_trait;
use bailiwick_types::{TenantId, Timestamp};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantInfo {
    pub id: TenantId,
    pub name: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// The text names the field and the way out.
    #[error("{0}")]
    Invalid(String),
    #[error("there is an organisation `{0}` already")]
    Taken(String),
    #[error("there are {0} organisations already, and this server takes no more")]
    TooMany(usize),
    #[error("organisations cannot be reached now: {0}")]
    Unavailable(String),
}

/// Makes and lists organisations, for whoever runs the server.
#[async_trait]
pub trait TenantDesk: Send + Sync {
    /// It has a name of its own, the starter set of rules, and nobody in it.
    async fn create_tenant(&self, name: &str) -> Result<TenantInfo, TenantError>;

    /// The oldest first: people who sign in are of that one.
    async fn list_tenants(&self) -> Result<Vec<TenantInfo>, TenantError>;
}
