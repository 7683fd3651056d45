//! Tells who sends a request, whatever they prove it with: an API key, an access key, a sign-in, or a token of ours.

use crate::{
    credentials::Credentials,
    sign_in::{PREFIX, SignIns},
    tokens::Issuer,
};
use async_trait::async_trait;
use bailiwick_ports::{AuthError, Authenticator, Caller, RequestParts, sign_in::Medium, tokens::Thumbprint};
use std::sync::Arc;

/// Longer texts are nothing of ours.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The front desk: it knows whom to ask, and decides nothing.
pub struct Reception {
    pub credentials: Arc<Credentials>,
    pub sign_ins: Arc<SignIns>,
    /// `None` while this server has no URL under which it issues tokens.
    pub issuer: Option<Arc<Issuer>>,
}

#[async_trait]
impl Authenticator for Reception {
    async fn authenticate_bearer(&self, token: &str) -> Result<Caller, AuthError> {
        if token.len() > MAX_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AuthError::Malformed("a token is one word of printable ASCII characters".into()));
        }
        if token.starts_with(PREFIX) {
            return self.sign_ins.authenticate(token, Medium::Bearer).await;
        }
        // A signed token has three parts; a key of ours has one.
        if let Some(issuer) = self.issuer.as_ref().filter(|_| token.matches('.').count() == 2) {
            return issuer.authenticate(token, None);
        }
        self.credentials.authenticate_bearer(token).await
    }

    async fn authenticate_held(&self, token: &str, holder: &Thumbprint) -> Result<Caller, AuthError> {
        match self.issuer.as_ref().filter(|_| token.len() <= MAX_TOKEN_BYTES && token.matches('.').count() == 2) {
            Some(issuer) => issuer.authenticate(token, Some(holder)),
            None => self.authenticate_bearer(token).await,
        }
    }

    async fn authenticate_sigv4(&self, request: &RequestParts<'_>) -> Result<Caller, AuthError> {
        self.credentials.authenticate_sigv4(request).await
    }

    async fn authenticate_cookie(&self, cookie: &str) -> Result<Caller, AuthError> {
        if cookie.len() > MAX_TOKEN_BYTES || !cookie.starts_with(PREFIX) {
            return Err(AuthError::Unknown);
        }
        self.sign_ins.authenticate(cookie, Medium::Browser).await
    }
}
