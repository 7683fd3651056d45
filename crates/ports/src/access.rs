//! Who is calling: scopes, callers, and the port that tells them apart. The implementation is in `identity`.

use async_trait::async_trait;
use bailiwick_types::{EnvironmentId, KeyId, Principal, Secret, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Everything, keys included.
    #[serde(rename = "admin")]
    Admin,
    #[serde(rename = "agents:read")]
    AgentsRead,
    #[serde(rename = "agents:write")]
    AgentsWrite,
    #[serde(rename = "sessions:read")]
    SessionsRead,
    #[serde(rename = "sessions:write")]
    SessionsWrite,
    #[serde(rename = "files:read")]
    FilesRead,
    #[serde(rename = "files:write")]
    FilesWrite,
    /// Registering a self-hosted executor.
    #[serde(rename = "environments:connect")]
    EnvironmentsConnect,
}

impl Scope {
    pub const ALL: [Self; 8] = [
        Self::Admin,
        Self::AgentsRead,
        Self::AgentsWrite,
        Self::SessionsRead,
        Self::SessionsWrite,
        Self::FilesRead,
        Self::FilesWrite,
        Self::EnvironmentsConnect,
    ];

    /// Its name in requests, answers and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AgentsRead => "agents:read",
            Self::AgentsWrite => "agents:write",
            Self::SessionsRead => "sessions:read",
            Self::SessionsWrite => "sessions:write",
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::EnvironmentsConnect => "environments:connect",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who sent a request, once that is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub tenant: TenantId,
    pub principal: Principal,
    pub scopes: Vec<Scope>,
    /// An executor's credential opens this one environment and nothing else.
    pub bound_environment: Option<EnvironmentId>,
}

impl Caller {
    /// The operator of the machine, through the local administration socket.
    pub fn operator(tenant: TenantId) -> Self {
        Self { tenant, principal: Principal::Operator, scopes: vec![Scope::Admin], bound_environment: None }
    }

    /// Whether a key with these scopes may be used for `scope`; `admin` is all of them. A bound credential may only
    /// connect, whatever else it says.
    pub fn may(&self, scope: Scope) -> bool {
        if self.bound_environment.is_some() && scope != Scope::EnvironmentsConnect {
            return false;
        }
        self.scopes.iter().any(|held| *held == scope || *held == Scope::Admin)
    }

    /// Whether it may register an executor for `environment`: only a credential that is bound to it may, not one that
    /// opens more, because whoever is the executor reads and answers everything the agent does there.
    pub fn may_connect(&self, environment: EnvironmentId) -> bool {
        self.may(Scope::EnvironmentsConnect) && self.bound_environment == Some(environment)
    }
}

/// Why a caller is not known. Everything but [`AuthError::Unavailable`] is a 401; the texts hold no secret and do not
/// tell a key that never was from one that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("this request carries no credential: send `Authorization: Bearer KEY`, or sign it with AWS Signature 4")]
    Missing,
    /// The credential cannot be one, whoever knows it.
    #[error("the credential cannot be read: {0}")]
    Malformed(String),
    #[error("this key is not known here: it was revoked, or belongs to another server")]
    Unknown,
    #[error("this key expired at {0}: ask an administrator for another")]
    Expired(Timestamp),
    #[error("the signature does not match the request: {0}")]
    BadSignature(String),
    #[error("the request was signed for {signed}, but it is {now} here: set the clock of the machine that signs")]
    ClockSkew { signed: Timestamp, now: Timestamp },
    #[error("keys cannot be checked now: {0}")]
    Unavailable(String),
}

/// What of a request a signature covers, as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path of the request line, still percent-encoded, whole (before any router took a prefix off).
    pub path: &'a str,
    /// What follows `?`, still percent-encoded; empty when there is none.
    pub query: &'a str,
    /// All header lines in their order. Over HTTP/2, `:authority` as `host`.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// SHA-256 of the body. A caller that has not read the body yet may give what [`RequestParts::claimed_body`]
    /// returned, and must then refuse the body unless it has this digest.
    pub body_sha256: [u8; 32],
}

impl RequestParts<'_> {
    /// The digest that the header `x-amz-content-sha256` claims for the body, if it is one.
    pub fn claimed_body(headers: &[(&str, &[u8])]) -> Option<[u8; 32]> {
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"))?;
        let text = std::str::from_utf8(value).ok()?.trim();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(digest)
    }
}

/// Tells who sent a request.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// By the API key after `Authorization: Bearer`.
    async fn authenticate_bearer(&self, token: &str) -> Result<Caller, AuthError>;

    /// By AWS Signature Version 4 in the `Authorization` header.
    async fn authenticate_sigv4(&self, request: &RequestParts<'_>) -> Result<Caller, AuthError>;
}

/// Which of the two kinds of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// One word after `Authorization: Bearer`.
    ApiKey,
    /// A pair that signs requests (AWS Signature 4).
    AccessKey,
}

/// A credential without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    pub id: KeyId,
    pub kind: KeyKind,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The public half of an access key.
    pub access_key_id: Option<String>,
    /// The last characters of an API key, so that a person knows it again.
    pub last4: Option<String>,
    /// The one environment that an access key opens.
    pub environment: Option<EnvironmentId>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
}

/// What an administrator says of a new credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub kind: KeyKind,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires: Option<Timestamp>,
    /// Binds an access key; the caller has checked that there is such an environment.
    pub environment: Option<EnvironmentId>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyDeskError {
    /// The text names the field and the way out.
    #[error("{0}")]
    Invalid(String),
    #[error("there is no key {0}")]
    UnknownKey(KeyId),
    #[error("keys cannot be reached now: {0}")]
    Unavailable(String),
}

/// Makes, lists and revokes credentials.
#[async_trait]
pub trait KeyDesk: Send + Sync {
    /// The secret is shown this once.
    async fn create_key(&self, tenant: TenantId, new: NewKey) -> Result<(KeyInfo, Secret), KeyDeskError>;
    /// Both kinds, oldest first, revoked ones included.
    async fn list_keys(&self, tenant: TenantId) -> Result<Vec<KeyInfo>, KeyDeskError>;
    async fn revoke_key(&self, tenant: TenantId, id: KeyId) -> Result<(), KeyDeskError>;
}
