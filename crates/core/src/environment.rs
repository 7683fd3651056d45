//! Where an agent's commands and files live, as data.

use crate::{Label, skill::SkillUse};
use bailiwick_types::{EnvironmentId, FileId, Principal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The environment that a session was created with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnvironmentSpec {
    None,
    Hosted(Hosted),
    SelfHosted(SelfHosted),
}

impl EnvironmentSpec {
    pub fn id(&self) -> Option<EnvironmentId> {
        match self {
            Self::None => None,
            Self::Hosted(hosted) => Some(hosted.id),
            Self::SelfHosted(own) => Some(own.id),
        }
    }

    /// Its executor opens the connection, and says by itself when it comes and goes.
    pub fn dials_in(&self) -> bool {
        matches!(self, Self::SelfHosted(own) if own.connection == Connection::DialIn)
    }

    /// The skills that came with it.
    pub fn skills(&self) -> &[SkillUse] {
        match self {
            Self::Hosted(hosted) => &hosted.skills,
            Self::None | Self::SelfHosted(_) => &[],
        }
    }

    /// Folders of it in which skills are looked for.
    pub fn skill_folders(&self) -> &[String] {
        match self {
            Self::None => &[],
            Self::Hosted(hosted) => &hosted.skill_folders,
            Self::SelfHosted(own) => &own.skill_folders,
        }
    }

    /// The folder in which commands start and relative paths are resolved.
    pub fn workspace(&self) -> &str {
        match self {
            Self::None => "/",
            Self::Hosted(_) => WORKSPACE,
            Self::SelfHosted(own) => &own.workspace_directory,
        }
    }
}

/// The working directory of a hosted environment.
pub const WORKSPACE: &str = "/workspace";
/// Files below this folder are published when a turn completes.
pub const OUTPUTS: &str = "/workspace/outputs";

/// A sandbox on the server's own machine, without a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    pub id: EnvironmentId,
    #[serde(default)]
    pub size: Size,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Uploaded files laid into the workspace before the first action.
    #[serde(default)]
    pub files: Vec<HostedFile>,
    /// Shell commands run once, in order, before the first action. Never shown.
    #[serde(default)]
    pub setup_commands: Vec<String>,
    /// As they were when the session began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<SkillUse>,
    /// Absolute folders in which skills are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_folders: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    Small,
    #[default]
    Medium,
    Large,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedFile {
    pub file: FileId,
    /// Absolute, below the workspace.
    pub path: String,
    /// Of its content, as it was uploaded.
    #[serde(default)]
    pub size_bytes: u64,
    /// Its content came with the request that created the session, not through an upload of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// Of its content.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
}

/// An executor that somebody else runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfHosted {
    pub id: EnvironmentId,
    /// Absolute folder inside the environment.
    pub workspace_directory: String,
    pub connection: Connection,
    /// What somebody says of its content. Without it, the content may be anybody's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<SaidOfContent>,
    /// Absolute folders in which skills are looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_folders: Vec<String>,
}

/// Somebody's word on what lies in a folder that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidOfContent {
    pub label: Label,
    pub by: Principal,
    pub reason: String,
}

/// Which side opens the connection to a self-hosted executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "via", rename_all = "snake_case")]
pub enum Connection {
    /// The executor registers and dials us, under a key bound to this environment.
    DialIn,
    /// We dial its socket (`wss`, or `ws` on loopback). The token is named in the server's configuration:
    /// `[executors.NAME]`.
    Listen { executor: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentStatus {
    Pending,
    Ready,
    Connected,
    Disconnected,
    /// Ended while nothing ran in it; it is there again, with its workspace, when it is next needed.
    Suspended,
    Expired,
    Failed,
}

/// What an environment turned out to be when it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFacts {
    /// `process` for our namespaces; `self_hosted` when it is not ours to say.
    pub isolation: String,
    /// Limits that this machine cannot enforce, each with the reason.
    #[serde(default)]
    pub missing_limits: Vec<String>,
    /// The executor's session, given back to it after a lost connection so that its processes are found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_version: Option<String>,
}
