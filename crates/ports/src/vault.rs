//! Vaults: places for secrets that agents may use and nobody may read. What is here never holds a secret, but for what
//! a person writes into a vault.
//!
//! A secret leaves its vault in one way only: through the gate's hand `Vault`, against an opened permit that names it.

use crate::{people::Author, store::StoreError};
use async_trait::async_trait;
use bailiwick_types::{AgentId, CredentialId, Secret, TenantId, Timestamp, UserId, VaultId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Names and values that an application keeps beside a vault or a credential.
pub type Metadata = BTreeMap<String, String>;

/// Whose a vault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum VaultOwner {
    /// One person's: nobody else sees it.
    User { id: UserId },
    /// An agent's: kept by whoever answers for it, and by administrators.
    Agent { id: AgentId },
    /// The organisation's: kept by administrators.
    Shared,
}

impl VaultOwner {
    /// `user`, `agent` or `shared`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::Agent { .. } => "agent",
            Self::Shared => "shared",
        }
    }
}

impl fmt::Display for VaultOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id } => write!(f, "{id}"),
            Self::Agent { id } => write!(f, "{id}"),
            Self::Shared => f.write_str("shared"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vault {
    pub id: VaultId,
    pub owner: VaultOwner,
    pub name: Option<String>,
    pub metadata: Metadata,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A credential without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: CredentialId,
    pub vault: VaultId,
    /// The vault's.
    pub owner: VaultOwner,
    /// Unique in its vault.
    pub name: String,
    pub auth: Auth,
    pub metadata: Metadata,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Credential {
    /// Hosts to which its secret may go, in lower case; `None`: to any.
    pub fn hosts(&self) -> Option<Vec<String>> {
        match &self.auth {
            Auth::McpOauth(oauth) => Some(vec![oauth.server.host.clone()]),
            Auth::StaticBearer { server } => Some(vec![server.host.clone()]),
            Auth::EnvironmentVariable { hosts, .. } => hosts.clone(),
            Auth::EnterpriseManaged(managed) => Some(vec![managed.server.host.clone()]),
        }
    }

    /// Whether its secret may be sent to `host`.
    pub fn reaches(&self, host: &str) -> bool {
        self.hosts().is_none_or(|hosts| hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
    }
}

/// An address, with its host as it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub url: String,
    /// In lower case, without port.
    pub host: String,
}

/// How a credential is used: what of it is no secret. The kinds are those of the Agents API, and one of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Auth {
    McpOauth(McpOauth),
    StaticBearer {
        server: Server,
    },
    EnvironmentVariable {
        name: String,
        /// `None`: wherever the environment's network policy lets it go.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hosts: Option<Vec<String>>,
    },
    /// There is no token here: one is got for each person who is worked for, by the word of their identity provider.
    EnterpriseManaged(EnterpriseManaged),
}

impl Auth {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::McpOauth(_) => "mcp_oauth",
            Self::StaticBearer { .. } => "static_bearer",
            Self::EnvironmentVariable { .. } => "environment_variable",
            Self::EnterpriseManaged(_) => "enterprise_managed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpOauth {
    pub server: Server,
    /// When the access token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<OauthRefresh>,
    /// The access token is bound to the credential's key (RFC 9449): it is good only with proofs by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bound: bool,
}

/// How access is got in a person's name without asking them again (ID-JAG). The client's secret is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnterpriseManaged {
    pub server: Server,
    /// The issuer of the authorization server that guards it (RFC 8414).
    pub authorization_server: String,
    /// The system's identifier there (RFC 8707).
    pub resource: String,
    /// Who we are there.
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthRefresh {
    pub client_id: String,
    pub token_endpoint: String,
    pub client_auth: ClientAuth,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Another token is asked for with a proof by a key of the credential's own, to which the server binds it (RFC 9449).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binds: bool,
}

/// How an OAuth client says who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    None,
    ClientSecretBasic,
    ClientSecretPost,
}

