//! What is remembered between sessions: seen, corrected, confirmed and erased by the people whom it is about.
//!
//! A person's own memory is that person's alone: no role reads it. Everybody else is told how much there is. What is shared
//! is seen by those who share it, and changed by whoever answers for it.

use super::ok;
use crate::{
    app::Call,
    error::{ApiError, sentence},
    handlers::holds,
    query::Query,
    routes::Answer,
    types::{
        memory::{
            MemoryConfirmation, MemoryCorrection, MemoryCounts, MemoryCreate, MemoryForgotten, MemoryReceipt,
            MemoryResource, MemoryScopeParam, MemorySearchParam,
        },
        page::Page,
    },
};
use bailiwick_gate::Deleting;
use bailiwick_ports::{
    Scope,
    memory::{Holder, MAX_HOLDERS, MemoryError, MemoryKind, MemoryNote, MemoryQuery, MemoryScope, MemoryState, Within},
};
use bailiwick_types::{AgentId, MemoryId, Principal, TeamId};
use std::str::FromStr;

/// Entries that one search shows.
const MAX_FOUND: u32 = 100;
const DEFAULT_FOUND: u32 = 20;

impl From<MemoryError> for ApiError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Invalid { field, problem } => Self::invalid(field, format!("`{field}` {problem}.")),
            MemoryError::Unknown => Self::not_found("memory", "of this id that you may see"),
            MemoryError::Version(version) => Self::conflict(
                "memory_changed",
                format!("It was changed meanwhile and has version {version}. Look at it again before you change it."),
            )
            .with_param("version"),
            MemoryError::Same(_) => Self::conflict("memory_exists", sentence(&error)).with_param("text"),
            MemoryError::Full(_) => Self::conflict("too_many_memories", sentence(&error)),
            MemoryError::Store(error) => error.into(),
            MemoryError::Unreadable(reason) => Self::internal(reason),
        }
    }
}

/// Agents reach memory through their tools, where each use has a permit and a receipt.
fn check_person(call: &Call) -> Result<(), ApiError> {
    match call.caller.principal {
        Principal::Agent { .. } => {
            Err(ApiError::forbidden("This is for people. An agent uses the tools of its memory."))
        }
        _ => Ok(()),
    }
}

fn own(call: &Call) -> Option<Holder> {
    match call.caller.principal {
        Principal::User { id } => Some(Holder::Person(id)),
        _ => None,
    }
}

fn teams(call: &Call) -> Vec<TeamId> {
    let Principal::User { id } = call.caller.principal else { return Vec::new() };
    let person = call.app.options.directory.person(call.caller.tenant, id);
    person.map(|person| person.teams.clone()).unwrap_or_default()
}

fn answers_for(call: &Call, agent: AgentId) -> bool {
    let Principal::User { id } = call.caller.principal else { return false };
    let charge = call.app.options.colleagues.charge(call.caller.tenant, agent);
    charge.is_some_and(|charge| charge.owner == Some(id) || charge.deputy == Some(id))
}

/// Whether the caller may see what this holder has.
fn may_see(call: &Call, holder: Holder) -> bool {
    let overseer = call.caller.may(Scope::TenantRead);
    match holder {
        Holder::Person(_) => own(call) == Some(holder),
        Holder::Team(team) => overseer || teams(call).contains(&team),
        Holder::Agent(agent) => overseer || answers_for(call, agent),
        Holder::Tenant => overseer || own(call).is_some(),
    }
}

fn check_change(call: &Call, holder: Holder) -> Result<(), ApiError> {
    let admin = call.caller.may(Scope::Admin);
    let may = match holder {
        Holder::Person(_) => own(call) == Some(holder),
        Holder::Team(team) => admin || teams(call).contains(&team),
        Holder::Agent(agent) => admin || answers_for(call, agent),
        Holder::Tenant => admin,
    };
    match may {
        true => Ok(()),
        false => Err(ApiError::forbidden(format!(
            "What is remembered for this {} is changed by whoever answers for it, or an administrator.",
            holder.scope().name()
        ))),
    }
}

fn id_of<T: FromStr>(text: &str, name: &str, what: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(name, format!("`{name}` must be the id of {what}.")))
}

/// All that the caller may see, with what is named beside it.
fn within(call: &Call, named: Option<Holder>) -> Result<Within, ApiError> {
    let mut holders: Vec<Holder> = own(call).into_iter().collect();
    holders.extend(named);
    holders.push(Holder::Tenant);
    holders.extend(teams(call).into_iter().map(Holder::Team));
    let mut seen = Vec::new();
    for holder in holders {
        if may_see(call, holder) && !seen.contains(&holder) && seen.len() < MAX_HOLDERS {
            seen.push(holder);
        }
    }
    Ok(Within { tenant: call.caller.tenant, holders: seen })
}

