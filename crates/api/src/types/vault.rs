//! Vaults and credentials. Secrets come in and never go out: what is answered has no field that could hold one.

use crate::body::nullable;
use bailiwick_types::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Metadata = BTreeMap<String, String>;

/// Text that is a secret from the moment in which it is read.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn maybe_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

// ---- requests ----

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultCreateParams)]
pub struct VaultCreate {
    /// 1 to 256 bytes after trimming.
    #[serde(default)]
    pub name: Option<String>,
    /// Up to 16 pairs, keys up to 64 and values up to 512 characters.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Metadata>,
    #[serde(default)]
    pub bailiwick: Option<VaultParamExtras>,
}

/// What a vault may be given beyond the API.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultParamExtras {
    /// Whose it is: the caller's own when left out, shared for a program.
    #[serde(default)]
    pub owner: Option<VaultOwnerParam>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum VaultOwnerParam {
    /// One person's. In a request the caller's own.
    User {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// An agent's, for whoever answers for it.
    Agent { id: String },
    /// The organisation's, for administrators.
    Shared {},
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultUpdateParams)]
pub struct VaultUpdate {
    /// Null clears it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    /// Replaces all.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultCredentialCreateParams)]
pub struct CredentialCreate {
    /// 1 to 256 bytes after trimming; unique in its vault.
    pub name: String,
    pub auth: CredentialAuthParam,
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = VaultCredentialAuthParam)]
pub enum CredentialAuthParam {
    McpOauth {
        mcp_server_url: String,
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        access_token: Secret,
        /// RFC 3339.
        #[serde(default)]
        expires_at: Option<String>,
        #[serde(default)]
        refresh: Option<RefreshParam>,
    },
    StaticBearer {
        mcp_server_url: String,
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        token: Secret,
    },
    EnvironmentVariable {
        secret_name: String,
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        secret_value: Secret,
        networking: Networking,
    },
    /// No token is kept: one is got for each person who is worked for, by the word of their identity provider (ID-JAG).
    EnterpriseManaged {
        mcp_server_url: String,
        /// The issuer of the authorization server that guards it.
        authorization_server: String,
        /// Its identifier there; `mcp_server_url` where nothing is said.
        #[serde(default)]
        resource: Option<String>,
        client_id: String,
        #[serde(default, deserialize_with = "maybe_secret")]
        #[schema(value_type = Option<String>)]
        client_secret: Option<Secret>,
        #[serde(default)]
        scope: Option<String>,
    },
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultCredentialRefreshParam)]
pub struct RefreshParam {
    pub client_id: String,
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String)]
    pub refresh_token: Secret,
    pub token_endpoint: String,
    pub token_endpoint_auth: ClientAuthParam,
    #[serde(default)]
    pub scope: Option<String>,
    #[serde(default)]
    pub resource: Option<String>,
    /// Tokens that come with a renewal are bound to a key of this server (RFC 9449, DPoP).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = VaultClientAuthParam)]
pub enum ClientAuthParam {
    None {},
    ClientSecretBasic {
        #[serde(default, deserialize_with = "maybe_secret")]
        #[schema(value_type = Option<String>)]
        client_secret: Option<Secret>,
    },
    ClientSecretPost {
        #[serde(default, deserialize_with = "maybe_secret")]
        #[schema(value_type = Option<String>)]
        client_secret: Option<Secret>,
    },
}

/// Where a secret may be sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = VaultCredentialNetworking)]
pub enum Networking {
    /// Wherever the environment's own network policy lets it go.
    Unrestricted {},
    /// 1 to 16 host names or IPv4 addresses.
    Limited { allowed_hosts: Vec<String> },
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultCredentialUpdateParams)]
pub struct CredentialUpdate {
    #[serde(default)]
    pub auth: Option<CredentialRotateParam>,
    /// Replaces all.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Metadata>,
}

/// New secrets for a credential of the same type. What is left out stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = VaultCredentialRotateParam)]
pub enum CredentialRotateParam {
    McpOauth {
        #[serde(default, deserialize_with = "maybe_secret")]
        #[schema(value_type = Option<String>)]
        access_token: Option<Secret>,
        /// Null clears it, and so does a new access token alone.
        #[serde(default, deserialize_with = "nullable")]
        #[schema(value_type = Option<String>)]
        expires_at: Option<Option<String>>,
        #[serde(default)]
        refresh: Option<RefreshRotateParam>,
    },
    StaticBearer {
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        token: Secret,
    },
    EnvironmentVariable {
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        secret_value: Secret,
    },
    EnterpriseManaged {
        #[serde(deserialize_with = "secret")]
        #[schema(value_type = String)]
        client_secret: Secret,
    },
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VaultCredentialRefreshRotateParam)]
pub struct RefreshRotateParam {
    #[serde(default, deserialize_with = "maybe_secret")]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<Secret>,
    /// Null stops sending one.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub scope: Option<Option<String>>,
    #[serde(default)]
    pub token_endpoint_auth: Option<ClientAuthParam>,
}

// ---- resources ----

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Vault {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub name: Option<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Metadata,
    pub bailiwick: VaultExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct VaultExtras {
    pub owner: VaultOwnerParam,
    pub updated_at: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = VaultCredential)]
pub struct Credential {
    pub id: String,
    pub object: &'static str,
    pub vault_id: String,
    pub name: String,
    pub auth: CredentialAuth,
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Metadata,
    /// Seconds since 1970.
    pub created_at: i64,
    pub updated_at: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = VaultCredentialAuth)]
pub enum CredentialAuth {
    McpOauth {
        mcp_server_url: String,
        expires_at: Option<String>,
        refresh: Option<Refresh>,
    },
    StaticBearer {
        mcp_server_url: String,
    },
    EnvironmentVariable {
        secret_name: String,
        networking: Networking,
    },
    EnterpriseManaged {
        mcp_server_url: String,
        authorization_server: String,
        resource: String,
        client_id: String,
        scope: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = VaultCredentialRefresh)]
pub struct Refresh {
    pub client_id: String,
    pub token_endpoint: String,
    pub token_endpoint_auth: ClientAuth,
    pub scope: Option<String>,
    pub resource: Option<String>,
    /// Only where it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dpop_bound_access_tokens: bool,
}

/// Without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = VaultClientAuth)]
pub struct ClientAuth {
    /// `none`, `client_secret_basic` or `client_secret_post`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}
