//! The same answer to "who did this?" wherever it is shown: the person, through the agent, in a session. Log lines,
//! spans, requests to models and commits all take their words from here.
//!
//! It holds ids and nothing else: they are opaque, never used again, and say who somebody is only to whoever may ask
//! this server. A mark is for readers and proves nothing; what proves something is the receipt.

use crate::{AgentId, Principal, SessionId};
use std::fmt;

/// Who did something, as others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark<'a>(pub &'a Principal);

impl<'a> Mark<'a> {
    /// Whoever it is done for: the first in the chain. For what somebody does for themselves, themselves.
    pub fn subject(self) -> Subject<'a> {
        Subject(self.0)
    }

    /// Whoever does it, without whom it is done for.
    pub fn actor(self) -> Actor<'a> {
        Actor(self.0)
    }

    pub fn agent(self) -> Option<AgentId> {
        match self.0 {
            Principal::Agent { id, .. } => Some(*id),
            _ => None,
        }
    }

    pub fn session(self) -> Option<SessionId> {
        match self.0 {
            Principal::Agent { session, .. } => Some(*session),
            _ => None,
        }
    }
}

/// `user_… through agent_… (session sess_…)`.
impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.session() {
            Some(session) => write!(f, "{} (session {session})", self.0),
            None => self.0.fmt(f),
        }
    }
}

/// Whom it is done for, by their id alone: also where a program speaks for them.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a>(&'a Principal);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.orderer().unwrap_or(self.0) {
            Principal::Delegate { subject, .. } => subject.fmt(f),
            other => other.fmt(f),
        }
    }
}

/// The last in a chain, by its id alone.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a>(&'a Principal);

impl fmt::Display for Actor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Principal::Agent { id, .. } => id.fmt(f),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GrantId, KeyId, Timestamp, UserId};

    #[test]
    fn a_person_stands_before_every_agent_of_the_chain() {
        let now = Timestamp::from_millis(1_795_260_645_000);
        let person = Principal::User { id: UserId::new(now, [1; 10]) };
        let through = |number: u8, of: &Principal| Principal::Agent {
            id: AgentId::new(now, [number; 10]),
            session: SessionId::new(now, [number; 10]),
            on_behalf_of: Some(Box::new(of.clone())),
        };
        let first = through(2, &person);
        let second = through(3, &first);
        let mark = Mark(&second);
        let (agent, session) = (mark.agent().unwrap(), mark.session().unwrap());
        assert_eq!(mark.subject().to_string(), person.to_string());
        let (key, grant) = (KeyId::new(now, [4; 10]), GrantId::new(now, [5; 10]));
        let delegate = Principal::Delegate { key, subject: UserId::new(now, [1; 10]), grant };
        assert_eq!(Mark(&through(2, &delegate)).subject().to_string(), person.to_string());
        assert_eq!(mark.actor().to_string(), agent.to_string());
        assert_eq!(
            mark.to_string(),
            format!("{person} through {} through {agent} (session {session})", Mark(&first).agent().unwrap())
        );
        assert_eq!(Mark(&person).to_string(), person.to_string());
        assert_eq!((Mark(&person).actor().to_string(), Mark(&Principal::Operator).agent()), (person.to_string(), None));
    }
}
