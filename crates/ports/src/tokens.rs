//! Tokens that we issue: what an agent shows to another system, or to us, on behalf of a person. The implementation is in
//! `identity`.

use crate::Scope;
use async_trait::async_trait;
use bailiwick_types::{AgentId, Principal, Secret, SessionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Agents that may stand behind each other in one token.
pub const MAX_ACTORS: usize = 4;

/// One agent in the chain of those who act, with the session it acts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    pub agent: AgentId,
    pub session: SessionId,
}

/// The SHA-256 thumbprint of a public key (RFC 7638), in base 64: what a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Thumbprint(pub String);

/// A proof that somebody holds a key, with the request that it came with (RFC 9449).
#[derive(Debug, Clone, Copy)]
pub struct Possession<'a> {
    pub proof: &'a str,
    pub method: &'a str,
    pub url: &'a str,
    /// The token that is shown with it; `None` where one is asked for.
    pub token: Option<&'a str>,
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub tenant: TenantId,
    /// The person; `None` for an agent that acts for itself.
    pub subject: Option<UserId>,
    /// Who acts now first, then whoever delegated to it. At least one.
    pub actors: Vec<Actor>,
    /// The one system that it is for.
    pub audience: String,
    /// What it may be used for; whoever takes it asks for no more than this.
    pub scopes: Vec<Scope>,
    /// Not after this, even if tokens would last longer.
    pub not_after: Option<Timestamp>,
    /// The key that whoever shows it must hold.
    pub holder: Option<Thumbprint>,
}

#[derive(Debug, Clone)]
pub struct IssuedToken {
    pub token: Secret,
    pub id: String,
    pub expires: Timestamp,
}

/// What a request for a token by exchange says (RFC 8693, section 2.1).
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    /// A person's sign-in, or a token of ours.
    pub subject_token: Option<Secret>,
    /// The agent that shall act, and the session it acts in.
    pub actor: Option<Actor>,
    pub audience: Option<String>,
    /// `None`: as much as there is.
    pub scopes: Option<Vec<Scope>>,
    /// The key that was proven with the request: the token is bound to it.
    pub holder: Option<Thumbprint>,
}

/// Codes are those of RFC 6749 and RFC 8693.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("{0}")]
    InvalidRequest(String),
    /// The subject's token proves nothing, or not enough.
    #[error("{0}")]
    InvalidGrant(String),
    #[error("{0}")]
    InvalidScope(String),
    /// Whoever asks does not hold the key.
    #[error("{0}")]
    InvalidProof(String),
    #[error("tokens cannot be made now: {0}")]
    Unavailable(String),
}

/// Issues, exchanges and revokes tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Makes a token. Whoever calls has decided that it may be.
    async fn issue(&self, request: TokenRequest) -> Result<IssuedToken, TokenError>;
    /// A person's token for one for an agent that acts for them, or an agent's for one for the agent that it delegates to.
    async fn exchange(&self, exchange: Exchange) -> Result<(IssuedToken, Vec<Scope>), TokenError>;
    /// Ends a token of ours before its time. What is none is not an error (RFC 7009, section 2.2).
    async fn revoke(&self, token: &str) -> Result<(), TokenError>;
    /// Which key somebody holds. A proof is good once.
    async fn prove(&self, possession: Possession<'_>) -> Result<Thumbprint, TokenError>;
    /// Has another key sign from now on. The one before proves what it signed until that has expired; with `at_once`
    /// all of that is over now. Gives the public keys.
    async fn rotate(
        &self,
        tenant: TenantId,
        by: Principal,
        reason: Option<String>,
        at_once: bool,
    ) -> Result<Value, TokenError>;
    /// RFC 8414.
    fn metadata(&self) -> Value;
    /// RFC 7517.
    async fn keys(&self) -> Result<Value, TokenError>;
}
