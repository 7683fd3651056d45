//! How one MCP server is configured: plain data that a connector keeps.

use crate::{
    limits::{MAX_NAME_BYTES, MAX_TOOLS},
    revision::Revision,
};
use bailiwick_core::connector::Effect;
use bailiwick_ports::SettingsProblem;
use bailiwick_types::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// One server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpServer {
    pub transport: TransportConfig,
    /// The only tools that are used, by the server's own names. Without it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<BTreeSet<String>>,
    /// Whether the server's hints (`readOnlyHint`, `idempotentHint`) decide what a lost answer means. Without it every
    /// tool is a write.
    #[serde(default)]
    pub trust_annotations: bool,
    /// How long a call may go without a sign of life, in milliseconds; progress is one. 60,000 by default.
    #[serde(default = "default_timeout")]
    pub timeout_ms: Millis,
    /// How long a call may take altogether, in milliseconds. 600,000 by default.
    #[serde(default = "default_longest")]
    pub max_timeout_ms: Millis,
    /// The one revision to speak. Without it the newest that both sides know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// How people connect accounts there, where the server's own word is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthSettings>,
}

/// What is known of a server's authorization server beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthSettings {
    /// The only one that accounts are connected at. It may be inside; what a server names itself may not.
    /// Exactly as it writes itself.
    pub issuer: String,
    /// The public client that somebody registered for us there. Without it our metadata document, or one that is
    /// registered on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The scopes to ask for, instead of those that the server names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TransportConfig {
    /// Streamable HTTP.
    Http {
        /// `https://…`, or `http://…` within the walls.
        #[serde(with = "crate::link")]
        url: Url,
        /// Headers that are no secret. Secrets come from a vault.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
    },
    /// A program that is started inside the session's environment, with these variables and no others of ours.
    Stdio {
        command: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    },
}

fn default_timeout() -> Millis {
    Millis(60_000)
}

fn default_longest() -> Millis {
    Millis(600_000)
}

const MAX_HEADERS: usize = 16;
const MAX_OAUTH_WORD: usize = 2048;
const MAX_WORDS: usize = 64;
const MAX_WORD_BYTES: usize = 4 << 10;
const LONGEST_TIMEOUT: Millis = Millis::from_secs(3_600);
/// Headers that are ours to write.
const OURS: [&str; 14] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "user-agent",
];

impl McpServer {
    /// With every default.
    pub fn new(transport: TransportConfig) -> Self {
        Self {
            transport,
            allowed_tools: None,
            trust_annotations: false,
            timeout_ms: default_timeout(),
            max_timeout_ms: default_longest(),
            revision: None,
            oauth: None,
        }
    }

    /// Whether this can be kept. The error names the field.
    pub fn check(&self) -> Result<(), SettingsProblem> {
        let names = self.allowed_tools.iter().flatten();
        if names.clone().any(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) || names.count() > MAX_TOOLS {
            let text = format!("must have at most {MAX_TOOLS} names of 1 to {MAX_NAME_BYTES} bytes");
            return wrong("allowed_tools", text);
        }
        for (field, span) in [("timeout_ms", self.timeout_ms), ("max_timeout_ms", self.max_timeout_ms)] {
            if span < Millis(100) || span > LONGEST_TIMEOUT {
                return wrong(field, format!("must be 100 to {} milliseconds", LONGEST_TIMEOUT.0));
            }
        }
        self.oauth.as_ref().map_or(Ok(()), check_oauth)?;
        match &self.transport {
            TransportConfig::Http { url, headers } => check_http(url, headers),
            TransportConfig::Stdio { command, args, env } => check_stdio(command, args, env),
        }
    }

    /// What a call may do to the world, where the server says this.
    pub(crate) fn effect(&self, hinted: Effect) -> Effect {
        if self.trust_annotations { hinted } else { Effect::Write }
    }

    pub(crate) fn allows(&self, name: &str) -> bool {
        self.allowed_tools.as_ref().is_none_or(|allowed| allowed.contains(name))
    }
}

