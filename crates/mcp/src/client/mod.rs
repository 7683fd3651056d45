//! Speaks with one MCP server, for one principal. It decides nothing about whether a call may be made: a permit does,
//! before anybody comes here.
//!
//! A client belongs to one connector, one principal and one session: what a server remembers of one person is never
//! shown to another. Its memory of the server (the revision, the server's session) may be lost at any time.

mod agree;
mod call;
mod list;
mod speak;

pub use agree::Agreed;
pub use call::{Called, NeedsPerson, Resume, ToolCall};
pub use list::{LeftOut, Listed};
pub use speak::Progress;

use crate::{
    configuration::McpServer,
    http::Http,
    transport::{HttpChannel, LineChannel, Marks, Transport},
};
use bailiwick_ports::Clock;
use bailiwick_types::Secret;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
};
use url::Url;

/// For whom something is asked, and what may come back.
#[derive(Debug, Clone)]
pub struct Access {
    /// The token of the account that is used, if any. Never one that somebody sent to us.
    pub bearer: Option<Secret>,
    /// Who asks, for the server's log: goes into `User-Agent`.
    pub who: String,
    /// Bytes of a result that are kept.
    pub output_bytes: usize,
}

/// One server.
pub struct Client {
    transport: Transport,
    clock: Arc<dyn Clock>,
    server: McpServer,
    agreed: Mutex<Option<Arc<Agreed>>>,
    next_id: AtomicU64,
    changed: AtomicBool,
    /// What the server offered when it was last asked.
    listed: std::sync::Mutex<Option<Arc<Listed>>>,
}

impl Client {
    /// Over Streamable HTTP. Nothing is sent yet.
    pub fn over_http(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        server: McpServer,
        url: Url,
        headers: BTreeMap<String, String>,
    ) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let channel = HttpChannel::new(http, Arc::clone(&clock), url, headers);
        Self::new(Transport::Http(channel), clock, server)
    }

    /// Over the standard streams of a server that somebody has started. Nothing is sent yet.
    pub fn over_streams(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        clock: Arc<dyn Clock>,
        server: McpServer,
    ) -> Self {
        Self::new(Transport::Lines(LineChannel::new(Box::new(reader), Box::new(writer))), clock, server)
    }

    fn new(transport: Transport, clock: Arc<dyn Clock>, server: McpServer) -> Self {
        Self {
            transport,
            clock,
            server,
            agreed: Mutex::new(None),
            next_id: AtomicU64::new(1),
            changed: AtomicBool::new(false),
            listed: std::sync::Mutex::new(None),
        }
    }

    /// Whether the server has said, since this was last asked, that its tools have changed. Then they are listed and
    /// compared again before the next call.
    pub fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// What was said then is not dealt with yet.
    pub(crate) fn set_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// What the server offered when it was last asked; nothing before.
    pub(crate) fn listed(&self) -> Option<Arc<Listed>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says goodbye, where the server has a session of ours. Never fails; does not wait long.
    pub async fn close(&self, access: &Access) {
        let Some(agreed) = self.agreed.lock().await.take() else { return };
        let end = self.transport.end(self.marks(access, Some(&agreed)));
        tokio::select! {
            () = end => {}
            () = self.clock.sleep_until(self.clock.now() + crate::limits::FAREWELL_TIME) => {}
        }
    }

    fn marks<'a>(&self, access: &'a Access, agreed: Option<&'a Agreed>) -> Marks<'a> {
        Marks {
            bearer: access.bearer.as_ref(),
            who: &access.who,
            revision: agreed.map(|agreed| agreed.revision),
            session: agreed.and_then(|agreed| agreed.session.as_deref()),
            mirrored: &[],
        }
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }
}
