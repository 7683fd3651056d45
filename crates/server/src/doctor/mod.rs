//! What can be found out about a machine and a server. Each finding was tried, not read off a file that exists.

pub mod configuration;
pub mod machine;
pub mod server;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Good,
    /// Things work without it, with less.
    Missing,
    /// Something that is needed does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub level: Level,
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remedies: Vec<String>,
}

impl Finding {
    pub fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, level: Level::Good, found: found.into(), remedies: Vec::new() }
    }

    pub fn missing(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Missing, ..Self::good(what, found) }
    }

    pub fn bad(what: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Bad, ..Self::good(what, found) }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        let remedy = remedy.into();
        if !remedy.is_empty() {
            self.remedies.push(remedy);
        }
        self
    }
}
