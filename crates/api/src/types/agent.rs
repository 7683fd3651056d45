//! Agents: saved colleagues and the agent of one session.

use super::{
    connector::{ConnectionOrigin, ConnectorGrantParam, McpExtras, McpTool, McpToolParam, McpTransport},
    extra::{AgentExtras, SavedAgentExtras, SavedExtrasView},
    memory::MemoryParam,
    skill::PinnedSkill,
};
use crate::body::{nested, nullable, tagged};
use bailiwick_core::{ConnectorSource, ConnectorUse};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

pub type Metadata = BTreeMap<String, String>;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $text:tt),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub enum $name { $(#[serde(rename = $text)] $variant,)* }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The value of this name, or the first one for a name of another time.
            pub fn read(text: &str) -> Self {
                match text { $($text => Self::$variant,)* _ => Self::FALLBACK }
            }
        }
    )*};
}

words! {
    /// The service tier of model requests.
    ServiceTier { Auto = "auto", Default = "default", Flex = "flex", Priority = "priority", Fast = "fast", Ultrafast = "ultrafast" }
    /// How hard the model thinks.
    Effort { None = "none", Minimal = "minimal", Low = "low", Medium = "medium", High = "high", Xhigh = "xhigh", Max = "max" }
    /// How much of its thinking is shown.
    ReasoningSummary { Concise = "concise", Detailed = "detailed", Auto = "auto" }
    /// How much text the model produces.
    Verbosity { Low = "low", Medium = "medium", High = "high" }
}

impl ServiceTier {
    const FALLBACK: Self = Self::Auto;
}
impl Effort {
    const FALLBACK: Self = Self::Medium;
}
impl ReasoningSummary {
    const FALLBACK: Self = Self::Auto;
}
impl Verbosity {
    const FALLBACK: Self = Self::Medium;
}

// ---- requests ----

/// The agent of a new session: whole, or what differs from the saved agent.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionAgentParam)]
pub struct AgentParam {
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CompactionParam>)]
    pub compaction: Option<Option<CompactionParam>>,
    pub experimental: Option<ExperimentalParam>,
    /// Appended to our own base instructions.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub instructions: Option<Option<String>>,
    /// A published model name. Required without `agent_id`.
    pub model: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<MultiAgentParam>)]
    pub multi_agent: Option<Option<MultiAgentParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ReasoningParam>)]
    pub reasoning: Option<Option<ReasoningParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ServiceTier>)]
    pub service_tier: Option<Option<ServiceTier>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<TextParam>)]
    pub text: Option<Option<TextParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<ToolParam>>)]
    pub tools: Option<Option<Vec<ToolParam>>>,
    pub bailiwick: Option<AgentExtras>,
}

impl AgentParam {
    /// The fields of a session's `agent` that change what a saved agent may do, reach and remember. To take its memory
    /// away widens nothing.
    pub fn widening(&self) -> Vec<String> {
        let mut fields = Vec::new();
        if let Some(extras) = &self.bailiwick {
            let AgentExtras { remit, limits, connectors, memory, skills } = extras;
            let given = [
                ("remit", remit.is_some()),
                ("limits", limits.is_some()),
                ("connectors", connectors.is_some()),
                ("memory", matches!(memory, Some(Some(_)))),
                ("skills", skills.is_some()),
            ];
            fields.extend(given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("agent.bailiwick.{name}")));
        }
        fields.extend(servers(&self.tools));
        fields
    }
}

/// The MCP servers among the tools of a session's `agent`.
pub fn servers(tools: &Option<Option<Vec<ToolParam>>>) -> Vec<String> {
    let all = tools.iter().flatten().flatten().enumerate();
    all.filter(|(_, tool)| matches!(tool, ToolParam::Mcp(_)))
        .map(|(index, _)| format!("agent.tools[{index}]"))
        .collect()
}

/// A saved agent, when it is made and when it is changed; a change leaves out what stays.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentParam)]
pub struct SavedAgentParam {
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CompactionParam>)]
    pub compaction: Option<Option<CompactionParam>>,
    pub experimental: Option<ExperimentalParam>,
    /// Appended to our own base instructions.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub instructions: Option<Option<String>>,
    /// Up to 16 pairs, keys up to 64 and values up to 512 characters.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Option<Metadata>>,
    /// A published model name. Required when an agent is made.
    pub model: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<MultiAgentParam>)]
    pub multi_agent: Option<Option<MultiAgentParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ReasoningParam>)]
    pub reasoning: Option<Option<ReasoningParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ServiceTier>)]
    pub service_tier: Option<Option<ServiceTier>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<TextParam>)]
    pub text: Option<Option<TextParam>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<ToolParam>>)]
    pub tools: Option<Option<Vec<ToolParam>>>,
    pub bailiwick: Option<SavedAgentExtras>,
}

