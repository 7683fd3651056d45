//! Teams of people.

use super::{
    ok,
    people::{author, page_of},
};
use crate::{
    app::Call,
    error::ApiError,
    query::bits,
    routes::Answer,
    types::{
        page::Page,
        people::{TeamParam, TeamResource},
    },
};
use bailiwick_types::TeamId;

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (TeamParam, _) = call.json().await?;
    let author = author(&call)?;
    ok(TeamResource::from(call.app.options.people.create_team(author, param.name).await?))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(TeamId))?;
    query.finish()?;
    let teams = call.app.options.people.teams(call.caller.tenant);
    let (teams, more) = page_of(teams, &page, |team| team.id.to_u128())?;
    let teams = teams.into_iter().map(TeamResource::from).collect();
    ok(Page::new(teams, more, |team: &TeamResource| team.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: TeamId = call.id("team_id", "team")?;
    let found = call.app.options.people.team(call.caller.tenant, id);
    ok(TeamResource::from(found.ok_or_else(|| ApiError::not_found("team", &id.to_string()))?))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id: TeamId = call.id("team_id", "team")?;
    let people = &call.app.options.people;
    people.team(call.caller.tenant, id).ok_or_else(|| ApiError::not_found("team", &id.to_string()))?;
    let (param, _): (TeamParam, _) = call.json().await?;
    let author = author(&call)?;
    ok(TeamResource::from(call.app.options.people.rename_team(author, id, param.name).await?))
}
