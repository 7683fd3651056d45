//! Open connections that wait for the next statement of the same login with the same secret. Nobody else gets them.

use crate::config::Configuration;
use crate::driver::{Connection, Login, Trouble};
use bailiwick_outbound::Trust;
use bailiwick_ports::Clock;
use bailiwick_types::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most connections that wait in all, and for one login.
pub const MAX_IDLE: usize = 64;
pub const MAX_IDLE_OF_ONE: usize = 4;
/// How long one waits, in milliseconds.
pub const IDLE_MS: u64 = 5 * 60 * 1_000;

/// Who a connection belongs to: the server, the login and the secret, which is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 32]);

impl Owner {
    /// `of`: whose it is besides the login, such as the credential's id.
    pub fn new(configuration: &Configuration, login: &Login, of: &str) -> Self {
        let mut digest = Sha256::new();
        let server = serde_json::to_vec(&configuration.server).unwrap_or_default();
        let secret = login.secret.as_ref().map(|secret| secret.expose().as_bytes()).unwrap_or_default();
        for part in
            [&server[..], &configuration.limits.row_bytes.to_be_bytes(), login.name.as_bytes(), of.as_bytes(), secret]
        {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

pub struct Pool {
    clock: Arc<dyn Clock>,
    trust: Trust,
    waiting: Mutex<HashMap<Owner, Vec<(Connection, Timestamp)>>>,
}

impl Pool {
    pub fn new(clock: Arc<dyn Clock>, trust: Trust) -> Self {
        Self { clock, trust, waiting: Mutex::default() }
    }

    /// One that waits, or a new one. Whether it waited.
    pub async fn take(
        &self,
        configuration: &Configuration,
        login: &Login,
        owner: Owner,
    ) -> Result<(Connection, bool), Trouble> {
        if let Some(connection) = self.waiting_of(owner) {
            return Ok((connection, true));
        }
        Connection::open(configuration, login, &self.trust).await.map(|connection| (connection, false))
    }

    fn waiting_of(&self, owner: Owner) -> Option<Connection> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_old(&mut waiting);
        let (connection, _) = waiting.get_mut(&owner)?.pop()?;
        Some(connection)
    }

    /// Gives one back. It is closed unless its last statement left nothing behind.
    pub fn give_back(&self, owner: Owner, connection: Connection) {
        if !connection.is_clean() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_old(&mut waiting);
        let all: usize = waiting.values().map(Vec::len).sum();
        let own = waiting.entry(owner).or_default();
        if all < MAX_IDLE && own.len() < MAX_IDLE_OF_ONE {
            own.push((connection, self.clock.now()));
        }
    }

    fn drop_old(&self, waiting: &mut HashMap<Owner, Vec<(Connection, Timestamp)>>) {
        let now = self.clock.now().as_millis();
        waiting.retain(|_, connections| {
            connections.retain(|(_, since)| now.saturating_sub(since.as_millis()) < IDLE_MS as _);
            !connections.is_empty()
        });
    }
}
