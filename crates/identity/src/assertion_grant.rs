//! Access to other systems in a person's name, by the word of their identity provider (ID-JAG,
//! draft-ietf-oauth-identity-assertion-authz-grant-03): nobody is asked again, and no credential of theirs is kept here.
//!
//! 1. The person's sign-in is renewed at their identity provider, which gives a fresh ID token.
//! 2. The provider exchanges that for an assertion about them, for one authorization server and one resource. Whether
//!    an agent may be let in there at all is its policy.
//! 3. That authorization server gives an access token for the assertion (RFC 7523, section 2.1).
//!
//! Where that authorization server binds tokens to keys (RFC 9449), the token is bound to a key of this process, and good
//! only with its proofs. Nothing of all this is stored. Access tokens are held in memory until shortly before they end, and given to nobody whose
//! account was disabled. Whoever asks has asked the gate before.

use crate::{
    dpop::{self, ProofKey, ProofKeys},
    oauth::{Answer, Binding, Client, SecretIn},
    sign_in::{SignIns, check_url},
    web::{Web, WebRequest},
};
use bailiwick_types::{Millis, Secret, TenantId, Timestamp, UserId};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token without a time of its own is good for this long; none is held for longer than the other.
const SHORTEST_LIFE: Millis = Millis::from_secs(60);
const LONGEST_LIFE: Millis = Millis::from_secs(600);
/// A token is given to nobody when it ends so soon.
const MARGIN: Millis = Millis::from_secs(20);
/// Tokens that are held.
const MAX_HELD: usize = 10_000;

/// What is wanted of the identity provider.
pub(crate) struct Wanted<'a> {
    pub audience: &'a str,
    pub resource: &'a str,
    pub scope: Option<&'a str>,
}

/// Who we are to the authorization server of a resource.
#[derive(Debug, Clone)]
pub struct ResourceClient {
    pub id: String,
    /// `None` for a public client.
    pub secret: Option<Secret>,
}

/// Access to one resource in the name of one person.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    pub tenant: TenantId,
    pub subject: UserId,
    /// The issuer of the authorization server that guards the resource (RFC 8414).
    pub audience: &'a str,
    /// The resource's identifier (RFC 8707).
    pub resource: &'a str,
    /// Words with blanks between them.
    pub scope: Option<&'a str>,
    pub client: &'a ResourceClient,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error(
        "this person has no sign-in here that their identity provider renews: they have to sign in there, with `offline_access`"
    )]
    SignInNeeded,
    #[error("the identity provider gives no grants for other systems: {0}")]
    Unsupported(String),
    /// They may not, or the account is disabled.
    #[error("no access to this system: {0}")]
    Refused(String),
    #[error("`{0}`: {1}")]
    Invalid(&'static str, String),
    #[error("nobody can be asked now: {0}")]
    Unavailable(String),
}

/// Gets access tokens for other systems. Clones share what they hold.
#[derive(Clone)]
pub struct AssertionGrants(Arc<Parts>);

struct Parts {
    sign_ins: Arc<SignIns>,
    /// What may be connected to is its business.
    web: Arc<dyn Web>,
    proofs: Arc<ProofKeys>,
    plain_http: bool,
    held: Mutex<HashMap<Key, Slot>>,
}

/// Whoever asks for the same holds this meanwhile, so that one is asked for at a time.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant: TenantId,
    subject: UserId,
    audience: String,
    resource: String,
    scope: Option<String>,
    client: String,
}

struct Held {
    token: Secret,
    /// The key that it is bound to.
    key: Option<Arc<ProofKey>>,
    since: Timestamp,
    until: Timestamp,
}

/// What is used of an authorization server's metadata (RFC 8414, section 2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9449, section 5.1.
    #[serde(default)]
    dpop_signing_alg_values_supported: Vec<String>,
}

impl AssertionGrants {
    /// With `plain_http`, authorization servers may be asked without TLS: for those on the same machine.
    pub fn new(sign_ins: Arc<SignIns>, web: Arc<dyn Web>, proofs: Arc<ProofKeys>, plain_http: bool) -> Self {
        Self(Arc::new(Parts { sign_ins, web, proofs, plain_http, held: Mutex::default() }))
    }

    /// An access token for this resource, in this person's name. It is for that resource alone, and for one call: ask
    /// again for the next. One that is bound to a key is known to the [`ProofKeys`] from then on.
    pub async fn access_token(&self, request: AccessRequest<'_>) -> Result<Secret, AccessError> {
        let parts = &self.0;
        parts.check(&request)?;
        let active = || match parts.sign_ins.is_active(request.tenant, request.subject) {
            true => Ok(()),
            false => Err(AccessError::Refused("this person's account is disabled".into())),
        };
        active()?;
        let slot = parts.slot(&request);
        let mut held = slot.lock().await;
        let now = parts.sign_ins.clock().now();
        // A clock that was set back makes nothing last longer.
        if let Some(good) = held.as_ref().filter(|held| now >= held.since && now + MARGIN < held.until) {
            parts.bind(good);
            return Ok(good.token.clone());
        }
        *held = None;
        let (token, key, life) = parts.fetch(&request).await?;
        // Disabled while it was asked for.
        active()?;
        let got = held.insert(Held { token, key, since: now, until: now + life });
        parts.bind(got);
        Ok(got.token.clone())
    }

    /// To be called when a resource did not take a token: the next call asks for another.
    pub fn forget(&self, request: &AccessRequest<'_>) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(request));
    }
}

