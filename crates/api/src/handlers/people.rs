//! People: added, changed, disabled.

use super::ok;
use crate::{
    app::Call,
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        page::Page,
        people::{UserParam, UserResource, UserUpdate},
    },
};
use bailiwick_ports::{
    Caller, PeopleError, Role, Scope,
    people::{Author, ForeignId, NewUser, User, UserPatch},
    store::Page as StorePage,
};
use bailiwick_types::{TeamId, UserId};

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (UserParam, _) = call.json().await?;
    let roles = param.roles.map_or_else(|| vec![Role::Member], |roles| roles.into_iter().map(Into::into).collect());
    check_rank(&call.caller, &roles)?;
    let foreign = match param.subject {
        None => None,
        Some(subject) => match call.app.options.sign_in.provider_of(call.caller.tenant).await? {
            Some(issuer) => Some(ForeignId { issuer, subject: checked_subject(subject)? }),
            None => {
                let message = "`subject`: no identity provider is configured; give the person a `login`.";
                return Err(ApiError::invalid("subject", message));
            }
        },
    };
    if foreign.is_some() == param.login.is_some() {
        let message = "`login`: give either `login`, for a password here, or `subject`, for the identity provider.";
        return Err(ApiError::invalid("login", message));
    }
    let teams = teams_of(&param.teams)?;
    let author = author(&call)?;
    let new = NewUser { name: param.name, login: param.login, email: param.email, roles, teams, foreign };
    let (user, set_up) = call.app.options.people.create_user(author, new).await?;
    ok(UserResource::of(user, set_up))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(UserId))?;
    query.finish()?;
    let users = call.app.options.people.users(call.caller.tenant);
    let (users, more) = page_of(users, &page, |user| user.id.to_u128())?;
    let users = users.into_iter().map(|user| UserResource::of(user, None)).collect();
    ok(Page::new(users, more, |user: &UserResource| user.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(UserResource::of(find(&call)?, None))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let user = find(&call)?;
    let (param, _): (UserUpdate, _) = call.json().await?;
    check_rank(&call.caller, &user.roles)?;
    let roles: Option<Vec<Role>> = param.roles.map(|roles| roles.into_iter().map(Into::into).collect());
    check_rank(&call.caller, roles.as_deref().unwrap_or_default())?;
    let teams = param.teams.as_deref().map(teams_of).transpose()?;
    let author = author(&call)?;
    let patch = UserPatch { name: param.name, email: param.email, roles, teams, disabled: param.disabled };
    let user = call.app.options.people.change_user(author, user.id, patch).await?;
    call.app.options.handle.obey_stops();
    ok(UserResource::of(user, None))
}

pub(crate) async fn reset_password(call: Call) -> Answer {
    call.query()?.finish()?;
    let user = find(&call)?;
    check_rank(&call.caller, &user.roles)?;
    let set_up = call.app.options.people.reset_password(author(&call)?, user.id).await?;
    ok(UserResource::of(user, Some(set_up)))
}

fn find(call: &Call) -> Result<User, ApiError> {
    let id: UserId = call.id("user_id", "user")?;
    let found = call.app.options.people.user(call.caller.tenant, id);
    found.ok_or_else(|| ApiError::not_found("user", &id.to_string()))
}

/// Whoever may only write people must not make anybody more than a member, nor touch those who are.
fn check_rank(caller: &Caller, roles: &[Role]) -> Result<(), ApiError> {
    match roles.iter().find(|role| **role != Role::Member) {
        Some(role) if !caller.may(Scope::Admin) => Err(ApiError::forbidden(format!(
            "Only an administrator may give the role `{role}`, or change somebody who has it."
        ))
        .with_param("roles")),
        _ => Ok(()),
    }
}

fn checked_subject(subject: String) -> Result<String, ApiError> {
    if subject.is_empty() || subject.len() > 255 || subject.chars().any(char::is_control) {
        return Err(ApiError::invalid("subject", "`subject` must have 1 to 255 bytes and no control characters."));
    }
    Ok(subject)
}

fn teams_of(teams: &[String]) -> Result<Vec<TeamId>, ApiError> {
    let id = |text: &String| text.parse().map_err(|error| ApiError::invalid("teams", format!("`teams`: {error}.")));
    teams.iter().map(id).collect()
}

/// Who makes a change, and why.
pub(crate) fn author(call: &Call) -> Result<Author, ApiError> {
    Ok(Author { tenant: call.caller.tenant, by: call.caller.principal.clone(), reason: call.reason()? })
}

/// A page of a list that lies in memory, oldest first.
pub(crate) fn page_of<T>(
    mut all: Vec<T>,
    page: &StorePage,
    id: impl Fn(&T) -> u128,
) -> Result<(Vec<T>, bool), ApiError> {
    if page.descending {
        all.reverse();
    }
    let place = |cursor: Option<u128>| match cursor {
        None => Ok(None),
        Some(bits) => match all.iter().position(|one| id(one) == bits) {
            Some(at) => Ok(Some(at)),
            None => Err(unknown_cursor(page)),
        },
    };
    let (from, to) = (place(page.after)?.map_or(0, |at| at + 1), place(page.before)?.unwrap_or(all.len()));
    all.truncate(to);
    all.drain(..from.min(to));
    let limit = page.limit as usize;
    let more = all.len() > limit;
    if page.before.is_some() && page.after.is_none() {
        // The page that ends right before the cursor.
        all.drain(..all.len().saturating_sub(limit));
    }
    all.truncate(limit);
    Ok((all, more))
}

impl From<PeopleError> for ApiError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::Invalid { field, problem } => Self::invalid(field, format!("`{field}`: {problem}.")),
            PeopleError::Unknown { what, id } => Self::not_found(what, &id),
            PeopleError::Refused(problem) => Self::malformed(format!("This is not possible: {problem}.")),
            PeopleError::Store(error) => error.into(),
            PeopleError::Unavailable(reason) => Self::internal(reason),
        }
    }
}
