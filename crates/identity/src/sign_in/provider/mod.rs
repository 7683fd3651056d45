//! Signing in at an OpenID provider: discovery, the authorization code with PKCE, and what its token must prove.
//!
//! (OpenID Connect Core 1.0 and Discovery 1.0; RFC 6749, 7636, 9207.) The way there and back is tied to one browser by a
//! sealed cookie, so that nothing of it is kept here.

mod claims;
mod discovery;
mod grant;
mod logout;
mod mapping;

pub(super) use claims::Claims;
pub(super) use grant::SubjectToken;
pub(super) use logout::Logout;
pub use mapping::Mapping;

use crate::{
    oauth::{Client, SecretIn, form},
    pkce::{self, Pkce},
    web::{Web, WebAnswer},
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{
    Clock, Random, SignInError, StreamKey,
    sign_in::{Departure, Destination, HandOver, Return},
};
use bailiwick_types::{Millis, Secret, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use discovery::{Discovery, Metadata};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long somebody may take at the provider.
const DEPARTURE_LIFE: Millis = Millis::from_secs(600);
const MAX_COOKIE: usize = 4096;
const MAX_CODE: usize = 4096;
/// With it the provider gives a refresh token.
const OFFLINE: &str = "offline_access";
const SEAL: &[u8] = b"bailiwick.oidc.departure.v1";

/// What an operator says of the provider.
pub struct ProviderOptions {
    /// Exactly as the provider writes it.
    pub issuer: String,
    pub client_id: String,
    /// `None` for a public client.
    pub client_secret: Option<Secret>,
    /// Beside `openid`.
    pub scopes: Vec<String>,
    pub mapping: Mapping,
    /// Plain HTTP is taken too, for providers on the same machine.
    pub plain_http: bool,
    pub web: Arc<dyn Web>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ProviderError(pub String);

/// An OpenID provider.
pub struct Provider {
    options: ProviderOptions,
    discovery: Discovery,
}

/// What the cookie of a departure holds, sealed.
#[derive(Serialize, Deserialize)]
struct Ticket {
    state: String,
    nonce: String,
    /// RFC 7636.
    verifier: String,
    callback: String,
    next: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hand_over: Option<HandOver>,
    expires: Timestamp,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// The answer to a renewal (OpenID Connect Core 1.0, section 12.2), of which nothing is proven yet.
#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    pub id_token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    pub refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Somebody whom the provider let in.
pub(super) struct Arrived {
    pub claims: Claims,
    pub refresh: Option<String>,
    pub destination: Destination,
}

/// What the provider says of a sign-in that shall go on.
pub(super) enum Renewed {
    Given(Given),
    Refused,
}

impl ProviderOptions {
    pub fn build(self) -> Result<Provider, ProviderError> {
        check_url(&self.issuer, self.plain_http).map_err(|problem| ProviderError(format!("issuer: {problem}")))?;
        if self.client_id.is_empty() {
            return Err(ProviderError("client_id: it is empty".into()));
        }
        let discovery =
            Discovery::new(self.issuer.clone(), self.plain_http, Arc::clone(&self.web), Arc::clone(&self.clock));
        Ok(Provider { options: self, discovery })
    }
}

impl Provider {
    pub(super) fn issuer(&self) -> &str {
        &self.options.issuer
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.options.mapping
    }

    pub(super) async fn depart(
        &self,
        key: &dyn StreamKey,
        callback: &str,
        destination: Destination,
    ) -> Result<Departure, SignInError> {
        let metadata = self.discovery.metadata().await?;
        let (next, hand_over) = match destination {
            Destination::Page(next) => (next, None),
            Destination::CommandLine(hand_over) => (String::new(), Some(checked(hand_over)?)),
        };
        let random = &*self.options.random;
        let pkce = Pkce::draw(random);
        let ticket = Ticket {
            state: pkce.state,
            nonce: pkce::word(random),
            verifier: pkce.verifier.expose().to_owned(),
            callback: callback.to_owned(),
            next: local_path(&next).to_owned(),
            hand_over,
            expires: self.options.clock.now() + DEPARTURE_LIFE,
        };
        let mut scope = String::from("openid");
        for wanted in self.options.scopes.iter().filter(|scope| *scope != "openid") {
            scope.push(' ');
            scope.push_str(wanted);
        }
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.options.client_id),
            ("redirect_uri", callback),
            ("scope", &scope),
            ("state", &ticket.state),
            ("nonce", &ticket.nonce),
            ("code_challenge", &pkce.challenge),
            ("code_challenge_method", "S256"),
        ];
        // A page must not make a browser that is signed in at the provider hand a sign-in to a command line by itself;
        // and OpenID Connect Core 1.0, section 11, wants consent to offline access.
        let offline = self.options.scopes.iter().any(|scope| scope == OFFLINE);
        match (ticket.hand_over.is_some(), offline) {
            (true, true) => fields.push(("prompt", "login consent")),
            (true, false) => fields.push(("prompt", "login")),
            (false, true) => fields.push(("prompt", "consent")),
            (false, false) => {}
        }
        let query = form(&fields);
        let joint = if metadata.authorization_endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{}{joint}{query}", metadata.authorization_endpoint);
        let plain = serde_json::to_vec(&ticket).map_err(super::unavailable)?;
        let cookie = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(key.seal(SEAL, &plain)));
        Ok(Departure { url, cookie })
    }

    pub(super) async fn arrive(
        &self,
        key: &dyn StreamKey,
        callback: &str,
        cookie: &str,
        back: Return,
    ) -> Result<Arrived, SignInError> {
        let ticket = self.ticket(key, cookie)?;
        let wrong = |text: &str| Err(SignInError::Provider(text.to_owned()));
        let state = back.state.unwrap_or_default();
        let same = verify_slices_are_equal(state.as_bytes(), ticket.state.as_bytes()).is_ok();
        if !same || ticket.callback != callback {
            return wrong("this answer belongs to another sign-in: begin again");
        }
        // RFC 9207, section 2.4.
        match back.issuer {
            Some(issuer) if issuer != self.options.issuer => {
                return wrong("this answer comes from another identity provider");
            }
            None if self.discovery.metadata().await?.names_itself => {
                return wrong("this answer does not say which identity provider it comes from");
            }
            _ => {}
        }
        if let Some(error) = back.error {
            let shown: String = error.chars().take(64).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            return wrong(&format!("the identity provider answered `{shown}`"));
        }
        let Some(code) = back.code.filter(|code| code.len() <= MAX_CODE) else {
            return wrong("the identity provider sent no code");
        };
        let tokens = self.exchange(&code, &ticket).await?;
        let nonce = Some(ticket.nonce.as_str());
        let claims = self.claims(&tokens.id_token, nonce, tokens.access_token.as_deref()).await?;
        let destination = match ticket.hand_over {
            Some(hand_over) => Destination::CommandLine(hand_over),
            None => Destination::Page(ticket.next),
        };
        Ok(Arrived { claims, refresh: tokens.refresh_token, destination })
    }

    /// What is known of a person by a token, and by the provider's own record where the token leaves it out.
    async fn claims(&self, id_token: &str, nonce: Option<&str>, access: Option<&str>) -> Result<Claims, SignInError> {
        let mut claims = self.discovery.verify(id_token, &self.options.client_id, nonce).await?;
        // Some providers say only there who belongs to what, or what somebody is called.
        if let Some(access) = access {
            if claims.lacks(&self.options.mapping.groups_claim) {
                self.discovery.user_info(&mut claims, access).await?;
            } else if claims.lacks("name") || claims.lacks("email") {
                let asked = self.discovery.user_info(&mut claims, access).await;
                if let Err(error) = asked {
                    tracing::warn!(%error, "somebody signed in without a name or an address");
                }
            }
        }
        Ok(claims)
    }

    /// Asks whether a sign-in may go on, with the refresh token that came with it. That may be good for nothing from now
    /// on: keep what is given before anything else.
    pub(super) async fn renew(&self, refresh: &str) -> Result<Renewed, SignInError> {
        let fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let answer = self.ask(fields).await?;
        if answer.status != 200 {
            // Anything else than this one word may be a fault, ours or the provider's.
            let said = serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.error);
            return match said.as_deref() {
                Ok("invalid_grant") => Ok(Renewed::Refused),
                _ => Err(unreachable(&format!("a renewal was answered with {}", answer.status))),
            };
        }
        let given = serde_json::from_slice(&answer.body).map_err(|_| unreachable("a renewal cannot be read"))?;
        Ok(Renewed::Given(given))
    }

    /// What a renewal proves; `None` where it says nothing new of the person.
    pub(super) async fn proven(&self, given: &Given) -> Result<Option<Claims>, SignInError> {
        match &given.id_token {
            Some(token) => self.claims(token, None, given.access_token.as_deref()).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn logout(&self, token: &str) -> Result<Logout, SignInError> {
        self.discovery.logout(token, &self.options.client_id).await
    }

    pub(super) async fn farewell(&self, back_to: &str) -> Option<String> {
        let metadata = self.discovery.metadata().await.ok()?;
        let place = metadata.end_session_endpoint.as_ref()?;
        // The client's id stands in for the token, which has no place in a URL.
        let query = form(&[("client_id", &self.options.client_id), ("post_logout_redirect_uri", back_to)]);
        let joint = if place.contains('?') { '&' } else { '?' };
        Some(format!("{place}{joint}{query}"))
    }

    fn ticket(&self, key: &dyn StreamKey, cookie: &str) -> Result<Ticket, SignInError> {
        let lost = || {
            SignInError::Provider(
                "this browser did not begin this sign-in, or took longer than ten minutes: begin again".into(),
            )
        };
        if cookie.len() > MAX_COOKIE {
            return Err(lost());
        }
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(cookie).map_err(|_| lost())?;
        let plain = key.unseal(SEAL, &sealed).map_err(|_| lost())?;
        let ticket: Ticket = serde_json::from_slice(&plain).map_err(|_| lost())?;
        if self.options.clock.now() < ticket.expires { Ok(ticket) } else { Err(lost()) }
    }

    /// Code and verifier for tokens (RFC 6749, section 4.1.3).
    async fn exchange(&self, code: &str, ticket: &Ticket) -> Result<Tokens, SignInError> {
        let fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &ticket.callback),
            ("code_verifier", &ticket.verifier),
        ];
        let answer = self.ask(fields).await?;
        if answer.status != 200 {
            tracing::warn!(status = answer.status, "the identity provider refused a code");
            return Err(SignInError::Provider("the identity provider did not accept its own code: begin again".into()));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| SignInError::Provider("the identity provider's answer holds no ID token".into()))
    }

    /// Asks the token endpoint, as the client that we are there.
    async fn ask(&self, fields: Vec<(&str, &str)>) -> Result<WebAnswer, SignInError> {
        let metadata = self.discovery.metadata().await?;
        let request = self.client(&metadata).request(&metadata.token_endpoint, fields);
        self.options.web.fetch(request).await.map_err(|problem| unreachable(&problem))
    }

    fn client(&self, metadata: &Metadata) -> Client<'_> {
        let place = SecretIn::taken(metadata.token_endpoint_auth_methods_supported.as_deref());
        let secret = self.options.client_secret.as_ref().map(|secret| (secret, place));
        Client { id: &self.options.client_id, secret }
    }
}

