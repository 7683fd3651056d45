//! Actions: everything with an effect or a disclosure outside the engine, as canonical arguments and outcomes.
//!
//! An [`Action`] is exactly what policy sees and what the hand performs. It holds no transport: no ids of
//! connections, no headers, no credentials.

use crate::{
    Content, Label, ListPage, Listing,
    connector::{ConnectorCall, DataQuery, Effect, OpenedConnector},
    elicitation::Elicited,
    environment::EnvironmentFacts,
    memory::{MemoryScope, MemorySearch, MemoryVersion, MemoryWrite},
    model::ModelAnswer,
    skill::{FoundSkills, SkillLoad},
};
use bailiwick_types::{ActionId, ArtifactId, EnvironmentId, FileId, MemoryId, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One action with its arguments in canonical form. The tag is the operation's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation")]
pub enum Action {
    #[serde(rename = "model.call")]
    ModelCall(ModelCall),
    /// Starts a hosted sandbox, or connects to a self-hosted executor. Repeating it finds the one that is there.
    #[serde(rename = "environment.start")]
    EnvironmentStart { environment: EnvironmentId },
    #[serde(rename = "command.run")]
    CommandRun(CommandRun),
    /// Reads what a background command has printed since it was last asked.
    #[serde(rename = "command.poll")]
    CommandPoll { environment: EnvironmentId, process: ActionId, wait_ms: Millis },
    #[serde(rename = "command.write")]
    CommandWrite { environment: EnvironmentId, process: ActionId, input: String },
    #[serde(rename = "command.stop")]
    CommandStop { environment: EnvironmentId, process: ActionId },
    /// Lines `offset..offset + limit` of a text file, counted from 1.
    #[serde(rename = "file.read")]
    FileRead { environment: EnvironmentId, path: String, offset: u32, limit: u32 },
    #[serde(rename = "file.write")]
    FileWrite { environment: EnvironmentId, path: String, content: String },
    /// Lays a file in that a client has given. Its content is what the client uploaded as `file`.
    #[serde(rename = "file.add")]
    FileAdd { environment: EnvironmentId, path: String, file: FileId, size_bytes: u64 },
    /// Replaces `old` by `new`; `old` must occur exactly once unless `all`.
    #[serde(rename = "file.edit")]
    FileEdit { environment: EnvironmentId, path: String, old: String, new: String, all: bool },
    /// For a model: the names of what is in a folder, `depth` levels down. With a `page`, for a person who looks: that
    /// page of its files, all the way down, with their sizes.
    #[serde(rename = "file.list")]
    FileList {
        environment: EnvironmentId,
        path: String,
        depth: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<ListPage>,
    },
    /// Lines that match a regular expression in files below `path` whose names match `glob`.
    #[serde(rename = "file.search")]
    FileSearch { environment: EnvironmentId, path: String, pattern: String, glob: Option<String> },
    #[serde(rename = "file.view_image")]
    ImageView { environment: EnvironmentId, path: String },
    /// Looks for skills in the folders below `directory`.
    #[serde(rename = "file.find_skills")]
    SkillsFind { environment: EnvironmentId, directory: String },
    /// Reads a skill, and lays its files into the environment where there is one.
    #[serde(rename = "file.load_skill")]
    SkillLoad(Box<SkillLoad>),
    /// Copies every file below `directory` out of the environment as immutable artifacts.
    #[serde(rename = "artifact.publish")]
    ArtifactPublish { environment: EnvironmentId, directory: String },
    /// A function of the application; the answer comes as an input.
    #[serde(rename = "tool.call")]
    FunctionCall { name: String, arguments: Value },
    /// Connects to a system and learns what its tools are.
    #[serde(rename = "connector.open")]
    ConnectorOpen {
        /// The label of the agent's `ConnectorUse`.
        connector: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<EnvironmentId>,
    },
    #[serde(rename = "connector.call")]
    ConnectorCall(ConnectorCall),
    #[serde(rename = "data.query")]
    DataQuery(DataQuery),
    #[serde(rename = "memory.search")]
    MemorySearch(MemorySearch),
    #[serde(rename = "memory.read")]
    MemoryRead { memory: MemoryId, scopes: BTreeSet<MemoryScope> },
    #[serde(rename = "memory.write")]
    MemoryWrite(MemoryWrite),
    #[serde(rename = "memory.forget")]
    MemoryForget {
        scope: MemoryScope,
        /// As it was seen.
        seen: MemoryVersion,
        /// Of the session that wants it gone.
        label: Label,
    },
}

/// A call of a model. The prompt itself is not repeated here: it is the session's history up to this record, which
/// the stream's hash chain commits to. The permit carries the whole request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    pub model: String,
    pub purpose: Purpose,
    /// How many of the history's entries, counted from the oldest, are left out because they would not fit.
    #[serde(default)]
    pub skipped_entries: u32,
    /// What is read, and asked about it; only with the purpose `extract`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<Box<Extract>>,
}