/// The secrets of a credential, as far as its kind has them. `None` in a change: it stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// What is sent: the access token, the bearer token, the variable's value.
    pub value: Option<Secret>,
    pub refresh_token: Option<Secret>,
    pub client_secret: Option<Secret>,
    /// The key that its tokens are bound to. It is made here and taken from nobody.
    pub proof_key: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVault {
    pub owner: VaultOwner,
    pub name: Option<String>,
    pub metadata: Metadata,
}

/// `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultPatch {
    pub name: Option<Option<String>>,
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    pub name: String,
    pub auth: Auth,
    pub secrets: Secrets,
    pub metadata: Metadata,
}

/// `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CredentialPatch {
    /// Of the same kind as before: what is not secret, as it is from now on.
    pub auth: Option<Auth>,
    pub secrets: Secrets,
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("`{field}`: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("there is no vault {0}")]
    UnknownVault(VaultId),
    #[error("there is no credential {0}")]
    UnknownCredential(CredentialId),
    /// The text names the bound and the way out.
    #[error("{0}")]
    TooMany(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("vaults cannot be reached now: {0}")]
    Unavailable(String),
}

/// What decisions need to know of credentials. Answers come from memory, because the gate asks inside a commit.
pub trait Vaults: Send + Sync {
    fn credential(&self, tenant: TenantId, id: CredentialId) -> Option<Arc<Credential>>;

    /// The credential of this name in the first of `vaults` that has one, else in the oldest shared vault that has.
    fn find(&self, tenant: TenantId, name: &str, vaults: &[VaultId]) -> Option<Arc<Credential>>;

    /// The person's own vaults, oldest first.
    fn vaults_of(&self, _tenant: TenantId, _person: UserId) -> Vec<VaultId> {
        Vec::new()
    }

    /// Every credential of these vaults that names `host` as one that its secret may be sent to.
    fn reaching(&self, _tenant: TenantId, _host: &str, _vaults: &[VaultId]) -> Vec<Arc<Credential>> {
        Vec::new()
    }
}

/// There are no vaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoVaults;

impl Vaults for NoVaults {
    fn credential(&self, _tenant: TenantId, _id: CredentialId) -> Option<Arc<Credential>> {
        None
    }

    fn find(&self, _tenant: TenantId, _name: &str, _vaults: &[VaultId]) -> Option<Arc<Credential>> {
        None
    }
}

/// Keeps vaults and their credentials. Who may do which is for the caller to ask first. Secrets go in and never come
/// out here.
#[async_trait]
pub trait VaultDesk: Send + Sync {
    fn vault(&self, tenant: TenantId, id: VaultId) -> Option<Vault>;
    /// Oldest first.
    fn vaults(&self, tenant: TenantId) -> Vec<Vault>;
    /// Oldest first; empty also for a vault that is not there.
    fn credentials(&self, tenant: TenantId, vault: VaultId) -> Vec<Arc<Credential>>;

    async fn create_vault(&self, author: Author, new: NewVault) -> Result<Vault, VaultError>;
    async fn change_vault(&self, author: Author, id: VaultId, patch: VaultPatch) -> Result<Vault, VaultError>;
    /// With all its credentials.
    async fn delete_vault(&self, author: Author, id: VaultId) -> Result<(), VaultError>;

    async fn create_credential(
        &self,
        author: Author,
        vault: VaultId,
        new: NewCredential,
    ) -> Result<Arc<Credential>, VaultError>;
    async fn change_credential(
        &self,
        author: Author,
        vault: VaultId,
        id: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Arc<Credential>, VaultError>;
    async fn delete_credential(&self, author: Author, vault: VaultId, id: CredentialId) -> Result<(), VaultError>;

    /// Deletes an `mcp_oauth` credential, and tells its authorization server at `endpoint`, if there is one, that its
    /// tokens are not wanted any more (RFC 7009). `false` where it was not told.
    async fn revoke_credential(
        &self,
        author: Author,
        vault: VaultId,
        id: CredentialId,
        endpoint: Option<&str>,
    ) -> Result<bool, VaultError>;
}
