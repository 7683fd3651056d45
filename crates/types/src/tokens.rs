//! What a model call consumed.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Tokens as a provider reported them. `input` includes `cached_input`; `output` includes `reasoning_output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    pub input: u64,
    #[serde(default)]
    pub cached_input: u64,
    pub output: u64,
    #[serde(default)]
    pub reasoning_output: u64,
}

impl TokenUsage {
    pub const fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached_input = self.cached_input.saturating_add(other.cached_input);
        self.output = self.output.saturating_add(other.output);
        self.reasoning_output = self.reasoning_output.saturating_add(other.reasoning_output);
    }
}