/// One question about content that is kept out of the session, to be answered with values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// The action that read the content.
    pub source: ActionId,
    pub question: String,
    /// What may come back, in its one form ([`crate::extract::Shape`]).
    pub schema: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The next step of a turn.
    Step,
    /// A summary that takes the place of the history so far.
    Compaction,
    /// Values from content that is no part of the history, by a model that is given nothing else.
    Extract,
    /// What of the session is worth remembering.
    Consolidation,
}

/// A command in a shell (`bash -c`, else `sh -c`). Its process id at the executor is its action id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRun {
    pub environment: EnvironmentId,
    pub command: String,
    /// Absolute.
    pub cwd: String,
    /// After this a foreground command is stopped. A background command has no limit but the environment's life.
    pub timeout_ms: Millis,
    pub background: bool,
}

/// What policy calls the kind of an action (security.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActionKind {
    #[serde(rename = "model.call")]
    ModelCall,
    #[serde(rename = "environment.start")]
    EnvironmentStart,
    #[serde(rename = "command.run")]
    CommandRun,
    #[serde(rename = "file.read")]
    FileRead,
    #[serde(rename = "file.write")]
    FileWrite,
    #[serde(rename = "tool.call")]
    ToolCall,
    #[serde(rename = "data.query")]
    DataQuery,
    #[serde(rename = "memory.read")]
    MemoryRead,
    #[serde(rename = "memory.write")]
    MemoryWrite,
    /// An action uses a secret of a vault. No action of its own: it is asked beside the action that needs it.
    #[serde(rename = "vault.use")]
    VaultUse,
}

/// What may be done about an action whose outcome was lost in a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// No effect: repeat it.
    Pure,
    /// Doing it twice is doing it once: repeat it.
    Idempotent,
    /// The other side knows the action's id and refuses a second: repeat it.
    Keyed,
    /// The other side can be asked what became of it; repeat it only when it says "never seen".
    Lookup,
    /// Somebody else answers it in their own time: keep waiting.
    Awaited,
}

impl Effect {
    pub const fn class(self) -> Class {
        match self {
            Self::Read => Class::Pure,
            Self::Idempotent => Class::Idempotent,
            Self::Write => Class::Lookup,
        }
    }
}

