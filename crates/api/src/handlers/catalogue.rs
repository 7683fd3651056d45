//! The catalogue: an administrator publishes a connector, people ask to be given it, and whoever owns it answers.
//!
//! Who may ask is said when it is published; nobody answers what they asked for themselves. A grant for an agent is a new
//! version of that agent, written in one transaction with the answer.

use super::{
    agents,
    connectors::{self, allowed, is_asked_for, may_ask},
    ok,
    people::page_of,
};
use crate::{
    app::{App, Call},
    error::{ApiError, sentence},
    query::bits,
    routes::Answer,
    types::{
        agent::Deleted,
        catalogue::{
            AskForConnectorParam, CatalogueEntry, ConnectorRequestResource, GrantConnectorParam, PublishConnectorParam,
            RefuseConnectorParam,
        },
        connector::ConnectorResource,
        page::Page,
    },
};
use bailiwick_gate::{Connector, ConnectorRequest, Listing, MAX_CONNECTOR_TEXT, RequestError, RequestState, Wanted};
use bailiwick_ports::{Caller, Scope};
use bailiwick_types::{AgentId, ConnectorRequestId, Principal, TeamId, UserId};
use std::collections::BTreeSet;

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::TooMany | RequestError::TooManyOpen => {
                Self::conflict("too_many_connector_requests", sentence(&error))
            }
            RequestError::AskedAlready(_) => Self::conflict("connector_asked_already", sentence(&error)),
            RequestError::Gate(error) => error.into(),
        }
    }
}

/// An agent neither asks nor answers.
fn check_person(caller: &Caller) -> Result<(), ApiError> {
    match caller.principal {
        Principal::Agent { .. } => Err(ApiError::forbidden("Asking and answering is for people, never for an agent.")),
        _ => Ok(()),
    }
}

fn checked_reason(reason: &str) -> Result<String, ApiError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > MAX_CONNECTOR_TEXT {
        let message = format!("`reason` must say why, in at most {MAX_CONNECTOR_TEXT} bytes.");
        return Err(ApiError::invalid("reason", message));
    }
    Ok(reason.to_owned())
}

// ---- the catalogue ----

pub(crate) async fn publish(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let name = call.param("connector").to_owned();
    let (param, _) = call.json::<PublishConnectorParam>().await?;
    let listing = listing_of(&call.app, &call.caller, &param)?;
    ok(ConnectorResource::of(&write_listing(&call, &name, Some(listing), param.reason).await?, true))
}

fn listing_of(app: &App, caller: &Caller, param: &PublishConnectorParam) -> Result<Listing, ApiError> {
    let mut teams = BTreeSet::new();
    for (index, team) in param.teams.iter().enumerate() {
        let path = format!("teams[{index}]");
        let unknown = || ApiError::invalid(path.clone(), format!("`{path}`: there is no such team."));
        let id: TeamId = team.parse().map_err(|_| unknown())?;
        if !app.options.people.teams(caller.tenant).iter().any(|known| known.id == id) {
            return Err(unknown());
        }
        teams.insert(id);
    }
    let owner = match param.owner.as_ref().and_then(Option::as_ref) {
        None => None,
        Some(owner) => {
            let unknown = || ApiError::invalid("owner", "`owner`: there is nobody with this id here.");
            let id: UserId = owner.parse().map_err(|_| unknown())?;
            let known = app.options.directory.person(caller.tenant, id).filter(|person| !person.disabled);
            Some(known.map(|person| person.id).ok_or_else(unknown)?)
        }
    };
    Ok(Listing { title: param.title.trim().to_owned(), purpose: param.purpose.trim().to_owned(), teams, owner })
}

/// It can be asked for no more. What was granted stays.
pub(crate) async fn withdraw(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let (name, reason) = (call.param("connector").to_owned(), call.reason()?);
    ok(ConnectorResource::of(&write_listing(&call, &name, None, reason).await?, true))
}

async fn write_listing(
    call: &Call,
    name: &str,
    listing: Option<Listing>,
    reason: Option<String>,
) -> Result<Connector, ApiError> {
    let (app, caller) = (&*call.app, &call.caller);
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_CONNECTOR_TEXT) {
        let message = format!("`reason` must have at most {MAX_CONNECTOR_TEXT} bytes.");
        return Err(ApiError::invalid("reason", message));
    }
    let connectors = app.options.handle.gate().connectors();
    let doer = (&caller.principal, app.now(), reason);
    let administration = &*app.options.administration;
    Ok(connectors.list_in_catalogue(administration, caller.tenant, name, listing, doer).await?)
}

