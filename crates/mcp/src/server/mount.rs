//! The protocol's half as a server of ours is given it: tools of a saved agent go out, calls come in.

use super::{CallAnswer, IncomingCall, MessageHeaders, Server, Toolbox};
use crate::definition::Definition;
use async_trait::async_trait;
use bailiwick_core::{Failure, FailureCode};
use bailiwick_ports::toolset::{Called, Toolset, ToolsetAnswer, ToolsetMessage, ToolsetProtocol};

#[async_trait]
impl ToolsetProtocol for Server {
    async fn answer(&self, message: ToolsetMessage<'_>, toolset: &dyn Toolset) -> ToolsetAnswer {
        let headers = MessageHeaders {
            protocol_version: (message.header)("mcp-protocol-version"),
            method: (message.header)("mcp-method"),
            name: (message.header)("mcp-name"),
        };
        // Nothing is said before an answer: the answer is one JSON document.
        let answer = self.handle(message.body, Some(&headers), &Offered(toolset), &|_| ()).await;
        ToolsetAnswer { status: answer.status, body: answer.body }
    }
}

struct Offered<'a>(&'a dyn Toolset);

#[async_trait]
impl Toolbox for Offered<'_> {
    async fn tools(&self) -> Result<Vec<Definition>, Failure> {
        let tools = self.0.tools().await.map_err(|why| Failure::new(FailureCode::ToolError, why))?;
        Ok(tools.iter().map(|tool| Definition::of_accepted(tool, tool.effect)).collect())
    }

    async fn call(&self, call: IncomingCall<'_>) -> Option<CallAnswer> {
        let Called { failed, content } = self.0.call(call.name, call.arguments).await;
        Some(CallAnswer::Done { content, structured: None, is_error: failed })
    }
}
