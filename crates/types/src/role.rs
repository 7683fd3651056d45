//! What people may do with the product itself.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a person may do with the product itself. What agents may do for them is policy's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, people and policies included.
    Admin,
    /// Writes agents.
    Builder,
    /// Watches, stops and settles sessions.
    Operator,
    /// Reads receipts, policies and spend, and changes nothing.
    Auditor,
    /// Works with colleagues.
    Member,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Admin, Self::Builder, Self::Operator, Self::Auditor, Self::Member];

    /// Its name in requests, policies and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Builder => "builder",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
