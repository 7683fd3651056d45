//! Policies: versions, drafts, explanations, simulations.

use bailiwick_ports::{Explanation, PolicyProblem, PolicyVersion, RuleSummary, Side, Verdict};
use bailiwick_types::CredentialId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A version of the rules that decide what agents may do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Policy {
    /// Its version, as a cursor.
    pub id: String,
    pub object: &'static str,
    /// Counts from 1; 0 is the starter set.
    pub version: u32,
    /// Who applied it; absent for the starter set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub author: Option<Value>,
    pub reason: String,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<i64>,
    /// Cedar. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<PolicyRule>>,
}

impl Policy {
    pub fn listed(version: PolicyVersion) -> Self {
        Self {
            id: version.version.to_string(),
            object: "bailiwick.policy",
            version: version.version,
            author: version.author.map(|author| json!(author)),
            reason: version.reason,
            applied_at: version.applied.map(|at| at.as_seconds()),
            text: None,
            rules: None,
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicyRule {
    pub id: String,
    /// `permit`, `forbid` or `ask`.
    pub effect: String,
    /// Where it begins in the text, counted from 1.
    pub line: u32,
    pub text: String,
}

impl From<RuleSummary> for PolicyRule {
    fn from(RuleSummary { id, effect, line, text }: RuleSummary) -> Self {
        Self { id, effect, line, text }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyParam {
    /// Cedar, validated strictly.
    pub text: String,
    /// Why, for whoever reads the history: 1 to 1,000 characters.
    pub reason: String,
    /// The version that it follows; another answers 409. Without it, whatever holds is followed.
    #[serde(default)]
    pub expected_version: Option<u32>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDraft {
    pub text: String,
}

/// Whether a text could be applied.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicyValidation {
    pub object: &'static str,
    pub valid: bool,
    pub problems: Vec<PolicyComplaint>,
    pub rules: Vec<PolicyRule>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicyComplaint {
    /// Of the text, counted from 1.
    pub line: Option<u32>,
    pub rule: Option<String>,
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl From<PolicyProblem> for PolicyComplaint {
    fn from(PolicyProblem { line, rule, message, help }: PolicyProblem) -> Self {
        Self { line, rule, message, help }
    }
}

/// An action that is only described, never done. Exactly one of `call`, `model` and `action` says what it is.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainParam {
    /// Asks this text instead of the policy that holds.
    #[serde(default)]
    pub text: Option<String>,
    /// A saved agent; else one with the default remit and whatever function is called.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// The person for whom the agent works (`user_…`); else a program ordered it.
    #[serde(default)]
    pub person_id: Option<String>,
    /// A tool call as a model writes it.
    #[serde(default)]
    pub call: Option<DescribedCall>,
    /// A call of this published model.
    #[serde(default)]
    pub model: Option<String>,
    /// An action as a receipt shows it.
    #[serde(default)]
    pub action: Option<DescribedAction>,
    #[serde(default)]
    pub label: DescribedLabel,
    /// What the person who ordered it has written: where it may be that an address, a host or a URL is named.
    #[serde(default)]
    pub said: Option<String>,
    /// Also asks whether it may use this credential (`cred_…`). With none, that of the model, where it is in a shared vault.
    #[serde(default)]
    pub credential_id: Option<String>,
    /// As if somebody had agreed to it.
    #[serde(default)]
    pub approved: bool,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribedCall {
    /// `run_command`, `read_file`, …, or a function of the agent.
    pub tool: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: Value,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribedAction {
    pub operation: String,
    #[schema(value_type = Object)]
    pub arguments: Value,
}

/// What the session would hold.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DescribedLabel {
    pub untrusted: bool,
    pub public: bool,
    pub groups: Vec<String>,
}

/// Which rules decide an action.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicyExplanation {
    pub object: &'static str,
    /// The version that was asked; absent for a draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    pub verdict: PolicyVerdict,
    /// The agent first, then the person. Empty when it was denied before any rule was asked.
    pub sides: Vec<PolicySide>,
    /// Whether it may use each secret that it would use. `verdict` is about all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialExplanation>,
    /// The action in canonical form, as policy saw it.
    #[schema(value_type = Object)]
    pub action: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PolicyVerdict {
    /// `allow`, `ask` or `deny`.
    pub decision: &'static str,
    pub rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Who would be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub approver: Option<Value>,
    /// What it would count against.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub meters: Vec<Value>,
}

impl From<Verdict> for PolicyVerdict {
    fn from(verdict: Verdict) -> Self {
        let plain =
            |decision, rule| Self { decision, rule, reason: None, remedy: None, approver: None, meters: Vec::new() };
        match verdict {
            Verdict::Allow { rule, meters } => {
                Self { meters: meters.iter().map(|meter| json!(meter)).collect(), ..plain("allow", rule) }
            }
            Verdict::Ask { rule, reason, approver } => {
                Self { reason: Some(reason), approver: Some(json!(approver)), ..plain("ask", rule) }
            }
            Verdict::Deny { rule, reason, remedy } => {
                Self { reason: Some(reason), remedy: Some(remedy), ..plain("deny", rule) }
            }
        }
    }
}

/// What the rules say about one of those who must both be allowed. Rules are named by their ids.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicySide {
    pub principal: String,
    /// How many rules could match by their scope.
    pub evaluated: usize,
    pub permits: Vec<String>,
    pub forbids: Vec<String>,
    pub asks: Vec<String>,
    pub errors: Vec<String>,
}

impl From<Side> for PolicySide {
    fn from(Side { principal, evaluated, permits, forbids, asks, errors }: Side) -> Self {
        Self { principal, evaluated, permits, forbids, asks, errors }
    }
}

/// Whether the action may use one secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CredentialExplanation {
    pub credential_id: String,
    pub verdict: PolicyVerdict,
    pub sides: Vec<PolicySide>,
}

impl From<(CredentialId, Explanation)> for CredentialExplanation {
    fn from((id, explained): (CredentialId, Explanation)) -> Self {
        let sides = explained.sides.into_iter().map(Into::into).collect();
        Self { credential_id: id.to_string(), verdict: explained.verdict.into(), sides }
    }
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateParam {
    /// The draft.
    pub text: String,
    /// How many sessions are replayed, newest first: 1 to 1,000, or 100.
    #[serde(default)]
    pub sessions: Option<u32>,
}

/// What a draft would decide otherwise than the policy that holds, about what was really done or asked for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PolicySimulation {
    pub object: &'static str,
    /// The version that the draft was compared with.
    pub version: u32,
    pub sessions: u32,
    pub actions: u32,
    /// How many of them would be decided otherwise.
    pub changed: u32,
    /// `false` when there was more to replay than one simulation takes.
    pub complete: bool,
    /// At most 500 of those that changed, newest session first.
    pub changes: Vec<SimulatedChange>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SimulatedChange {
    pub session_id: String,
    /// Of the receipt in the session's stream.
    pub position: u64,
    pub action_id: String,
    /// RFC 3339.
    pub time: String,
    pub operation: String,
    /// What it was done to, in a few words.
    pub about: String,
    /// What the receipt says: `allowed`, `denied`, `asked` or `held`.
    pub recorded: &'static str,
    pub now: PolicyVerdict,
    pub then: PolicyVerdict,
}
