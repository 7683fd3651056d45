//! Sessions: making, changing and showing them.

use super::{
    agent::{AgentParam, AgentSettings, Effort, Metadata, ServiceTier, SessionAgent, ToolParam},
    approval::{self, Approval},
    environment::{self, Environment, EnvironmentParam},
    extra::{ContentSaid, EnvironmentExtras, EnvironmentFacts, SessionExtras, SessionParamExtras, Unresolved, Who},
    input::FirstInput,
    item::ENVIRONMENT_LABEL,
    turn::Usage,
};
use crate::body::nullable;
use bailiwick_core::{
    Action, EnvironmentSpec,
    environment::Connection,
    item::{RequiredAction as CoreRequired, SessionStatus, SessionView},
    visible::visible,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Metadata under this prefix is ours: clients neither set nor see it.
pub const RESERVED: &str = "bailiwick.";
pub const ROLE_KEY: &str = "bailiwick.role_arn";
/// In what protocol the agent that uses this session's tools asks for them.
pub const TOOLSET_KEY: &str = "bailiwick.toolset";
pub const CACHE_KEY: &str = "bailiwick.prompt_cache_ttl";

/// A cent of any currency that has cents.
pub const MICROS_PER_CENT: i64 = 10_000;

// ---- requests ----

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionCreateParams)]
pub struct SessionCreate {
    pub environment: EnvironmentParam,
    #[serde(default)]
    pub agent: Option<AgentParam>,
    #[serde(default)]
    pub agent_id: Option<String>,
    /// Required without an environment, and for a stream unless the environment is self-hosted.
    #[serde(default)]
    pub input: Option<FirstInput>,
    /// Up to 16 pairs, keys up to 64 and values up to 512 characters.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Metadata>,
    #[serde(default)]
    pub prompt_cache_options: Option<PromptCacheOptions>,
    /// `auto_review` asks nobody: what a rule would ask a person about is denied.
    #[serde(default)]
    pub review: Option<Review>,
    /// What the session's model calls may cost. Needs a server whose currency is USD.
    #[serde(default)]
    pub spend_control: Option<SpendControlParam>,
    #[serde(default)]
    pub bailiwick: Option<SessionParamExtras>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Up to 10 vaults whose credentials its actions may use, as far as policy lets them.
    #[serde(default)]
    pub vault_ids: Option<Vec<String>>,
    /// Sent by Bedrock clients. It is kept and shown as `bailiwick.role_arn`, and grants nothing.
    #[serde(default)]
    pub role_arn: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptCacheOptions {
    #[serde(default)]
    pub ttl: CacheTtl,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum CacheTtl {
    #[default]
    #[serde(rename = "30m")]
    HalfHour,
    #[serde(rename = "12h")]
    HalfDay,
}

impl CacheTtl {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HalfHour => "30m",
            Self::HalfDay => "12h",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Review {
    None,
    AutoReview,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpendControlParam {
    /// Above 0, in US cents; null for no limit.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// A session's limit and what is recorded against it, in US cents.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct SpendControl {
    pub limit: i64,
    /// Whole cents, rounded down.
    pub consumed: i64,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// Random padding in events, so that their lengths tell less. `true` when left out.
    pub include_obfuscation: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionUpdateParams)]
pub struct SessionUpdate {
    pub agent: Option<AgentUpdate>,
    /// Replaces all; null clears it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    pub metadata: Option<Option<Metadata>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<PromptCacheOptions>)]
    pub prompt_cache_options: Option<Option<PromptCacheOptions>>,
    pub review: Option<Review>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<SpendControlParam>)]
    pub spend_control: Option<Option<SpendControlParam>>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SessionAgentUpdateParam)]
pub struct AgentUpdate {
    pub model: Option<String>,
    pub reasoning: Option<EffortUpdate>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ServiceTier>)]
    pub service_tier: Option<Option<ServiceTier>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<ToolParam>>)]
    pub tools: Option<Option<Vec<ToolParam>>>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EffortUpdateParam)]
pub struct EffortUpdate {
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Effort>)]
    pub effort: Option<Option<Effort>>,
}

