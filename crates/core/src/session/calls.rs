//! How a tool call is shown: while it goes on, and how it ended, for the model and for people.

use super::state::Call;
use crate::{
    Action, CommandEnd, CommandOutput, Content,
    item::{EffectNote, ItemBody, ItemStatus},
    joined_text,
};
use bailiwick_types::ActionId;
use serde_json::Value;

/// How a tool call ended.
pub(super) struct CallEnd {
    pub(super) status: ItemStatus,
    /// For the model.
    pub(super) content: Vec<Content>,
    pub(super) effect: Option<EffectNote>,
    pub(super) command: Option<CommandOutput>,
}

impl CallEnd {
    pub(super) fn done(text: String) -> Self {
        let content = if text.is_empty() { Vec::new() } else { vec![Content::text(text)] };
        Self { status: ItemStatus::Completed, content, effect: None, command: None }
    }

    pub(super) fn failed(message: String) -> Self {
        Self { status: ItemStatus::Failed, ..Self::done(message) }
    }

    pub(super) fn fill(&self, mut body: ItemBody) -> ItemBody {
        let text = joined_text(&self.content);
        match &mut body {
            ItemBody::CommandExecution { output, exit_code, duration_ms, .. } => match &self.command {
                Some(command) => {
                    *output = Some(command.output.clone());
                    *exit_code = command.exit_code;
                    *duration_ms = Some(command.duration_ms.0);
                }
                None => *output = Some(text),
            },
            ItemBody::ToolCall { output, error, .. } => {
                if self.status == ItemStatus::Completed {
                    *output = Some(text);
                } else {
                    *error = Some(text);
                }
            }
            _ => {}
        }
        body
    }
}

pub(super) fn command_end(action: ActionId, output: &CommandOutput) -> CallEnd {
    let mut text = output.output.clone();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&match (output.ended, output.exit_code) {
        (CommandEnd::Running, _) => format!("[running in the background as {action}]"),
        (CommandEnd::TimedOut, _) => format!("[stopped after its time-out, {} ms]", output.duration_ms.0),
        (CommandEnd::Cancelled, _) => "[stopped: the turn was cancelled]".to_owned(),
        (CommandEnd::Exited, Some(code)) => format!("[exit code {code}]"),
        (CommandEnd::Exited, None) => "[ended by a signal]".to_owned(),
    });
    let good = matches!(output.ended, CommandEnd::Running) || output.exit_code == Some(0);
    let base = if good { CallEnd::done(text) } else { CallEnd::failed(text) };
    CallEnd { command: Some(output.clone()), ..base }
}

/// How an action is shown before it has ended.
pub(super) fn item_body(call: &Call, action: &Action) -> ItemBody {
    match action {
        Action::CommandRun(run) => ItemBody::CommandExecution {
            command: run.command.clone(),
            cwd: run.cwd.clone(),
            output: None,
            exit_code: None,
            duration_ms: None,
        },
        Action::FunctionCall { name, arguments } => {
            ItemBody::FunctionCall { call_id: call.call_id.clone(), name: name.clone(), arguments: arguments.clone() }
        }
        Action::ConnectorCall(made) => tool_body(Some(&made.connector), &made.tool, made.arguments.clone()),
        Action::DataQuery(query) => tool_body(Some(&query.connector), &query.tool, call.arguments_value()),
        _ => unparsed_body(call),
    }
}

pub(super) fn unparsed_body(call: &Call) -> ItemBody {
    // The label of a connector ends at the first two underscores.
    let (connector, name) = match call.name.split_once("__") {
        Some((label, tool)) => (Some(label), tool),
        None => (None, call.name.as_str()),
    };
    tool_body(connector, name, call.arguments_value())
}

fn tool_body(connector: Option<&str>, name: &str, arguments: Value) -> ItemBody {
    let (connector, name) = (connector.map(str::to_owned), name.to_owned());
    ItemBody::ToolCall { connector, name, arguments, output: None, error: None }
}
