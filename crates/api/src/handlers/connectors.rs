//! Connectors: who keeps which, and what an agent is given of them. Nothing here reaches a system.

use super::{agent_config::at, ok, toolsets};
use crate::{
    app::{App, Call},
    error::{ApiError, sentence},
    routes::Answer,
    types::{
        agent::Deleted,
        connector::{
            AcceptParam, ConnectionOrigin, ConnectorGrantParam, ConnectorParam, ConnectorResource, ConnectorTest,
            McpHttpParam, McpToolParam, McpTransportParam, SessionConnector,
        },
        page::Page,
    },
};
use bailiwick_core::{
    ConnectorKind, ConnectorSource, ConnectorSpec, ConnectorUse, Label,
    connector::{CredentialChoice, is_label},
};
use bailiwick_gate::{Connector, ConnectorError, ConnectorRequest, Listing, NewConnector, RequestState};
use bailiwick_ports::{Caller, Scope};
use bailiwick_types::{AgentId, ConnectorId, CredentialId, Principal, SessionId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Tools named in one list.
const MAX_ALLOWED: usize = 1000;
/// Bytes of a tool's name.
const MAX_TOOL_NAME: usize = 256;

impl From<ConnectorError> for ApiError {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Invalid { field, ref problem } => Self::invalid(field, format!("`{field}` {problem}.")),
            ConnectorError::TooMany => Self::conflict("too_many_connectors", sentence(&error)),
            ConnectorError::Unknown => Self::not_found("connector", "of this name"),
            ConnectorError::Gate(error) => error.into(),
        }
    }
}

// ---- connectors that the organisation keeps ----

fn whole(caller: &Caller) -> bool {
    caller.may(Scope::Admin)
}

/// Members see what is published for them; whoever keeps connectors or builds agents sees all.
fn sees(app: &App, caller: &Caller, connector: &Connector) -> bool {
    caller.may(Scope::AgentsWrite) || may_ask(app, caller, connector)
}

/// Whether it is published for whoever calls.
pub(crate) fn may_ask(app: &App, caller: &Caller, connector: &Connector) -> bool {
    let person = caller.principal.person();
    let for_them = |listing: &Listing| {
        let known = person.and_then(|person| app.options.directory.person(caller.tenant, person));
        let teams = known.as_deref().map(|person| person.teams.as_slice()).unwrap_or_default();
        listing.is_for(teams) || (person.is_some() && listing.owner == person)
    };
    connector.published && connector.listing.as_ref().is_none_or(for_them)
}

/// Whoever does not build agents is given it on request only.
pub(crate) fn is_asked_for(connector: &Connector) -> bool {
    connector.published && connector.listing.is_some()
}

/// The connector that the path names, where the caller may see it.
pub(crate) async fn find(call: &Call) -> Result<Connector, ApiError> {
    let name = call.param("connector");
    let found = call.app.options.handle.gate().connectors().find(call.caller.tenant, name).await?;
    let found = found.filter(|connector| sees(&call.app, &call.caller, connector));
    found.ok_or_else(|| ApiError::not_found("connector", name))
}

