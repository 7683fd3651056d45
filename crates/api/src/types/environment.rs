//! Environments: where an agent's commands and files live.

use super::{
    agent::PlainFormat,
    file::{FileExtras, FileExtrasParam},
    skill::{HostedSkill, HostedSkillParam},
};
use crate::body::{nested, nullable, tagged};
use bailiwick_core::Label;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

// ---- requests ----

/// The environment of a new session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnvironmentParam {
    None(NoEnvironmentParam),
    OpenaiHosted(Box<HostedParam>),
    SelfHosted(SelfHostedParam),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoEnvironmentParam {}

/// A sandbox on the server's own machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostedParam {
    /// Absolute folders in which skills are looked for.
    pub capability_directories: Option<Vec<String>>,
    pub container_size: Option<Size>,
    /// Not built: answers 501 when enabled.
    pub desktop: Option<DesktopParam>,
    /// Variables of commands. Up to 128, names like `LETTERS_AND_DIGITS`.
    pub env: Option<BTreeMap<String, String>>,
    /// Not built: answers 501.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub environment_id: Option<Option<String>>,
    /// Not built: answers 501.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub environment_template_id: Option<Option<String>>,
    pub files: Option<Vec<FileParam>>,
    /// Left out it is `disabled`; other access is not built and answers 501.
    pub network: Option<NetworkParam>,
    /// Not built: answers 501 unless empty.
    pub packages: Option<PackagesParam>,
    /// Not built: answers 501 unless empty.
    #[schema(value_type = Option<Vec<Object>>)]
    pub plugins: Option<Vec<Value>>,
    /// Run once, in order, before the first action. Never shown.
    pub setup_commands: Option<Vec<SetupCommandParam>>,
    /// Shown to the model by name and description; laid into the workspace when it is loaded.
    pub skills: Option<Vec<HostedSkillParam>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    Small,
    Medium,
    Large,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DesktopParam {
    pub enabled: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkParam {
    pub access: NetworkAccess,
    #[serde(default)]
    pub allowed_domains: Option<Vec<String>>,
    #[serde(default)]
    pub blocked_domains: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkAccess {
    Enabled,
    Disabled,
    Restricted,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackagesParam {
    pub npm: Option<Vec<String>>,
    pub python: Option<Vec<String>>,
    pub system: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupCommandParam {
    pub command: String,
    /// Absolute; `/workspace` when left out.
    #[serde(default)]
    pub cwd: Option<String>,
}

/// A file that is laid into the workspace before the first action.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FileParam {
    FileId(UploadedFileParam),
    Inline(InlineFileParam),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadedFileParam {
    /// Of an uploaded file, or of an artifact that a session published. Its label comes along.
    pub file_id: String,
    /// Absolute, below `/workspace`.
    pub path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineFileParam {
    /// The content in standard base64.
    pub data: String,
    /// Absolute, below `/workspace`.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<FileExtrasParam>,
}

impl FileParam {
    pub fn path(&self) -> &str {
        match self {
            Self::FileId(file) => &file.path,
            Self::Inline(file) => &file.path,
        }
    }
}

/// An executor that the application runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfHostedParam {
    /// Absolute folder inside the environment.
    pub workspace_directory: String,
    /// Absolute folders in which skills are looked for.
    #[serde(default)]
    pub capability_directories: Option<Vec<String>>,
    #[serde(default)]
    pub bailiwick: Option<SelfHostedExtras>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfHostedExtras {
    /// We dial the listening executor of this name (`[executors.NAME]`); left out, the executor dials us.
    pub executor: Option<String>,
    /// What lies in the folder. Left out it may be anybody's words: untrusted.
    pub content: Option<FolderContentParam>,
}

/// Somebody's word on what lies in a folder that is not ours. Who said it is kept with the session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderContentParam {
    #[schema(value_type = Object)]
    pub label: Label,
    /// Why that is so.
    pub reason: String,
}

impl<'de> Deserialize<'de> for EnvironmentParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["none", "openai_hosted", "self_hosted"], |tag, rest| match tag {
            "none" => Some(nested(rest).map(Self::None)),
            "openai_hosted" => Some(nested(rest).map(|hosted| Self::OpenaiHosted(Box::new(hosted)))),
            "self_hosted" => Some(nested(rest).map(Self::SelfHosted)),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for FileParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["file_id", "inline"], |tag, rest| match tag {
            "file_id" => Some(nested(rest).map(Self::FileId)),
            "inline" => Some(nested(rest).map(Self::Inline)),
            _ => None,
        })
    }
}

// ---- resources ----

/// The environment of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Environment {
    None(PlainFormat),
    OpenaiHosted(HostedEnvironment),
    SelfHosted(SelfHostedEnvironment),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct HostedEnvironment {
    pub id: String,
    pub capability_directories: Vec<String>,
    pub files: Vec<EnvironmentFileSource>,
    pub network: Network,
    pub packages: Packages,
    #[schema(value_type = Vec<Object>)]
    pub plugins: Vec<Value>,
    pub skills: Vec<HostedSkill>,
    pub container_size: Size,
    pub desktop: Desktop,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Network {
    pub access: NetworkAccess,
    pub allowed_domains: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Packages {
    pub npm: Vec<String>,
    pub python: Vec<String>,
    pub system: Vec<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Desktop {
    pub enabled: bool,
}

/// A file that was given with the environment, without its content.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnvironmentFileSource {
    FileId { id: String, file_id: String, path: String, size_bytes: u64, bailiwick: FileExtras },
    Inline { id: String, path: String, size_bytes: u64, bailiwick: FileExtras },
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SelfHostedEnvironment {
    pub id: String,
    pub capability_directories: Vec<String>,
    /// For `codex exec-server --remote`. Empty for an executor that listens.
    pub remote_url: String,
    pub workspace_directory: String,
}

/// A file of an environment.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentFile {
    pub environment_id: String,
    pub object: &'static str,
    /// Absolute, inside the workspace.
    pub path: String,
    pub size_bytes: u64,
}

/// A page of files; `page` takes `next`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentFilePage {
    pub object: &'static str,
    pub data: Vec<EnvironmentFile>,
    pub has_more: bool,
    pub next: Option<String>,
}

/// What is told of an environment by its id.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentInfo {
    pub id: String,
    pub object: &'static str,
    pub r#type: &'static str,
    pub status: &'static str,
    pub files: Vec<EnvironmentFileSource>,
    #[schema(value_type = Vec<Object>)]
    pub plugins: Vec<Value>,
    pub skills: Vec<HostedSkill>,
    pub bailiwick: EnvironmentInfoExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnvironmentInfoExtras {
    /// The one session that works in it.
    pub session_id: String,
    pub error: Option<String>,
    pub facts: Option<super::extra::EnvironmentFacts>,
}

impl Environment {
    /// `base_url` is what an executor is told to register at.
    pub fn of(spec: &bailiwick_core::EnvironmentSpec, base_url: &str) -> Self {
        use bailiwick_core::{EnvironmentSpec, environment::Connection};
        match spec {
            EnvironmentSpec::None => Self::None(PlainFormat {}),
            EnvironmentSpec::Hosted(hosted) => Self::OpenaiHosted(HostedEnvironment {
                id: hosted.id.to_string(),
                capability_directories: hosted.skill_folders.clone(),
                files: files(hosted),
                network: Network { access: NetworkAccess::Disabled, allowed_domains: Vec::new() },
                packages: Packages::default(),
                plugins: Vec::new(),
                skills: hosted.skills.iter().map(HostedSkill::of).collect(),
                container_size: hosted.size.into(),
                desktop: Desktop { enabled: false },
            }),
            EnvironmentSpec::SelfHosted(own) => Self::SelfHosted(SelfHostedEnvironment {
                id: own.id.to_string(),
                capability_directories: own.skill_folders.clone(),
                remote_url: match own.connection {
                    Connection::DialIn => base_url.to_owned(),
                    Connection::Listen { .. } => String::new(),
                },
                workspace_directory: own.workspace_directory.clone(),
            }),
        }
    }
}

pub fn files(hosted: &bailiwick_core::environment::Hosted) -> Vec<EnvironmentFileSource> {
    let place = |(index, file): (usize, &bailiwick_core::environment::HostedFile)| {
        let (id, path, size_bytes) = (format!("{}-{index}", hosted.id), file.path.clone(), file.size_bytes);
        let bailiwick = FileExtras { label: file.label.clone() };
        match file.inline {
            true => EnvironmentFileSource::Inline { id, path, size_bytes, bailiwick },
            false => EnvironmentFileSource::FileId { id, file_id: file.file.to_string(), path, size_bytes, bailiwick },
        }
    };
    hosted.files.iter().enumerate().map(place).collect()
}

pub fn status(status: bailiwick_core::EnvironmentStatus) -> &'static str {
    use bailiwick_core::EnvironmentStatus::{Connected, Disconnected, Expired, Failed, Pending, Ready, Suspended};
    match status {
        Pending => "pending",
        Ready => "ready",
        Connected => "connected",
        Disconnected => "disconnected",
        Suspended => "suspended",
        Expired => "expired",
        Failed => "failed",
    }
}

impl From<bailiwick_core::environment::Size> for Size {
    fn from(size: bailiwick_core::environment::Size) -> Self {
        use bailiwick_core::environment::Size as Core;
        match size {
            Core::Small => Self::Small,
            Core::Medium => Self::Medium,
            Core::Large => Self::Large,
        }
    }
}

impl From<Size> for bailiwick_core::environment::Size {
    fn from(size: Size) -> Self {
        match size {
            Size::Small => Self::Small,
            Size::Medium => Self::Medium,
            Size::Large => Self::Large,
        }
    }
}
