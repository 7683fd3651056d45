//! Tells who sends a request, whatever they prove it with: an API key, an access key, a sign-in, or a token of ours.

use crate::{
    credentials::Credentials,
    sign_in::{PREFIX, SignIns},
};
use async_trait::async_trait;
use bailiwick_ports::{AuthError, Authenticator, Caller, RequestParts, sign_in::Medium};
use std::sync::Arc;

/// Longer texts are nothing of ours.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The front desk: it knows whom to ask, and decides nothing.
pub struct Reception {
    pub credentials: Arc<Credentials>,
    pub sign_ins: Arc<SignIns>,
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
        self.credentials.authenticate_bearer(token).await
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