pub(crate) async fn list(call: Call) -> Answer {
    call.query()?.finish()?;
    let all = call.app.options.handle.gate().connectors().list(call.caller.tenant).await?;
    let seen = all.iter().filter(|connector| sees(&call.app, &call.caller, connector));
    let shown = seen.map(|connector| ConnectorResource::of(connector, whole(&call.caller))).collect();
    ok(Page::new(shown, false, |connector: &ConnectorResource| connector.name.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call).await?;
    ok(ConnectorResource::of(&found, whole(&call.caller)))
}

/// An agent never says which systems there are.
fn check_person(caller: &Caller) -> Result<(), ApiError> {
    match caller.principal {
        Principal::Agent { .. } => Err(ApiError::forbidden("Connectors are for people to keep, never for an agent.")),
        _ => Ok(()),
    }
}

pub(crate) async fn apply(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let name = call.param("connector").to_owned();
    let (param, _) = call.json::<ConnectorParam>().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let (description, published, reason) = (param.description.clone(), param.published, param.reason.clone());
    let spec = spec_of(app, param)?;
    let (id, by, at) = (ConnectorId::new(app.now(), app.random()), caller.principal.clone(), app.now());
    let new = NewConnector { id, name, description, published, spec, by, at, reason };
    let connectors = app.options.handle.gate().connectors();
    let applied = connectors.apply(&*app.options.administration, caller.tenant, new).await?;
    ok(ConnectorResource::of(&applied, true))
}

fn spec_of(app: &App, param: ConnectorParam) -> Result<ConnectorSpec, ApiError> {
    let ConnectorParam { kind, settings, inside, credential, label, effects, .. } = param;
    let checked = app.options.connector_rooms.check(kind, &settings).map_err(|problem| {
        let place = at("settings", &problem.field);
        let place = place.trim_end_matches('.').to_owned();
        ApiError::invalid(place.clone(), format!("`{place}` {}.", problem.problem))
    })?;
    let credential = match credential.flatten() {
        None => CredentialChoice::None,
        Some(given) => {
            given.read().map_err(|problem| ApiError::invalid("credential", format!("`credential` {problem}.")))?
        }
    };
    if credential != CredentialChoice::None && checked.host.is_none() {
        let message = "`credential`: a connector that reaches nothing over a network has nobody to sign in to.";
        return Err(ApiError::invalid("credential", message));
    }
    if credential == CredentialChoice::Account && kind != ConnectorKind::Mcp {
        let message = "`credential`: only MCP servers have accounts that people connect.";
        return Err(ApiError::invalid("credential", message));
    }
    if effects.len() > MAX_ALLOWED || effects.keys().any(|tool| tool.len() > MAX_TOOL_NAME) {
        let message = format!("`effects` must name at most {MAX_ALLOWED} tools of at most {MAX_TOOL_NAME} bytes.");
        return Err(ApiError::invalid("effects", message));
    }
    let label = label.unwrap_or_else(Label::foreign);
    let (host, dialect) = (checked.host, checked.dialect);
    Ok(ConnectorSpec { kind, settings, host, credential, inside, label, effects, dialect })
}

pub(crate) async fn remove(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let reason = call.reason()?;
    let (app, caller) = (&*call.app, &call.caller);
    let connectors = app.options.handle.gate().connectors();
    connectors.remove(&*app.options.administration, caller.tenant, &found.name, &caller.principal, reason).await?;
    ok(Deleted { id: found.id.to_string(), object: "bailiwick.connector.deleted", deleted: true })
}

/// Opens a connector as its caller would, and says what came back. It is an action like any other, with a receipt.
pub(crate) async fn test(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call).await?;
    let (app, caller) = (&*call.app, &call.caller);
    let used = ConnectorUse {
        label: found.name.clone(),
        source: ConnectorSource::Kept { name: found.name.clone() },
        allowed_tools: None,
        required: false,
        credential: None,
        deferred: false,
        from_environment: false,
    };
    let mut agent = super::agent_config::blank(AgentId::new(app.now(), app.random()));
    agent.connectors.push(used);
    let session = toolsets::begin(app, caller, agent, None).await?;
    toolsets::open(app, caller, session).await?;
    let state = app.state(caller, session).await?;
    let view = state.view().connections.remove(&found.name).unwrap_or_default();
    ok(ConnectorTest {
        object: "bailiwick.connector.test",
        name: found.name.clone(),
        from: "service",
        host: found.spec.host.clone(),
        principal: caller.principal.to_string(),
        credential_id: state.opened_with(&found.name).map(|id| id.to_string()),
        session_id: session.to_string(),
        result: SessionConnector::of(&found.name, &view),
    })
}

/// What a session was shown of a connector's tools, held ones included, is what is accepted.
pub(crate) async fn accept(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let (AcceptParam { session_id }, _) = call.json::<AcceptParam>().await?;
    let unknown = || ApiError::invalid("session_id", "`session_id`: there is no such session.");
    let session: SessionId = session_id.parse().map_err(|_| unknown())?;
    let (app, caller) = (&*call.app, &call.caller);
    let state = app.state(caller, session).await?;
    let kept = |one: &&ConnectorUse| matches!(&one.source, ConnectorSource::Kept { name } if *name == found.name);
    let used = state.agent.connectors.iter().find(kept);
    let pins = used.and_then(|one| state.offered(&one.label, &found.spec.system(None))).ok_or_else(|| {
        let message = format!("`session_id`: this session did not open `{}` as it is now.", found.name);
        ApiError::invalid("session_id", message)
    })?;
    let connectors = app.options.handle.gate().connectors();
    let (tenant, by) = (caller.tenant, &caller.principal);
    let accepted = connectors.accept(&*app.options.administration, tenant, &found.name, pins, by, app.now()).await?;
    ok(ConnectorResource::of(&accepted, whole(caller)))
}

