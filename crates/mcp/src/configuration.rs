//! How one MCP server is configured: plain data that a connector keeps.

use crate::{
    definition::Effect,
    limits::{MAX_NAME_BYTES, MAX_TOOLS},
    revision::Revision,
};
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
    /// What somebody here knows better than the server: the effect of a tool, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<String, Effect>,
    /// How long a call may go without a sign of life, in milliseconds; progress is one. 60,000 by default.
    #[serde(default = "default_timeout")]
    pub timeout_ms: Millis,
    /// How long a call may take altogether, in milliseconds. 600,000 by default.
    #[serde(default = "default_longest")]
    pub max_timeout_ms: Millis,
    /// The one revision to speak. Without it the newest that both sides know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
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
            effects: BTreeMap::new(),
            timeout_ms: default_timeout(),
            max_timeout_ms: default_longest(),
            revision: None,
        }
    }

    /// Whether this can be kept. The error names the field.
    pub fn check(&self) -> Result<(), String> {
        let names = self.allowed_tools.iter().flatten().chain(self.effects.keys());
        if let Some(name) = names.clone().find(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
            return Err(format!("`allowed_tools` and `effects`: `{name}` is not the name of a tool"));
        }
        if names.count() > 2 * MAX_TOOLS {
            return Err(format!("`allowed_tools` and `effects` have more than {MAX_TOOLS} names"));
        }
        for (field, span) in [("timeout_ms", self.timeout_ms), ("max_timeout_ms", self.max_timeout_ms)] {
            if span < Millis(100) || span > LONGEST_TIMEOUT {
                return Err(format!("`{field}` must be 100 to {} milliseconds", LONGEST_TIMEOUT.0));
            }
        }
        match &self.transport {
            TransportConfig::Http { url, headers } => check_http(url, headers),
            TransportConfig::Stdio { command, args, env } => check_stdio(command, args, env),
        }
    }

    /// What a call of this tool may do to the world.
    pub(crate) fn effect(&self, name: &str, hinted: Effect) -> Effect {
        match self.effects.get(name) {
            Some(effect) => *effect,
            None if self.trust_annotations => hinted,
            None => Effect::Write,
        }
    }

    pub(crate) fn allows(&self, name: &str) -> bool {
        self.allowed_tools.as_ref().is_none_or(|allowed| allowed.contains(name))
    }
}

fn check_http(url: &Url, headers: &BTreeMap<String, String>) -> Result<(), String> {
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err("`transport.url` must begin with `https://` or `http://` and name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("`transport.url` must have no user, password or fragment; secrets belong into a vault".into());
    }
    if headers.len() > MAX_HEADERS {
        return Err(format!("`transport.headers` has more than {MAX_HEADERS} headers"));
    }
    for (name, value) in headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let visible = value.len() <= MAX_WORD_BYTES && value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(token) || !visible {
            return Err(format!("`transport.headers`: `{name}` is not a header of visible characters"));
        }
        if OURS.contains(&lower.as_str()) || lower.starts_with("mcp-param-") {
            return Err(format!("`transport.headers`: `{name}` is written by the protocol, or belongs into a vault"));
        }
    }
    Ok(())
}

fn check_stdio(command: &str, args: &[String], env: &BTreeMap<String, String>) -> Result<(), String> {
    let word = |word: &str| word.len() <= MAX_WORD_BYTES && !word.contains('\0');
    if command.is_empty() || !word(command) {
        return Err("`transport.command` is missing, too long, or has a zero byte".into());
    }
    if args.len() > MAX_WORDS || !args.iter().all(|arg| word(arg)) {
        return Err(format!("`transport.args` has more than {MAX_WORDS} words, or one that is too long"));
    }
    let name = |name: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(inner) && !name.as_bytes()[0].is_ascii_digit()
    };
    if env.len() > MAX_WORDS || !env.iter().all(|(key, value)| name(key) && word(key) && word(value)) {
        return Err(format!("`transport.env` has more than {MAX_WORDS} variables, or one with a wrong name or value"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<McpServer, String> {
        let server: McpServer = serde_json::from_value(value).map_err(|error| error.to_string())?;
        server.check().map(|()| server)
    }

    #[test]
    fn defaults_are_careful() {
        let server = read(json!({ "transport": { "type": "http", "url": "https://mcp.example.com/mcp" } })).unwrap();
        assert_eq!(server.effect("x", Effect::Read), Effect::Write);
        assert!(server.allows("x"));
        assert_eq!((server.timeout_ms, server.max_timeout_ms), (Millis(60_000), Millis(600_000)));
        let trusted = McpServer { trust_annotations: true, ..server.clone() };
        assert_eq!(trusted.effect("x", Effect::Read), Effect::Read);
        let known = McpServer { effects: [("x".to_owned(), Effect::Idempotent)].into(), ..trusted };
        assert_eq!(known.effect("x", Effect::Read), Effect::Idempotent);
    }

    #[test]
    fn what_cannot_be_kept_names_its_field() {
        let http = json!({ "type": "http", "url": "https://mcp.example.com/mcp" });
        for (value, field) in [
            (json!({ "transport": http, "shadow": 1 }), "shadow"),
            (json!({ "transport": { "type": "http", "url": "ftp://example.com/" } }), "transport.url"),
            (json!({ "transport": { "type": "http", "url": "https://u:p@example.com/" } }), "transport.url"),
            (json!({ "transport": { "type": "http", "url": "https://a/", "headers": { "Authorization": "x" } } }), "vault"),
            (json!({ "transport": { "type": "http", "url": "https://a/", "headers": { "x": "a\r\nb: c" } } }), "headers"),
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
