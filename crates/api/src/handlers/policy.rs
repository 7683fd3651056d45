//! Policies: shown, applied, tried out and explained. What rules mean is the desk's matter.

use super::{agents, ok};
use crate::{
    app::{App, Call},
    error::ApiError,
    routes::Answer,
    types::{
        page::Page,
        policy::{
            DescribedAction, DescribedCall, DescribedLabel, ExplainParam, Policy, PolicyDraft, PolicyExplanation,
            PolicyParam, PolicyRule, PolicyValidation,
        },
    },
};
use bailiwick_core::{
    Action, AgentConfig, Confidentiality, EnvironmentSpec, FunctionTool, Integrity, Label, ModelCall, Purpose,
    canonical, environment::Hosted, tools,
};
use bailiwick_ports::{Caller, Described, Draft, PolicyDesk, PolicyDeskError, PolicyVersion, store::Page as StorePage};
use bailiwick_types::{AgentId, CredentialId, EnvironmentId, Principal, SessionId, UserId};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Groups of a described label.
const MAX_GROUPS: usize = 64;

pub(crate) fn desk(app: &App) -> Result<&Arc<dyn PolicyDesk>, ApiError> {
    app.options.policy_desk.as_ref().ok_or_else(|| ApiError::not_built("policy"))
}

impl From<PolicyDeskError> for ApiError {
    fn from(error: PolicyDeskError) -> Self {
        match error {
            PolicyDeskError::Refused(problems) => {
                let told: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
                Self::invalid("text", format!("The policy was refused, and nothing changed:\n{}", told.join("\n")))
            }
            PolicyDeskError::Moved { expected, current } => Self::conflict(
                "conflict",
                format!("Version {current} holds, not {expected}: look at what changed and apply again."),
            )
            .with_param("expected_version"),
            PolicyDeskError::Invalid { field, problem } => Self::invalid(field, format!("`{field}` {problem}.")),
            PolicyDeskError::Store(error) => error.into(),
            PolicyDeskError::Unavailable(_) => Self::internal(error),
        }
    }
}

pub(crate) async fn current(call: Call) -> Answer {
    call.query()?.finish()?;
    let desk = desk(&call.app)?;
    let version = desk.current(call.caller.tenant).await?;
    ok(whole(&**desk, version)?)
}

pub(crate) async fn version(call: Call) -> Answer {
    call.query()?.finish()?;
    let unknown = || ApiError::not_found("policy version", call.param("policy_version"));
    let number = call.param("policy_version").parse().map_err(|_| unknown())?;
    let desk = desk(&call.app)?;
    let version = desk.version(call.caller.tenant, number).await?.ok_or_else(unknown)?;
    ok(whole(&**desk, version)?)
}