pub(crate) async fn list(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, caller) = (&*call.app, &call.caller);
    let gate = app.options.handle.gate();
    let all = gate.connectors().list(caller.tenant).await?;
    let mut entries = Vec::new();
    for connector in all.iter().filter(|one| caller.may(Scope::Admin) || may_ask(app, caller, one)) {
        let granted = match caller.principal.person() {
            Some(person) => !gate.connector_requests().granted_to(caller.tenant, person, connector).await?.is_empty(),
            None => false,
        };
        entries.extend(CatalogueEntry::of(connector, granted));
    }
    ok(Page::new(entries, false, |entry: &CatalogueEntry| entry.name.clone()))
}

// ---- requests ----

pub(crate) async fn ask(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let connector = connectors::find(&call).await?;
    let (param, _) = call.json::<AskForConnectorParam>().await?;
    let (app, caller) = (&*call.app, &call.caller);
    if !is_asked_for(&connector) || !(may_ask(app, caller, &connector) || caller.may(Scope::Admin)) {
        return Err(ApiError::not_found("connector in the catalogue", &connector.name));
    }
    let reason = checked_reason(&param.reason)?;
    let wanted = match &param.agent_id {
        Some(agent) => Wanted::Agent { id: own_agent(app, caller, agent)? },
        None => match caller.principal.person() {
            Some(id) => Wanted::Person { id },
            None => {
                let message = "`agent_id` is missing: a program asks for an agent, and not for itself.";
                return Err(ApiError::invalid("agent_id", message));
            }
        },
    };
    let now = app.now();
    let request = ConnectorRequest {
        id: ConnectorRequestId::new(now, app.random()),
        revision: 1,
        connector: connector.id,
        name: connector.name,
        wanted,
        tools: allowed(param.tools, "tools")?,
        by: caller.principal.clone(),
        reason,
        state: RequestState::Open,
        created: now,
        updated: now,
    };
    let requests = app.options.handle.gate().connector_requests();
    ok(ConnectorRequestResource::of(&requests.ask(&*app.options.administration, caller.tenant, request).await?))
}

/// A saved agent that the caller answers for.
fn own_agent(app: &App, caller: &Caller, agent: &str) -> Result<AgentId, ApiError> {
    let unknown = || ApiError::invalid("agent_id", "`agent_id`: there is no such agent.");
    let id: AgentId = agent.parse().map_err(|_| unknown())?;
    let charge = agents::charge(app, caller.tenant, id).map_err(|_| unknown())?;
    let person = caller.principal.person();
    let answers = person.is_some() && (charge.owner == person || charge.deputy == person);
    if !answers && !caller.may(Scope::Admin) {
        let message =
            "Connectors are asked for by whoever answers for the agent: its owner, its deputy or an administrator.";
        return Err(ApiError::forbidden(message).with_param("agent_id"));
    }
    Ok(id)
}

/// What a caller is to a request.
struct Standing {
    asked: bool,
    /// May answer it, but for what they asked themselves.
    answers: bool,
}

impl Standing {
    fn of(caller: &Caller, request: &ConnectorRequest, connector: Option<&Connector>) -> Self {
        let person = caller.principal.person();
        let asked = request.by == caller.principal || (person.is_some() && request.by.person() == person);
        let owner = connector.and_then(|connector| connector.listing.as_ref()).and_then(|listing| listing.owner);
        let answers = caller.may(Scope::Admin) || (person.is_some() && owner == person);
        Self { asked, answers }
    }
}

pub(crate) async fn requests(call: Call) -> Answer {
    let mut query = call.query()?;
    let state = query.take("state");
    let page = query.page(bits!(ConnectorRequestId))?;
    query.finish()?;
    if state.as_ref().is_some_and(|state| !["open", "granted", "refused"].contains(&state.as_str())) {
        return Err(ApiError::invalid("state", "`state` must be `open`, `granted` or `refused`."));
    }
    let (app, caller) = (&*call.app, &call.caller);
    let gate = app.options.handle.gate();
    let connectors = gate.connectors().list(caller.tenant).await?;
    let all = gate.connector_requests().list(caller.tenant).await?;
    let seen = all.iter().filter(|request| {
        let connector = connectors.iter().find(|connector| connector.id == request.connector);
        let standing = Standing::of(caller, request, connector);
        (standing.asked || standing.answers) && state.as_ref().is_none_or(|state| state == request.state.name())
    });
    let (shown, more) = page_of(seen.cloned().collect(), &page, |request| request.id.to_u128())?;
    let shown = shown.iter().map(ConnectorRequestResource::of).collect();
    ok(Page::new(shown, more, |request: &ConnectorRequestResource| request.id.clone()))
}

