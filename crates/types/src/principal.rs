//! Who acts.

use crate::{AgentId, KeyId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who acts, and for whom. An agent on behalf of a user is both at once; neither is ever dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Principal {
    User {
        id: UserId,
    },
    /// A program that holds an API key.
    Service {
        key: KeyId,
    },
    Agent {
        id: AgentId,
        session: SessionId,
        /// Whom it works for; `None` when the agent acts for itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on_behalf_of: Option<Box<Principal>>,
    },
    /// The operator of the machine, through the local administration socket.
    Operator,
}

impl Principal {
    /// The person in whose rights this acts: the user, or the user for whom an agent works.
    pub fn person(&self) -> Option<UserId> {
        match self {
            Self::User { id } => Some(*id),
            Self::Agent { on_behalf_of: Some(subject), .. } => subject.person(),
            Self::Agent { .. } | Self::Service { .. } | Self::Operator => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id } => write!(f, "{id}"),
            Self::Service { key } => write!(f, "{key}"),
            Self::Agent { id, on_behalf_of: None, .. } => write!(f, "{id}"),
            Self::Agent { id, on_behalf_of: Some(subject), .. } => write!(f, "{subject} through {id}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}
