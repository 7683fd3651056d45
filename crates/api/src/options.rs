//! What the API is made of, and its bounds.

use crate::{app::App, routes};
use axum::Router;
use bailiwick_engine::{Eraser, Handle};
use bailiwick_gate::{Archive, ExecutorDoor};
use bailiwick_ports::{
    Administration, Auditor, Authenticator, Caller, Clock, Colleagues, ConnectorRooms, Directory, KeyDesk, Keys,
    LogStore, ModelCards, People, Policy, PolicyDesk, Random, SignIn, Store, Tasks, TenantDesk, VaultDesk,
    account::AccountDesk, memory::MemoryDesk,
};
use bailiwick_ports::{rewrap::KeyRotation, tokens::Tokens, toolset::ToolsetProtocol};
use bailiwick_types::Millis;
use std::sync::Arc;

/// Everything that the API works with.
pub struct Options {
    pub handle: Handle,
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub archive: Archive,
    pub cards: Arc<dyn ModelCards>,
    /// Only asked whether a remit can be understood when an agent is written.
    pub policy: Arc<dyn Policy>,
    pub authenticator: Arc<dyn Authenticator>,
    /// Makes and revokes keys for `/bailiwick/v1/keys`.
    pub key_desk: Arc<dyn KeyDesk>,
    /// Replaces the key-encryption key; without one `/bailiwick/v1/encryption-keys` answers 501.
    pub key_rotation: Option<Arc<dyn KeyRotation>>,
    /// Makes organisations, for `/bailiwick/v1/tenants`.
    pub tenants: Arc<dyn TenantDesk>,
    /// Writes down who changed agents and the like, together with the change.
    pub administration: Arc<dyn Administration>,
    /// Proves what is in the receipt log.
    pub auditor: Arc<dyn Auditor>,
    /// Takes content away, unless a legal hold forbids it; without one `/bailiwick/v1/holds` answers 501.
    pub eraser: Option<Eraser>,
    /// What the rooms that reach systems say of a connector's settings.
    pub connector_rooms: Arc<dyn ConnectorRooms>,
    /// In what agents that are not run here ask for tools; without one `/mcp` answers 501.
    pub toolset_protocol: Option<Arc<dyn ToolsetProtocol>>,
    /// What is remembered between sessions, for the people whom it is about.
    pub memories: Arc<dyn MemoryDesk>,
    /// Connects people's accounts; without one `/bailiwick/v1/connections` answers 501.
    pub accounts: Option<Arc<dyn AccountDesk>>,
    /// Keeps vaults and their credentials.
    pub vaults: Arc<dyn VaultDesk>,
    /// The index of receipts.
    pub receipts: Arc<dyn LogStore>,
    /// Who is who, for streams that go on while somebody is disabled.
    pub directory: Arc<dyn Directory>,
    pub people: Arc<dyn People>,
    /// Who answers for which agent, and which of its versions is live.
    pub colleagues: Arc<dyn Colleagues>,
    pub sign_in: Arc<dyn SignIn>,
    /// `None`: this server issues no tokens.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// Keeps and explains the rules that decide; without one `/bailiwick/v1/policy` answers 501.
    pub policy_desk: Option<Arc<dyn PolicyDesk>>,
    /// Takes executors that dial in; without one registering answers 501.
    pub executor_door: Option<Arc<dyn ExecutorDoor>>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
    /// Names of listening executors in the configuration (`[executors.NAME]`).
    pub executors: Vec<String>,
    /// How clients and executors reach this server, such as `https://agents.example`; else what their `Host` header
    /// says.
    pub public_url: Option<String>,
    pub limits: Limits,
}

/// Bounds of the interface. Each refuses with a clear answer.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a JSON body; more is 413.
    pub json_bytes: usize,
    /// Bytes of an uploaded file; more is 413.
    pub file_bytes: u64,
    /// Requests being answered at the same time, streams not counted; more is 503.
    pub requests: usize,
    /// Open event streams; more is 503.
    pub streams: usize,
    /// Files being uploaded or downloaded at the same time, because their bytes pass through memory; more is 503.
    pub transfers: usize,
    /// Requests of one key in a second, on average; more is 429.
    pub rate_per_second: u32,
    /// Requests of one key that may come at once.
    pub burst: u32,
    /// A comment is sent on a stream that was silent for this long.
    pub heartbeat: Millis,
    /// A client that does not take an event for this long is dropped.
    pub patience: Millis,
    /// A body must be complete after this; later is 408.
    pub body_time: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes: 16 * 1024 * 1024,
            file_bytes: 512 * 1024 * 1024,
            requests: 1024,
            streams: 4096,
            transfers: 8,
            rate_per_second: 1000,
            burst: 2000,
            heartbeat: Millis::from_secs(15),
            patience: Millis::from_secs(30),
            body_time: Millis::from_secs(60),
        }
    }
}

impl Options {
    pub fn build(self) -> Api {
        Api { app: Arc::new(App::new(self)) }
    }
}

/// The interface, ready to be served.
#[derive(Clone)]
pub struct Api {
    app: Arc<App>,
}

impl Api {
    /// For listeners that anybody may reach: every request says who it is from.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.app), None)
    }

    /// For a socket that only `caller` can reach (the local administration socket).
    pub fn router_for(&self, caller: Caller) -> Router {
        routes::router(Arc::clone(&self.app), Some(caller))
    }

    /// Has everything decided on again that waits for an account which came while nobody could say so. To be called at
    /// every start.
    pub async fn release_connected(&self) {
        let tenants = match self.app.options.store.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => return tracing::error!(%error, "what waits for accounts could not be looked at"),
        };
        for tenant in tenants {
            if let Err(error) = crate::handlers::connections::release(&self.app, tenant.id, None).await {
                tracing::error!(tenant = %tenant.id, error = error.message, "what waits for accounts could not be released");
            }
        }
    }

    /// Event streams that are open now.
    pub fn open_streams(&self) -> usize {
        self.app.bounds.open_streams()
    }

    /// Ends every event stream, so that a server can stop gracefully. Clients resume with `Last-Event-ID`.
    pub fn close_streams(&self) {
        self.app.bounds.close();
    }
}
