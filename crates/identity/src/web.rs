//! The little of HTTP that an identity provider is asked over. The implementation is in `server`, which connects.

use async_trait::async_trait;
use bailiwick_types::Secret;

/// One request: a form that is posted, or else a page that is got.
#[derive(Debug, Clone)]
pub struct WebRequest {
    pub url: String,
    /// `application/x-www-form-urlencoded`.
    pub form: Option<Secret>,
    /// The whole value of `Authorization`.
    pub authorization: Option<Secret>,
    /// The value of `DPoP` (RFC 9449).
    pub proof: Option<String>,
}

#[derive(Debug, Clone)]
pub struct WebAnswer {
    pub status: u16,
    /// The value of `DPoP-Nonce`: what it wants to find in the next proof.
    pub nonce: Option<String>,
    pub body: Vec<u8>,
}

/// Asks other servers. Follows no redirects, has a time limit, reads a bounded answer, and connects to no address that
/// the operator has not opened.
#[async_trait]
pub trait Web: Send + Sync {
    /// The text says what went wrong, without secrets.
    async fn fetch(&self, request: WebRequest) -> Result<WebAnswer, String>;
}
