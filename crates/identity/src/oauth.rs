//! Asking an OAuth token endpoint as the client that we are there (RFC 6749, sections 2.3.1 and 5).
//!
//! What an endpoint says beyond its code of an error is repeated to nobody: it may hold what was sent.

use crate::{
    dpop::{ProofKey, ProofKeys},
    web::{Web, WebAnswer, WebRequest},
};
use bailiwick_ports::proof::Proofs as _;
use bailiwick_types::Secret;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

/// RFC 9449, section 8.
const WANTS_NONCE: &str = "use_dpop_nonce";
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

/// The key that a token is to be bound to.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub keys: &'a ProofKeys,
    pub key: &'a ProofKey,
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
        WebRequest { url: url.to_owned(), form: Some(Secret::new(form(&fields))), authorization, proof: None }
    }

    /// With a binding, what is given may be bound to that key (RFC 9449, section 5); its type says whether it is.
    pub async fn ask<'b>(
        &'b self,
        web: &dyn Web,
        url: &str,
        fields: Vec<(&'b str, &'b str)>,
        binding: Option<Binding<'_>>,
    ) -> Result<Answer, String> {
        let request = self.request(url, fields);
        let answer = match binding {
            None => web.fetch(request).await?,
            Some(binding) => match binding.fetch(web, request.clone()).await? {
                // It wants a word of its own in the proof, and has said which: nothing was done yet.
                answer if answer.nonce.is_some() && refusal(&answer).is_some_and(|code| code == WANTS_NONCE) => {
                    binding.fetch(web, request).await?
                }
                answer => answer,
            },
        };
        if answer.status == 200 {
            let granted = serde_json::from_slice(&answer.body);
            return granted.map(Answer::Granted).map_err(|_| "its answer cannot be read".to_owned());
        }
        refusal(&answer).map(Answer::Refused).ok_or_else(|| format!("it answered with {}", answer.status))
    }
}

impl Binding<'_> {
    async fn fetch(self, web: &dyn Web, mut request: WebRequest) -> Result<WebAnswer, String> {
        let url = request.url.clone();
        request.proof = Some(self.keys.prove(self.key, "POST", &url, None)?);
        let answer = web.fetch(request).await?;
        if let Some(nonce) = &answer.nonce {
            self.keys.learn(&url, nonce);
        }
        Ok(answer)
    }
}

/// The code of an answer that is none (RFC 6749, section 5.2), fit to be shown.
fn refusal(answer: &WebAnswer) -> Option<String> {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body).ok().filter(|_| answer.status != 200)?;
    Some(shown(&refusal.error))
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

impl Granted {
    /// The token is good with a proof only.
    pub fn is_bound(&self) -> bool {
        self.token_type.eq_ignore_ascii_case("dpop")
    }
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
