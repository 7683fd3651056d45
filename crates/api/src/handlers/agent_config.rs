//! From what a client says of an agent to what a session works with. What is not built is refused here, by name.

use crate::{
    app::App,
    error::ApiError,
    handlers::{connectors, skills},
    types::{
        agent::{AgentParam, Metadata, ReasoningParam, TextFormat, TextParam, ToolParam},
        connector::ConnectorGrantParam,
        memory::MemoryParam,
        session::RESERVED,
    },
};
use bailiwick_core::{
    AgentConfig, ConnectorSource, ConnectorUse, FunctionTool, Limits, Remit,
    model::{Reasoning, TextOptions},
    tools,
};
use bailiwick_gate::{Connector, ConnectorRequest, Skill, Wanted};
use bailiwick_ports::{Caller, Scope};
use bailiwick_types::{AgentId, Money};
use serde_json::Value;
use std::sync::Arc;

/// Bytes of all tools as compact JSON.
const MAX_TOOLS_BYTES: usize = 3 * 1024 * 1024;
const MAX_TOOLS: usize = 512;
/// Bytes of instructions.
const MAX_INSTRUCTIONS: usize = 1024 * 1024;
const MAX_NAME_CHARS: usize = 256;
const MAX_PAIRS: usize = 16;
const MAX_KEY_CHARS: usize = 64;
const MAX_VALUE_CHARS: usize = 512;

/// Names a field below `path`, which is empty for the body itself.
pub(crate) fn at(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Who builds an agent, and what they may give it.
pub(crate) struct Builder<'a> {
    pub app: &'a App,
    caller: &'a Caller,
    connectors: Arc<[Connector]>,
    skills: Arc<[Skill]>,
    /// What the caller was given on request.
    granted: Vec<ConnectorRequest>,
}

impl<'a> Builder<'a> {
    pub async fn new(app: &'a App, caller: &'a Caller) -> Result<Self, ApiError> {
        let connectors = app.options.handle.gate().connectors().list(caller.tenant).await?;
        let skills = app.options.handle.gate().skills().list(caller.tenant).await?;
        let mut granted = Vec::new();
        if let Some(id) = caller.principal.person().filter(|_| !caller.may(Scope::AgentsWrite)) {
            let requests = app.options.handle.gate().connector_requests().list(caller.tenant).await?;
            granted.extend(requests.iter().filter(|one| one.wanted == Wanted::Person { id }).cloned());
        }
        Ok(Self { app, caller, connectors, skills, granted })
    }

    fn kept(&self, param: ConnectorGrantParam, path: &str) -> Result<ConnectorUse, ApiError> {
        connectors::kept_of((self.app, self.caller), &self.connectors, &self.granted, param, path)
    }
}

/// An agent with nothing but its name for a model, before a client's words are put in.
pub(crate) fn blank(id: AgentId) -> AgentConfig {
    AgentConfig {
        id,
        version: 0,
        name: None,
        model: String::new(),
        instructions: None,
        tools: Vec::new(),
        tool_search: false,
        connectors: Vec::new(),
        memory: None,
        skills: Vec::new(),
        reasoning: Reasoning::default(),
        text: TextOptions::default(),
        service_tier: "auto".into(),
        remit: Remit::default(),
        limits: Limits::default(),
    }
}

