//! The entries of a session's stream. State, items, events, status and receipts are all derived from them.
//!
//! Each body has a kind and a version. A kind's meaning never changes; a new shape is a new version, and
//! [`Body::decode`] brings old ones up. `tests/golden/records` keeps one example of every version ever written.

use crate::{
    Action, AgentConfig, Answered, Content, Cost, EnvironmentSpec, EnvironmentStatus, Exceeded, FunctionTool, Label,
    ListPage, Meter, Outcome, Question, Quote,
    connector::ConnectorUse,
    elicitation::Replies,
    environment::HostedFile,
    model::{Reasoning, TextOptions},
};
use bailiwick_types::{
    ActionId, ArtifactId, CredentialId, ItemId, Money, Principal, TeamId, Timestamp, TurnId, VaultId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A body with its place and time.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Counts from 1 in each stream.
    pub position: u64,
    pub time: Timestamp,
    pub body: Body,
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $kind:literal v $version:literal;)*) => {
        /// What a record says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body {
            $($(#[$doc])* $name($inner),)*
        }

        impl Body {
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $kind,)* }
            }

            pub fn version(&self) -> u16 {
                match self { $(Self::$name(_) => $version,)* }
            }

            /// The body's bytes before sealing: JSON.
            pub fn encode(&self) -> Vec<u8> {
                // INVARIANT: record bodies hold no maps with keys other than strings and no non-finite numbers.
                match self { $(Self::$name(inner) => serde_json::to_vec(inner).expect("a record body is JSON"),)* }
            }

            /// Reads a body of any version that was ever written.
            pub fn decode(kind: &str, version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
                match (kind, version) {
                    $(($kind, $version) => serde_json::from_slice(bytes).map(Self::$name).map_err(|error| {
                        DecodeError::Malformed { kind: kind.to_owned(), version, reason: error.to_string() }
                    }),)*
                    _ => Err(DecodeError::UnknownKind { kind: kind.to_owned(), version }),
                }
            }

            /// Every kind with the version that is written now.
            pub const KINDS: &'static [(&'static str, u16)] = &[$(($kind, $version),)*];
        }
    };
}

bodies! {
    /// The first record of every session.
    SessionCreated(SessionCreated) = "session.created" v 1;
    /// Something came from outside: a message, a cancel, a tool's result, a change.
    InputReceived(InputReceived) = "input.received" v 1;
    TurnStarted(TurnStarted) = "turn.started" v 1;
    TurnEnded(TurnEnded) = "turn.ended" v 1;
    /// The gate decided on an action: its intent, or its refusal. A receipt.
    ActionDecided(ActionDecided) = "action.decided" v 1;
    /// An action whose outcome was lost may go on. A receipt.
    ActionResumed(ActionResumed) = "action.resumed" v 1;
    /// What became of an action. A receipt.
    ActionSettled(ActionSettled) = "action.settled" v 1;
    /// A tool call that never became an action: its tool or its arguments do not exist.
    CallRefused(CallRefused) = "call.refused" v 1;
    /// A search for tools that the model had not been told of.
    ToolsFound(ToolsFound) = "tools.found" v 1;
    /// Somebody changed what the tenant's administration keeps. Only in a tenant's own stream. A receipt.
    AdministrationChanged(AdministrationChanged) = "administration.changed" v 1;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("record kind `{kind}` version {version} is not known here: this stream was written by a newer version")]
    UnknownKind { kind: String, version: u16 },
    #[error("a record of kind `{kind}` version {version} does not read: {reason}")]
    Malformed { kind: String, version: u16, reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionCreated {
    pub agent: AgentConfig,
    pub environment: EnvironmentSpec,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub creator: Principal,
    /// The most that its model calls may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_limit: Option<Money>,
    /// What would need a person's word is denied, because nobody is there to give it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_review: bool,
    /// Of what it is begun with.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
    /// Whose secrets its actions may use, if policy lets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vaults: Vec<VaultId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputReceived {
    /// Its place in the inbox; every input up to it is accounted for.
    pub sequence: u64,
    #[serde(flatten)]
    pub envelope: InputEnvelope,
}

/// An input as it waits in the inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputEnvelope {
    pub orderer: Principal,
    pub input: Input,
}

