//! Questions to people, as they are shown and answered.

use super::{
    connection::{AccountWanted, link},
    grant::{Grant, WidenOption, WidenParam},
};
use bailiwick_core::{
    Account as CoreAccount, Approver as CoreApprover, Label,
    elicitation::Question as ElicitationQuestion,
    item::{ApprovalView, HeldView},
    record::Through,
    visible::visible,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An action that waits for a person's word.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Approval)]
pub struct Approval {
    /// The id of the action.
    pub id: String,
    pub object: &'static str,
    pub session_id: String,
    pub turn_id: String,
    pub agent_id: String,
    pub agent_name: Option<String>,
    /// Who acts, and for whom.
    pub actor: String,
    pub operation: String,
    /// In plain words, with control characters made visible.
    pub what: String,
    /// Exactly what would be done.
    #[schema(value_type = Object)]
    pub arguments: Value,
    /// Of the canonical arguments, under the session's key; the receipts carry the same.
    pub digest: String,
    /// What stands behind the handles in the arguments, which the model has not seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldValue>,
    /// The connector that it would go through, and its host where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<ApprovalSystem>,
    /// The rule that asks, and why.
    pub rule: String,
    pub reason: String,
    /// The first of `approvers`.
    pub approver: Approver,
    /// Everybody whose word is missing. It is done when each has said yes, and denied by one no.
    pub approvers: Vec<Approver>,
    /// The words that are there already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<GivenWord>,
    /// Seconds since 1970.
    pub asked_at: i64,
    pub expires_at: i64,
    /// The account that has to be connected first: no yes helps, and it goes on by itself once the account is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountWanted>,
    /// What the system itself asks before the call goes on. All words in it are that system's own and nobody vouches for
    /// them. A yes comes with `content`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    pub form: Option<Vec<ElicitationQuestion>>,
    /// Whether whoever reads this may answer; a session does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_answer: Option<bool>,
    /// The people whose answers whoever reads this may pass on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub may_relay: Vec<String>,
    /// In which ways whoever reads this may let the answer stand for more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub widen: Vec<WidenOption>,
}

/// The system that an action would go to.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ApprovalSystem)]
pub struct ApprovalSystem {
    /// As the organisation or the agent calls it.
    pub connector: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl ApprovalSystem {
    fn of(through: &Through) -> Self {
        Self { connector: through.connector.clone(), host: through.host.clone() }
    }
}

/// A value that would be sent in the place of a handle.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = HeldValue)]
pub struct HeldValue {
    /// As it stands in `arguments`.
    pub handle: String,
    /// Where it came from.
    pub source: String,
    #[schema(value_type = Object)]
    pub label: Label,
    pub size_bytes: u64,
    /// Its beginning, with control characters made visible.
    pub text: String,
    /// `text` is not all of it.
    pub cut: bool,
}

impl HeldValue {
    fn of(view: &HeldView) -> Self {
        Self {
            handle: view.handle.clone(),
            source: visible(&view.source),
            label: view.label.clone(),
            size_bytes: view.size_bytes,
            text: visible(&view.text),
            cut: view.size_bytes > view.text.len() as u64,
        }
    }
}

/// Who may answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Approver)]
pub enum Approver {
    /// The person for whom the agent works.
    Person,
    /// Somebody else, with the role or of the team where one is named.
    Second { role: Option<&'static str>, team: Option<String> },
}

impl Approver {
    /// One of several who must say yes, or the only one.
    fn of(one: &CoreApprover) -> Self {
        match one {
            CoreApprover::Person => Self::Person,
            CoreApprover::Second { role, team } => {
                Self::Second { role: role.map(|role| role.name()), team: team.map(|team| team.to_string()) }
            }
            // There is none among those of `each`.
            CoreApprover::All { .. } => Self::Second { role: None, team: None },
        }
    }
}

/// A yes that still needs somebody else's.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = GivenWord)]
pub struct GivenWord {
    /// Whose word it was asked for as.
    pub approver: Approver,
    /// Who gave it.
    pub by: String,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApprovalAnswer)]
pub struct AnswerParam {
    pub decision: DecisionParam,
    /// At most 2048 bytes. The agent is told why it may not.
    pub reason: Option<String>,
    /// With a yes to what a system asks: the fields of its form by their names. Where it asks several things at once, an
    /// object for each by its `key`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub content: Option<Map<String, Value>>,
    /// Id of the person whose answer a program passes on, under a grant of theirs.
    #[serde(default)]
    pub answered_by: Option<String>,
    /// The answer stands for more than this action: it makes a grant. Only when it is approved, and by a person.
    #[serde(default)]
    pub widen: Option<WidenParam>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ApprovalDecision)]
pub enum DecisionParam {
    Approve,
    Deny,
}

/// What was answered. It counts when the action is decided on again; the receipts say whether it did.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ApprovalAnswered)]
pub struct Answered {
    pub id: String,
    pub object: &'static str,
    pub session_id: String,
    pub decision: DecisionParam,
    /// The grant that was made of a wider answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<Grant>,
}

impl Approval {
    /// `base_url` is where its reader reaches us.
    pub fn of(view: &ApprovalView, may_answer: Option<bool>, base_url: &str) -> Self {
        Self {
            id: view.action.to_string(),
            object: "bailiwick.approval",
            session_id: view.session.to_string(),
            turn_id: view.turn.to_string(),
            agent_id: view.agent.to_string(),
            agent_name: view.agent_name.clone(),
            actor: view.principal.to_string(),
            operation: view.operation.clone(),
            what: visible(&view.what),
            arguments: arguments(view),
            digest: view.digest.clone(),
            held: view.held.iter().map(HeldValue::of).collect(),
            through: view.through.as_ref().map(ApprovalSystem::of),
            rule: view.question.rule.clone(),
            reason: view.question.reason.clone(),
            approver: view.question.approver.each().first().map_or(Approver::Person, Approver::of),
            approvers: view.question.approver.each().iter().map(Approver::of).collect(),
            given: view
                .question
                .given
                .iter()
                .map(|given| GivenWord { approver: Approver::of(&given.approver), by: given.answer.by.to_string() })
                .collect(),
            asked_at: view.asked.as_seconds(),
            expires_at: view.question.expires.as_seconds(),
            account: account(view, base_url),
            form: view.question.form.clone(),
            may_answer,
            may_relay: Vec::new(),
            widen: Vec::new(),
        }
    }
}

/// The account that it waits for, with the link for whoever it has to be.
pub fn account(view: &ApprovalView, base_url: &str) -> Option<AccountWanted> {
    let CoreAccount { connector, host } = view.question.account.clone()?;
    let person = view.principal.person();
    let url = person.map(|person| link(base_url, &connector, person, view.question.expires));
    Some(AccountWanted { connector, host, person_id: person.map(|person| person.to_string()), url })
}

/// The canonical arguments, without the operation's name.
pub fn arguments(view: &ApprovalView) -> Value {
    // INVARIANT: an action has a JSON form; it was stored in it.
    let mut value = serde_json::to_value(&view.arguments).expect("an action is JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("operation");
    }
    value
}
