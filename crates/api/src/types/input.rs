//! What a client tells a session.

use super::extra::EventsExtras;
use crate::body::{nested, tagged};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The first input of a session: a text, or messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FirstInput {
    Text(String),
    Messages(Vec<MessageParam>),
}

impl<'de> Deserialize<'de> for FirstInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(_) => nested(value).map(Self::Messages).map_err(|error| D::Error::custom(error.into_text())),
            _ => Err(D::Error::custom("a text or a list of messages is needed")),
        }
    }
}

/// A user message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageParam {
    pub content: Vec<ContentParam>,
    pub role: UserRole,
    #[serde(default)]
    pub r#type: Option<MessageType>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    User,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    Message,
}

/// A part of a message or of a function's result.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentParam {
    InputText(TextContent),
    InputImage(ImageContent),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextContent {
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageContent {
    /// A base64 `data:` URL, or an https URL.
    pub image_url: String,
}

impl<'de> Deserialize<'de> for ContentParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["input_text", "input_image"], |tag, rest| match tag {
            "input_text" => Some(nested(rest).map(Self::InputText)),
            "input_image" => Some(nested(rest).map(Self::InputImage)),
            _ => None,
        })
    }
}

/// The body of `POST …/events`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsParam {
    /// 1 to 64. All are taken or none.
    pub events: Vec<EventParam>,
    #[serde(default)]
    pub bailiwick: Option<EventsExtras>,
}

/// An input event.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type")]
pub enum EventParam {
    /// Starts a turn, or steers the one that is running.
    #[serde(rename = "agent.session.input.message")]
    Message(MessageInput),
    /// Ends the turn that is running.
    #[serde(rename = "agent.session.input.cancel")]
    Cancel(CancelInput),
    /// The answer to a function call.
    #[serde(rename = "agent.session.input.tool_result")]
    ToolResult(ToolResultInput),
    /// The answer to a call of a tool that waits for it.
    #[serde(rename = "agent.session.input.mcp_approval_request_result")]
    McpApproval(McpApprovalInput),
    /// Not built: answers 501.
    #[serde(rename = "agent.session.input.computer_use_approval_request_result")]
    ComputerUseApproval(UnbuiltInput),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageInput {
    pub input: Vec<MessageParam>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelInput {}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolResultInput {
    pub call_id: String,
    pub turn_id: String,
    pub success: bool,
    /// What the model is told when the call failed.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub output: Option<OutputParam>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpApprovalInput {
    /// As the required action shows it.
    pub request_id: String,
    pub response: McpApprovalResponse,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct McpApprovalResponse {
    /// `mcp_tool_call`.
    #[serde(rename = "type")]
    pub kind: McpApprovalKind,
    pub decision: McpApprovalDecision,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpApprovalKind {
    McpToolCall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpApprovalDecision {
    Approve,
    Deny,
    /// Dismisses the request: the call is not made, and the turn goes on.
    Cancel,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnbuiltInput {}

/// A function's result: a text, or parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OutputParam {
    Text(String),
    Parts(Vec<ContentParam>),
}

impl<'de> Deserialize<'de> for OutputParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(_) => nested(value).map(Self::Parts).map_err(|error| D::Error::custom(error.into_text())),
            _ => Err(D::Error::custom("a text or a list of content parts is needed")),
        }
    }
}

const EVENTS: [&str; 5] = [
    "agent.session.input.message",
    "agent.session.input.cancel",
    "agent.session.input.tool_result",
    "agent.session.input.mcp_approval_request_result",
    "agent.session.input.computer_use_approval_request_result",
];

impl<'de> Deserialize<'de> for EventParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &EVENTS, |tag, rest| match tag.strip_prefix("agent.session.input.")? {
            "message" => Some(nested(rest).map(Self::Message)),
            "cancel" => Some(nested(rest).map(Self::Cancel)),
            "tool_result" => Some(nested(rest).map(Self::ToolResult)),
            "mcp_approval_request_result" => Some(nested(rest).map(Self::McpApproval)),
            "computer_use_approval_request_result" => Some(Ok(Self::ComputerUseApproval(UnbuiltInput {}))),
            _ => None,
        })
    }
}