// ---- resources ----

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = AgentSession)]
pub struct Session {
    pub id: String,
    pub object: &'static str,
    pub agent: SessionAgent,
    /// Seconds since 1970.
    pub created_at: i64,
    pub last_active_at: i64,
    pub environment: Environment,
    pub error: Option<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    pub metadata: Metadata,
    pub required_actions: Vec<RequiredAction>,
    /// `idle`, `in_progress`, `requires_action` or `failed`.
    pub status: &'static str,
    pub usage: Option<Usage>,
    pub vault_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache_options: Option<PromptCacheOptions>,
    /// Left out where it is `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Left out where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_control: Option<SpendControl>,
    pub bailiwick: SessionExtras,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RequiredAction {
    FunctionCall {
        turn_id: String,
        call_id: String,
        name: String,
        #[schema(value_type = Object)]
        arguments: Value,
    },
    EnvironmentConnection {
        environment_id: String,
    },
    /// A person's word on a call of a tool. Every other kind of action stands under `bailiwick.approvals`.
    McpApprovalRequest {
        turn_id: String,
        request_id: String,
        request: McpApproval,
    },
}

/// What the person is asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct McpApproval {
    /// `mcp_tool_call`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub server_label: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub arguments: Value,
    pub message: String,
}

impl Session {
    pub fn of(view: &SessionView, base_url: &str) -> Self {
        let metadata = view.metadata.iter().filter(|(key, _)| !key.starts_with(RESERVED));
        Self {
            id: view.id.to_string(),
            object: "agent.session",
            agent: SessionAgent { id: view.agent.id.to_string(), settings: AgentSettings::of_session(&view.agent) },
            created_at: view.created.as_seconds(),
            last_active_at: view.last_active.as_seconds(),
            environment: Environment::of(&view.environment, base_url),
            error: view.error.clone(),
            metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
            required_actions: view.required_actions.iter().filter_map(|action| required(action, base_url)).collect(),
            status: status(view.status),
            usage: Some(view.usage.into()),
            vault_ids: view.vaults.iter().map(ToString::to_string).collect(),
            prompt_cache_options: view.metadata.get(CACHE_KEY).map(|ttl| PromptCacheOptions {
                ttl: if ttl == CacheTtl::HalfDay.as_str() { CacheTtl::HalfDay } else { CacheTtl::HalfHour },
            }),
            review: view.auto_review.then_some(Review::AutoReview),
            spend_control: view.spend_limit.map(|limit| SpendControl {
                limit: limit.as_micros() / MICROS_PER_CENT,
                consumed: view.spent.as_micros() / MICROS_PER_CENT,
            }),
            bailiwick: extras(view, base_url),
        }
    }
}

pub fn status(status: SessionStatus) -> &'static str {
    match status {
        SessionStatus::Idle => "idle",
        SessionStatus::InProgress => "in_progress",
        SessionStatus::RequiresAction => "requires_action",
        SessionStatus::Failed => "failed",
    }
}

/// What the API has a word for. An outcome that a person must resolve stands under `bailiwick`.
fn required(action: &CoreRequired, base_url: &str) -> Option<RequiredAction> {
    match action {
        CoreRequired::FunctionCall { turn, call_id, name, arguments } => Some(RequiredAction::FunctionCall {
            turn_id: turn.to_string(),
            call_id: call_id.clone(),
            name: name.clone(),
            arguments: arguments.clone(),
        }),
        CoreRequired::EnvironmentConnection { environment } => {
            Some(RequiredAction::EnvironmentConnection { environment_id: environment.to_string() })
        }
        CoreRequired::Approval(view) => {
            shown_as_mcp_call(&view.arguments).then(|| RequiredAction::McpApprovalRequest {
                turn_id: view.turn.to_string(),
                request_id: view.action.to_string(),
                request: McpApproval {
                    kind: "mcp_tool_call",
                    server_label: view.arguments.connector().unwrap_or(ENVIRONMENT_LABEL).to_owned(),
                    name: mcp_name(view),
                    arguments: approval::arguments(view),
                    message: message(view, base_url),
                },
            })
        }
        CoreRequired::ResolveOutcome { .. } => None,
    }
}

