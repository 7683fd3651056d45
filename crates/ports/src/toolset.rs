//! The tools of a saved agent for agents that are not run here, and the protocol in which those ask for them.

use async_trait::async_trait;
use bailiwick_core::{Content, ToolDefinition};
use serde_json::{Map, Value};

/// What one caller may use.
#[async_trait]
pub trait Toolset: Send + Sync {
    /// Each name once. The error is for the other side.
    async fn tools(&self) -> Result<Vec<ToolDefinition>, String>;

    /// Performs a call, or has it refused.
    async fn call(&self, name: &str, arguments: &Map<String, Value>) -> Called;
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub failed: bool,
    /// What came back, or why nothing did.
    pub content: Vec<Content>,
}

impl Called {
    pub fn failed(why: impl Into<String>) -> Self {
        Self { failed: true, content: vec![Content::text(why.into())] }
    }
}

/// One message, as it came over HTTP.
pub struct ToolsetMessage<'a> {
    pub body: &'a [u8],
    /// A header by its name in lower case.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
}

/// What goes back.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolsetAnswer {
    /// Of HTTP.
    pub status: u16,
    /// JSON; `None` where the message wants no answer.
    pub body: Option<Value>,
}

/// The protocol in which agents that are not run here ask for tools.
#[async_trait]
pub trait ToolsetProtocol: Send + Sync {
    async fn answer(&self, message: ToolsetMessage<'_>, toolset: &dyn Toolset) -> ToolsetAnswer;
}
