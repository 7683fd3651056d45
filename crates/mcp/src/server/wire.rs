//! Which revision a message speaks, and whether its headers say the same as its body.

use crate::{message::RpcError, mirror, revision::Revision};
use serde_json::{Map, Value, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The headers of a message over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageHeaders {
    /// `MCP-Protocol-Version`.
    pub protocol_version: Option<String>,
    /// `Mcp-Method`.
    pub method: Option<String>,
    /// `Mcp-Name`.
    pub name: Option<String>,
}

/// What goes with a message.
pub(super) struct Context {
    /// None for a revision with a handshake: all of them are answered alike.
    modern: Option<Revision>,
    visits: bool,
}

impl Context {
    /// A message that says its own revision is one of 2026-07-28 or later.
    pub(super) fn read(
        method: &str,
        params: &Map<String, Value>,
        headers: Option<&MessageHeaders>,
    ) -> Result<Self, RpcError> {
        let meta = params.get("_meta");
        let said = meta.and_then(|meta| meta.get(VERSION)).and_then(Value::as_str);
        let header = headers.and_then(|headers| headers.protocol_version.as_deref());
        let Some(said) = said else {
            return match header.map(Revision::parse) {
                Some(Some(revision)) if !revision.has_handshake() => {
                    let text = format!("`_meta` must say `{VERSION}` and `{CAPABILITIES}` in this revision");
                    Err(RpcError::new(RpcError::INVALID_PARAMS, text))
                }
                Some(None) => Err(unsupported(header.unwrap_or_default())),
                Some(Some(_)) | None => Ok(Self { modern: None, visits: false }),
            };
        };
        if headers.is_some() && header != Some(said) {
            return Err(mismatch("MCP-Protocol-Version"));
        }
        let revision = Revision::parse(said).filter(|revision| !revision.has_handshake());
        let revision = revision.ok_or_else(|| unsupported(said))?;
        let capabilities = meta.and_then(|meta| meta.get(CAPABILITIES)).filter(|value| value.is_object());
        let capabilities = capabilities
            .ok_or_else(|| RpcError::new(RpcError::INVALID_PARAMS, format!("`_meta` must have `{CAPABILITIES}`")))?;
        if let Some(headers) = headers {
            if headers.method.as_deref() != Some(method) {
                return Err(mismatch("Mcp-Method"));
            }
            let name = params.get("name").and_then(Value::as_str).filter(|_| method == "tools/call");
            let repeated = headers.name.as_deref().map(mirror::decode);
            if name.is_some() && repeated.flatten().as_deref() != name {
                return Err(mismatch("Mcp-Name"));
            }
        }
        let visits = capabilities.get("elicitation").is_some_and(|elicitation| elicitation.get("url").is_some());
        Ok(Self { modern: Some(revision), visits })
    }

    pub(super) fn is_modern(&self) -> bool {
        self.modern.is_some()
    }

    /// Whether the other side can send its person to a page.
    pub(super) fn takes_visits(&self) -> bool {
        self.visits
    }
}

fn mismatch(header: &str) -> RpcError {
    RpcError::new(RpcError::HEADER_MISMATCH, format!("the header `{header}` is missing, or says another than the body"))
}

fn unsupported(requested: &str) -> RpcError {
    let requested: String = requested.chars().take(64).collect();
    let data = json!({ "supported": Revision::ALL.map(Revision::as_str), "requested": requested });
    RpcError {
        code: RpcError::UNSUPPORTED_REVISION,
        message: "this revision is not spoken here".into(),
        data: Some(data),
    }
}
