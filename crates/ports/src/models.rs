//! Model cards: what is known of a published model.

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
}

/// The models of the configuration.
pub trait ModelCards: Send + Sync {
    fn card(&self, name: &str) -> Option<ModelCard>;
    fn cards(&self) -> Vec<ModelCard>;
}
