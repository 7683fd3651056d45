//! Grants, as they are given and shown.

use bailiwick_core::{Grant as CoreGrant, GrantReach, Shape, Standing, What, visible::visible};
use bailiwick_types::{Principal, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A permission for a program to speak for a person. A standing answer is given where the question is answered
/// (`POST /bailiwick/v1/approvals/{approval_id}`).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GrantParam)]
pub struct GrantParam {
    pub r#type: GrantType,
    /// Id of the person; whoever gives it when it is left out.
    #[serde(default)]
    pub person_id: Option<String>,
    /// Id of the program's key.
    pub key_id: String,
    /// Id of a saved agent: for this one only.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Of a subject grant: operations (`file.read`) or kinds (`file.*`) that such work may use, `model.call` among them;
    /// whatever the agent and the person may when left out.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Seconds since 1970, at most 365 days from now.
    pub until: i64,
    /// At most 2048 bytes; the receipt keeps it.
    #[serde(default)]
    pub reason: Option<String>,
    /// `true`: only says in plain words what would be granted.
    #[serde(default)]
    pub preview: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// The program may order work for the person.
    Subject,
    /// The program may pass on the person's answers.
    Relay,
}

/// A person's standing permission.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct Grant {
    /// `null` in a preview.
    pub id: Option<String>,
    pub object: &'static str,
    /// `subject`, `relay` or `standing`.
    pub r#type: &'static str,
    /// `active`, `expired` or `revoked`.
    pub status: &'static str,
    /// What it permits, in plain words.
    pub words: String,
    /// Who gave it. It is worth what this person may give at the moment in which it is used.
    pub by: String,
    /// The person whose work or word it is about.
    pub person_id: Option<String>,
    pub key_id: Option<String>,
    pub agent_id: Option<String>,
    pub scopes: Vec<String>,
    /// Of a standing answer: which actions.
    #[schema(value_type = Option<Object>)]
    pub shape: Option<Value>,
    /// Of a standing answer that holds in one session only.
    pub session_id: Option<String>,
    /// Of a standing answer: the rule whose question it answers.
    pub rule: Option<String>,
    /// Of a standing answer: the approval that it came with.
    pub approval_id: Option<String>,
    pub reason: Option<String>,
    /// Seconds since 1970.
    pub since: i64,
    pub until: i64,
    pub revoked_at: Option<i64>,
    pub revoked_by: Option<String>,
}

impl Grant {
    pub fn of(grant: &CoreGrant, now: Timestamp, name: &dyn Fn(&Principal) -> String) -> Self {
        let (r#type, agent, scopes) = match &grant.what {
            What::Subject { agent, scopes, .. } => ("subject", *agent, scopes.clone()),
            What::Relay { agent, .. } => ("relay", *agent, Vec::new()),
            What::Standing(standing) => ("standing", Some(standing.agent), Vec::new()),
        };
        let standing = match &grant.what {
            What::Standing(standing) => Some(standing),
            _ => None,
        };
        Self {
            id: Some(grant.id.to_string()),
            object: "bailiwick.grant",
            r#type,
            status: match grant.revoked {
                Some(_) => "revoked",
                None if grant.is_live(now) => "active",
                None => "expired",
            },
            words: words(grant, name),
            by: grant.by.to_string(),
            person_id: grant.person().map(|person| person.to_string()),
            key_id: grant.key().map(|key| key.to_string()),
            agent_id: agent.map(|agent| agent.to_string()),
            scopes,
            shape: standing.map(|standing| shape(&standing.shape)),
            session_id: standing.and_then(session),
            rule: standing.map(|standing| standing.rule.clone()),
            approval_id: grant.question.map(|action| action.to_string()),
            reason: grant.reason.clone(),
            since: grant.since.as_seconds(),
            until: grant.until.as_seconds(),
            revoked_at: grant.revoked.as_ref().map(|revoked| revoked.at.as_seconds()),
            revoked_by: grant.revoked.as_ref().map(|revoked| revoked.by.to_string()),
        }
    }
}

/// Nothing in it is hidden from who reads it.
fn words(grant: &CoreGrant, name: &dyn Fn(&Principal) -> String) -> String {
    visible(&format!("{}, until {}", grant.what.words(name), grant.until))
}

fn session(standing: &Standing) -> Option<String> {
    match standing.reach {
        GrantReach::Session { id } => Some(id.to_string()),
        GrantReach::Agent => None,
    }
}

fn shape(shape: &Shape) -> Value {
    // INVARIANT: a shape has a JSON form; it was stored in it.
    serde_json::to_value(shape).expect("a shape is JSON")
}

/// One way in which an answer may stand for more than this action.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WidenOption {
    /// `exact`, `command`, `path` or `tool`.
    pub what: &'static str,
    /// `session` or `agent`.
    pub r#for: ReachParam,
    /// What would be permitted, in plain words, up to a time that is still to be said.
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReachParam {
    /// In this session.
    Session,
    /// Wherever this saved agent works for the same person.
    Agent,
}

/// The answer stands for more than this action.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WidenParam)]
pub struct WidenParam {
    /// One of the approval's `widen` options.
    pub what: String,
    pub r#for: ReachParam,
    /// Seconds since 1970, at most 30 days from now.
    pub until: i64,
}
