//! Skills: folders of instructions and files that agents are given.

use super::file::{FileExtras, FileExtrasParam};
use crate::body::{nested, nullable, tagged};
use bailiwick_core::{SkillSource, SkillUse};
use bailiwick_gate as gate;
use bailiwick_types::SkillId;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

// ---- requests ----

/// A multipart form with a skill: one ZIP archive as `files`, or each file as `files[]` with its path for a name.
#[derive(Debug, ToSchema)]
#[schema(as = SkillCreateParams)]
#[allow(dead_code, reason = "describes the form; it is read part by part")]
pub struct SkillForm {
    #[schema(format = Binary)]
    pub files: Vec<String>,
    /// As JSON, or as one field for each value: `bailiwick[label][integrity]`, `bailiwick[label][confidentiality]` or
    /// `bailiwick[label][confidentiality][groups][]`.
    pub bailiwick: Option<FileExtrasParam>,
}

/// The same for one more version.
#[derive(Debug, ToSchema)]
#[schema(as = SkillVersionCreateParams)]
#[allow(dead_code, reason = "describes the form; it is read part by part")]
pub struct SkillVersionForm {
    #[schema(format = Binary)]
    pub files: Vec<String>,
    /// Taken from then on where nobody says which version. `false` when left out.
    pub default: Option<bool>,
    pub bailiwick: Option<FileExtrasParam>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SkillUpdateParams)]
pub struct SkillUpdateParam {
    /// The number of the version that is taken where nobody says which.
    pub default_version: String,
}

/// A skill that an agent is given. The version is pinned when the agent is saved.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SkillGrantParam {
    pub skill_id: String,
    /// A positive number or `latest`; the default version when left out.
    #[serde(default)]
    pub version: Option<String>,
}

/// A skill that comes with an environment. It is pinned when the session begins.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HostedSkillParam {
    SkillReference(SkillReferenceParam),
    Inline(InlineSkillParam),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SkillReferenceParam {
    pub skill_id: String,
    /// A positive number or `latest`; the default version when left out.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub version: Option<Option<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InlineSkillParam {
    /// As `SKILL.md` says it.
    pub name: String,
    /// As `SKILL.md` says it.
    pub description: String,
    pub source: InlineSourceParam,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<FileExtrasParam>,
}

/// The bytes of an archive.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InlineSourceParam {
    Base64(Base64SourceParam),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Base64SourceParam {
    /// A ZIP archive in standard base64.
    pub data: String,
    pub media_type: ArchiveType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ArchiveType {
    #[serde(rename = "application/zip")]
    Zip,
}

impl<'de> Deserialize<'de> for HostedSkillParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["skill_reference", "inline"], |tag, rest| match tag {
            "skill_reference" => Some(nested(rest).map(Self::SkillReference)),
            "inline" => Some(nested(rest).map(Self::Inline)),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for InlineSourceParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["base64"], |tag, rest| match tag {
            "base64" => Some(nested(rest).map(Self::Base64)),
            _ => None,
        })
    }
}

// ---- resources ----

/// A skill that the organisation keeps. Name and description are those of its default version.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Skill)]
pub struct SkillResource {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub name: String,
    pub description: String,
    pub default_version: String,
    pub latest_version: String,
    pub bailiwick: SkillExtras,
}

/// What we tell of a skill beyond the API.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SkillExtras {
    /// Who made it.
    pub by: String,
    /// How many versions are there.
    pub versions: usize,
    /// SHA-256 over the files of the default version, in hexadecimal.
    pub digest: String,
}

/// One version of a skill. It never changes.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SkillVersion)]
pub struct SkillVersionResource {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub skill_id: String,
    /// Counts from 1.
    pub version: String,
    pub name: String,
    pub description: String,
    pub bailiwick: SkillVersionExtras,
}

/// What we tell of a version beyond the API.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SkillVersionExtras {
    /// Who made it.
    pub by: String,
    /// SHA-256 over its files, in hexadecimal.
    pub digest: String,
    /// How many files are in it.
    pub files: u32,
    /// Of its archive.
    pub bytes: u64,
    #[serde(flatten)]
    pub label: FileExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeletedSkillVersion {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
    pub version: String,
}

/// A skill as an agent has it: this version, and no other.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PinnedSkill {
    pub skill_id: String,
    pub version: String,
    pub name: String,
    pub description: String,
    /// SHA-256 over its files, in hexadecimal. What has another is not loaded.
    pub digest: String,
}

/// A skill that came with an environment, without its files.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum HostedSkill {
    SkillReference { skill_id: String, version: String, name: String, description: String },
    Inline { name: String, description: String },
}

impl SkillResource {
    /// `None` of one without versions, which there is not.
    pub fn of(skill: &gate::Skill) -> Option<Self> {
        let (default, latest) = (skill.default().or(skill.latest())?, skill.latest()?);
        Some(Self {
            id: skill.id.to_string(),
            object: "skill",
            created_at: skill.created.as_seconds(),
            name: default.name.clone(),
            description: default.description.clone(),
            default_version: default.version.to_string(),
            latest_version: latest.version.to_string(),
            bailiwick: SkillExtras {
                by: skill.by.to_string(),
                versions: skill.versions.len(),
                digest: default.digest.clone(),
            },
        })
    }
}

impl SkillVersionResource {
    pub fn of(skill: SkillId, version: &gate::SkillVersion) -> Self {
        Self {
            id: version.id.to_string(),
            object: "skill.version",
            created_at: version.created.as_seconds(),
            skill_id: skill.to_string(),
            version: version.version.to_string(),
            name: version.name.clone(),
            description: version.description.clone(),
            bailiwick: SkillVersionExtras {
                by: version.by.to_string(),
                digest: version.digest.clone(),
                files: version.files,
                bytes: version.bytes,
                label: FileExtras { label: version.label.clone() },
            },
        }
    }
}

impl PinnedSkill {
    /// `None` of one that the organisation does not keep.
    pub fn of(skill: &SkillUse) -> Option<Self> {
        let SkillSource::Kept { skill: id, version, .. } = &skill.source else { return None };
        Some(Self {
            skill_id: id.to_string(),
            version: version.to_string(),
            name: skill.name.clone(),
            description: skill.description.clone(),
            digest: skill.digest.clone(),
        })
    }
}

impl HostedSkill {
    pub fn of(skill: &SkillUse) -> Self {
        let (name, description) = (skill.name.clone(), skill.description.clone());
        match &skill.source {
            SkillSource::Kept { skill, version, .. } => {
                Self::SkillReference { skill_id: skill.to_string(), version: version.to_string(), name, description }
            }
            SkillSource::Inline { .. } | SkillSource::Found { .. } => Self::Inline { name, description },
        }
    }
}
