//! What the provider says of itself, and its keys: fetched when needed, kept for a while, and not fetched again by
//! whoever sends nonsense.

use super::{
    check_url,
    claims::{Claims, IdToken},
    logout::{Logout, LogoutToken},
    unreachable,
};
use crate::{
    jwt::{KeySet, TokenError, Unverified},
    web::{Web, WebRequest},
};
use bailiwick_ports::{Clock, SignInError};
use bailiwick_types::{Millis, Secret, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How long what was fetched is used without asking again.
const LIFE: Millis = Millis::from_secs(3600);
/// An unknown key makes the set be fetched again, at most this often.
const REFRESH: Millis = Millis::from_secs(60);

/// OpenID Connect Discovery 1.0, section 3: what is used of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub end_session_endpoint: Option<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Each of its answers says whose it is (RFC 9207).
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub names_itself: bool,
}

pub(super) struct Discovery {
    issuer: String,
    plain_http: bool,
    web: Arc<dyn Web>,
    clock: Arc<dyn Clock>,
    metadata: tokio::sync::Mutex<Option<(Timestamp, Arc<Metadata>)>>,
    keys: tokio::sync::Mutex<Option<(Timestamp, Arc<KeySet>)>>,
}

impl Discovery {
    pub fn new(issuer: String, plain_http: bool, web: Arc<dyn Web>, clock: Arc<dyn Clock>) -> Self {
        let (metadata, keys) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Self { issuer, plain_http, web, clock, metadata, keys }
    }

    pub async fn metadata(&self) -> Result<Arc<Metadata>, SignInError> {
        let mut kept = self.metadata.lock().await;
        let now = self.clock.now();
        if let Some((_, metadata)) = kept.as_ref().filter(|(since, _)| is_fresh(*since, now, LIFE)) {
            return Ok(Arc::clone(metadata));
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = serde_json::from_slice(&self.get(&url, None).await?)
            .map_err(|error| refused(&format!("its metadata cannot be read: {error}")))?;
        self.check(&metadata)?;
        let metadata = Arc::new(metadata);
        *kept = Some((now, Arc::clone(&metadata)));
        Ok(metadata)
    }

    fn check(&self, metadata: &Metadata) -> Result<(), SignInError> {
        if metadata.issuer != self.issuer {
            return Err(refused("its metadata names another issuer"));
        }
        let places = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        let more = metadata.userinfo_endpoint.iter().chain(&metadata.end_session_endpoint);
        for url in places.into_iter().chain(more) {
            check_url(url, self.plain_http).map_err(|problem| refused(&problem))?;
        }
        Ok(())
    }

    /// The keys; fetched again when one is missing that `wanted` looks for, and not too often.
    async fn keys(&self, wanted: impl Fn(&KeySet) -> bool) -> Result<Arc<KeySet>, SignInError> {
        let url = self.metadata().await?.jwks_uri.clone();
        let mut kept = self.keys.lock().await;
        let now = self.clock.now();
        if let Some((since, keys)) = kept.as_ref() {
            let life = if wanted(keys) { LIFE } else { REFRESH };
            if is_fresh(*since, now, life) {
                return Ok(Arc::clone(keys));
            }
        }
        let keys = KeySet::read(&self.get(&url, None).await?).filter(|keys| !keys.is_empty());
        let keys = Arc::new(keys.ok_or_else(|| refused("its keys cannot be read, or none is of a kind taken here"))?);
        *kept = Some((now, Arc::clone(&keys)));
        Ok(keys)
    }

    /// What an ID token proves (OpenID Connect Core 1.0, section 3.1.3.7).
    pub async fn verify(&self, token: &str, client_id: &str, nonce: Option<&str>) -> Result<Claims, SignInError> {
        // An access token must never pass for an ID token.
        let id: IdToken = self.signed(token, "ID token", &["jwt"]).await?;
        id.check(&self.issuer, client_id, nonce, self.clock.now())
            .map_err(|problem| refused(&format!("its ID token is not accepted: {problem}")))?;
        Ok(id.into_claims(&self.issuer))
    }

    /// What a logout token proves.
    pub async fn logout(&self, token: &str, client_id: &str) -> Result<Logout, SignInError> {
        let told: LogoutToken = self.signed(token, "logout token", &["logout+jwt", "jwt"]).await?;
        told.check(&self.issuer, client_id, self.clock.now().as_seconds())
            .map_err(|problem| SignInError::Provider(format!("the logout token is not accepted: {problem}")))
    }

    /// The claims of a token that the provider signed, whose type is none or one of these.
    async fn signed<C: DeserializeOwned>(&self, token: &str, what: &str, types: &[&str]) -> Result<C, SignInError> {
        let refuse = |error: TokenError| refused(&format!("its {what} is not accepted: {error}"));
        let unverified = Unverified::read(token).map_err(refuse)?;
        let fits = |typ: &str| types.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if unverified.header.typ.as_deref().is_some_and(|typ| !fits(typ)) {
            return Err(refuse(TokenError::Type));
        }
        let (algorithm, kid) = (unverified.algorithm, unverified.header.kid.as_deref());
        let keys = self.keys(|keys| keys.knows(algorithm, kid)).await?;
        unverified.verify(&keys).map_err(refuse)
    }

    /// Adds what the provider's own record says and the token did not.
    pub async fn user_info(&self, claims: &mut Claims, access: &str) -> Result<(), SignInError> {
        let metadata = self.metadata().await?;
        let Some(url) = &metadata.userinfo_endpoint else { return Ok(()) };
        let body = self.get(url, Some(Secret::new(format!("Bearer {access}")))).await?;
        let more: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|_| refused("what it says of the person cannot be read"))?;
        if more.get("sub").and_then(Value::as_str) != Some(&claims.foreign.subject) {
            return Err(refused("it speaks of another person than its token"));
        }
        claims.add(more);
        Ok(())
    }

    async fn get(&self, url: &str, authorization: Option<Secret>) -> Result<Vec<u8>, SignInError> {
        let request = WebRequest { url: url.to_owned(), form: None, authorization, proof: None };
        let answer = self.web.fetch(request).await.map_err(|problem| unreachable(&problem))?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(unreachable(&format!("{url} answered {status}"))),
        }
    }
}

/// A clock that was set back makes nothing live for ever.
fn is_fresh(since: Timestamp, now: Timestamp, life: Millis) -> bool {
    now >= since && now < since + life
}

fn refused(problem: &str) -> SignInError {
    SignInError::Provider(format!("the identity provider cannot be trusted: {problem}"))
}
