//! Finding out which revision both sides speak. A server of 2026-07-28 answers `server/discover`; whatever else a server
//! makes of that, it is an older one and begins with `initialize`
//! (<https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning>).

use super::{
    Access, Client,
    speak::{Answered, Ask, Desk},
};
use crate::{
    limits::{HANDSHAKE_TIME, PROBE_TIME},
    message::{RpcError, quoted, visible},
    mirror,
    revision::Revision,
    transport::Marks,
    trouble::Trouble,
};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_gate::Live;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Longest instructions of a server that are kept, in characters.
const MAX_INSTRUCTIONS: usize = 8_000;
const DISCOVER: &str = "server/discover";

/// What both sides go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    pub revision: Revision,
    /// The server's own name and version. Nothing is decided by them.
    pub server: String,
    /// The server's own words about how to use it. Nobody vouches for them.
    pub instructions: Option<String>,
    /// Whether it says that it has tools.
    pub has_tools: bool,
    pub(super) session: Option<String>,
}

impl Client {
    /// What was agreed, or is now.
    pub async fn agree(&self, access: &Access, live: &Live) -> Result<Arc<Agreed>, Trouble> {
        let mut known = tokio::select! {
            biased;
            () = live.cancelled() => {
                return Err(Trouble::NeverSent(Failure::new(FailureCode::Cancelled, "it was cancelled")));
            }
            known = self.agreed.lock() => known,
        };
        if let Some(agreed) = &*known {
            return Ok(Arc::clone(agreed));
        }
        let agreed = Arc::new(self.greet(access, live).await?);
        *known = Some(Arc::clone(&agreed));
        Ok(agreed)
    }

    /// The server has forgotten us, or we it.
    pub(super) async fn forget(&self, agreed: &Arc<Agreed>) {
        let mut known = self.agreed.lock().await;
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, agreed)) {
            *known = None;
        }
    }

    async fn greet(&self, access: &Access, live: &Live) -> Result<Agreed, Trouble> {
        match self.server.revision {
            Some(revision) if revision.has_handshake() => self.initialize(access, live, revision).await,
            Some(revision) => self.discover(access, live, revision).await,
            None => match self.discover(access, live, Revision::NEWEST).await {
                Err(trouble) if self.is_of_an_older_server(&trouble, live) => {
                    self.initialize(access, live, Revision::LAST_WITH_HANDSHAKE).await
                }
                known => known,
            },
        }
    }

    /// Whether a server that knows `server/discover` would not have said this.
    fn is_of_an_older_server(&self, trouble: &Trouble, live: &Live) -> bool {
        let over_lines = !self.transport.is_http();
        match trouble {
            Trouble::Rpc(error) => !error.is_modern() || is_older_only(error),
            Trouble::Status { error: Some(error), .. } if error.is_modern() => is_older_only(error),
            Trouble::Status { status, .. } => matches!(status, 400 | 404..=406 | 415 | 422),
            Trouble::SessionGone => true,
            // Old servers on a byte stream may stay silent. Whatever else was lost there, the stream is lost with it.
            Trouble::Lost(failure) => over_lines && failure.code == FailureCode::StreamStalled && !live.is_cancelled(),
            Trouble::NeverSent(_) | Trouble::SignIn(_) => false,
        }
    }

    async fn discover(&self, access: &Access, live: &Live, revision: Revision) -> Result<Agreed, Trouble> {
        let silence = if self.server.revision.is_some() { HANDSHAKE_TIME } else { PROBE_TIME };
        let silence = if self.transport.is_http() { HANDSHAKE_TIME } else { silence };
        let mirrored = mirrored(DISCOVER, None);
        let marks = Marks { revision: Some(revision), mirrored: &mirrored, ..self.marks(access, None) };
        let watch = |_| ();
        let params = Map::new();
        let ask = Ask { method: DISCOVER, params, marks, silence, longest: HANDSHAKE_TIME, live, watch: &watch };
        let Answered { result, .. } = self.ask(ask, &mut Desk::default()).await?;
        let offered = result.get("supportedVersions").and_then(Value::as_array);
        let offered: Vec<&str> = offered.into_iter().flatten().filter_map(Value::as_str).collect();
        if !offered.contains(&revision.as_str()) {
            return match best_with_handshake(&offered).filter(|_| self.server.revision.is_none()) {
                Some(older) => self.initialize(access, live, older).await,
                None => Err(no_common(&offered)),
            };
        }
        let meta = result.get("_meta").and_then(Value::as_object);
        let info = meta.and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo"));
        Ok(read(revision, info.or(result.get("serverInfo")), &result, None))
    }

    async fn initialize(&self, access: &Access, live: &Live, revision: Revision) -> Result<Agreed, Trouble> {
        let watch = |_| ();
        let params = json!({
            "protocolVersion": revision.as_str(),
            "capabilities": capabilities(),
            "clientInfo": client_info(),
        });
        let ask = Ask {
            method: "initialize",
            params: params.as_object().cloned().unwrap_or_default(),
            marks: self.marks(access, None),
            silence: HANDSHAKE_TIME,
            longest: HANDSHAKE_TIME,
            live,
            watch: &watch,
        };
        let Answered { result, session } =
            self.ask(ask, &mut Desk::default()).await.map_err(|trouble| match trouble {
                Trouble::Rpc(error) | Trouble::Status { error: Some(error), .. } if error.is_modern() => {
                    no_common(&supported(&error))
                }
                other => other,
            })?;
        let offered = result.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
        let agreed = Revision::parse(offered).filter(|agreed| agreed.has_handshake());
        let revision = match (agreed, self.server.revision) {
            (Some(agreed), None) => agreed,
            (Some(agreed), Some(wanted)) if agreed == wanted => agreed,
            _ => return Err(no_common(&[offered])),
        };
        let agreed = read(revision, result.get("serverInfo"), &result, session);
        self.tell("notifications/initialized", json!({}), self.marks(access, Some(&agreed))).await?;
        Ok(agreed)
    }
}