/// What can be told to a session from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Input {
    Message {
        messages: Vec<UserMessage>,
    },
    /// Ends the turn that is running.
    Cancel,
    /// A stop ends it, or whoever ordered it may order no more: nothing more may be done.
    Stop {
        /// What it is denied by from now on; a stop where none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// In plain words: by whom, and why.
        message: String,
    },
    /// The application's answer to a function call.
    ToolResult {
        turn: TurnId,
        call_id: String,
        /// The item that shows it.
        item: ItemId,
        result: Result<Vec<Content>, String>,
    },
    Update(SessionPatch),
    /// A person says what became of an action whose outcome is unknown.
    Resolve {
        action: ActionId,
        resolution: Resolution,
    },
    /// A person's word on an action that waits for it. Who answers is the orderer of this input.
    Answer {
        action: ActionId,
        approve: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// To what a system asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replies: Option<Replies>,
    },
    /// A standing answer was given that may be one to this question: it is decided on again.
    Reconsider {
        action: ActionId,
    },
    /// A person takes a label off, or part of it: `label` is what is left. Nothing else lowers one.
    Release {
        label: Label,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The session's self-hosted executor came or went, or its hosted sandbox was suspended.
    Environment {
        status: EnvironmentStatus,
    },
    /// A client gives one more file. It is laid in when the environment starts; one that was started gets it by an action.
    AddFile {
        file: HostedFile,
    },
    /// A client looks at the files of the environment. Nothing of it is told to the model.
    Look {
        /// The folder whose files it wants to see, all the way down.
        path: String,
        page: ListPage,
        /// Until when it waits. Begun later it would be looked for nobody.
        until: Timestamp,
    },
    /// A client calls a tool of the agent itself. Nothing of it is told to a model.
    Call {
        /// `None`: the agent's connectors are to be opened, and nothing more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<OrderedCall>,
        /// Until when it waits. Begun later it would be done for nobody. Records of before this was kept do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A client deleted an artifact of this session.
    RemoveArtifact {
        artifact: ArtifactId,
    },
    Delete,
}

/// A call that a client makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedCall {
    /// The item that shows it.
    pub item: ItemId,
    /// As a model would see it: `LABEL__TOOL`, or a function's name.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserMessage {
    pub item: ItemId,
    pub content: Vec<Content>,
}

/// Changes to a running session; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<FunctionTool>>,
    /// Goes with `tools`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_search: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectors: Option<Vec<ConnectorUse>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_limit: Option<SpendLimit>,
    /// For turns that begin from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_review: Option<bool>,
}

/// A session's new limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendLimit {
    /// `None`: it has none any more. What was spent stays spent.
    pub limit: Option<Money>,
}

/// A person's word on an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It happened. It is not done again.
    Happened,
    /// It did not happen.
    DidNotHappen,
    /// Whatever happened, it may be done again.
    DoAgain,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnStarted {
    pub turn: TurnId,
    /// Who asked. Everything in the turn is done by the agent on behalf of this principal.
    pub orderer: Principal,
    /// Nobody asked now: the agent remembers what the session was about, in the rights of who asked last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consolidates: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnded {
    pub turn: TurnId,
    pub end: TurnEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TurnEnd {
    Completed,
    Failed { error: TurnError },
    Cancelled,
}

/// Why a turn failed, with a code of the Agents API (`SessionTurnError`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    pub code: String,
    pub message: String,
    /// The rule that ended it, where the gate denied what it could not go on without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionDecided {
    pub action: ActionId,
    pub turn: TurnId,
    /// The tool call that asked for it; `None` when the engine did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    pub arguments: Action,
    /// HMAC-SHA-256 over the canonical arguments under the stream's key, in hexadecimal.
    pub digest: String,
    pub principal: Principal,
    pub policy_version: u64,
    pub decision: Ruling,
    /// Of the session when it was decided.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
    /// The answer to an earlier question about this very action, after which it was decided on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// The other answers that it needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_answered: Vec<Answered>,
    #[serde(default, skip_serializing_if = "Spending::is_empty")]
    pub spending: Spending,
    /// The secrets that it uses. Policy was asked about each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<CredentialId>,
    /// The connector that performs it; `None` where none does, where it was gone, and in records from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Through>,
}

/// The connector of an action, as it was when the action was decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Through {
    /// The name that the organisation keeps it under; for one that is written into an agent, its label there.
    pub connector: String,
    /// The one host that it reaches, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it leads ([`crate::ConnectorSpec::system`]): another system under the same name is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What it is given stays inside the company's walls.
    #[serde(default)]
    pub inside: bool,
}

/// What an action may take, who pays for it, and what was in its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spending {
    /// What it costs at most, where it has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
    /// The team that pays: the agent's, else the first of the person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// What is reserved for it, in windows of the record's time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<Meter>,
    /// What was said and went on: accounts whose warning limit it passes, or `unpriced-model`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The limit that it was denied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exceeded: Option<Exceeded>,
}

impl Spending {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Ruling {
    Allowed {
        rule: String,
    },
    Denied {
        rule: String,
        reason: String,
        remedy: String,
    },
    /// It may be done when a person says so, and waits for that.
    Asked(Question),
    /// The same effect has an unknown outcome; it waits until a person resolves that one.
    Held {
        by: ActionId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResumed {
    pub action: ActionId,
    pub policy_version: u64,
    pub decision: Ruling,
    /// What the new attempt may take. The attempt before it is taken to have cost what was reserved for it.
    #[serde(default, skip_serializing_if = "Spending::is_empty")]
    pub spending: Spending,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionSettled {
    pub action: ActionId,
    pub outcome: Outcome,
    /// What it has cost, where it has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Why it had been told to stop, where something else than its own end made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted_by: Option<Halt>,
}

/// Why a turn may do nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// As a denial names it: `stopped`, `key-revoked`.
    pub rule: String,
    /// In plain words, with the way out.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRefused {
    pub turn: TurnId,
    pub call_id: String,
    pub message: String,
}

/// What a search of the agent's own deferred tools found: the model is told of them from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolsFound {
    pub turn: TurnId,
    pub call_id: String,
    /// As the model sees them, the best first.
    pub names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdministrationChanged {
    pub by: Principal,
    /// `agent.published`, `user.disabled`, `policy.applied`.
    pub change: String,
    /// The id of what changed, with its prefix.
    pub target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a reader needs beyond that. Never a secret.
    #[serde(default)]
    pub details: serde_json::Value,
}