/// A request that the caller may see, with its connector where that is still there.
async fn find(call: &Call) -> Result<(ConnectorRequest, Option<Connector>, Standing), ApiError> {
    let id: ConnectorRequestId = call.id("request_id", "request")?;
    let unknown = || ApiError::not_found("request", &id.to_string());
    let (gate, caller) = (call.app.options.handle.gate(), &call.caller);
    let request = gate.connector_requests().find(caller.tenant, id).await?.ok_or_else(unknown)?;
    let all = gate.connectors().list(caller.tenant).await?;
    let connector = all.iter().find(|connector| connector.id == request.connector).cloned();
    let standing = Standing::of(caller, &request, connector.as_ref());
    match standing.asked || standing.answers {
        true => Ok((request, connector, standing)),
        false => Err(unknown()),
    }
}

pub(crate) async fn get_request(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(ConnectorRequestResource::of(&find(&call).await?.0))
}

/// A request that the caller may answer now.
async fn find_open(call: &Call) -> Result<(ConnectorRequest, Option<Connector>), ApiError> {
    let (request, connector, standing) = find(call).await?;
    if !standing.answers {
        return Err(ApiError::forbidden("Requests are answered by the connector's owner or an administrator."));
    }
    if standing.asked {
        return Err(ApiError::forbidden("Nobody answers what they asked for themselves: somebody else has to."));
    }
    if !request.is_open() {
        let message = format!("This request was answered already: it is {}.", request.state.name());
        return Err(ApiError::conflict("connector_request_answered", message));
    }
    Ok((request, connector))
}

pub(crate) async fn grant(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let (request, connector) = find_open(&call).await?;
    let (GrantConnectorParam { tools, reason }, _) = call.json().await?;
    let connector = connector.ok_or_else(|| ApiError::not_found("connector", &request.name))?;
    let tools = match tools {
        None => request.tools.clone(),
        some => allowed(some, "tools")?,
    };
    let reason = reason.filter(|reason| !reason.trim().is_empty()).map(|reason| checked_reason(&reason)).transpose()?;
    let (app, caller) = (&*call.app, &call.caller);
    let (by, at) = (caller.principal.clone(), app.now());
    let state = RequestState::Granted { by: by.clone(), at, tools: tools.clone(), reason: reason.clone() };
    let granted = request.answered(state, at);
    let requests = app.options.handle.gate().connector_requests();
    match request.wanted {
        Wanted::Person { .. } => {
            let administration = &*app.options.administration;
            requests.answer(administration, caller.tenant, "connector.granted", (&by, reason), &granted).await?;
        }
        Wanted::Agent { id } => {
            let document = requests.document(caller.tenant, &granted).await?;
            let why = reason.unwrap_or_else(|| request.reason.clone());
            let note = format!("{} for {}: {why}", connector.name, request.id);
            let given = agents::give_connector(&call, id, &connector, tools, note, document).await;
            requests.refresh(caller.tenant).await?;
            given?;
        }
    }
    ok(ConnectorRequestResource::of(&granted))
}

pub(crate) async fn refuse(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let (request, _) = find_open(&call).await?;
    let (RefuseConnectorParam { reason }, _) = call.json().await?;
    let reason = checked_reason(&reason)?;
    let (app, caller) = (&*call.app, &call.caller);
    let (by, at) = (caller.principal.clone(), app.now());
    let refused = request.answered(RequestState::Refused { by: by.clone(), at, reason: reason.clone() }, at);
    let requests = app.options.handle.gate().connector_requests();
    let administration = &*app.options.administration;
    requests.answer(administration, caller.tenant, "connector.refused", (&by, Some(reason)), &refused).await?;
    ok(ConnectorRequestResource::of(&refused))
}

/// Whoever asked takes it back; whoever answers ends what a person was given.
pub(crate) async fn remove(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let (request, _, standing) = find(&call).await?;
    if !standing.answers && !request.is_open() {
        return Err(ApiError::forbidden(
            "What was answered is removed by whoever answers requests for this connector.",
        ));
    }
    let reason = call.reason()?;
    let (app, caller) = (&*call.app, &call.caller);
    let requests = app.options.handle.gate().connector_requests();
    requests.remove(&*app.options.administration, caller.tenant, &request, (&caller.principal, reason)).await?;
    ok(Deleted { id: request.id.to_string(), object: "bailiwick.connector_request.deleted", deleted: true })
}
