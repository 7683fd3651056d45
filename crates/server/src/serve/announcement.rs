//! `server.json` in the data folder: where the server that runs on it can be reached, for tools.

use super::doors::{Doors, reachable};
use crate::{client::SOCKET_NAME, files};
use bailiwick_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::{io, path::Path};

const FILE: &str = "server.json";
const MAX_BYTES: u64 = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    pub pid: u32,
    /// `ADDRESS:PORT`, with the port that was really taken.
    pub address: String,
    pub url: String,
    /// The administration socket, below the data folder.
    pub admin_socket: String,
    pub version: String,
    pub started: String,
}

impl Announcement {
    pub(super) fn of(doors: &Doors, now: Timestamp) -> Self {
        let address = doors.address();
        Self {
            pid: std::process::id(),
            address: address.to_string(),
            url: format!("http://{}", reachable(address)),
            admin_socket: SOCKET_NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: now.to_string(),
        }
    }

    /// What the server on this folder says of itself. It may have died since.
    pub fn read(data: &Path) -> Option<Self> {
        let bytes = files::read_bounded(&data.join(FILE), MAX_BYTES).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn write(&self, data: &Path) -> io::Result<()> {
        files::write_whole(&data.join(FILE), &serde_json::to_vec_pretty(self)?, 0o600)
    }

    /// After a stop in order; a crash leaves them, and the next start replaces them.
    pub(super) fn remove(data: &Path) {
        for name in [FILE, SOCKET_NAME] {
            if let Err(error) = files::remove(&data.join(name)) {
                tracing::warn!(%error, name, "cannot be removed");
            }
        }
    }

    /// What is printed on standard output once requests are answered.
    pub(super) fn line(&self, data: &Path) -> String {
        format!("bailiwick listens on {} (data folder {})\n", self.url, data.display())
    }
}
