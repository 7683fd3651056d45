//! Skills, as data: what a session was given, and how the model is told of it.
//!
//! A skill is pinned by the digest of all its files when an agent is saved, when a session begins, or when it is found in
//! an environment. What is loaded later is that or nothing. The model is told names and descriptions only.

use crate::Label;
use bailiwick_types::{EnvironmentId, FileId, SkillId};
use serde::{Deserialize, Serialize};

/// Skills of one agent or environment, and of one folder in which they are looked for.
pub const MAX_SKILLS: usize = 64;
/// Folders of one environment in which skills are looked for.
pub const MAX_SKILL_FOLDERS: usize = 8;
/// The folder below the workspace into which skills are laid.
pub const SKILLS_FOLDER: &str = ".skills";

/// A skill that may be loaded, exactly as it was when it was pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkillUse {
    pub name: String,
    /// What it does, and when to use it: on one line.
    pub description: String,
    /// SHA-256 over its files, in hexadecimal.
    pub digest: String,
    pub source: SkillSource,
    /// Of its content.
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
}

/// Where a skill's files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum SkillSource {
    /// The organisation keeps it.
    Kept { skill: SkillId, version: u32, file: FileId },
    /// It came with the request that created the session.
    Inline { file: FileId },
    /// It lies in the session's environment, in this folder: anybody's words, as everything there.
    Found { path: String },
}

impl SkillUse {
    /// The object that holds its files; `None` where they lie in the environment.
    pub fn file(&self) -> Option<FileId> {
        match &self.source {
            SkillSource::Kept { file, .. } | SkillSource::Inline { file } => Some(*file),
            SkillSource::Found { .. } => None,
        }
    }
}

/// Canonical arguments of loading a skill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillLoad {
    pub skill: SkillUse,
    /// Where it is laid in, or lies; without one its content is only told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// Absolute: where it is laid in, or lies. Without an environment what rules know it by.
    pub folder: String,
    /// One file of it, by its path in the skill; `None`: its instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl SkillLoad {
    /// The file that is read, as rules know it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder.trim_end_matches('/'), self.file.as_deref().unwrap_or("SKILL.md"))
    }

    /// Whether files are written into the environment.
    pub fn lays_in(&self) -> bool {
        self.environment.is_some() && self.skill.file().is_some()
    }
}

/// What looking for skills in a folder found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundSkills {
    /// By name.
    pub skills: Vec<SkillUse>,
    /// Folders that are no skill as the format says, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}