impl Parts {
    fn check(&self, request: &AccessRequest<'_>) -> Result<(), AccessError> {
        check_url(request.audience, self.plain_http).map_err(|problem| AccessError::Invalid("audience", problem))?;
        check_url(request.resource, self.plain_http).map_err(|problem| AccessError::Invalid("resource", problem))?;
        // RFC 6749, section 3.3.
        let fine = |scope: &str| {
            scope.len() <= 1024
                && scope.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\'))
        };
        if request.scope.is_some_and(|scope| !fine(scope)) {
            return Err(AccessError::Invalid("scope", "must be words of printable ASCII, up to 1024 bytes".into()));
        }
        Ok(())
    }

    fn slot(&self, request: &AccessRequest<'_>) -> Slot {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(request);
        if held.len() >= MAX_HELD && !held.contains_key(&key) {
            // What nobody is about to use can be asked for again.
            held.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(held.entry(key).or_default())
    }

    fn bind(&self, held: &Held) {
        if let Some(key) = &held.key {
            self.proofs.bind(&held.token, Arc::clone(key));
        }
    }

    async fn fetch(&self, request: &AccessRequest<'_>) -> Result<(Secret, Option<Arc<ProofKey>>, Millis), AccessError> {
        let AccessRequest { tenant, subject, audience, resource, scope, client } = *request;
        let wanted = Wanted { audience, resource, scope };
        // Where it leads is known before anything about the person is said to anybody.
        let metadata = self.metadata(audience).await?;
        let assertion = self.sign_ins.grant(tenant, subject, &wanted).await?;
        let place = SecretIn::taken(metadata.token_endpoint_auth_methods_supported.as_deref());
        let us = Client { id: &client.id, secret: client.secret.as_ref().map(|secret| (secret, place)) };
        let mut fields = vec![("grant_type", JWT_BEARER), ("assertion", assertion.expose()), ("resource", resource)];
        fields.extend(scope.map(|scope| ("scope", scope)));
        let unavailable = |problem: String| AccessError::Unavailable(format!("the authorization server: {problem}"));
        let binds = metadata.dpop_signing_alg_values_supported.iter().any(|name| name == dpop::ALGORITHM);
        let key = if binds { Some(self.proofs.own().map_err(unavailable)?) } else { None };
        let binding = key.as_deref().map(|key| Binding { keys: &self.proofs, key });
        match us.ask(&*self.web, &metadata.token_endpoint, fields, binding).await.map_err(unavailable)? {
            Answer::Granted(granted) => {
                let key = key.filter(|_| granted.is_bound());
                // A token of another kind would have to be shown otherwise.
                if key.is_none() && !granted.token_type.eq_ignore_ascii_case("bearer") {
                    let text = "its authorization server gives tokens that are neither `Bearer` nor bound to our key";
                    return Err(AccessError::Refused(text.into()));
                }
                let seconds = granted.expires_in.and_then(|seconds| u64::try_from(seconds).ok());
                let life = seconds.map_or(SHORTEST_LIFE, Millis::from_secs).min(LONGEST_LIFE);
                Ok((Secret::new(granted.access_token), key, life))
            }
            Answer::Refused(code) => match code.as_str() {
                "temporarily_unavailable" | "server_error" | "slow_down" => {
                    Err(unavailable(format!("it answers `{code}`")))
                }
                _ => Err(AccessError::Refused(format!("its authorization server answers `{code}`"))),
            },
        }
    }

    /// RFC 8414, section 3; else as OpenID Connect Discovery writes it, which many servers do.
    async fn metadata(&self, issuer: &str) -> Result<Metadata, AccessError> {
        let mut problem = String::new();
        for url in places(issuer) {
            let asked =
                self.web.fetch(WebRequest { url: url.clone(), form: None, authorization: None, proof: None }).await;
            let answer = asked.map_err(|why| AccessError::Unavailable(format!("the authorization server: {why}")))?;
            if answer.status != 200 {
                problem = format!("it answers {} where its metadata should be", answer.status);
                continue;
            }
            let refuse = |why: &str| AccessError::Refused(format!("the authorization server cannot be trusted: {why}"));
            let metadata: Metadata =
                serde_json::from_slice(&answer.body).map_err(|_| refuse("its metadata cannot be read"))?;
            if metadata.issuer != issuer {
                return Err(refuse("its metadata names another issuer"));
            }
            check_url(&metadata.token_endpoint, self.plain_http).map_err(|why| refuse(&why))?;
            return Ok(metadata);
        }
        Err(AccessError::Unavailable(format!("the authorization server: {problem}")))
    }
}

fn key(request: &AccessRequest<'_>) -> Key {
    Key {
        tenant: request.tenant,
        subject: request.subject,
        audience: request.audience.to_owned(),
        resource: request.resource.to_owned(),
        scope: request.scope.map(str::to_owned),
        client: request.client.id.clone(),
    }
}

/// Where an issuer's metadata may be.
fn places(issuer: &str) -> [String; 2] {
    let issuer = issuer.trim_end_matches('/');
    let path = issuer.find("://").and_then(|at| issuer[at + 3..].find('/').map(|slash| at + 3 + slash));
    let (host, path) = issuer.split_at(path.unwrap_or(issuer.len()));
    [
        format!("{host}/.well-known/oauth-authorization-server{path}"),
        format!("{issuer}/.well-known/openid-configuration"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_put_it() {
        let [first, second] = places("https://as.example/tenants/a/");
        assert_eq!(first, "https://as.example/.well-known/oauth-authorization-server/tenants/a");
        assert_eq!(second, "https://as.example/tenants/a/.well-known/openid-configuration");
        assert_eq!(places("https://as.example")[0], "https://as.example/.well-known/oauth-authorization-server");
    }
}
