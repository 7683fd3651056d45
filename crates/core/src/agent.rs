//! A saved colleague, as a session works with it.

use crate::{
    connector::ConnectorUse,
    memory::MemoryUse,
    model::{Reasoning, TextOptions},
    skill::SkillUse,
};
use bailiwick_types::{AgentId, Millis, Money};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The configuration of an agent at one version. A session keeps its own copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    pub id: AgentId,
    /// Counts from 1; 0 is an agent written inline for one session.
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A published model name.
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    #[serde(default)]
    pub tools: Vec<FunctionTool>,
    /// Tools that are deferred are found by a search.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tool_search: bool,
    /// What it was given of the company's systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connectors: Vec<ConnectorUse>,
    /// What it may do with memory; `None`: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryUse>,
    /// What it can learn when it needs it, as it was when the agent was saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<SkillUse>,
    #[serde(default)]
    pub reasoning: Reasoning,
    #[serde(default)]
    pub text: TextOptions,
    #[serde(default = "auto")]
    pub service_tier: String,
    #[serde(default)]
    pub remit: Remit,
    #[serde(default)]
    pub limits: Limits,
}

fn auto() -> String {
    "auto".into()
}

/// A function that the application answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionTool {
    pub name: String,
    pub description: String,
    /// A JSON Schema object.
    pub parameters: Value,
    /// What one call costs, where the operator's own price list does not name the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Found by a search, and not told before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
}

/// What the agent may do: the allow-list that stands where a policy engine will. Anything not listed is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remit {
    /// Operations (`file.edit`) or whole kinds with a star (`file.*`).
    pub allow: Vec<String>,
}

impl Default for Remit {
    /// An agent may call its model, use its own environment, call the functions and connectors it was given, and use its
    /// memory where it has one.
    fn default() -> Self {
        let all = [
            "model.call",
            "environment.*",
            "command.*",
            "file.*",
            "artifact.*",
            "tool.call",
            "connector.*",
            "data.*",
            "memory.*",
        ];
        Self { allow: all.map(String::from).to_vec() }
    }
}

/// Where a turn stops by itself. Each has a default and an upper bound that the API enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Model calls in one turn.
    pub steps_per_turn: u32,
    /// From the turn's start to its end, waiting for the application included.
    pub turn_time_ms: Millis,
    /// Tool calls of one answer that run at the same time.
    pub parallel_actions: u16,
    /// Bytes of one tool result that reach the model; the rest is cut visibly.
    pub output_bytes: u32,
    /// Longest run of one foreground command.
    pub command_time_ms: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps_per_turn: 200,
            turn_time_ms: Millis::from_secs(6 * 3600),
            parallel_actions: 8,
            output_bytes: 64 * 1024,
            command_time_ms: Millis::from_secs(600),
        }
    }
}