impl SavedAgentParam {
    /// What it shares with the agent of a session.
    pub fn split(self) -> (AgentParam, Option<Option<String>>, Option<Option<Metadata>>, SavedAgentExtras) {
        let Self {
            compaction,
            experimental,
            instructions,
            metadata,
            model,
            multi_agent,
            name,
            reasoning,
            service_tier,
            text,
            tools,
            bailiwick,
        } = self;
        let extras = bailiwick.unwrap_or_default();
        let bailiwick = Some(AgentExtras {
            remit: extras.remit.clone(),
            limits: extras.limits.clone(),
            connectors: extras.connectors.clone(),
            memory: extras.memory.clone(),
            skills: extras.skills.clone(),
        });
        let shared = AgentParam {
            compaction,
            experimental,
            instructions,
            model,
            multi_agent,
            reasoning,
            service_tier,
            text,
            tools,
            bailiwick,
        };
        (shared, name, metadata, extras)
    }
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompactionParam {
    /// Compacting in the background is not built: `true` answers 501.
    pub r#async: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentalParam {
    /// Not built: `true` answers 501.
    pub time_awareness: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiAgentParam {
    /// Not built: `true` answers 501.
    pub enabled: bool,
    #[serde(default)]
    pub max_concurrent_subagents: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasoningParam {
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Effort>)]
    pub effort: Option<Option<Effort>>,
    pub summary: Option<ReasoningSummary>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextParam {
    pub format: Option<TextFormat>,
    pub verbosity: Option<Verbosity>,
}

/// The form of the answer's text, in requests and resources.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TextFormat {
    Text(PlainFormat),
    JsonSchema(SchemaFormat),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainFormat {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SchemaFormat {
    /// A JSON Schema that the final text must match.
    #[schema(value_type = Object)]
    pub schema: Map<String, Value>,
}

impl<'de> Deserialize<'de> for TextFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &["text", "json_schema"], |tag, rest| match tag {
            "text" => Some(nested(rest).map(Self::Text)),
            "json_schema" => Some(nested(rest).map(Self::JsonSchema)),
            _ => None,
        })
    }
}

/// A tool of an agent. `function`, `mcp` and `tool_search` are built; the others answer 501.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToolParam {
    Function(FunctionParam),
    Mcp(McpToolParam),
    /// Finds the tools that are deferred.
    ToolSearch(ToolSearchParam),
    WebSearch(UnbuiltTool),
    ProgrammaticToolCalling(UnbuiltTool),
    Automations(UnbuiltTool),
    ComputerUse(UnbuiltTool),
}

/// A function that the application answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionParam {
    /// 1 to 64 letters, digits, `_` and `-`.
    pub name: String,
    pub description: String,
    /// A JSON Schema object.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
    /// Found by `tool_search`, and not told to the model before. `false` when left out.
    #[serde(default)]
    pub defer_loading: Option<bool>,
    /// Not built: `true` answers 501.
    #[serde(default)]
    pub r#async: Option<bool>,
    #[serde(default)]
    pub bailiwick: Option<FunctionExtras>,
}

/// What a function may be given beyond the API.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunctionExtras {
    /// What one call costs, as decimal text in the one currency, at most 6 decimals. A price in the server's configuration
    /// (`[tools.NAME]`) goes before it.
    #[serde(default)]
    pub price: Option<String>,
}

/// The search for tools that are deferred.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolSearchParam {}

/// A tool that this version has not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnbuiltTool {}

const TOOLS: [&str; 7] =
    ["function", "mcp", "web_search", "tool_search", "programmatic_tool_calling", "automations", "computer_use"];

impl<'de> Deserialize<'de> for ToolParam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged(deserializer, &TOOLS, |tag, rest| match tag {
            "function" => Some(nested(rest).map(Self::Function)),
            "mcp" => Some(nested(rest).map(Self::Mcp)),
            "web_search" => Some(Ok(Self::WebSearch(UnbuiltTool {}))),
            "tool_search" => Some(nested(rest).map(Self::ToolSearch)),
            "programmatic_tool_calling" => Some(Ok(Self::ProgrammaticToolCalling(UnbuiltTool {}))),
            "automations" => Some(Ok(Self::Automations(UnbuiltTool {}))),
            "computer_use" => Some(Ok(Self::ComputerUse(UnbuiltTool {}))),
            _ => None,
        })
    }
}

// ---- resources ----

/// A saved agent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Agent)]
pub struct AgentResource {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    /// Seconds since 1970.
    pub updated_at: i64,
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Metadata,
    #[serde(flatten)]
    pub settings: AgentSettings,
}