/// The team or agent that the query names.
fn named(query: &mut Query) -> Result<Option<Holder>, ApiError> {
    let team = query.take("team_id").map(|text| id_of(&text, "team_id", "a team")).transpose()?;
    let agent = query.take("agent_id").map(|text| id_of(&text, "agent_id", "an agent")).transpose()?;
    match (team, agent) {
        (Some(_), Some(_)) => Err(ApiError::invalid("agent_id", "Give `team_id` or `agent_id`, not both.")),
        (team, agent) => Ok(team.map(Holder::Team).or(agent.map(Holder::Agent))),
    }
}

/// The one holder of a scope.
fn holder_of(call: &Call, scope: MemoryScope, named: Option<Holder>) -> Result<Holder, ApiError> {
    let wrong = |param: &str, message: &str| Err(ApiError::invalid(param, message));
    match (scope, named) {
        (MemoryScope::Person, None) => own(call).ok_or_else(|| {
            ApiError::invalid(
                "scope",
                "`scope`: only people have a memory of their own; sign in as one, or name another.",
            )
        }),
        (MemoryScope::Tenant, None) => Ok(Holder::Tenant),
        (MemoryScope::Team, Some(team @ Holder::Team(_))) => Ok(team),
        (MemoryScope::Agent, Some(agent @ Holder::Agent(_))) => Ok(agent),
        (MemoryScope::Team, None) => match teams(call)[..] {
            [team] => Ok(Holder::Team(team)),
            _ => wrong("team_id", "`team_id` must say which team."),
        },
        (MemoryScope::Agent, None) => wrong("agent_id", "`agent_id` must say which agent."),
        (_, Some(_)) => wrong("scope", "`scope` does not fit `team_id` or `agent_id`."),
    }
}

fn choice<T: Copy>(
    query: &mut Query,
    name: &str,
    all: &[T],
    named: impl Fn(T) -> &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(text) = query.take(name) else { return Ok(None) };
    let found = all.iter().copied().find(|one| named(*one) == text);
    let names = || all.iter().map(|one| format!("`{}`", named(*one))).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be one of {}.", names())))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let named = named(&mut query)?;
    let scope = choice(&mut query, "scope", &MemoryScope::ALL, MemoryScope::name)?;
    let state = choice(&mut query, "state", &[MemoryState::Confirmed, MemoryState::Proposed], MemoryState::name)?;
    let kind = choice(&mut query, "kind", &MemoryKind::ALL, MemoryKind::name)?;
    let limit = match query.take("limit").map(|text| text.parse()) {
        None => 20,
        Some(Ok(limit @ 1..=100)) => limit,
        Some(_) => return Err(ApiError::invalid("limit", "`limit` must be a number from 1 to 100.")),
    };
    let after = query.id("after")?;
    query.finish()?;
    check_person(&call)?;
    let within = match (scope, named) {
        (None, None) => within(&call, None)?,
        (scope, named) => {
            let of_name = named.map_or(MemoryScope::Person, Holder::scope);
            let holder = holder_of(&call, scope.unwrap_or(of_name), named)?;
            let holders = if may_see(&call, holder) { vec![holder] } else { Vec::new() };
            Within { tenant: call.caller.tenant, holders }
        }
    };
    let query = MemoryQuery { state, kind, after, limit };
    let (entries, more) = call.app.options.memories.list(&within, &query).await?;
    let entries = entries.iter().map(MemoryResource::of).collect();
    ok(Page::new(entries, more, |entry: &MemoryResource| entry.id.clone()))
}

pub(crate) async fn search(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let (param, _) = call.json::<MemorySearchParam>().await?;
    let limit = match param.limit.unwrap_or(DEFAULT_FOUND) {
        limit @ 1..=MAX_FOUND => limit,
        _ => return Err(ApiError::invalid("limit", format!("`limit` must be from 1 to {MAX_FOUND}."))),
    };
    let agent = param.agent_id.map(|text| id_of(&text, "agent_id", "an agent")).transpose()?;
    let within = within(&call, agent.map(Holder::Agent))?;
    let found = call.app.options.memories.search(&within, &param.query, limit).await?;
    let found = found.iter().map(MemoryResource::of).collect();
    ok(Page::new(found, false, |entry: &MemoryResource| entry.id.clone()))
}

