//! What goes to a model and what comes back, in our own neutral form. Providers' encodings are in `models`.

use crate::Content;
use bailiwick_types::{ItemId, TokenUsage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// One entry of the history that a model sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: ItemId,
    #[serde(flatten)]
    pub body: EntryBody,
    /// What the provider itself sent for this entry; sent back verbatim, and only to the place it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Native>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum EntryBody {
    User {
        content: Vec<Content>,
    },
    Assistant {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
    },
    Reasoning {
        summary: Vec<String>,
    },
    ToolCall {
        call_id: String,
        name: String,
        /// The JSON text exactly as the model wrote it; it may be malformed.
        arguments: String,
    },
    ToolResult {
        call_id: String,
        content: Vec<Content>,
        failed: bool,
    },
    /// What stands for the entries before it after a compaction.
    Summary {
        text: String,
    },
    /// A word from the house, not from a person: an outcome that became known, a command that ended.
    Notice {
        text: String,
    },
}

impl EntryBody {
    /// Roughly how many bytes this entry adds to a prompt.
    pub fn weight(&self) -> usize {
        match self {
            Self::User { content } | Self::ToolResult { content, .. } => content.iter().map(Content::len).sum(),
            Self::Assistant { text, .. } | Self::Summary { text } | Self::Notice { text } => text.len(),
            Self::Reasoning { summary } => summary.iter().map(String::len).sum(),
            Self::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        }
    }
}

/// Whether an assistant message is said on the way or is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Commentary,
    FinalAnswer,
}

/// A provider's own item. `origin` names provider, endpoint and model; the value is used only when the next request
/// goes to the same origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Native {
    pub origin: Arc<str>,
    pub value: Value,
}

/// How hard to think and how much of it to show. `None` leaves the choice to the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// `concise`, `detailed` or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// The form of the answer's text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    /// A JSON Schema that the final text must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// `low`, `medium` or `high`.
    pub verbosity: String,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { schema: None, verbosity: "medium".into() }
    }
}

/// A tool as the model is told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// A JSON Schema object.
    pub parameters: Value,
}

/// One call of a model: everything the provider is told. Adapters add only transport.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// The published name, `[models.NAME]` in the configuration.
    pub model: String,
    pub instructions: String,
    pub input: Vec<Arc<Entry>>,
    pub tools: Arc<[ToolSpec]>,
    pub parallel_tool_calls: bool,
    pub reasoning: Reasoning,
    pub text: TextOptions,
    pub service_tier: String,
    pub max_output_tokens: Option<u64>,
    /// Stable within a session, so that a provider can reuse its prompt cache.
    pub cache_key: String,
}

/// A model's whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// In the model's order; ids are `ItemId::of_output(action, index)`.
    pub entries: Vec<Arc<Entry>>,
    pub usage: TokenUsage,
    pub stop: Stop,
    /// The model that the provider says has answered.
    pub provider_model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// The answer came from a scenario file, not from a model. Every place that shows it says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scripted: bool,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It said all it wanted, or called tools.
    Completed,
    /// It met its output limit; the last entry may be cut.
    MaxOutputTokens,
    ContentFilter,
}