/// The agent of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SessionAgent)]
pub struct SessionAgent {
    pub id: String,
    #[serde(flatten)]
    pub settings: AgentSettings,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentSettings {
    pub name: Option<String>,
    pub model: String,
    pub instructions: Option<String>,
    pub multi_agent: MultiAgent,
    pub reasoning: Reasoning,
    pub service_tier: ServiceTier,
    pub text: Text,
    pub tools: Vec<Tool>,
    pub compaction: Compaction,
    pub experimental: Experimental,
    pub bailiwick: AgentExtrasView,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MultiAgent {
    pub enabled: bool,
    pub max_concurrent_subagents: Option<u32>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Reasoning {
    pub effort: Option<String>,
    pub summary: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Text {
    pub format: TextFormat,
    pub verbosity: Verbosity,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Compaction {
    pub r#async: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Experimental {
    pub time_awareness: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tool {
    Function(FunctionTool),
    Mcp(McpTool),
    ToolSearch(ToolSearchParam),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FunctionTool {
    pub name: String,
    pub description: String,
    #[schema(value_type = Object)]
    pub parameters: Value,
    pub defer_loading: bool,
    pub r#async: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bailiwick: Option<FunctionExtras>,
}

/// What we keep of an agent beyond the API.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AgentExtrasView {
    /// Counts from 1; 0 is an agent written inline for one session.
    pub version: u32,
    pub remit: super::extra::Remit,
    pub limits: super::extra::Limits,
    /// What it was given of the connectors that the organisation keeps.
    pub connectors: Vec<ConnectorGrantParam>,
    /// Its memory between sessions; `null`: it has none.
    pub memory: Option<MemoryParam>,
    /// What it can learn when it needs it, each as it was when the agent was saved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<PinnedSkill>,
    /// Only on saved agents.
    #[serde(flatten)]
    pub saved: Option<SavedExtrasView>,
}

/// The answer to a deletion.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Deleted {
    pub id: String,
    pub object: &'static str,
    pub deleted: bool,
}

/// An MCP server that is written into the agent.
fn mcp(one: &ConnectorUse) -> Option<Tool> {
    let ConnectorSource::Own { spec } = &one.source else { return None };
    let (server_url, headers) = crate::handlers::connectors::http_of(&spec.settings);
    Some(Tool::Mcp(McpTool {
        server_label: one.label.clone(),
        transport: McpTransport::Http { server_url, headers: Some(headers) },
        allowed_tools: one.allowed_tools.as_ref().map(|tools| tools.iter().cloned().collect()),
        connection_origin: ConnectionOrigin::Service,
        credential_id: one.credential.map(|id| id.to_string()),
        request_metadata: Map::new(),
        required: one.required,
        bailiwick: one.deferred.then_some(McpExtras { defer_loading: true }),
    }))
}

fn kept(one: &ConnectorUse) -> Option<ConnectorGrantParam> {
    let ConnectorSource::Kept { name } = &one.source else { return None };
    Some(ConnectorGrantParam {
        name: name.clone(),
        label: Some(one.label.clone()),
        tools: one.allowed_tools.as_ref().map(|tools| tools.iter().cloned().collect()),
        required: one.required,
        defer_loading: one.deferred,
    })
}

impl AgentSettings {
    /// As the agent of a session has them.
    pub fn of_session(agent: &bailiwick_core::AgentConfig) -> Self {
        let mut settings = Self::of(agent);
        // The API names the search on saved agents only.
        settings.tools.retain(|tool| !matches!(tool, Tool::ToolSearch(_)));
        for tool in &mut settings.tools {
            if let Tool::Mcp(McpTool { transport: McpTransport::Http { headers, .. }, .. }) = tool {
                *headers = None;
            }
        }
        settings
    }

    pub fn of(agent: &bailiwick_core::AgentConfig) -> Self {
        let format = match &agent.text.schema {
            Some(Value::Object(schema)) => TextFormat::JsonSchema(SchemaFormat { schema: schema.clone() }),
            _ => TextFormat::Text(PlainFormat {}),
        };
        let tools = agent.tools.iter().map(|tool| {
            Tool::Function(FunctionTool {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.parameters.clone(),
                defer_loading: tool.deferred,
                r#async: false,
                bailiwick: tool.price.map(|price| FunctionExtras { price: Some(price.to_string()) }),
            })
        });
        let search = agent.tool_search.then_some(Tool::ToolSearch(ToolSearchParam {}));
        Self {
            name: agent.name.clone(),
            model: agent.model.clone(),
            instructions: agent.instructions.clone(),
            multi_agent: MultiAgent { enabled: false, max_concurrent_subagents: None },
            reasoning: Reasoning { effort: agent.reasoning.effort.clone(), summary: agent.reasoning.summary.clone() },
            service_tier: ServiceTier::read(&agent.service_tier),
            text: Text { format, verbosity: Verbosity::read(&agent.text.verbosity) },
            tools: tools.chain(agent.connectors.iter().filter_map(mcp)).chain(search).collect(),
            compaction: Compaction { r#async: false },
            experimental: Experimental { time_awareness: false },
            bailiwick: AgentExtrasView {
                version: agent.version,
                remit: (&agent.remit).into(),
                limits: (&agent.limits).into(),
                connectors: agent.connectors.iter().filter_map(kept).collect(),
                memory: agent.memory.as_ref().map(MemoryParam::of),
                skills: agent.skills.iter().filter_map(PinnedSkill::of).collect(),
                saved: None,
            },
        }
    }
}
