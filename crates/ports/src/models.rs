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

/// The models of the configuration.
pub trait ModelCards: Send + Sync {
    fn card(&self, name: &str) -> Option<ModelCard>;
    fn cards(&self) -> Vec<ModelCard>;
}