/// Puts what was said into `config`; what was left out stays.
pub(crate) fn apply(
    builder: &Builder<'_>,
    param: AgentParam,
    path: &str,
    config: &mut AgentConfig,
) -> Result<(), ApiError> {
    let app = builder.app;
    refuse_unbuilt(&param, path)?;
    if let Some(model) = param.model {
        check_model(app, &model, &at(path, "model"))?;
        config.model = model;
    }
    if config.model.is_empty() {
        let path = at(path, "model");
        return Err(ApiError::invalid(path.clone(), format!("`{path}` is missing: name a published model.")));
    }
    if let Some(instructions) = param.instructions {
        if instructions.as_ref().is_some_and(|text| text.len() > MAX_INSTRUCTIONS) {
            let path = at(path, "instructions");
            return Err(ApiError::invalid(path.clone(), format!("`{path}` is longer than {MAX_INSTRUCTIONS} bytes.")));
        }
        config.instructions = instructions.filter(|text| !text.is_empty());
    }
    if let Some(reasoning) = param.reasoning {
        config.reasoning = reasoning.map(reasoning_of).unwrap_or_default();
    }
    if let Some(tier) = param.service_tier {
        config.service_tier = tier.map_or("auto", |tier| tier.as_str()).to_owned();
    }
    if let Some(text) = param.text {
        config.text = text.map(text_of).unwrap_or_default();
    }
    if let Some(given) = param.tools {
        let given = tools_of(app, given.unwrap_or_default(), &at(path, "tools"))?;
        config.tools = given.functions;
        config.tool_search = given.search;
        config.connectors = with_own(&config.connectors, given.servers);
        for (index, tool) in config.tools.iter().enumerate() {
            app.options.policy.check_tool(tool).map_err(|reason| {
                let path = at(path, &format!("tools[{index}].parameters"));
                ApiError::invalid(path.clone(), format!("`{path}` cannot be used as a JSON Schema: {reason}."))
            })?;
        }
    }
    let extras = param.bailiwick.unwrap_or_default();
    if let Some(given) = extras.connectors {
        let path = at(path, "bailiwick.connectors");
        let one = |(index, one): (usize, ConnectorGrantParam)| builder.kept(one, &format!("{path}[{index}]"));
        let kept: Vec<ConnectorUse> = given.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
        let own = config.connectors.iter().filter(|one| is_own(one)).cloned();
        config.connectors = kept.into_iter().chain(own).collect();
    }
    if let Some(memory) = extras.memory {
        let read = memory.map(MemoryParam::read).transpose();
        config.memory = read.map_err(|(field, problem)| {
            let path = at(path, &format!("bailiwick.memory.{field}"));
            ApiError::invalid(path.clone(), format!("`{path}` {problem}."))
        })?;
    }
    if let Some(given) = extras.skills {
        config.skills = skills::granted(builder.caller, &builder.skills, given, &at(path, "bailiwick.skills"))?;
    }
    connectors::check_tools(config, &at(path, "tools"))?;
    if let Some(remit) = extras.remit {
        let remit = Remit { allow: remit.allow };
        app.options
            .policy
            .check_remit(&remit)
            .map_err(|reason| ApiError::invalid(at(path, "bailiwick.remit"), format!("{reason}.")))?;
        config.remit = remit;
    }
    if let Some(limits) = extras.limits {
        limits.apply(&mut config.limits).map_err(|(field, reason)| {
            let path = at(path, &format!("bailiwick.limits.{field}"));
            ApiError::invalid(path.clone(), format!("`{path}` {reason}."))
        })?;
    }
    Ok(())
}

fn refuse_unbuilt(param: &AgentParam, path: &str) -> Result<(), ApiError> {
    let refuse = |field: &str| Err(ApiError::not_built(at(path, field)));
    if param.compaction.as_ref().is_some_and(|given| given.as_ref().is_some_and(|one| one.r#async == Some(true))) {
        return refuse("compaction.async");
    }
    if param.experimental.as_ref().is_some_and(|given| given.time_awareness == Some(true)) {
        return refuse("experimental.time_awareness");
    }
    if let Some(Some(multi_agent)) = &param.multi_agent {
        if multi_agent.enabled {
            return refuse("multi_agent.enabled");
        }
        if multi_agent.max_concurrent_subagents == Some(0) {
            let path = at(path, "multi_agent.max_concurrent_subagents");
            return Err(ApiError::invalid(path.clone(), format!("`{path}` must be at least 1.")));
        }
    }
    Ok(())
}

/// Only published models can be worked with.
pub(crate) fn check_model(app: &App, model: &str, path: &str) -> Result<(), ApiError> {
    if app.options.cards.card(model).is_some() {
        return Ok(());
    }
    let shown: String = model.chars().take(80).flat_map(char::escape_debug).collect();
    let mut known: Vec<String> = app.options.cards.cards().into_iter().map(|card| format!("`{}`", card.name)).collect();
    known.sort();
    let known = match known.is_empty() {
        true => "no model is published: add `[models.NAME]` to the server's configuration".to_owned(),
        false => format!("published are {}", known.join(", ")),
    };
    Err(ApiError::unknown_model(path, format!("There is no model `{shown}`; {known}.")))
}

fn reasoning_of(param: ReasoningParam) -> Reasoning {
    Reasoning {
        effort: param.effort.flatten().map(|effort| effort.as_str().to_owned()),
        summary: param.summary.map(|summary| summary.as_str().to_owned()),
    }
}

fn text_of(param: TextParam) -> TextOptions {
    let schema = match param.format {
        Some(TextFormat::JsonSchema(format)) => Some(Value::Object(format.schema)),
        Some(TextFormat::Text(_)) | None => None,
    };
    let verbosity = param.verbosity.map_or("medium", |verbosity| verbosity.as_str());
    TextOptions { schema, verbosity: verbosity.to_owned() }
}

fn is_own(one: &ConnectorUse) -> bool {
    matches!(one.source, ConnectorSource::Own { .. })
}

/// The same connectors, but for those that are written into the agent.
pub(crate) fn with_own(before: &[ConnectorUse], own: Vec<ConnectorUse>) -> Vec<ConnectorUse> {
    before.iter().filter(|one| !is_own(one)).cloned().chain(own).collect()
}

/// Tools of an agent, by who answers them.
pub(crate) struct Given {
    pub functions: Vec<FunctionTool>,
    pub servers: Vec<ConnectorUse>,
    /// Those that are deferred are found by a search.
    pub search: bool,
}

pub(crate) fn tools_of(app: &App, params: Vec<ToolParam>, path: &str) -> Result<Given, ApiError> {
    if params.len() > MAX_TOOLS {
        return Err(ApiError::invalid(path, format!("`{path}` has more than {MAX_TOOLS} entries.")));
    }
    let mut tools: Vec<FunctionTool> = Vec::with_capacity(params.len());
    let (mut servers, mut search) = (Vec::new(), false);
    let mut bytes = 0;
    for (index, param) in params.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let param = match param {
            ToolParam::Mcp(server) => {
                servers.push(connectors::mcp_of(app, server, &path)?);
                continue;
            }
            ToolParam::ToolSearch(_) => {
                search = true;
                continue;
            }
            other => other,
        };
        let tool = function_of(param, &path)?;
        if tools.iter().any(|earlier| earlier.name == tool.name) {
            let path = format!("{path}.name");
            return Err(ApiError::invalid(path.clone(), format!("`{path}`: there are two functions `{}`.", tool.name)));
        }
        bytes += tool.parameters.to_string().len() + tool.description.len() + tool.name.len();
        tools.push(tool);
    }
    if bytes > MAX_TOOLS_BYTES {
        return Err(ApiError::invalid(path, format!("`{path}` is longer than {MAX_TOOLS_BYTES} bytes of JSON.")));
    }
    Ok(Given { functions: tools, servers, search })
}