fn unreachable(problem: &str) -> SignInError {
    tracing::warn!(problem, "the identity provider cannot be asked");
    SignInError::Unavailable("the identity provider cannot be reached".into())
}

/// A listener on the person's own machine and nothing else (RFC 8252, section 7.3), and a challenge of the one method.
fn checked(hand_over: HandOver) -> Result<HandOver, SignInError> {
    let wrong = |text: &str| Err(SignInError::Provider(text.to_owned()));
    let uri = hand_over.redirect_uri.as_str();
    let rest = uri.strip_prefix("http://127.0.0.1:").or(uri.strip_prefix("http://[::1]:"));
    let port = rest.and_then(|rest| rest.strip_suffix('/'));
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_some_and(|port| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return wrong("`redirect_uri` must be `http://127.0.0.1:PORT/` or `http://[::1]:PORT/`");
    }
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if hand_over.challenge.len() != 43 || !word(&hand_over.challenge) {
        return wrong("`code_challenge` must be a SHA-256 digest in base 64 (RFC 7636, `S256`)");
    }
    if !(16..=128).contains(&hand_over.state.len()) || !word(&hand_over.state) {
        return wrong("`state` must have 16 to 128 letters, digits, `-` and `_`");
    }
    Ok(hand_over)
}

/// A path on this server, or its beginning: never a way to somewhere else.
fn local_path(next: &str) -> &str {
    let fine = next.starts_with('/')
        && !next.starts_with("//")
        && next.len() <= 1024
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if fine { next } else { "/" }
}

/// Whether a URL of the provider may be used at all. Which address it leads to is checked when it is connected to.
pub(crate) fn check_url(url: &str, plain_http: bool) -> Result<(), String> {
    let rest = match url.strip_prefix("https://") {
        Some(rest) => rest,
        None => match url.strip_prefix("http://").filter(|_| plain_http) {
            Some(rest) => rest,
            None => return Err(format!("`{}` does not begin with `https://`", shown(url))),
        },
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let fine = !host.is_empty() && !host.contains('@') && url.len() <= 2048 && !url.contains('#');
    if fine && url.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!("`{}` is not the URL of a provider", shown(url)))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local_path("/console?tab=1"), "/console?tab=1");
        for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "console", "/a b", ""] {
            assert_eq!(local_path(elsewhere), "/", "{elsewhere}");
        }
    }

    #[test]
    fn a_provider_has_a_plain_https_url() {
        assert!(check_url("https://id.example/realms/a", false).is_ok());
        assert!(check_url("http://127.0.0.1:9000", true).is_ok());
        for wrong in ["http://id.example", "https://", "https://user@id.example", "file:///etc", "https://a/#b"] {
            assert!(check_url(wrong, false).is_err(), "{wrong}");
        }
    }
}