fn check_oauth(oauth: &OauthSettings) -> Result<(), SettingsProblem> {
    let plain = |issuer: &Url| {
        let bare = issuer.query().is_none() && issuer.fragment().is_none() && issuer.username().is_empty();
        bare && issuer.host_str().is_some() && matches!(issuer.scheme(), "https" | "http")
    };
    if oauth.issuer.len() > MAX_OAUTH_WORD || !Url::parse(&oauth.issuer).is_ok_and(|issuer| plain(&issuer)) {
        return wrong("oauth.issuer", "must begin with `https://` or `http://`, name a host, and have no query");
    }
    let words = |text: &Option<String>| {
        let fine = |text: &String| (1..=MAX_OAUTH_WORD).contains(&text.len()) && !text.chars().any(char::is_control);
        text.as_ref().is_none_or(fine)
    };
    for (field, text) in [("oauth.client_id", &oauth.client_id), ("oauth.scope", &oauth.scope)] {
        if !words(text) {
            return wrong(field, format!("must have 1 to {MAX_OAUTH_WORD} bytes without control characters"));
        }
    }
    Ok(())
}

fn check_http(url: &Url, headers: &BTreeMap<String, String>) -> Result<(), SettingsProblem> {
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return wrong("transport.url", "must begin with `https://` or `http://` and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        let text = "must have no user, password or fragment: a secret belongs into a vault";
        return wrong("transport.url", text);
    }
    if headers.len() > MAX_HEADERS {
        return wrong("transport.headers", format!("must have at most {MAX_HEADERS} headers"));
    }
    for (name, value) in headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let visible = value.len() <= MAX_WORD_BYTES && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(token) || !visible {
            return wrong("transport.headers", "must have names and values of visible characters");
        }
        if OURS.contains(&lower.as_str()) || lower.starts_with("mcp-param-") {
            let text = format!("must not have `{name}`: the protocol writes it, or it belongs into a vault");
            return wrong("transport.headers", text);
        }
    }
    Ok(())
}

fn check_stdio(command: &str, args: &[String], env: &BTreeMap<String, String>) -> Result<(), SettingsProblem> {
    let word = |word: &str| word.len() <= MAX_WORD_BYTES && !word.contains('\0');
    if command.is_empty() || !word(command) {
        return wrong("transport.command", format!("must be a program's name of at most {MAX_WORD_BYTES} bytes"));
    }
    if args.len() > MAX_WORDS || !args.iter().all(|arg| word(arg)) {
        let text = format!("must have at most {MAX_WORDS} words of at most {MAX_WORD_BYTES} bytes");
        return wrong("transport.args", text);
    }
    let name = |name: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(inner) && !name.as_bytes()[0].is_ascii_digit()
    };
    if env.len() > MAX_WORDS || !env.iter().all(|(key, value)| name(key) && word(key) && word(value)) {
        let text = format!("must have at most {MAX_WORDS} variables, with names and values that a program can have");
        return wrong("transport.env", text);
    }
    Ok(())
}

fn wrong<T>(field: &str, problem: impl Into<String>) -> Result<T, SettingsProblem> {
    Err(SettingsProblem::new(field, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<McpServer, String> {
        let server: McpServer = serde_json::from_value(value).map_err(|error| error.to_string())?;
        server.check().map(|()| server).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_careful() {
        let server = read(json!({ "transport": { "type": "http", "url": "https://mcp.example.com/mcp" } })).unwrap();
        assert_eq!(server.effect(Effect::Read), Effect::Write);
        assert!(server.allows("x"));
        assert_eq!((server.timeout_ms, server.max_timeout_ms), (Millis(60_000), Millis(600_000)));
        let trusted = McpServer { trust_annotations: true, ..server };
        assert_eq!(trusted.effect(Effect::Read), Effect::Read);
    }

    #[test]
    fn what_cannot_be_kept_names_its_field() {
        let http = json!({ "type": "http", "url": "https://mcp.example.com/mcp" });
        for (value, field) in [
            (json!({ "transport": http, "shadow": 1 }), "shadow"),
            (json!({ "transport": { "type": "http", "url": "ftp://example.com/" } }), "transport.url"),
            (json!({ "transport": { "type": "http", "url": "https://u:p@example.com/" } }), "transport.url"),
            (
                json!({ "transport": { "type": "http", "url": "https://a/", "headers": { "Authorization": "x" } } }),
                "vault",
            ),
            (
                json!({ "transport": { "type": "http", "url": "https://a/", "headers": { "x": "a\r\nb: c" } } }),
                "headers",
            ),
            (json!({ "transport": { "type": "stdio", "command": "" } }), "transport.command"),
            (json!({ "transport": { "type": "stdio", "command": "a", "env": { "1A": "" } } }), "transport.env"),
            (json!({ "transport": http, "timeout_ms": 0 }), "timeout_ms"),
            (json!({ "transport": http, "revision": "2024-01-01" }), "2024-01-01"),
            (json!({ "transport": http, "allowed_tools": [""] }), "allowed_tools"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(field), "{field}: {error}");
        }
    }
}