// ---- what an agent is given ----

/// An MCP server that is written into an agent.
pub(crate) fn mcp_of(app: &App, param: McpToolParam, path: &str) -> Result<ConnectorUse, ApiError> {
    let McpToolParam {
        server_label: label,
        transport,
        allowed_tools,
        connection_origin,
        credential_id,
        request_metadata,
        required,
        bailiwick,
    } = param;
    check_label(&label, &at(path, "server_label"))?;
    if connection_origin == Some(ConnectionOrigin::Environment) {
        return Err(ApiError::not_built(at(path, "connection_origin")));
    }
    if request_metadata.is_some_and(|metadata| !metadata.is_empty()) {
        return Err(ApiError::not_built(at(path, "request_metadata")));
    }
    let http = match transport {
        McpTransportParam::Http(http) => http,
        McpTransportParam::Stdio(_) => return Err(ApiError::not_built(at(path, "transport.type"))),
    };
    let spec = mcp_spec(app, http, &at(path, "transport"))?;
    let credential = match credential_id {
        None => None,
        Some(id) => {
            let place = at(path, "credential_id");
            let wrong = |_| ApiError::invalid(place.clone(), format!("`{place}` is no id of a credential."));
            Some(id.parse::<CredentialId>().map_err(wrong)?)
        }
    };
    Ok(ConnectorUse {
        label,
        source: ConnectorSource::Own { spec: Box::new(spec) },
        allowed_tools: allowed(allowed_tools, &at(path, "allowed_tools"))?,
        required: required.unwrap_or(false),
        credential,
        deferred: bailiwick.is_some_and(|extras| extras.defer_loading),
        from_environment: false,
    })
}

fn mcp_spec(app: &App, http: McpHttpParam, path: &str) -> Result<ConnectorSpec, ApiError> {
    if http.authorization.is_some_and(|text| !text.is_empty()) {
        let place = at(path, "authorization");
        let message = format!(
            "`{place}`: a secret is not kept in an agent. Put it into a vault as a `static_bearer` credential for this \
             server, and name it as `credential_id`."
        );
        return Err(ApiError::invalid(place, message));
    }
    let headers = http.headers.unwrap_or_default();
    let transport = json!({"type": "http", "url": http.server_url, "headers": headers});
    let settings = json!({"transport": transport});
    let checked = app.options.connector_rooms.check(ConnectorKind::Mcp, &settings).map_err(|problem| {
        let field = match problem.field.trim_start_matches("transport").trim_start_matches('.') {
            "" | "url" => "server_url",
            other => other,
        };
        let place = at(path, field);
        ApiError::invalid(place.clone(), format!("`{place}` {}.", problem.problem))
    })?;
    Ok(ConnectorSpec {
        kind: ConnectorKind::Mcp,
        settings,
        host: checked.host,
        credential: CredentialChoice::Matching,
        inside: false,
        label: Label::foreign(),
        effects: BTreeMap::new(),
        dialect: None,
    })
}

/// One that the organisation keeps. `granted` is what the caller was given on request.
pub(crate) fn kept_of(
    (app, caller): (&App, &Caller),
    all: &[Connector],
    granted: &[ConnectorRequest],
    param: ConnectorGrantParam,
    path: &str,
) -> Result<ConnectorUse, ApiError> {
    let ConnectorGrantParam { name, label, tools, required, defer_loading } = param;
    let label = label.unwrap_or_else(|| name.clone());
    check_label(&label, &at(path, "label"))?;
    let Some(found) = all.iter().find(|connector| connector.name == name && sees(app, caller, connector)) else {
        let place = at(path, "name");
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        let message =
            format!("`{place}`: there is no connector `{shown}`; `bailiwick connector list` says which there are.");
        return Err(ApiError::invalid(place, message));
    };
    let mut allowed_tools = allowed(tools, &at(path, "tools"))?;
    if is_asked_for(found) && !caller.may(Scope::AgentsWrite) {
        allowed_tools = on_request(found, granted, allowed_tools, path)?;
    }
    Ok(ConnectorUse {
        label,
        source: ConnectorSource::Kept { name },
        allowed_tools,
        required,
        credential: None,
        deferred: defer_loading,
        from_environment: false,
    })
}

