//! One request, as plain data.

use crate::{error::OutboundError, target::Authority};
use bailiwick_types::{Millis, Secret};
use bytes::Bytes;
use http::Method;
use sha2::{Digest, Sha256};
use std::fmt;

/// How far a request may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// To what belongs to everybody, through https: for URLs that a model or a user names.
    Public,
    /// To the one server that an administrator named, wherever it is, and nowhere else.
    Exact {
        authority: Authority,
        /// Plain HTTP may be spoken. To this machine itself it always may.
        plain_http: bool,
    },
}

impl Reach {
    /// To the server of this URL, through https unless that is this machine.
    pub fn exact(url: &str) -> Result<Self, OutboundError> {
        Ok(Self::Exact { authority: Authority::of(url)?, plain_http: false })
    }
}

/// Which redirects are walked. Those that are not are the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Redirects {
    #[default]
    None,
    /// Within the same scheme, host and port. One that leads elsewhere is the answer.
    SameOrigin,
    /// As far as the reach goes, never from https to http. Credentials, bodies and headers of the request's own go to no
    /// other origin. One that may not be walked is [`OutboundError::Redirected`].
    Anywhere,
}

/// A secret, and where it belongs. It goes to the origin of the request's URL only.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The whole value, such as `Bearer …`.
    Header {
        name: String,
        value: Secret,
    },
    /// A parameter of the query.
    Query {
        name: String,
        value: Secret,
    },
    Cookie {
        name: String,
        value: Secret,
    },
}

impl Credential {
    /// `Authorization: Bearer …` (RFC 6750).
    pub fn bearer(token: &Secret) -> Self {
        Self::Header { name: "authorization".into(), value: Secret::new(format!("Bearer {}", token.expose())) }
    }
}

/// How long is waited, for each thing that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Resolving, connecting and TLS.
    pub connect_ms: Millis,
    /// From the request to the status line.
    pub first_byte_ms: Millis,
    /// From one piece of the body to the next.
    pub idle_ms: Millis,
    /// Everything together, to the end of the body and through all redirects.
    pub total_ms: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: Millis::from_secs(10),
            first_byte_ms: Millis::from_secs(30),
            idle_ms: Millis::from_secs(30),
            total_ms: Millis::from_secs(60),
        }
    }
}

/// One request. Make one with [`Request::new`] and set what differs.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub url: String,
    /// Without secrets: those are credentials. `Host`, `Content-Length` and what governs a connection is not taken.
    pub headers: Vec<(String, String)>,
    pub credentials: Vec<Credential>,
    pub body: Option<Bytes>,
    pub reach: Reach,
    pub redirects: Redirects,
    pub timeouts: Timeouts,
    /// The longest body that is read.
    pub max_body_bytes: u64,
    /// On whose behalf, behind the product's name in `User-Agent`: the words of `types::Mark`. Ids, never names.
    pub who: String,
}

impl Request {
    /// The longest body that is read when nobody says otherwise.
    pub const MAX_BODY_BYTES: u64 = 4 * 1024 * 1024;

    pub fn new(method: Method, url: impl Into<String>, reach: Reach) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            credentials: Vec::new(),
            body: None,
            reach,
            redirects: Redirects::None,
            timeouts: Timeouts::default(),
            max_body_bytes: Self::MAX_BODY_BYTES,
            who: String::new(),
        }
    }

    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    pub fn who(mut self, who: impl Into<String>) -> Self {
        self.who = who.into();
        self
    }

    /// Two requests with the same fingerprint carry the same credentials, and may share a connection.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |kind: u8, name: &str, value: &str| {
            hash.update([kind]);
            for part in [name, value] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        };
        for credential in &self.credentials {
            match credential {
                Credential::Header { name, value } => add(1, name, value.expose()),
                Credential::Query { name, value } => add(2, name, value.expose()),
                Credential::Cookie { name, value } => add(3, name, value.expose()),
            }
        }
        // Somebody may have put a secret here all the same.
        for (name, value) in &self.headers {
            if is_secret_header(name) {
                add(4, name, value);
            }
        }
        hash.finalize().into()
    }
}

/// Headers that are secret whoever sets them.
pub(crate) fn is_secret_header(name: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"].iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Neither credentials nor values of headers nor the body.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Authority::of(&self.url).map(|authority| authority.to_string());
        f.debug_struct("Request").field("method", &self.method).field("to", &host).field("reach", &self.reach).finish()
    }
}
