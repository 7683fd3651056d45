//! What a logout token says, and what it must say to be believed (OpenID Connect Back-Channel Logout 1.0, section 2.6).

use super::claims::{LEEWAY_SECONDS, MAX_AGE_SECONDS, MAX_SUBJECT};
use crate::jwt::{Audience, Present};
use serde::Deserialize;
use serde_json::{Map, Value};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const MAX_ID: usize = 256;

#[derive(Deserialize)]
pub(super) struct LogoutToken {
    iss: String,
    aud: Audience,
    iat: i64,
    exp: i64,
    jti: String,
    events: Map<String, Value>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    sid: Option<String>,
    /// An ID token has one, and must never pass for a logout token.
    #[serde(default)]
    nonce: Present,
}

/// Whose sign-ins end: those of one session at the provider, or all of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sign_in) struct Logout {
    pub subject: Option<String>,
    pub session: Option<String>,
    pub id: String,
    /// Seconds since 1970 from which on it is refused by itself.
    pub over: i64,
}

impl LogoutToken {
    pub fn check(self, issuer: &str, client_id: &str, now: i64) -> Result<Logout, &'static str> {
        if self.iss != issuer {
            return Err("it is of another issuer");
        }
        if !self.aud.names(client_id) {
            return Err("it is for somebody else");
        }
        if !matches!(self.events.get(EVENT), Some(Value::Object(_))) {
            return Err("it tells of no logout");
        }
        if self.nonce.is_there() {
            return Err("it has a nonce, as an ID token has");
        }
        if now >= self.exp.saturating_add(LEEWAY_SECONDS) {
            return Err("it has expired");
        }
        if !(-LEEWAY_SECONDS..=MAX_AGE_SECONDS).contains(&now.saturating_sub(self.iat)) {
            return Err("it was not made just now");
        }
        if self.jti.is_empty() || self.jti.len() > MAX_ID {
            return Err("it has no id");
        }
        let named = |word: &Option<String>| word.as_ref().is_none_or(|word| (1..=MAX_SUBJECT).contains(&word.len()));
        if !named(&self.sub) || !named(&self.sid) || (self.sub.is_none() && self.sid.is_none()) {
            return Err("it says nobody's sign-in ends");
        }
        let over = self.iat.saturating_add(MAX_AGE_SECONDS + 1);
        Ok(Logout { subject: self.sub, session: self.sid, id: self.jti, over })
    }
}
