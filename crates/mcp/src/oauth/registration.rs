//! Who we are at an authorization server: a client that somebody configured for it, else the address of our metadata
//! document, else one that is registered on the way (RFC 7591). What was given by one issuer is never shown to another.

use super::{
    Authorizer, Discovery, OauthError,
    discovery::text,
    fetch::{host, is_loopback},
};
use crate::{
    http::{HttpRequest, Method},
    message::quoted,
};
use bailiwick_ports::vault::ClientAuth;
use bailiwick_types::Secret;
use serde_json::{Value, json};
use url::Url;

/// What this installation is, towards every authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurClient {
    /// What a person is shown.
    pub name: String,
    /// Where people come back to.
    pub redirect_uri: Url,
    /// Where [`OurClient::document`] is served, where others can reach it: with `https` and a path.
    pub document_url: Option<Url>,
}

/// A client at one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    pub issuer: String,
    pub client_id: String,
    pub auth: ClientAuth,
    pub secret: Option<Secret>,
}

const MAX_ID_BYTES: usize = 2048;

impl OurClient {
    /// The client id metadata document, to be served at `document_url`.
    pub fn document(&self) -> Option<Value> {
        let url = self.document_url.as_ref().filter(|url| url.scheme() == "https" && url.path() != "/")?;
        let mut document = self.metadata();
        document["client_id"] = json!(url.as_str());
        Some(document)
    }

    fn metadata(&self) -> Value {
        json!({
            "client_name": self.name,
            "redirect_uris": [self.redirect_uri.as_str()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": if is_loopback(&self.redirect_uri) { "native" } else { "web" },
        })
    }
}

impl Authorizer {
    /// The client to use at this issuer. What is registered on the way is for the caller to keep, under its issuer.
    pub async fn client(&self, at: &Discovery, known: &[ClientIdentity]) -> Result<ClientIdentity, OauthError> {
        if let Some(known) = known.iter().find(|known| known.issuer == at.issuer) {
            return Ok(known.clone());
        }
        if at.takes_metadata_documents && self.ours.document().is_some() {
            let client_id = self.ours.document_url.as_ref().map(ToString::to_string).unwrap_or_default();
            return Ok(ClientIdentity { issuer: at.issuer.clone(), client_id, auth: ClientAuth::None, secret: None });
        }
        match at.registration_endpoint.as_deref().map(Url::parse) {
            Some(Ok(place)) => self.register(at, place).await,
            _ => Err(OauthError::Misconfigured(format!(
                "`{}` registers no clients: register one there with the redirect URI `{}` and put its id into the \
                 connector's configuration",
                at.issuer, self.ours.redirect_uri
            ))),
        }
    }

    async fn register(&self, at: &Discovery, place: Url) -> Result<ClientIdentity, OauthError> {
        let name = host(&place);
        let mut request = HttpRequest::new(Method::Post, place).header("content-type", "application/json");
        request.body = self.ours.metadata().to_string().into_bytes();
        let fetched = self.post(request).await?;
        let object = fetched.object.unwrap_or_default();
        if !matches!(fetched.status, 200 | 201) {
            let words = text(&object, "error_description").or(text(&object, "error")).unwrap_or_default();
            return Err(OauthError::Misconfigured(format!(
                "`{name}` registers no client for us (status {}, in its own words: `{}`)",
                fetched.status,
                quoted(&words)
            )));
        }
        let visible = |word: &String| {
            !word.is_empty() && word.len() <= MAX_ID_BYTES && word.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        };
        let client_id = text(&object, "client_id").filter(visible);
        let client_id =
            client_id.ok_or_else(|| OauthError::Refused(format!("`{name}` gave a client without an id")))?;
        let secret = text(&object, "client_secret").filter(visible).map(Secret::new);
        let auth = match (text(&object, "token_endpoint_auth_method").as_deref(), &secret) {
            (Some("none"), _) | (None, None) => ClientAuth::None,
            (Some("client_secret_post"), Some(_)) => ClientAuth::ClientSecretPost,
            (Some("client_secret_basic") | None, Some(_)) => ClientAuth::ClientSecretBasic,
            _ => return Err(OauthError::Refused(format!("`{name}` wants a kind of client that this is not"))),
        };
        Ok(ClientIdentity { issuer: at.issuer.clone(), client_id, auth, secret })
    }
}