/// What we are, as servers are told.
pub(super) fn client_info() -> Value {
    json!({ "name": "bailiwick", "title": "Bailiwick", "version": env!("CARGO_PKG_VERSION") })
}

/// What a server may want of us: to ask a person something.
pub(super) fn capabilities() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} } })
}

/// The headers that repeat what a message says, for revision 2026-07-28.
pub(super) fn mirrored(method: &str, name: Option<&str>) -> Vec<(String, String)> {
    let mut headers = vec![("mcp-method".to_owned(), method.to_owned())];
    headers.extend(name.map(|name| ("mcp-name".to_owned(), mirror::encode(name))));
    headers
}

fn read(revision: Revision, info: Option<&Value>, result: &Map<String, Value>, session: Option<String>) -> Agreed {
    let word = |key: &str| {
        let text = info.and_then(|info| info.get(key)).and_then(Value::as_str).unwrap_or_default();
        quoted(text).chars().take(100).collect::<String>()
    };
    let instructions = result.get("instructions").and_then(Value::as_str);
    Agreed {
        revision,
        server: format!("{} {}", word("name"), word("version")).trim().to_owned(),
        instructions: instructions.map(|text| visible(text).chars().take(MAX_INSTRUCTIONS).collect()),
        has_tools: result.get("capabilities").is_some_and(|capabilities| capabilities.get("tools").is_some()),
        session,
    }
}

/// Whether a server of the new kind says that it speaks older revisions only.
fn is_older_only(error: &RpcError) -> bool {
    error.code == RpcError::UNSUPPORTED_REVISION && best_with_handshake(&supported(error)).is_some()
}

fn supported(error: &RpcError) -> Vec<&str> {
    let list = error.data.as_ref().and_then(|data| data.get("supported")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn best_with_handshake(offered: &[&str]) -> Option<Revision> {
    offered.iter().filter_map(|text| Revision::parse(text)).filter(|revision| revision.has_handshake()).max()
}

fn no_common(offered: &[&str]) -> Trouble {
    let offered = quoted(&offered.join(", "));
    let text = format!(
        "the server speaks other revisions of the protocol (`{offered}`) than this side is configured for ({})",
        Revision::list()
    );
    Trouble::NeverSent(Failure::new(FailureCode::InvalidRequest, text))
}
