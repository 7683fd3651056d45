//! The history that a client reads, and the state of sessions and turns as it sees them: projections, as data.

use crate::{
    Action, AgentConfig, Booking, Content, EnvironmentFacts, EnvironmentSpec, EnvironmentStatus, Label, Phase,
    Published, Question,
    connector::HeldTool,
    record::{Through, TurnError},
};
use bailiwick_types::{
    ActionId, AgentId, ArtifactId, EnvironmentId, ItemId, Money, Principal, SessionId, Timestamp, TokenUsage, TurnId,
    VaultId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    pub id: ItemId,
    pub turn: TurnId,
    /// Its place among the items of a session.
    pub ordinal: i64,
    /// Its place in the turn's output; `None` for what came from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_index: Option<u32>,
    pub status: ItemStatus,
    /// The action behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ActionId>,
    /// What is known of the action's effect, where that is more than the status says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<EffectNote>,
    /// It came from a scenario file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scripted: bool,
    /// Not there on items from before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Doer>,
    #[serde(flatten)]
    pub body: ItemBody,
}

/// Whose item it is: the agent's, on the order of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doer {
    pub agent: AgentId,
    pub orderer: Principal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    InProgress,
    Completed,
    Failed,
    Incomplete,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum EffectNote {
    Denied {
        rule: String,
        remedy: String,
    },
    Unknown {
        reason: String,
    },
    Held {
        by: ActionId,
    },
    /// Waits for a person's word.
    Asked {
        question: Question,
    },
    Resolved {
        resolution: crate::record::Resolution,
        by: Principal,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum ItemBody {
    UserMessage {
        content: Vec<Content>,
    },
    AssistantMessage {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
    },
    Reasoning {
        summary: Vec<String>,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: Value,
    },
    FunctionCallOutput {
        call_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Vec<Content>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    CommandExecution {
        command: String,
        cwd: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// A tool of a connector, or a built-in one other than a command.
    ToolCall {
        /// The label of the connector that it belongs to; `None`: the environment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        connector: Option<String>,
        name: String,
        arguments: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    Idle,
    InProgress,
    RequiresAction,
    Failed,
}

/// What a session waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RequiredAction {
    FunctionCall {
        turn: TurnId,
        call_id: String,
        name: String,
        arguments: Value,
    },
    EnvironmentConnection {
        environment: EnvironmentId,
    },
    /// A person must say whether an action may be done.
    Approval(Box<ApprovalView>),
    /// A person must say what became of `action` before the same effect is tried again.
    ResolveOutcome {
        turn: TurnId,
        action: ActionId,
    },
}

/// A question to a person, with everything it is about. What is shown is made of the canonical arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalView {
    pub action: ActionId,
    pub session: SessionId,
    pub turn: TurnId,
    pub agent: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// The agent, and for whom.
    pub principal: Principal,
    pub operation: String,
    /// In plain words: the command, the path.
    pub what: String,
    pub arguments: Action,
    pub digest: String,
    /// What stands behind the handles in the arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldView>,
    pub question: Question,
    pub asked: Timestamp,
    /// The system that it would go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
}

/// A value that the model moves without having seen it, as a person who is asked sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldView {
    /// As it stands in the arguments.
    pub handle: String,
    /// Where the value came from, in plain words.
    pub source: String,
    #[serde(default)]
    pub label: Label,
    pub size_bytes: u64,
    /// Its beginning; all of it where it is as long as `size_bytes`.
    pub text: String,
}

/// A session as a client sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    pub id: SessionId,
    pub agent: AgentConfig,
    pub environment: EnvironmentSpec,
    pub environment_status: EnvironmentStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_facts: Option<EnvironmentFacts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_error: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub creator: Principal,
    pub created: Timestamp,
    pub last_active: Timestamp,
    pub status: SessionStatus,
    pub required_actions: Vec<RequiredAction>,
    /// Actions whose outcome is unknown and that nobody has resolved.
    #[serde(default)]
    pub unresolved: Vec<Unresolved>,
    pub usage: TokenUsage,
    /// What its model calls have cost, estimates included, where they have a price.
    #[serde(default)]
    pub spent: Money,
    /// What they may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_limit: Option<Money>,
    /// Nobody is asked; what would need a person's word is denied.
    #[serde(default)]
    pub auto_review: bool,
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
    /// Of what lies in its environment. It joins the session's with whatever is read there.
    #[serde(default = "Label::nothing")]
    pub environment_label: Label,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vaults: Vec<VaultId>,
    /// What became of opening its agent's connectors, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub connections: BTreeMap<String, ConnectionView>,
    /// The turn that is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A connector as the session has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// By the names that its system gives them.
    pub tools: Vec<String>,
    /// Not offered until somebody accepts what changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldTool>,
    /// Why it could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    pub action: ActionId,
    pub operation: String,
    /// In plain words: the command, the path.
    pub what: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnView {
    pub id: TurnId,
    /// Its place among the turns of a session.
    pub ordinal: i64,
    pub agent: bailiwick_types::AgentId,
    pub orderer: Principal,
    pub status: TurnStatus,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TurnError>,
    pub usage: TokenUsage,
    /// Model calls so far.
    pub steps: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    InProgress,
    Waiting,
    Completed,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactView {
    pub turn: TurnId,
    pub environment: EnvironmentId,
    pub created: Timestamp,
    /// Of the session and its environment when it was published.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
    #[serde(flatten)]
    pub file: Published,
}

/// What became of something that a client wanted itself: of the environment, or of the agent's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrandOutcome {
    /// The file is in its place, or will be there when the environment is started.
    Done,
    /// What was to be seen.
    Listed(crate::Listing),
    /// What a call came to, as a model would be told it.
    Answered {
        failed: bool,
        content: Vec<crate::Content>,
    },
    Denied {
        message: String,
    },
    Failed {
        failure: crate::Failure,
    },
}

/// What one record changed for those who watch. Rows and live events are both made of these.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    SessionCreated(Box<SessionView>),
    /// Something other than the status.
    SessionUpdated(Box<SessionView>),
    SessionStatus(Box<SessionView>),
    SessionDeleted,
    TurnCreated(TurnView),
    TurnInProgress(TurnView),
    /// It began to wait, or goes on.
    TurnUpdated(TurnView),
    TurnEnded(TurnView),
    ItemAdded(Item),
    ItemDone(Item),
    Environment {
        id: EnvironmentId,
        kind: &'static str,
        status: EnvironmentStatus,
        error: Option<String>,
    },
    Artifacts(Vec<ArtifactView>),
    ArtifactRemoved(ArtifactId),
    /// What became of what the input `sequence` wanted of the environment.
    Errand {
        sequence: u64,
        outcome: ErrandOutcome,
    },
    /// A person is asked.
    ApprovalAsked(Box<ApprovalView>),
    /// There is nothing to answer any more.
    ApprovalEnded(ActionId),
    /// What was reserved, given back or spent. Nobody is told; balances are made of it.
    Booked(Vec<Booking>),
}