impl Action {
    pub fn operation(&self) -> &'static str {
        match self {
            Self::ModelCall(_) => "model.call",
            Self::EnvironmentStart { .. } => "environment.start",
            Self::CommandRun(_) => "command.run",
            Self::CommandPoll { .. } => "command.poll",
            Self::CommandWrite { .. } => "command.write",
            Self::CommandStop { .. } => "command.stop",
            Self::FileRead { .. } => "file.read",
            Self::FileWrite { .. } => "file.write",
            Self::FileAdd { .. } => "file.add",
            Self::FileEdit { .. } => "file.edit",
            Self::FileList { .. } => "file.list",
            Self::FileSearch { .. } => "file.search",
            Self::ImageView { .. } => "file.view_image",
            Self::SkillsFind { .. } => "file.find_skills",
            Self::SkillLoad(_) => "file.load_skill",
            Self::ArtifactPublish { .. } => "artifact.publish",
            Self::FunctionCall { .. } => "tool.call",
            Self::ConnectorOpen { .. } => "connector.open",
            Self::ConnectorCall(_) => "connector.call",
            Self::DataQuery(_) => "data.query",
            Self::MemorySearch(_) => "memory.search",
            Self::MemoryRead { .. } => "memory.read",
            Self::MemoryWrite(_) => "memory.write",
            Self::MemoryForget { .. } => "memory.forget",
        }
    }

    pub fn kind(&self) -> ActionKind {
        match self {
            Self::ModelCall(_) => ActionKind::ModelCall,
            Self::EnvironmentStart { .. } => ActionKind::EnvironmentStart,
            Self::CommandRun(_) | Self::CommandPoll { .. } | Self::CommandWrite { .. } | Self::CommandStop { .. } => {
                ActionKind::CommandRun
            }
            Self::FileRead { .. }
            | Self::FileList { .. }
            | Self::FileSearch { .. }
            | Self::ImageView { .. }
            | Self::SkillsFind { .. }
            | Self::SkillLoad(_)
            | Self::ArtifactPublish { .. } => ActionKind::FileRead,
            Self::FileWrite { .. } | Self::FileAdd { .. } | Self::FileEdit { .. } => ActionKind::FileWrite,
            Self::FunctionCall { .. } | Self::ConnectorOpen { .. } | Self::ConnectorCall(_) => ActionKind::ToolCall,
            Self::DataQuery(_) => ActionKind::DataQuery,
            Self::MemorySearch(_) | Self::MemoryRead { .. } => ActionKind::MemoryRead,
            Self::MemoryWrite(_) | Self::MemoryForget { .. } => ActionKind::MemoryWrite,
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::ModelCall(_)
            | Self::FileRead { .. }
            | Self::FileList { .. }
            | Self::FileSearch { .. }
            | Self::ImageView { .. }
            | Self::SkillsFind { .. }
            | Self::CommandPoll { .. } => Class::Pure,
            // The same files are laid to the same places.
            Self::SkillLoad(load) if load.lays_in() => Class::Idempotent,
            Self::SkillLoad(_) => Class::Pure,
            Self::EnvironmentStart { .. }
            | Self::FileWrite { .. }
            | Self::FileAdd { .. }
            | Self::CommandStop { .. }
            | Self::ArtifactPublish { .. } => Class::Idempotent,
            Self::CommandWrite { .. } => Class::Keyed,
            Self::CommandRun(_) | Self::FileEdit { .. } => Class::Lookup,
            Self::FunctionCall { .. } => Class::Awaited,
            Self::ConnectorOpen { .. } => Class::Pure,
            Self::ConnectorCall(call) => call.effect.class(),
            Self::DataQuery(query) => query.effect().class(),
            Self::MemorySearch(_) | Self::MemoryRead { .. } => Class::Pure,
            // An entry has the id of the action that wrote it, and a version the action that wrote that.
            Self::MemoryWrite(_) | Self::MemoryForget { .. } => Class::Idempotent,
        }
    }

    /// Whether it is done for a client who wants something of the environment itself, and not for the model.
    pub fn is_errand(&self) -> bool {
        matches!(self, Self::FileAdd { .. }) || self.is_look()
    }

    /// Whether what comes back is for a person only: it enters no session.
    pub fn is_look(&self) -> bool {
        matches!(self, Self::FileList { page: Some(_), .. })
    }

    /// Whether it is for remembering what a session was about, and not for what somebody asked for.
    pub fn is_consolidation(&self) -> bool {
        match self {
            Self::ModelCall(call) => call.purpose == Purpose::Consolidation,
            Self::MemoryWrite(write) => write.consolidated_by.is_some(),
            _ => false,
        }
    }

    /// Whether it reads or changes what is remembered between sessions.
    pub fn is_memory(&self) -> bool {
        matches!(self.kind(), ActionKind::MemoryRead | ActionKind::MemoryWrite)
    }

    /// Whose memory it reaches.
    pub fn memory_scopes(&self) -> BTreeSet<MemoryScope> {
        match self {
            Self::MemorySearch(search) => search.scopes.clone(),
            Self::MemoryRead { scopes, .. } => scopes.clone(),
            Self::MemoryWrite(write) => BTreeSet::from([write.scope]),
            Self::MemoryForget { scope, .. } => BTreeSet::from([*scope]),
            _ => BTreeSet::new(),
        }
    }

    /// The environment that this action needs, if any.
    pub fn environment(&self) -> Option<EnvironmentId> {
        match self {
            Self::ModelCall(_) | Self::FunctionCall { .. } | Self::DataQuery(_) => None,
            Self::MemorySearch(_) | Self::MemoryRead { .. } | Self::MemoryWrite(_) | Self::MemoryForget { .. } => None,
            Self::ConnectorOpen { environment, .. } => *environment,
            Self::ConnectorCall(call) => call.environment,
            Self::SkillLoad(load) => load.environment,
            Self::CommandRun(run) => Some(run.environment),
            Self::EnvironmentStart { environment }
            | Self::CommandPoll { environment, .. }
            | Self::CommandWrite { environment, .. }
            | Self::CommandStop { environment, .. }
            | Self::FileRead { environment, .. }
            | Self::FileWrite { environment, .. }
            | Self::FileAdd { environment, .. }
            | Self::FileEdit { environment, .. }
            | Self::FileList { environment, .. }
            | Self::FileSearch { environment, .. }
            | Self::ImageView { environment, .. }
            | Self::SkillsFind { environment, .. }
            | Self::ArtifactPublish { environment, .. } => Some(*environment),
        }
    }

    /// The label of the connector that performs it, if one does.
    pub fn connector(&self) -> Option<&str> {
        match self {
            Self::ConnectorOpen { connector, .. } => Some(connector),
            Self::ConnectorCall(call) => Some(&call.connector),
            Self::DataQuery(query) => Some(&query.connector),
            _ => None,
        }
    }

    /// The canonical bytes (RFC 8785) that digests are made over and policy reads.
    pub fn canonical(&self) -> Vec<u8> {
        // INVARIANT: an Action holds only strings, booleans, integers and values that came from JSON, which all have a
        // canonical form.
        serde_jcs::to_vec(self).expect("an action is JSON")
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Outcome {
    /// It happened, and this came back.
    Confirmed { result: ActionResult },
    /// It was tried and did not do what was asked; what is known of it is in the failure.
    Failed { failure: Failure },
    /// It may or may not have happened.
    Unknown { reason: String },
    /// It never left: the permit was not opened.
    NotSent { reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum ActionResult {
    Model(ModelAnswer),
    Environment(EnvironmentFacts),
    Command(CommandOutput),
    /// What the model is shown.
    Content {
        content: Vec<Content>,
    },
    Artifacts {
        artifacts: Vec<Published>,
    },
    /// What a person is shown.
    Files(Listing),
    Connector(OpenedConnector),
    /// What a tool of a connector answered.
    Tool(ToolAnswer),
    Skills(FoundSkills),
    /// The call stopped: its system asks the person something first.
    Elicits(Box<Elicited>),
}

/// The answer of a connector's tool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolAnswer {
    /// What the model is shown.
    pub content: Vec<Content>,
    /// Of this answer, where it is more than the connector's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// What the receipt says beside it, such as the database role that was used. Never a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
    /// The tool itself says that it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutput {
    /// Both streams as they came, lossily decoded, cut in the middle when too long.
    pub output: String,
    /// Bytes left out of `output`.
    #[serde(default)]
    pub omitted_bytes: u64,
    /// `None` while it runs in the background, or when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub ended: CommandEnd,
    #[serde(default)]
    pub duration_ms: Millis,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandEnd {
    /// By itself.
    #[default]
    Exited,
    /// It runs on in the background.
    Running,
    /// We stopped it at its time-out.
    TimedOut,
    /// We stopped it because the turn was cancelled.
    Cancelled,
}

/// A file that became an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub id: ArtifactId,
    /// Absolute path in the environment.
    pub path: String,
    pub size_bytes: u64,
    /// The object that holds the bytes.
    pub object: String,
}

/// Why an action did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: FailureCode,
    /// Plain words for the model and the person; never a secret.
    pub message: String,
}

impl Failure {
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The failure classes of model calls (wire.md section 3) and of everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    RateLimited,
    Overloaded,
    ServerError,
    ConnectionFailed,
    FirstByteTimeout,
    StreamStalled,
    StreamCut,
    MalformedAnswer,
    ContentFilter,
    ContextOverflow,
    AuthenticationFailed,
    InvalidRequest,
    UnknownModel,
    SandboxError,
    ExecutorIncompatible,
    /// The tool itself says no: no such file, text to replace not found.
    ToolError,
    Cancelled,
    Internal,
}
