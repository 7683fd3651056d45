//! What an ID token says, and what it must say to be believed.

use crate::jwt::Audience;
use bailiwick_ports::people::ForeignId;
use bailiwick_types::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// By how much clocks may differ.
pub(super) const LEEWAY_SECONDS: i64 = 60;
/// A token that was issued longer ago is not of this sign-in.
pub(super) const MAX_AGE_SECONDS: i64 = 600;
/// OpenID Connect Core 1.0, section 2.
pub(super) const MAX_SUBJECT: usize = 255;
/// Groups of one person that are looked at.
const MAX_GROUPS: usize = 2000;

#[derive(Deserialize)]
pub(super) struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    azp: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl IdToken {
    /// `nonce` is the one of the sign-in; `None` where a token comes of a renewal, which may leave it out.
    pub fn check(
        &self,
        issuer: &str,
        client_id: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let now = now.as_seconds();
        if self.iss != issuer {
            return Err("it is of another issuer");
        }
        if !self.aud.names(client_id) {
            return Err("it is for somebody else");
        }
        if self.azp.as_deref().map_or(self.aud.count() > 1, |party| party != client_id) {
            return Err("it was made for somebody else");
        }
        if nonce.is_some() && self.nonce.as_deref() != nonce {
            return Err("it is of another sign-in");
        }
        if now >= self.exp.saturating_add(LEEWAY_SECONDS) {
            return Err("it has expired");
        }
        if self.nbf.is_some_and(|from| now < from.saturating_sub(LEEWAY_SECONDS)) {
            return Err("it is not valid yet");
        }
        let age = now.saturating_sub(self.iat);
        if !(-LEEWAY_SECONDS..=MAX_AGE_SECONDS).contains(&age) {
            return Err("it was not made just now");
        }
        if self.sub.is_empty() || self.sub.len() > MAX_SUBJECT || self.sub.chars().any(char::is_control) {
            return Err("it names nobody");
        }
        Ok(())
    }

    pub fn into_claims(self, issuer: &str) -> Claims {
        Claims { foreign: ForeignId { issuer: issuer.to_owned(), subject: self.sub }, more: self.more }
    }
}

/// A person as the provider describes one.
pub(crate) struct Claims {
    pub foreign: ForeignId,
    more: Map<String, Value>,
}

impl Claims {
    pub fn lacks(&self, claim: &str) -> bool {
        !self.more.contains_key(claim)
    }

    /// Takes in what is not said yet.
    pub fn add(&mut self, more: Map<String, Value>) {
        for (name, value) in more {
            self.more.entry(name).or_insert(value);
        }
    }

    /// The session at the provider.
    pub fn session(&self) -> Option<&str> {
        self.text("sid").filter(|sid| sid.len() <= MAX_SUBJECT)
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.more.get(claim).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// A name to show: bounded and printable, whatever the provider says.
    pub fn name(&self) -> String {
        let said = self.text("name").or(self.text("preferred_username")).unwrap_or(&self.foreign.subject);
        let name: String = said.chars().filter(|c| !c.is_control()).take(128).collect();
        let name = name.trim();
        if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
    }

    /// Only what is an address, and what the provider does not doubt itself.
    pub fn email(&self) -> Option<String> {
        let doubted = self.more.get("email_verified") == Some(&Value::Bool(false));
        self.text("email").filter(|email| !doubted && crate::roster::is_email(email)).map(str::to_owned)
    }

    /// The groups in a claim: a list of texts, or one text.
    pub fn groups(&self, claim: &str) -> Vec<&str> {
        match self.more.get(claim) {
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).take(MAX_GROUPS).collect(),
            Some(Value::String(group)) => vec![group],
            _ => Vec::new(),
        }
    }
}
