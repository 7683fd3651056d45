//! The way of a person through the authorization server and back (OAuth 2.1 with PKCE), and the tokens at its end.

use super::{Authorizer, ClientIdentity, Discovery, OauthError, discovery::text, fetch::Fetched};
use crate::{
    http::{HttpRequest, Method},
    limits::{MAX_TOKEN_BYTES, SIGN_IN_TIME},
    message::quoted,
};
use bailiwick_ports::{
    Random,
    vault::{ClientAuth, OauthRefresh},
};
use bailiwick_types::{Millis, Secret, Timestamp};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeSet, fmt};
use url::Url;

/// What has to be kept while a person is away, sealed: whoever knows it can end what they began.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// What comes back with the person, and by which this is found.
    pub state: String,
    /// After this nothing comes of it.
    pub expires: Timestamp,
    issuer: String,
    names_itself: bool,
    #[serde(with = "crate::link")]
    token_endpoint: Url,
    redirect_uri: String,
    resource: String,
    scope: Option<String>,
    client_id: String,
    auth: ClientAuth,
    verifier: String,
}

impl Pending {
    /// Whether the person comes back here and nowhere else.
    pub fn returns_to(&self, redirect_uri: &str) -> bool {
        self.redirect_uri == redirect_uri
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("issuer", &self.issuer).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What the person brings back in the query of our redirect URI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Returned {
    pub state: String,
    pub code: Option<Secret>,
    /// Who sends them (RFC 9207).
    pub iss: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
}

/// A token endpoint, and who we are there.
pub(super) struct Asked<'a> {
    pub place: Url,
    pub client_id: &'a str,
    pub auth: ClientAuth,
    pub secret: Option<&'a Secret>,
}

impl Returned {
    /// Reads a query. A name that comes twice is taken once, as the first.
    pub fn read(query: &str) -> Self {
        let mut returned = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(name.clone()) || value.len() > MAX_TOKEN_BYTES {
                continue;
            }
            match &*name {
                "state" => returned.state = value.into_owned(),
                "code" => returned.code = Some(Secret::new(value.into_owned())),
                "iss" => returned.iss = Some(value.into_owned()),
                "error" => returned.error = Some(value.into_owned()),
                "error_description" => returned.error_description = Some(value.into_owned()),
                _ => {}
            }
        }
        returned
    }
}

/// What a vault keeps of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub access: Secret,
    /// Instead of the one before, which is good for nothing any more.
    pub refresh: Option<Secret>,
    pub expires: Option<Timestamp>,
    /// What a renewal needs; its scope is what was granted.
    pub renewal: OauthRefresh,
}

impl Authorizer {
    /// The address to send the person to, and what to keep until they are back. `granted` are the scopes that the
    /// account gave before: a server that wants more does not take those away.
    pub fn begin(&self, at: &Discovery, client: &ClientIdentity, granted: Option<&str>) -> (Url, Pending) {
        let (state, verifier) = (word(&*self.random), word(&*self.random));
        let scope = scope(at, granted);
        let mut url = at.authorization_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &client.client_id)
                .append_pair("redirect_uri", self.ours.redirect_uri.as_str())
                .append_pair("state", &state)
                .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())))
                .append_pair("code_challenge_method", "S256")
                .append_pair("resource", &at.resource);
            if let Some(scope) = &scope {
                query.append_pair("scope", scope);
            }
            if at.has_offline_access {
                // OpenID Connect Core 1.0, section 11: it is given for an explicit consent only.
                query.append_pair("prompt", "consent");
            }
        }
        let pending = Pending {
            state,
            expires: self.clock.now() + SIGN_IN_TIME,
            issuer: at.issuer.clone(),
            names_itself: at.names_itself,
            token_endpoint: at.token_endpoint.clone(),
            redirect_uri: self.ours.redirect_uri.to_string(),
            resource: at.resource.clone(),
            scope,
            client_id: client.client_id.clone(),
            auth: client.auth,
            verifier,
        };
        (url, pending)
    }

    /// Turns what the person brought back into tokens. `secret` is the client's, where it has one.
    pub async fn finish(
        &self,
        pending: &Pending,
        returned: &Returned,
        secret: Option<&Secret>,
    ) -> Result<Tokens, OauthError> {
        let code = self.check(pending, returned)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code.expose())
            .append_pair("redirect_uri", &pending.redirect_uri)
            .append_pair("code_verifier", &pending.verifier)
            .append_pair("resource", &pending.resource)
            .finish();
        let renewal = OauthRefresh {
            client_id: pending.client_id.clone(),
            token_endpoint: pending.token_endpoint.to_string(),
            client_auth: pending.auth,
            scope: pending.scope.clone(),
            resource: Some(pending.resource.clone()),
            binds: false,
        };
        self.tokens(form, renewal, secret).await
    }

    /// Renews an account. The token that comes with the answer replaces the one that was used, whose time is over: what
    /// comes back has to be kept before anything else is done.
    pub async fn refresh(
        &self,
        renewal: &OauthRefresh,
        token: &Secret,
        secret: Option<&Secret>,
    ) -> Result<Tokens, OauthError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token.expose())
            .extend_pairs(renewal.resource.iter().map(|resource| ("resource", resource)))
            .finish();
        let mut tokens = self.tokens(form, renewal.clone(), secret).await?;
        tokens.refresh.get_or_insert_with(|| token.clone());
        Ok(tokens)
    }

    fn check<'a>(&self, pending: &Pending, returned: &'a Returned) -> Result<&'a Secret, OauthError> {
        let again = |text: &str| Err(OauthError::NeedsPerson(format!("{text}: begin the sign-in again")));
        if !is_same(&pending.state, &returned.state) {
            return again("this answer belongs to another sign-in");
        }
        if self.clock.now() > pending.expires {
            return again("the sign-in took too long");
        }
        // RFC 9207, section 2.4: not one word of an answer counts whose sender is somebody else.
        match &returned.iss {
            Some(iss) if *iss != pending.issuer => return again("the answer comes from another server than was asked"),
            None if pending.names_itself => return again("the answer does not say which server it comes from"),
            _ => {}
        }
        match (&returned.error, &returned.code) {
            (None, Some(code)) => Ok(code),
            (Some(error), _) => {
                let words = returned.error_description.as_deref().unwrap_or(error);
                again(&format!("the sign-in was refused, in the server's own words: `{}`", quoted(words)))
            }
            (None, None) => again("the answer holds no code"),
        }
    }

    /// Asks a token endpoint, and reads what it gives.
    pub(super) async fn tokens(
        &self,
        form: String,
        renewal: OauthRefresh,
        secret: Option<&Secret>,
    ) -> Result<Tokens, OauthError> {
        let place = Url::parse(&renewal.token_endpoint)
            .map_err(|_| OauthError::Misconfigured("the account's token endpoint is not a URL".into()))?;
        let asked = Asked { place, client_id: &renewal.client_id, auth: renewal.client_auth, secret };
        let now = self.clock.now();
        let fetched = self.form(asked, form).await?;
        read(fetched, renewal, now)
    }

    /// Sends a form, and says who we are in the way that was agreed there.
    pub(super) async fn form(&self, asked: Asked<'_>, form: String) -> Result<Fetched, OauthError> {
        self.post(posted(asked, form)?).await
    }
}

