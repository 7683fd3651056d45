//! The allow-list of an agent's remit.

use crate::{
    remit::{covers, validate},
    schema,
};
use bailiwick_core::{Action, AgentConfig, ConnectorCall, FunctionTool, Remit};
use bailiwick_ports::{Policy, PolicyRequest, Verdict};
use bailiwick_types::{Principal, TenantId};
use serde_json::Value;

/// Allows exactly what `remit.allow` lists, only functions and the model of the agent's own configuration, and only to
/// that agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowList;

impl Policy for AllowList {
    /// Counts changes of the rules in this file.
    fn version(&self, _tenant: TenantId) -> u64 {
        1
    }

    fn decide(&self, request: &PolicyRequest<'_>) -> Verdict {
        let PolicyRequest { principal, agent, action, .. } = request;
        if !matches!(principal, Principal::Agent { id, .. } if *id == agent.id) {
            return deny(
                "principal",
                format!("{principal} asked, but the action belongs to {}", agent.id),
                "have the agent itself ask; nobody else acts under its remit".into(),
            );
        }
        let operation = action.operation();
        let Some(entry) = agent.remit.allow.iter().find(|entry| covers(entry, operation)) else {
            let kind = operation.split('.').next().unwrap_or(operation);
            return deny(
                "remit.allow",
                format!("`{operation}` is not in the agent's remit"),
                format!("the agent's owner can add `{operation}`, or all of `{kind}.*`, to `remit.allow`"),
            );
        };
        own_things_only(request, agent, action).unwrap_or_else(|| Verdict::allow(format!("remit.allow `{entry}`")))
    }

    fn check_remit(&self, remit: &Remit) -> Result<(), String> {
        validate(remit).map_err(|error| error.to_string())
    }

    fn check_tool(&self, tool: &FunctionTool) -> Result<(), String> {
        schema::check(&tool.parameters)
    }
}

/// The denial of an action that is listed, but reaches for what is not the agent's.
fn own_things_only(request: &PolicyRequest<'_>, agent: &AgentConfig, action: &Action) -> Option<Verdict> {
    match action {
        Action::ModelCall(call) if call.model != agent.model => Some(deny(
            "agent.model",
            format!("the agent works with the model `{}`, not with `{}`", agent.model, shown(&call.model)),
            format!("set the agent's or the session's `model` to `{}`", shown(&call.model)),
        )),
        Action::FunctionCall { name, arguments } => function_only(agent, name, arguments),
        Action::ConnectorCall(call) => connector_only(request, agent, call),
        _ => None,
    }
}

fn function_only(agent: &AgentConfig, name: &str, arguments: &Value) -> Option<Verdict> {
    let Some(tool) = agent.tools.iter().find(|tool| tool.name == name) else {
        return Some(deny(
            "agent.tools",
            format!("the agent has no function `{}`", shown(name)),
            format!("add the function `{}` to the agent's `tools`, or call one that it has", shown(name)),
        ));
    };
    let complaint = schema::must_match(&tool.parameters, arguments).err()?;
    Some(deny(
        "agent.tools.parameters",
        format!("the arguments do not fit the schema of `{}`: {complaint}", shown(name)),
        "call it again with arguments that fit".into(),
    ))
}

fn connector_only(request: &PolicyRequest<'_>, agent: &AgentConfig, call: &ConnectorCall) -> Option<Verdict> {
    let (connector, tool) = (shown(&call.connector), shown(&call.tool));
    let given = agent.connectors.iter().find(|one| one.label == call.connector);
    if !given.is_some_and(|one| one.allows(&call.tool)) {
        return Some(deny(
            "agent.connectors",
            format!("the agent was not given the tool `{tool}` of the connector `{connector}`"),
            format!("add `{tool}` to the `allowed_tools` of `{connector}`, or call a tool that it has"),
        ));
    }
    let Some(definition) = request.connector.and_then(|connector| connector.tool) else {
        return Some(deny(
            "agent.connectors",
            format!("nothing is known of the tool `{tool}` of the connector `{connector}`"),
            "call a tool that the connector offered when it was opened".into(),
        ));
    };
    let complaint = schema::must_match(&definition.parameters, &call.arguments).err()?;
    Some(deny(
        "connector.parameters",
        format!("the arguments do not fit the schema of `{tool}`: {complaint}"),
        "call it again with arguments that fit".into(),
    ))
}

fn deny(rule: &str, reason: String, remedy: String) -> Verdict {
    Verdict::Deny { rule: rule.into(), reason, remedy }
}

/// A name that a model made up, safe to print.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}