/// A version with its text and rules. A text that does not compile any more has none.
fn whole(desk: &dyn PolicyDesk, version: PolicyVersion) -> Result<Policy, ApiError> {
    let rules = match desk.draft(&version.text) {
        Ok(draft) => rules(draft),
        Err(PolicyDeskError::Refused(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let text = Some(version.text.clone());
    Ok(Policy { text, rules: Some(rules), ..Policy::listed(version) })
}

fn rules(draft: Draft) -> Vec<PolicyRule> {
    draft.rules.into_iter().map(PolicyRule::from).collect()
}

pub(crate) async fn versions(call: Call) -> Answer {
    let mut query = call.query()?;
    let StorePage { limit, after, before, descending } = query.page(|text| text.parse::<u32>().ok().map(u128::from))?;
    query.finish()?;
    let mut all: Vec<Policy> =
        desk(&call.app)?.versions(call.caller.tenant).await?.into_iter().map(Policy::listed).collect();
    if !descending {
        all.reverse();
    }
    let behind = |cursor: u128, version: u32| match descending {
        true => u128::from(version) < cursor,
        false => u128::from(version) > cursor,
    };
    all.retain(|policy| after.is_none_or(|after| behind(after, policy.version)));
    all.retain(|policy| {
        before.is_none_or(|before| !behind(before, policy.version) && before != u128::from(policy.version))
    });
    let (limit, extra) = (limit as usize, all.len().saturating_sub(limit as usize));
    match (after, before) {
        // The page that ends right before the cursor.
        (None, Some(_)) => drop(all.drain(..extra)),
        _ => all.truncate(limit),
    }
    ok(Page::new(all, extra > 0, |policy: &Policy| policy.id.clone()))
}

pub(crate) async fn apply(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (PolicyParam, _) = call.json().await?;
    let (desk, caller) = (desk(&call.app)?, &call.caller);
    let applied =
        desk.apply(caller.tenant, &caller.principal, &param.text, &param.reason, param.expected_version).await?;
    ok(whole(&**desk, applied)?)
}

pub(crate) async fn validate(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (PolicyDraft, _) = call.json().await?;
    let object = "bailiwick.policy.validation";
    match desk(&call.app)?.draft(&param.text) {
        Ok(draft) => ok(PolicyValidation { object, valid: true, problems: Vec::new(), rules: rules(draft) }),
        Err(PolicyDeskError::Refused(problems)) => {
            let problems = problems.into_iter().map(Into::into).collect();
            ok(PolicyValidation { object, valid: false, problems, rules: Vec::new() })
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn explain(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (ExplainParam, _) = call.json().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let desk = desk(app)?;
    let agent = described_agent(app, caller, &param).await?;
    let action = described_action(&param, &agent)?;
    let session = SessionId::new(app.now(), app.random());
    let orderer = orderer(&**desk, caller, param.person_id.as_deref())?;
    let principal = Principal::Agent { id: agent.id, session, on_behalf_of: Some(Box::new(orderer)) };
    let label = label(&param.label)?;
    let said: BTreeSet<String> = param.said.iter().flat_map(|text| canonical::destinations_in(text)).collect();
    let credentials = credentials(param.credential_id.as_deref())?;
    let described = Described {
        tenant: caller.tenant,
        session,
        principal: &principal,
        agent: &agent,
        label: &label,
        said: &said,
        action: &action,
        connector: None,
        sent: None,
        credentials: &credentials,
        at: app.now(),
        approved: param.approved,
    };
    let (version, draft) = match &param.text {
        Some(text) => (None, Some(desk.draft(text)?)),
        None => (Some(desk.current(caller.tenant).await?.version), None),
    };
    let explained = desk.explain(draft.as_ref().map(|draft| &*draft.policy), &described);
    ok(PolicyExplanation {
        object: "bailiwick.policy.explanation",
        version,
        verdict: explained.verdict.into(),
        sides: explained.sides.into_iter().map(Into::into).collect(),
        credentials: explained.uses.into_iter().map(Into::into).collect(),
        action: json!(action),
    })
}

fn credentials(id: Option<&str>) -> Result<Vec<CredentialId>, ApiError> {
    let unknown = |_| ApiError::invalid("credential_id", "`credential_id` is no id of a credential.");
    id.map(|id| id.parse().map_err(unknown)).into_iter().collect()
}

async fn described_agent(app: &App, caller: &Caller, param: &ExplainParam) -> Result<AgentConfig, ApiError> {
    if let Some(id) = &param.agent_id {
        return agents::config(app, caller.tenant, id, "agent_id").await;
    }
    let named = param.call.as_ref().map(|call| call.tool.as_str()).filter(|tool| !tools::BUILT_IN.contains(tool));
    let recorded = param.action.as_ref().filter(|action| action.operation == "tool.call");
    let named = named.or_else(|| recorded.and_then(|action| action.arguments["name"].as_str()));
    let tool = |name: &str| FunctionTool {
        name: name.into(),
        description: String::new(),
        parameters: json!({}),
        price: None,
        deferred: false,
    };
    let any = || app.options.cards.cards().first().map(|card| card.name.clone()).unwrap_or_default();
    Ok(AgentConfig {
        id: AgentId::new(app.now(), app.random()),
        version: 0,
        name: None,
        model: param.model.clone().unwrap_or_else(any),
        instructions: None,
        tools: named.map(tool).into_iter().collect(),
        reasoning: Default::default(),
        text: Default::default(),
        service_tier: "auto".into(),
        remit: Default::default(),
        limits: Default::default(),
        tool_search: false,
        connectors: Vec::new(),
        memory: None,
        skills: Vec::new(),
    })
}

fn described_action(param: &ExplainParam, agent: &AgentConfig) -> Result<Action, ApiError> {
    match (&param.call, &param.model, &param.action) {
        (Some(call), None, None) => called(call, agent),
        (None, Some(model), None) => Ok(Action::ModelCall(ModelCall {
            model: model.clone(),
            purpose: Purpose::Step,
            skipped_entries: 0,
            extract: None,
        })),
        (None, None, Some(action)) => recorded(action),
        _ => Err(ApiError::invalid(
            "call",
            "Exactly one of `call` (a tool call), `model` (a model's name) and `action` (from a receipt) says what it is.",
        )),
    }
}

/// Through the same door as a model's call, so that what is asked about is in canonical form.
fn called(call: &DescribedCall, agent: &AgentConfig) -> Result<Action, ApiError> {
    let arguments = match &call.arguments {
        Value::Null => "{}".to_owned(),
        arguments => arguments.to_string(),
    };
    let environment = EnvironmentSpec::Hosted(Hosted {
        id: EnvironmentId::from_u128(0),
        size: Default::default(),
        env: Default::default(),
        files: Vec::new(),
        setup_commands: Vec::new(),
        skills: Vec::new(),
        skill_folders: Vec::new(),
    });
    tools::to_action(&call.tool, &arguments, agent, &environment)
        .map_err(|problem| ApiError::invalid("call", format!("`call` would not become an action: {problem}")))
}

fn recorded(action: &DescribedAction) -> Result<Action, ApiError> {
    let mut fields = match &action.arguments {
        Value::Object(fields) => fields.clone(),
        _ => return Err(ApiError::invalid("action.arguments", "`action.arguments` must be an object.")),
    };
    fields.insert("operation".into(), json!(action.operation));
    serde_json::from_value(Value::Object(fields)).map_err(|error| {
        ApiError::invalid(
            "action",
            format!("`action` must be an operation and its arguments as a receipt shows them: {error}."),
        )
    })
}

fn orderer(desk: &dyn PolicyDesk, caller: &Caller, person: Option<&str>) -> Result<Principal, ApiError> {
    let Some(text) = person else {
        return Ok(match &caller.principal {
            // A described action is a program's unless it names a person.
            Principal::Service { key } => Principal::Service { key: *key },
            _ => Principal::Operator,
        });
    };
    let unknown = || ApiError::invalid("person_id", "`person_id`: there is no such person.");
    let id: UserId = text.parse().map_err(|_| unknown())?;
    if desk.knows(caller.tenant, id) { Ok(Principal::User { id }) } else { Err(unknown()) }
}

fn label(described: &DescribedLabel) -> Result<Label, ApiError> {
    let DescribedLabel { untrusted, public, groups } = described;
    if groups.len() > MAX_GROUPS || (*public && !groups.is_empty()) {
        let message = format!("`label` is `public` or has up to {MAX_GROUPS} `groups`.");
        return Err(ApiError::invalid("label", message));
    }
    let integrity = if *untrusted { Integrity::Untrusted } else { Integrity::Trusted };
    let confidentiality = match (public, groups.is_empty()) {
        (true, _) => Confidentiality::Public,
        (false, true) => Confidentiality::Internal,
        (false, false) => Confidentiality::Groups(groups.iter().cloned().collect()),
    };
    Ok(Label { integrity, confidentiality })
}