/// A form with who we are there.
fn posted(asked: Asked<'_>, form: String) -> Result<HttpRequest, OauthError> {
    let mut form = form_urlencoded::Serializer::new(form);
    let mut request =
        HttpRequest::new(Method::Post, asked.place).header("content-type", "application/x-www-form-urlencoded");
    match (asked.auth, asked.secret) {
        (ClientAuth::ClientSecretBasic, Some(secret)) => {
            let pair = format!("{}:{}", encoded(asked.client_id), encoded(secret.expose()));
            request.authorization = Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))));
        }
        (ClientAuth::ClientSecretPost, Some(secret)) => {
            form.append_pair("client_id", asked.client_id).append_pair("client_secret", secret.expose());
        }
        (ClientAuth::None, _) => {
            form.append_pair("client_id", asked.client_id);
        }
        (ClientAuth::ClientSecretBasic | ClientAuth::ClientSecretPost, None) => {
            return Err(OauthError::Misconfigured("the secret of the client is missing: give it again".into()));
        }
    }
    request.body = form.finish().into_bytes();
    Ok(request)
}

fn read(fetched: Fetched, mut renewal: OauthRefresh, now: Timestamp) -> Result<Tokens, OauthError> {
    let status = fetched.status;
    let object = fetched.object.unwrap_or_default();
    if status != 200 {
        let error = text(&object, "error").unwrap_or_default();
        let words = quoted(&text(&object, "error_description").unwrap_or_else(|| error.clone()));
        let said = format!("the authorization server gave no token (status {status}, in its own words: `{words}`)");
        return Err(match (error.as_str(), status) {
            ("invalid_client" | "unauthorized_client" | "invalid_scope" | "invalid_target", _) => {
                OauthError::Misconfigured(said)
            }
            (_, 429 | 500..=599) => OauthError::Unavailable(said),
            _ => OauthError::NeedsPerson(format!("{said}: sign in again")),
        });
    }
    let refused = |text: &str| OauthError::Refused(format!("the authorization server's answer {text}"));
    let token = |field: &str| match text(&object, field) {
        None => Ok(None),
        Some(token) if is_token(&token) => Ok(Some(Secret::new(token))),
        Some(_) => Err(refused(&format!("has a `{field}` that is none"))),
    };
    if !text(&object, "token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err(refused("has another `token_type` than `Bearer`"));
    }
    let access = token("access_token")?.ok_or_else(|| refused("has no `access_token`"))?;
    let lasts = object.get("expires_in").and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    // Without a scope in the answer, what was asked for is what was given (RFC 6749, section 5.1).
    renewal.scope = text(&object, "scope").filter(|scope| super::challenge::is_scope(scope)).or(renewal.scope);
    Ok(Tokens {
        access,
        refresh: token("refresh_token")?,
        expires: lasts.map(|seconds| now + Millis(seconds.saturating_mul(1000))),
        renewal,
    })
}

/// The union of what was granted and what is wanted now, and the scope for renewals where the server has one.
fn scope(at: &Discovery, granted: Option<&str>) -> Option<String> {
    let words = [granted, at.scope.as_deref(), Some("offline_access").filter(|_| at.has_offline_access)];
    let words: BTreeSet<&str> = words.into_iter().flatten().flat_map(|words| words.split(' ')).collect();
    let joined = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    Some(joined).filter(|joined| !joined.is_empty())
}

/// What may stand behind `Bearer` (RFC 6750, section 2.1), and in a header without breaking it.
pub(super) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
}

/// 256 random bits as text.
fn word(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Compares without saying by its time where they differ.
fn is_same(one: &str, other: &str) -> bool {
    Sha256::digest(one.as_bytes()) == Sha256::digest(other.as_bytes())
}

/// RFC 6749, section 2.3.1: both halves of `Basic` are written as in a form.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Whether an account has to be renewed before it is used: it ends within `within`.
pub fn ends_soon(expires: Option<Timestamp>, now: Timestamp, within: Millis) -> bool {
    expires.is_some_and(|expires| expires <= now + within)
}
