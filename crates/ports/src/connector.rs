//! What the rooms that reach systems say of a connector's settings, before anybody uses them.

use bailiwick_core::{ConnectorKind, Failure, FailureCode, connector::Dialect};
use serde_json::Value;
use std::fmt;

/// What settings say that others go by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedSettings {
    /// Where the connector's secret is sent, in lower case, without port; `None`: it reaches nothing over a network.
    pub host: Option<String>,
    /// The query language of its statements.
    pub dialect: Option<Dialect>,
}

/// What is wrong with settings. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsProblem {
    /// Its place below the settings; empty for all of them.
    pub field: String,
    /// Goes after the field: `must be …`.
    pub problem: String,
}

impl SettingsProblem {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same, of what lies at `place`.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        let field = if self.field.is_empty() { place.to_owned() } else { format!("{place}.{}", self.field) };
        Self { field, ..self }
    }
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.problem),
            field => write!(f, "`{field}` {}", self.problem),
        }
    }
}

/// For whoever meets them in the middle of a call.
impl From<SettingsProblem> for Failure {
    fn from(problem: SettingsProblem) -> Self {
        Self::new(FailureCode::InvalidRequest, problem.to_string())
    }
}

/// The rooms that reach systems, as far as their settings are concerned. Reaches nothing.
pub trait ConnectorRooms: Send + Sync {
    fn check(&self, kind: ConnectorKind, settings: &Value) -> Result<CheckedSettings, SettingsProblem>;
}

/// There are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoConnectorRooms;

impl ConnectorRooms for NoConnectorRooms {
    fn check(&self, kind: ConnectorKind, _settings: &Value) -> Result<CheckedSettings, SettingsProblem> {
        Err(SettingsProblem::new(
            "",
            format!("cannot be used: this server has no connectors of kind `{}`", kind.name()),
        ))
    }
}
