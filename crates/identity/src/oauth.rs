//! Asking an OAuth token endpoint as the client that we are there (RFC 6749, sections 2.3.1 and 5).
//!
//! What an endpoint says beyond its code of an error is repeated to nobody: it may hold what was sent.

use crate::web::{Web, WebRequest};
use bailiwick_types::Secret;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

/// Characters of an endpoint's code that are shown.
const MAX_CODE: usize = 64;

/// Where a client's secret goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecretIn {
    Header,
    Form,
}

impl SecretIn {
    /// By what a server's metadata says that its token endpoint takes (RFC 8414, section 2,
    /// `token_endpoint_auth_methods_supported`): the form only where a header is not taken.
    pub fn taken(methods: Option<&[String]>) -> Self {
        let takes = |name: &str| methods.is_some_and(|methods| methods.iter().any(|method| method == name));
        match takes("client_secret_post") && !takes("client_secret_basic") {
            true => Self::Form,
            false => Self::Header,
        }
    }
}

/// Who we are to an authorization server.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    pub id: &'a str,
    /// `None` for a public client.
    pub secret: Option<(&'a Secret, SecretIn)>,
}

impl Client<'_> {
    /// The request that asks for these fields.
    pub fn request<'b>(&'b self, url: &str, mut fields: Vec<(&'b str, &'b str)>) -> WebRequest {
        fields.push(("client_id", self.id));
        let mut authorization = None;
        match self.secret {
            Some((secret, SecretIn::Form)) => fields.push(("client_secret", secret.expose())),
            Some((secret, SecretIn::Header)) => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(self.id), encode(secret.expose()));
                authorization = Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))));
            }
            None => {}
        }
        WebRequest { url: url.to_owned(), form: Some(Secret::new(form(&fields))), authorization }
    }

    pub async fn ask<'b>(
        &'b self,
        web: &dyn Web,
        url: &str,
        fields: Vec<(&'b str, &'b str)>,
    ) -> Result<Answer, String> {
        let answer = web.fetch(self.request(url, fields)).await?;
        if answer.status == 200 {
            let granted = serde_json::from_slice(&answer.body);
            return granted.map(Answer::Granted).map_err(|_| "its answer cannot be read".to_owned());
        }
        match serde_json::from_slice::<Refusal>(&answer.body) {
            Ok(refusal) => Ok(Answer::Refused(shown(&refusal.error))),
            Err(_) => Err(format!("it answered with {}", answer.status)),
        }
    }
}

/// What a token endpoint says.
pub(crate) enum Answer {
    Granted(Granted),
    /// Its code of the error, fit to be shown.
    Refused(String),
}

/// RFC 6749, section 5.1, and RFC 8693, section 2.2.1. It holds secrets, and so prints nothing.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub access_token: String,
    #[serde(default)]
    pub token_type: String,
    #[serde(default)]
    pub issued_token_type: Option<String>,
    #[serde(default)]
    pub expires_in: Option<i64>,
    #[serde(default)]
    pub refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A stranger's word, as far as it can be one.
fn shown(code: &str) -> String {
    code.chars().take(MAX_CODE).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}