/// What is asked, in plain words.
fn message(view: &bailiwick_core::item::ApprovalView, base_url: &str) -> String {
    let what = format!("{} (rule `{}`): {}", view.question.reason, view.question.rule, visible(&view.what));
    if let Some(questions) = &view.question.form {
        let said: Vec<String> = questions.iter().map(|one| format!("“{}”", visible(&one.message))).collect();
        return format!("{what}. Its own words: {}", said.join(" "));
    }
    match approval::account(view, base_url).and_then(|account| account.url) {
        Some(url) => format!("{what}. To connect it, open {url}"),
        None => what,
    }
}

/// The tool's own name where a connector performs it.
fn mcp_name(view: &bailiwick_core::item::ApprovalView) -> String {
    match &view.arguments {
        Action::ConnectorCall(call) => call.tool.clone(),
        Action::DataQuery(query) => query.tool.clone(),
        _ => view.operation.clone(),
    }
}

/// Whether the item that shows an action is an `mcp_call` (see `types::item`).
fn shown_as_mcp_call(action: &Action) -> bool {
    use bailiwick_core::ActionKind::{CommandRun, FileRead, FileWrite};
    if action.connector().is_some() {
        return true;
    }
    matches!(action.kind(), FileRead | FileWrite | CommandRun)
        && !matches!(action, Action::CommandRun(_) | Action::ArtifactPublish { .. } | Action::FileAdd { .. })
}

fn extras(view: &SessionView, base_url: &str) -> SessionExtras {
    let held = view.required_actions.iter().filter_map(|required| match required {
        CoreRequired::ResolveOutcome { action, .. } => Some(action.to_string()),
        _ => None,
    });
    let unresolved = view.unresolved.iter().map(|one| Unresolved {
        action: one.action.to_string(),
        operation: one.operation.clone(),
        what: one.what.clone(),
        reason: one.reason.clone(),
    });
    SessionExtras {
        turn_id: view.turn.map(|turn| turn.to_string()),
        creator: view.creator.to_string(),
        who: Who::of(&view.creator, view.agent.id),
        role_arn: view.metadata.get(ROLE_KEY).cloned(),
        environment: environment_extras(view),
        unresolved: unresolved.collect(),
        label: view.label.clone(),
        held_by: held.collect(),
        approvals: approvals(view, base_url),
        connectors: view
            .connections
            .iter()
            .map(|(label, one)| super::connector::SessionConnector::of(label, one))
            .collect(),
    }
}

/// Nobody in particular reads them here, so that nobody in particular may answer: `/bailiwick/v1/approvals` says who.
fn approvals(view: &SessionView, base_url: &str) -> Vec<Approval> {
    let asked = view.required_actions.iter().filter_map(|required| match required {
        CoreRequired::Approval(approval) => Some(Approval::of(approval, None, base_url)),
        _ => None,
    });
    asked.collect()
}

fn environment_extras(view: &SessionView) -> Option<EnvironmentExtras> {
    let id = view.environment.id()?;
    let (connection, executor) = match &view.environment {
        EnvironmentSpec::SelfHosted(own) => match &own.connection {
            Connection::DialIn => (Some("dial_in"), None),
            Connection::Listen { executor } => (Some("listen"), Some(executor.clone())),
        },
        _ => (None, None),
    };
    let content_said = match &view.environment {
        EnvironmentSpec::SelfHosted(own) => own.content.as_ref(),
        _ => None,
    };
    let content_said = content_said.map(|said| ContentSaid { by: said.by.to_string(), reason: said.reason.clone() });
    Some(EnvironmentExtras {
        id: id.to_string(),
        status: environment::status(view.environment_status),
        error: view.environment_error.clone(),
        connection,
        executor,
        facts: view.environment_facts.as_ref().map(facts),
        label: view.environment_label.clone(),
        content_said,
    })
}

/// Without the executor's session: who knows it can take the executor over.
pub fn facts(facts: &bailiwick_core::EnvironmentFacts) -> EnvironmentFacts {
    EnvironmentFacts {
        isolation: facts.isolation.clone(),
        missing_limits: facts.missing_limits.clone(),
        executor_version: facts.executor_version.clone(),
    }
}
