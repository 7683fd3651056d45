//! A person's answer to one exact action.
//!
//! The action's own id names the question. The answer is bound to what was asked (the canonical arguments are in the
//! stream and cannot change), counts once, and expires. Whether it still counts is judged when the action is to be
//! done, by the gate, under the policy of that moment.

use crate::elicitation::{self, Replies};
use bailiwick_types::{GrantId, Millis, Principal, Role, TeamId, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a question waits for its answer.
pub const QUESTION_EXPIRES: Millis = Millis::from_secs(7 * 24 * 3600);
/// Bytes of the reason that a person gives.
pub const MAX_REASON: usize = 2048;

/// Who may answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Approver {
    /// The person for whom the agent works; where that is a program, the program.
    Person,
    /// Somebody else than who ordered it (four eyes): anybody with the role, or of the team; with neither, an admin or
    /// operator.
    Second {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team: Option<TeamId>,
    },
    /// Each of several, because rules ask different people; never another `All`. Whoever is among several of them speaks
    /// for all of these with one word.
    All { of: Vec<Approver> },
}

impl Approver {
    /// Everybody who has to say yes.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::All { of } => of,
            one => std::slice::from_ref(one),
        }
    }

    /// All of these, each once. A second person outranks the acting one. `None` of nobody.
    pub fn all(of: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all: Vec<Self> = Vec::new();
        for one in of.into_iter().flat_map(|one| one.each().to_vec()) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        if all.len() > 1 {
            all.retain(|one| *one != Self::Person);
        }
        if all.len() > 1 { Some(Self::All { of: all }) } else { all.pop() }
    }
}

/// What a question says to who is to answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The rule that asks, and why.
    pub rule: String,
    pub reason: String,
    /// Whose word is missing.
    pub approver: Approver,
    /// The words that are there already, where one is not enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Given>,
    pub expires: Timestamp,
    /// No word helps: the person has to connect this account first, or says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The system itself asks this before a call goes on: the yes comes with what it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Vec<elicitation::Question>>,
}

/// A person's own account at a system, by the connector that leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name under which the organisation keeps it.
    pub connector: String,
    pub host: String,
}

/// A yes that still needs somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Whose word it was asked for as.
    pub approver: Approver,
    pub answer: Answer,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub by: Principal,
    pub approve: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// To what a system asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
}

/// How a question came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    By(Answer),
    /// Nobody was asked, because somebody who might have been had given a standing answer.
    Under {
        grant: GrantId,
        by: Principal,
    },
    /// Nobody answered in time.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_by_several_rules_is_asked_once_and_a_second_person_outranks_the_acting_one() {
        let second = |role| Approver::Second { role, team: None };
        let (any, operator) = (second(None), second(Some(Role::Operator)));
        assert_eq!(Approver::all([]), None);
        assert_eq!(Approver::all([Approver::Person, Approver::Person]), Some(Approver::Person));
        assert_eq!(Approver::all([any.clone(), Approver::Person]), Some(any.clone()));
        let both = Approver::all([any.clone(), Approver::Person, operator.clone(), any.clone()]).unwrap();
        assert_eq!(both.each(), [any, operator]);
        assert_eq!(Approver::all([both.clone(), both.clone()]), Some(both));
    }
}
