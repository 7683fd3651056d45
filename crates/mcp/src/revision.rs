//! The revisions of the protocol that are spoken here, and what differs between them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A revision. Ordered by date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revision {
    #[serde(rename = "2025-03-26")]
    March2025,
    #[serde(rename = "2025-06-18")]
    June2025,
    #[serde(rename = "2025-11-25")]
    November2025,
    /// Stateless: no handshake, no session; each request says who asks and what for.
    #[serde(rename = "2026-07-28")]
    July2026,
}

impl Revision {
    pub const ALL: [Self; 4] = [Self::March2025, Self::June2025, Self::November2025, Self::July2026];
    /// The last one that begins with `initialize`.
    pub const LAST_WITH_HANDSHAKE: Self = Self::November2025;
    pub const NEWEST: Self = Self::July2026;

    pub fn as_str(self) -> &'static str {
        match self {
            Self::March2025 => "2025-03-26",
            Self::June2025 => "2025-06-18",
            Self::November2025 => "2025-11-25",
            Self::July2026 => "2026-07-28",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// Whether a connection begins with `initialize`.
    pub fn has_handshake(self) -> bool {
        self <= Self::LAST_WITH_HANDSHAKE
    }

    /// Whether requests carry the header `MCP-Protocol-Version`.
    pub fn has_version_header(self) -> bool {
        self >= Self::June2025
    }

    /// All of them, for whoever has to choose another.
    pub fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
