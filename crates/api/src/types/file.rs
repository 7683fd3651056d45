//! Uploaded files, artifacts and models.

use bailiwick_core::Label;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FileObject)]
pub struct File {
    pub id: String,
    pub object: &'static str,
    pub bytes: u64,
    /// Seconds since 1970.
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub filename: String,
    pub purpose: String,
    pub status: &'static str,
    pub bailiwick: FileExtras,
}

/// What we tell of a file or an artifact beyond the API.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FileExtras {
    /// Where its content came from, and who may see it.
    #[schema(value_type = Object)]
    pub label: Label,
}

/// What may be said of a file beyond the API.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileExtrasParam {
    /// `{"integrity": "trusted" | "untrusted", "confidentiality": "public" | "internal" | {"groups": […]}}`: where its
    /// content came from, and who may see it. Left out it is trusted and internal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub label: Option<Label>,
}

/// What a file may be uploaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Purpose {
    #[serde(rename = "assistants")]
    Assistants,
    #[serde(rename = "batch")]
    Batch,
    #[serde(rename = "fine-tune")]
    FineTune,
    #[serde(rename = "vision")]
    Vision,
    #[serde(rename = "user_data")]
    UserData,
    #[serde(rename = "evals")]
    Evals,
}

impl Purpose {
    pub const ALL: [(&'static str, Self); 6] = [
        ("assistants", Self::Assistants),
        ("batch", Self::Batch),
        ("fine-tune", Self::FineTune),
        ("vision", Self::Vision),
        ("user_data", Self::UserData),
        ("evals", Self::Evals),
    ];
}

/// A multipart form.
#[derive(Debug, ToSchema)]
#[schema(as = FileCreateParams)]
#[allow(dead_code, reason = "describes the form; it is read part by part")]
pub struct FileForm {
    #[schema(format = Binary)]
    pub file: String,
    pub purpose: Purpose,
    /// As JSON, or as one field for each value: `bailiwick[label][integrity]`, `bailiwick[label][confidentiality]` or
    /// `bailiwick[label][confidentiality][groups][]`.
    pub bailiwick: Option<FileExtrasParam>,
}

/// An immutable file that a completed turn published.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SessionArtifact)]
pub struct Artifact {
    pub id: String,
    pub object: &'static str,
    pub created_at: i64,
    pub environment_id: String,
    /// Absolute path in the environment.
    pub path: String,
    pub session_id: String,
    pub turn_id: String,
    pub size_bytes: u64,
    pub bailiwick: FileExtras,
}

/// A published model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Model {
    pub id: String,
    pub object: &'static str,
    pub created: i64,
    pub owned_by: String,
    pub bailiwick: ModelExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelExtras {
    /// The provider's own name for it.
    pub model: String,
    pub context_tokens: u64,
    pub max_output_tokens: Option<u64>,
    /// Its answers come from a scenario file.
    pub scripted: bool,
}