pub(crate) async fn counts(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let counts = call.app.options.memories.counts(call.caller.tenant).await?;
    ok(MemoryCounts { object: "bailiwick.memory_counts", data: counts.into_iter().map(Into::into).collect() })
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let (param, _) = call.json::<MemoryCreate>().await?;
    let scope = match param.scope {
        None | Some(MemoryScopeParam::Person) => MemoryScope::Person,
        Some(MemoryScopeParam::Team) => MemoryScope::Team,
        Some(MemoryScopeParam::Agent) => MemoryScope::Agent,
        Some(MemoryScopeParam::Tenant) => MemoryScope::Tenant,
    };
    let team = param.team_id.map(|text| id_of(&text, "team_id", "a team")).transpose()?.map(Holder::Team);
    let agent = param.agent_id.map(|text| id_of(&text, "agent_id", "an agent")).transpose()?.map(Holder::Agent);
    let holder = holder_of(&call, scope, team.or(agent))?;
    check_change(&call, holder)?;
    let note = MemoryNote { holder, kind: param.kind.into(), text: param.text };
    let entry = call.app.options.memories.write(call.caller.tenant, note, &call.caller.principal).await?;
    ok(MemoryResource::of(&entry))
}

/// The entry that a path names, with all that may be reached for it.
fn asked_for(call: &Call) -> Result<(MemoryId, Within), ApiError> {
    let mut query = call.query()?;
    let named = named(&mut query)?;
    query.finish()?;
    check_person(call)?;
    Ok((call.id("memory_id", "memory")?, within(call, named)?))
}

/// The holder of an entry that the caller may change. Whoever may not see it is told that there is none.
async fn to_change(call: &Call, id: MemoryId, within: &Within) -> Result<Within, ApiError> {
    for holder in &within.holders {
        let one = Within { tenant: within.tenant, holders: vec![*holder] };
        match call.app.options.memories.get(&one, id).await {
            Ok(_) => {
                check_change(call, *holder)?;
                return Ok(one);
            }
            Err(MemoryError::Unknown) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::not_found("memory", &id.to_string()))
}

/// The version that was seen, from the body or from `If-Match`.
fn version(call: &Call, given: Option<u32>) -> Result<Option<u32>, ApiError> {
    let Some(header) = call.parts.headers.get("if-match") else { return Ok(given) };
    let read = header.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse::<u32>().ok());
    match (read, given) {
        (None, _) => Err(ApiError::invalid("If-Match", "The header `If-Match` must be a version, such as \"2\".")),
        (Some(read), Some(given)) if read != given => {
            Err(ApiError::invalid("If-Match", "The header `If-Match` and `version` say different things."))
        }
        (read, _) => Ok(read),
    }
}

fn needed(version: Option<u32>) -> Result<u32, ApiError> {
    version.ok_or_else(|| ApiError::invalid("version", "`version` must say which version you have seen."))
}

pub(crate) async fn get(call: Call) -> Answer {
    let (id, within) = asked_for(&call)?;
    match call.app.options.memories.get(&within, id).await {
        Err(MemoryError::Unknown) => Err(ApiError::not_found("memory", &id.to_string())),
        found => ok(MemoryResource::of(&found?)),
    }
}

/// What a hold covers is neither written over nor removed.
async fn check_held(call: &Call, within: &Within) -> Result<(), ApiError> {
    for holder in &within.holders {
        let deleting = match holder {
            Holder::Person(person) => Deleting { person: Some(*person), ..Deleting::default() },
            Holder::Agent(agent) => Deleting { agent: Some(*agent), ..Deleting::default() },
            Holder::Team(_) | Holder::Tenant => continue,
        };
        holds::check(&call.app, within.tenant, deleting).await?;
    }
    Ok(())
}

pub(crate) async fn correct(mut call: Call) -> Answer {
    let (id, within) = asked_for(&call)?;
    let within = to_change(&call, id, &within).await?;
    let (param, _) = call.json::<MemoryCorrection>().await?;
    let seen = needed(version(&call, param.version)?)?;
    check_held(&call, &within).await?;
    let by = &call.caller.principal;
    let entry = call.app.options.memories.correct(&within, id, seen, &param.text, by).await?;
    ok(MemoryResource::of(&entry))
}

pub(crate) async fn confirm(mut call: Call) -> Answer {
    let (id, within) = asked_for(&call)?;
    let within = to_change(&call, id, &within).await?;
    let (param, _) = call.json::<MemoryConfirmation>().await?;
    let seen = needed(version(&call, param.version)?)?;
    let entry = call.app.options.memories.confirm(&within, id, seen, &call.caller.principal).await?;
    ok(MemoryResource::of(&entry))
}

pub(crate) async fn forget(call: Call) -> Answer {
    let (id, within) = asked_for(&call)?;
    let within = to_change(&call, id, &within).await?;
    let seen = version(&call, None)?;
    check_held(&call, &within).await?;
    call.app.options.memories.forget(&within, id, seen, &call.caller.principal).await?;
    let receipt = MemoryReceipt { change: "memory.forgotten", target: id.to_string() };
    ok(MemoryForgotten { id: id.to_string(), object: "bailiwick.memory.deleted", deleted: true, receipt })
}
