//! Model cards: what is known of a published model.

pub use bailiwick_core::Prices;

use serde::{Deserialize, Serialize};

/// One published model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The name that agents use.
    pub name: String,
    /// `openai-responses`, `openai-chat` or `rehearsal`.
    pub provider: String,
    /// The provider's own name for it.
    pub model: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
    pub max_output_tokens: Option<u64>,
    /// Its answers come from a scenario file.
    pub scripted: bool,
    /// `None` when nobody said what it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,
    /// Where a prompt goes.
    #[serde(default)]
    pub residency: Residency,
    /// Groups whose data this model may see although it is outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clearance: Vec<String>,
}

/// Where a model's provider is, seen from the company's walls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residency {
    Inside,
    /// Until somebody says otherwise.
    #[default]
    Outside,
}

/// A secret that something needs: which, and where it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialNeed {
    /// As it is called in its vault.
    pub name: String,
    /// In lower case, without port.
    pub host: String,
}

/// The models of the configuration.
pub trait ModelCards: Send + Sync {
    /// The secret that a call of this model is made with, where that is one of a vault.
    fn credential(&self, _name: &str) -> Option<CredentialNeed> {
        None
    }

    /// How many attempts of one call may be paid for: the first, and those that may follow one that broke after it was
    /// sent. What a call may cost at most covers all of them.
    fn paid_attempts(&self, _name: &str) -> u32 {
        1
    }

    fn card(&self, name: &str) -> Option<ModelCard>;
    fn cards(&self) -> Vec<ModelCard>;
}
