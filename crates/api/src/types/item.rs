//! The history as a client reads it.
//!
//! A built-in tool other than a command is shown as an `mcp_call` of the server label `environment`: the API has no
//! item of its own for files that are read or written.

use super::{
    extra::{Effect, ItemExtras, Who},
    input::{ImageContent, TextContent},
};
use bailiwick_core::{
    Content, Phase,
    item::{EffectNote, Item as CoreItem, ItemBody, ItemStatus},
    record::Resolution,
    tools,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The label of built-in tools, and of tools that do not exist.
pub const ENVIRONMENT_LABEL: &str = "environment";
const UNKNOWN_LABEL: &str = "unknown";

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Message(MessageItem),
    Reasoning(ReasoningItem),
    FunctionCall(FunctionCallItem),
    FunctionCallOutput(FunctionCallOutputItem),
    CommandExecution(CommandItem),
    McpCall(McpCallItem),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MessageItem {
    pub id: String,
    pub turn_id: String,
    pub role: &'static str,
    /// `in_progress`, `completed` or `incomplete`.
    pub status: &'static str,
    pub content: Vec<MessageContent>,
    /// `commentary` or `final_answer`, where the model says so.
    pub phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessageContent {
    InputText(TextContent),
    InputImage(ImageContent),
    OutputText(TextContent),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReasoningItem {
    pub id: String,
    pub turn_id: String,
    pub status: &'static str,
    pub summary: Vec<SummaryPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SummaryPart {
    SummaryText(TextContent),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FunctionCallItem {
    pub id: String,
    pub turn_id: String,
    pub call_id: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub arguments: Value,
    /// `in_progress`, `completed`, `failed` or `incomplete`.
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FunctionCallOutputItem {
    pub id: String,
    pub turn_id: String,
    pub call_id: String,
    pub status: &'static str,
    pub error: Option<String>,
    pub output: Option<FunctionOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FunctionOutput {
    Text(String),
    Parts(Vec<MessageContent>),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CommandItem {
    pub id: String,
    pub turn_id: String,
    pub command: String,
    pub cwd: Option<String>,
    pub output: Option<String>,
    pub exit_code: Option<i32>,
    pub duration_ms: Option<u64>,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct McpCallItem {
    pub id: String,
    pub turn_id: String,
    /// Of the connector; `environment` for what is built into it.
    pub server_label: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub arguments: Value,
    #[schema(value_type = Option<String>)]
    pub output: Value,
    #[schema(value_type = Option<String>)]
    pub error: Value,
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<ItemExtras>,
}

impl Item {
    pub fn id(&self) -> &str {
        match self {
            Self::Message(item) => &item.id,
            Self::Reasoning(item) => &item.id,
            Self::FunctionCall(item) => &item.id,
            Self::FunctionCallOutput(item) => &item.id,
            Self::CommandExecution(item) => &item.id,
            Self::McpCall(item) => &item.id,
        }
    }

    pub fn of(item: &CoreItem) -> Self {
        let (id, turn_id) = (item.id.to_string(), item.turn.to_string());
        let (status, bailiwick) = (call_status(item.status), extras(item));
        match &item.body {
            ItemBody::UserMessage { content } => {
                let content = content.iter().map(input_content).collect();
                Self::Message(MessageItem { id, turn_id, role: "user", status, content, phase: None, bailiwick })
            }
            ItemBody::AssistantMessage { text, phase } => Self::Message(MessageItem {
                id,
                turn_id,
                role: "assistant",
                status: message_status(item.status),
                content: vec![MessageContent::OutputText(TextContent { text: text.clone() })],
                phase: phase.map(|phase| match phase {
                    Phase::Commentary => "commentary",
                    Phase::FinalAnswer => "final_answer",
                }),
                bailiwick,
            }),
            ItemBody::Reasoning { summary } => {
                let part = |text: &String| SummaryPart::SummaryText(TextContent { text: text.clone() });
                let summary = summary.iter().map(part).collect();
                Self::Reasoning(ReasoningItem { id, turn_id, status: message_status(item.status), summary, bailiwick })
            }
            ItemBody::FunctionCall { call_id, name, arguments } => {
                let (call_id, name, arguments) = (call_id.clone(), name.clone(), arguments.clone());
                Self::FunctionCall(FunctionCallItem { id, turn_id, call_id, name, arguments, status, bailiwick })
            }
            ItemBody::FunctionCallOutput { call_id, output, error } => {
                let (call_id, error) = (call_id.clone(), error.clone());
                let output = output.as_deref().map(function_output);
                Self::FunctionCallOutput(FunctionCallOutputItem {
                    id,
                    turn_id,
                    call_id,
                    status,
                    error,
                    output,
                    bailiwick,
                })
            }
            ItemBody::CommandExecution { command, cwd, output, exit_code, duration_ms } => {
                Self::CommandExecution(CommandItem {
                    id,
                    turn_id,
                    command: command.clone(),
                    cwd: Some(cwd.clone()),
                    output: output.clone(),
                    exit_code: *exit_code,
                    duration_ms: *duration_ms,
                    status,
                    bailiwick,
                })
            }
            ItemBody::ToolCall { connector, name, arguments, output, error } => Self::McpCall(McpCallItem {
                id,
                turn_id,
                server_label: match connector {
                    Some(label) => label.clone(),
                    None if tools::BUILT_IN.contains(&name.as_str()) => ENVIRONMENT_LABEL.to_owned(),
                    None => UNKNOWN_LABEL.to_owned(),
                },
                name: name.clone(),
                arguments: arguments.clone(),
                output: text_or_null(output),
                error: text_or_null(error),
                status,
                bailiwick,
            }),
        }
    }
}

fn text_or_null(text: &Option<String>) -> Value {
    text.clone().map_or(Value::Null, Value::String)
}

fn call_status(status: ItemStatus) -> &'static str {
    match status {
        ItemStatus::InProgress => "in_progress",
        ItemStatus::Completed => "completed",
        ItemStatus::Failed => "failed",
        ItemStatus::Incomplete => "incomplete",
    }
}

/// Messages and reasoning do not fail; they are cut.
fn message_status(status: ItemStatus) -> &'static str {
    match status {
        ItemStatus::Failed => "incomplete",
        other => call_status(other),
    }
}

fn input_content(content: &Content) -> MessageContent {
    match content {
        Content::Text { text } => MessageContent::InputText(TextContent { text: text.clone() }),
        Content::Image { url } => MessageContent::InputImage(ImageContent { image_url: url.clone() }),
    }
}

fn function_output(content: &[Content]) -> FunctionOutput {
    match content {
        [] => FunctionOutput::Text(String::new()),
        [Content::Text { text }] => FunctionOutput::Text(text.clone()),
        parts => FunctionOutput::Parts(parts.iter().map(input_content).collect()),
    }
}

fn extras(item: &CoreItem) -> Option<ItemExtras> {
    let effect = item.effect.as_ref().map(|note| match note {
        EffectNote::Denied { rule, remedy } => Effect::Denied { rule: rule.clone(), remedy: remedy.clone() },
        EffectNote::Unknown { reason } => Effect::Unknown { reason: reason.clone() },
        EffectNote::Held { by } => Effect::Held { by: by.to_string() },
        EffectNote::Asked { question } => {
            Effect::Asked { rule: question.rule.clone(), reason: question.reason.clone() }
        }
        EffectNote::Resolved { resolution, by } => {
            Effect::Resolved { resolution: resolution_word(*resolution), by: by.to_string() }
        }
    });
    let who = item.who.as_ref().map(|who| Who::of(&who.orderer, who.agent));
    let extras = ItemExtras { action: item.action.map(|id| id.to_string()), effect, scripted: item.scripted, who };
    (extras != ItemExtras::default()).then_some(extras)
}

pub fn resolution_word(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::Happened => "happened",
        Resolution::DidNotHappen => "did_not_happen",
        Resolution::DoAgain => "do_again",
    }
}