/// Of a connector that is given on request: the tools that are wanted, where they were granted, else all that were.
fn on_request(
    connector: &Connector,
    granted: &[ConnectorRequest],
    wanted: Option<BTreeSet<String>>,
    path: &str,
) -> Result<Option<BTreeSet<String>>, ApiError> {
    let name = &connector.name;
    let mut given: Option<BTreeSet<String>> = Some(BTreeSet::new());
    let mut any = false;
    for request in granted.iter().filter(|request| request.connector == connector.id) {
        let RequestState::Granted { tools, .. } = &request.state else { continue };
        any = true;
        given = given.zip(tools.clone()).map(|(all, more)| all.union(&more).cloned().collect());
    }
    if !any {
        let place = at(path, "name");
        let message = format!("`{place}`: `{name}` is given on request: `bailiwick connector ask {name} --reason …`.");
        return Err(ApiError::invalid(place, message));
    }
    match (given, wanted) {
        (None, wanted) => Ok(wanted),
        (given, None) => Ok(given),
        (Some(given), Some(wanted)) if wanted.is_subset(&given) => Ok(Some(wanted)),
        (Some(given), Some(_)) => {
            let place = at(path, "tools");
            let given: Vec<String> = given.into_iter().collect();
            let message = format!("`{place}`: of `{name}` you were given {}; ask for more.", given.join(", "));
            Err(ApiError::invalid(place, message))
        }
    }
}

fn check_label(label: &str, path: &str) -> Result<(), ApiError> {
    if is_label(label) {
        return Ok(());
    }
    let message = format!(
        "`{path}` must have 1 to 32 letters, digits, `-` and `_`, without two underscores in a row and none at the end."
    );
    Err(ApiError::invalid(path, message))
}

pub(crate) fn allowed(tools: Option<Vec<String>>, path: &str) -> Result<Option<BTreeSet<String>>, ApiError> {
    let Some(tools) = tools else { return Ok(None) };
    if tools.len() > MAX_ALLOWED || tools.iter().any(|tool| tool.len() > MAX_TOOL_NAME) {
        let message = format!("`{path}` must name at most {MAX_ALLOWED} tools of at most {MAX_TOOL_NAME} bytes.");
        return Err(ApiError::invalid(path, message));
    }
    Ok(Some(tools.into_iter().collect()))
}

/// Two connectors of one agent never share a label, no function has a name that looks like one of their tools, and what is
/// deferred can be found.
pub(crate) fn check_tools(config: &bailiwick_core::AgentConfig, path: &str) -> Result<(), ApiError> {
    let most = bailiwick_core::connector::MAX_USES;
    if config.connectors.len() > most {
        return Err(ApiError::invalid(path, format!("An agent has at most {most} connectors.")));
    }
    let deferred = config.tools.iter().any(|tool| tool.deferred) || config.connectors.iter().any(|one| one.deferred);
    if deferred && !config.tool_search {
        let message =
            format!("`{path}`: what has `defer_loading` is found by a search; add a tool of type `tool_search`.");
        return Err(ApiError::invalid(path, message));
    }
    let mut seen = BTreeSet::new();
    for one in &config.connectors {
        if !seen.insert(one.label.to_ascii_lowercase()) {
            return Err(ApiError::invalid(path, format!("There are two connectors with the label `{}`.", one.label)));
        }
        let begins = format!("{}__", one.label);
        if let Some(tool) = config.tools.iter().find(|tool| tool.name.starts_with(&begins)) {
            let message = format!(
                "The function `{}` looks like a tool of the connector `{}`; take another name.",
                tool.name, one.label
            );
            return Err(ApiError::invalid(path, message));
        }
    }
    Ok(())
}

/// What settings of an MCP server say, as the API shows them.
pub(crate) fn http_of(settings: &Value) -> (String, BTreeMap<String, String>) {
    let transport = &settings["transport"];
    let headers = serde_json::from_value(transport["headers"].clone()).unwrap_or_default();
    (transport["url"].as_str().unwrap_or_default().to_owned(), headers)
}
