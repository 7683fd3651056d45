//! Who acts.

use crate::{AgentId, GrantId, KeyId, SessionId, UserId};
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
    /// A program that speaks for a person, because a grant says that it may. Nobody calls as one: it is what becomes of
    /// the words of a program that names the person and whose grant was looked up.
    Delegate {
        key: KeyId,
        subject: UserId,
        grant: GrantId,
    },
}

impl Principal {
    /// The person in whose rights this acts: the user, or the user for whom an agent works.
    pub fn person(&self) -> Option<UserId> {
        match self {
            Self::User { id } | Self::Delegate { subject: id, .. } => Some(*id),
            Self::Agent { on_behalf_of: Some(subject), .. } => subject.person(),
            Self::Agent { .. } | Self::Service { .. } | Self::Operator => None,
        }
    }

    /// Who gave the order: for an agent whoever it works for, through the whole chain; everybody else themselves.
    pub fn orderer(&self) -> Option<&Self> {
        match self {
            Self::Agent { on_behalf_of, .. } => on_behalf_of.as_deref().and_then(Self::orderer),
            other => Some(other),
        }
    }

    /// The grant under which a program speaks for a person here.
    pub fn grant(&self) -> Option<GrantId> {
        match self.orderer()? {
            Self::Delegate { grant, .. } => Some(*grant),
            _ => None,
        }
    }

    /// The program that spoke: for itself, or for a person.
    pub fn key(&self) -> Option<KeyId> {
        match self {
            Self::Service { key } | Self::Delegate { key, .. } => Some(*key),
            _ => None,
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
            Self::Delegate { key, subject, .. } => write!(f, "{subject} through {key}"),
        }
    }
}
