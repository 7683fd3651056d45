//! A person's answer to one exact action.
//!
//! The action's own id names the question. The answer is bound to what was asked (the canonical arguments are in the
//! stream and cannot change), counts once, and expires. Whether it still counts is judged when the action is to be
//! done, by the gate, under the policy of that moment.

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
}

/// What a question says to who is to answer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The rule that asks, and why.
    pub rule: String,
    pub reason: String,
    pub approver: Approver,
    pub expires: Timestamp,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub by: Principal,
    pub approve: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
