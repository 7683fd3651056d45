//! Model cards: what is known of a published model.

use bailiwick_types::{Money, TokenUsage};
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

/// What a million tokens cost, in micro-units of the tenant's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Counts from 1; a new price is a new version, and a receipt says which it was settled by.
    pub version: u32,
    pub input: Money,
    /// Of input that the provider had cached; like input when it is left out.
    #[serde(default)]
    pub cached_input: Option<Money>,
    pub output: Money,
}

const PER: i128 = 1_000_000;

impl Prices {
    /// What a call cost, rounded up to a micro-unit, so that no call is free because it is small.
    pub fn cost(&self, usage: &TokenUsage) -> Money {
        let cached = usage.cached_input.min(usage.input);
        let of = |tokens: u64, price: Money| i128::from(tokens) * i128::from(price.as_micros());
        let sum = of(usage.input - cached, self.input)
            + of(cached, self.cached_input.unwrap_or(self.input))
            + of(usage.output, self.output);
        Money::from_micros(i64::try_from((sum + PER - 1) / PER).unwrap_or(i64::MAX))
    }
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