fn price_of(text: &str, path: &str) -> Result<Money, ApiError> {
    let price: Money = text.parse().map_err(|error| ApiError::invalid(path, format!("`{path}`: {error}.")))?;
    if price < Money::ZERO {
        return Err(ApiError::invalid(path, format!("`{path}` must not be below 0.")));
    }
    Ok(price)
}

fn function_of(param: ToolParam, path: &str) -> Result<FunctionTool, ApiError> {
    let kind = match param {
        ToolParam::Function(function) => {
            if function.r#async == Some(true) {
                return Err(ApiError::not_built(format!("{path}.async")));
            }
            check_function_name(&function.name, &format!("{path}.name"))?;
            let price = function.bailiwick.and_then(|extras| extras.price);
            let price = price.map(|price| price_of(&price, &format!("{path}.bailiwick.price"))).transpose()?;
            let parameters = Value::Object(function.parameters);
            let deferred = function.defer_loading.unwrap_or(false);
            let (name, description) = (function.name, function.description);
            return Ok(FunctionTool { name, description, parameters, price, deferred });
        }
        // They are no functions.
        ToolParam::Mcp(_) => "mcp",
        ToolParam::WebSearch(_) => "web_search",
        ToolParam::ToolSearch(_) => "tool_search",
        ToolParam::ProgrammaticToolCalling(_) => "programmatic_tool_calling",
        ToolParam::Automations(_) => "automations",
        ToolParam::ComputerUse(_) => "computer_use",
    };
    let mut error = ApiError::not_built(format!("{path}.type"));
    error.message = format!("`{path}.type`: tools of type `{kind}` are not supported by this version of the server.");
    Err(error)
}

fn check_function_name(name: &str, path: &str) -> Result<(), ApiError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(fine) {
        let message = format!("`{path}` must have 1 to 64 letters, digits, `_` and `-`.");
        return Err(ApiError::invalid(path, message));
    }
    if tools::BUILT_IN.contains(&name)
        || tools::MEMORY.contains(&name)
        || tools::SKILLS.contains(&name)
        || name == tools::TOOL_SEARCH
    {
        let message = format!("`{path}`: `{name}` is the name of a built-in tool; take another.");
        return Err(ApiError::invalid(path, message));
    }
    Ok(())
}

pub(crate) fn check_name(name: &Option<String>, path: &str) -> Result<(), ApiError> {
    match name {
        Some(name) if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) => {
            let message = format!("`{path}` must have at most {MAX_NAME_CHARS} characters and no control characters.");
            Err(ApiError::invalid(path, message))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_metadata(metadata: &Metadata) -> Result<(), ApiError> {
    if metadata.len() > MAX_PAIRS {
        return Err(ApiError::invalid("metadata", format!("`metadata` has more than {MAX_PAIRS} pairs.")));
    }
    for (key, value) in metadata {
        let shown: String = key.chars().take(MAX_KEY_CHARS).flat_map(char::escape_debug).collect();
        if !(1..=MAX_KEY_CHARS).contains(&key.chars().count()) {
            let message = format!("`metadata`: the key `{shown}` must have 1 to {MAX_KEY_CHARS} characters.");
            return Err(ApiError::invalid("metadata", message));
        }
        if key.starts_with(RESERVED) {
            let message = format!("`metadata`: keys that begin with `{RESERVED}` are reserved.");
            return Err(ApiError::invalid(format!("metadata.{shown}"), message));
        }
        if value.chars().count() > MAX_VALUE_CHARS {
            let message = format!("`metadata.{shown}` has more than {MAX_VALUE_CHARS} characters.");
            return Err(ApiError::invalid(format!("metadata.{shown}"), message));
        }
    }
    Ok(())
}
