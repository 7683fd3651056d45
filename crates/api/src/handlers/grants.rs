//! Grants: given, shown and revoked. A person gives them, never a program or an agent.

use super::ok;
use crate::{
    app::{App, Call},
    error::{ApiError, sentence},
    query::bits,
    routes::Answer,
    types::{
        grant::{Grant, GrantParam, GrantType, ReachParam, WidenOption, WidenParam},
        page::Page,
    },
};
use bailiwick_core::{
    Grant as CoreGrant, GrantReach, Remit, Shape, Standing, What,
    grant::{MAX_GRANT_REASON, Revocation},
    item::{ApprovalView, SessionView},
    visible::visible,
};
use bailiwick_gate::GrantError;
use bailiwick_ports::{Caller, Scope, store::DocumentKind};
use bailiwick_types::{AgentId, GrantId, KeyId, Principal, TenantId, Timestamp, UserId};
use std::str::FromStr;

impl From<GrantError> for ApiError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::TooMany | GrantError::TooManyOfOne => Self::conflict("too_many_grants", sentence(&error)),
            GrantError::Ended => Self::conflict("grant_ended", sentence(&error)),
            GrantError::Unknown => Self::not_found("grant", "of this id"),
            GrantError::Gate(error) => error.into(),
        }
    }
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller, "A grant is given by the person or an administrator, who signed in themselves")?;
    let (param, _) = call.json::<GrantParam>().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let (preview, reason) = (param.preview, param.reason.clone());
    check_reason(reason.as_deref())?;
    let (what, until) = (what_of(app, caller, &param).await?, param.until);
    let grant = grant_of(app, caller, what, until, "until", reason)?;
    let grant = match preview {
        true => grant,
        false => give(app, caller, grant).await?,
    };
    let shown = show(app, caller.tenant, &grant);
    ok(if preview { Grant { id: None, ..shown } } else { shown })
}

/// Gives it, and answers with what holds from now on.
pub(crate) async fn give(app: &App, caller: &Caller, grant: CoreGrant) -> Result<CoreGrant, ApiError> {
    let grants = app.options.handle.gate().grants();
    Ok(grants.give(&*app.options.administration, caller.tenant, grant).await?)
}

/// Never by the agent, its sub-agents, or a program.
pub(crate) fn check_person(caller: &Caller, who: &str) -> Result<(), ApiError> {
    match caller.principal {
        Principal::User { .. } | Principal::Operator => Ok(()),
        _ => Err(ApiError::forbidden(format!("{who}, never by a program or an agent."))),
    }
}

fn check_reason(reason: Option<&str>) -> Result<(), ApiError> {
    match reason.is_some_and(|reason| reason.len() > MAX_GRANT_REASON) {
        true => Err(ApiError::invalid("reason", format!("`reason` is longer than {MAX_GRANT_REASON} bytes."))),
        false => Ok(()),
    }
}

fn id<T: FromStr>(text: &str, field: &str, what: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(field, format!("`{field}` is no id of {what}.")))
}

async fn what_of(app: &App, caller: &Caller, param: &GrantParam) -> Result<What, ApiError> {
    let tenant = caller.tenant;
    let key: KeyId = id(&param.key_id, "key_id", "a key")?;
    let person: UserId = match (&param.person_id, caller.principal.person()) {
        (Some(text), _) => id(text, "person_id", "a person")?,
        (None, Some(own)) => own,
        (None, None) => return Err(ApiError::invalid("person_id", "`person_id` is needed: who is it about?")),
    };
    check_giver(app, caller, param.r#type, person)?;
    let known = app.options.directory.person(tenant, person).is_some_and(|person| !person.disabled);
    if !known {
        return Err(ApiError::invalid("person_id", "`person_id`: there is no such person, or they are disabled."));
    }
    let keys = app.options.key_desk.list_keys(tenant).await?;
    if !keys.iter().any(|known| known.id == key && known.revoked.is_none()) {
        return Err(ApiError::invalid("key_id", "`key_id`: there is no such key, or it was revoked."));
    }
    let agent: Option<AgentId> = match &param.agent_id {
        None => None,
        Some(text) => Some(id(text, "agent_id", "an agent")?),
    };
    if let Some(agent) = agent
        && app.options.store.document(tenant, DocumentKind::Agent, agent.to_u128(), None).await?.is_none()
    {
        return Err(ApiError::invalid("agent_id", "`agent_id`: there is no such saved agent."));
    }
    let scopes = param.scopes.clone();
    Ok(match param.r#type {
        GrantType::Relay if !scopes.is_empty() => {
            return Err(ApiError::invalid("scopes", "`scopes` belongs to a subject grant; a relay passes answers on."));
        }
        GrantType::Relay => What::Relay { person, key, agent },
        GrantType::Subject => {
            check_scopes(app, &scopes)?;
            What::Subject { person, key, agent, scopes }
        }
    })
}

fn check_giver(app: &App, caller: &Caller, kind: GrantType, person: UserId) -> Result<(), ApiError> {
    let good = match kind {
        GrantType::Subject => app.options.handle.gate().may_speak_for(caller.tenant, person, &caller.principal),
        GrantType::Relay => caller.principal == Principal::User { id: person },
    };
    if good {
        return Ok(());
    }
    let who = match kind {
        GrantType::Subject => "only the person themself or an administrator lets a program order work for them",
        GrantType::Relay => "nobody but the person themself lets a program pass on their answers",
    };
    Err(ApiError::forbidden(format!("`person_id`: {who}.")).with_param("person_id"))
}

fn check_scopes(app: &App, scopes: &[String]) -> Result<(), ApiError> {
    let remit = Remit { allow: scopes.to_vec() };
    if let Err(problem) = app.options.policy.check_remit(&remit) {
        return Err(ApiError::invalid("scopes", problem.replace("remit.allow", "scopes")));
    }
    let thinks = scopes.iter().any(|entry| bailiwick_core::grant::is_in_scope(entry, "model.call"));
    match scopes.is_empty() || thinks {
        true => Ok(()),
        false => Err(ApiError::invalid("scopes", "`scopes` needs `model.call`, without which an agent does nothing.")),
    }
}

/// The grant, as it would be from now on.
pub(crate) fn grant_of(
    app: &App,
    caller: &Caller,
    what: What,
    until: i64,
    field: &str,
    reason: Option<String>,
) -> Result<CoreGrant, ApiError> {
    let now = app.now();
    let until = until.checked_mul(1000).map(Timestamp::from_millis);
    let longest = what.longest();
    let Some(until) = until.filter(|until| *until > now && *until <= now + longest) else {
        let days = longest.0 / (24 * 3600 * 1000);
        let message =
            format!("`{field}` must be a time in the future, in seconds since 1970, {days} days away at most.");
        return Err(ApiError::invalid(field, message));
    };
    let (id, by) = (GrantId::new(now, app.random()), caller.principal.clone());
    Ok(CoreGrant { id, what, by, since: now, until, reason, question: None, revoked: None })
}

/// In which ways an answer may be widened, in words.
pub(crate) fn options(app: &App, tenant: TenantId, view: &ApprovalView, session: &SessionView) -> Vec<WidenOption> {
    let reaches = [ReachParam::Session, ReachParam::Agent];
    let mut options = Vec::new();
    for shape in Shape::of(&view.arguments) {
        for r#for in reaches.into_iter().filter(|reach| is_offered(app, tenant, view, *reach)) {
            let what = shape.kind();
            let standing = standing(view, session, shape.clone(), r#for);
            let words = standing.map(|standing| What::Standing(standing).words(&|who| name(app, tenant, who)));
            let words = words.map(|words| visible(&words));
            options.extend(words.map(|words| WidenOption { what, r#for, words }));
        }
    }
    options
}

/// An agent that is written inline works in one session only.
fn is_offered(app: &App, tenant: TenantId, view: &ApprovalView, reach: ReachParam) -> bool {
    reach == ReachParam::Session || app.options.directory.colleague(tenant, view.agent).is_some()
}

fn standing(view: &ApprovalView, session: &SessionView, shape: Shape, reach: ReachParam) -> Option<Standing> {
    let Principal::Agent { on_behalf_of: Some(orderer), .. } = &view.principal else { return None };
    let reach = match reach {
        ReachParam::Session => GrantReach::Session { id: view.session },
        ReachParam::Agent => GrantReach::Agent,
    };
    let (agent, orderer, rule) = (view.agent, (**orderer).clone(), view.question.rule.clone());
    Some(Standing { shape, reach, agent, orderer, rule, label: session.label.clone() })
}

/// The standing answer that was chosen among the options.
pub(crate) fn widened(
    app: &App,
    caller: &Caller,
    view: &ApprovalView,
    session: &SessionView,
    param: &WidenParam,
) -> Result<CoreGrant, ApiError> {
    check_person(caller, "A standing answer is given by a person")?;
    let shapes = Shape::of(&view.arguments);
    let shape = shapes.iter().find(|shape| shape.kind() == param.what).cloned();
    let shape = shape.filter(|_| is_offered(app, caller.tenant, view, param.r#for));
    let Some(standing) = shape.and_then(|shape| standing(view, session, shape, param.r#for)) else {
        let message = "`widen`: the approval's `widen` says what it can be widened to.";
        return Err(ApiError::invalid("widen.what", message));
    };
    let grant = grant_of(app, caller, What::Standing(standing), param.until, "widen.until", None)?;
    Ok(CoreGrant { question: Some(view.action), ..grant })
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(GrantId))?;
    query.finish()?;
    let (app, caller) = (&*call.app, &call.caller);
    let known = app.options.handle.gate().grants().list(caller.tenant).await?;
    let mut visible: Vec<&CoreGrant> = known.iter().filter(|grant| may_see(caller, grant)).collect();
    visible.sort_by_key(|grant| grant.id);
    if page.descending {
        visible.reverse();
    }
    let place = |bits: u128| visible.iter().position(|grant| grant.id.to_u128() == bits);
    let cursor = |bits: Option<u128>| match bits {
        None => Ok(None),
        Some(bits) => place(bits).map(Some).ok_or_else(|| crate::query::unknown_cursor(&page)),
    };
    let (after, before) = (cursor(page.after)?, cursor(page.before)?);
    let from = after.map_or(0, |at| at + 1);
    let to = before.unwrap_or(visible.len()).max(from);
    let all = &visible[from..to];
    let shown = all.iter().take(page.limit as usize).map(|grant| show(app, caller.tenant, grant)).collect();
    let more = all.len() > page.limit as usize;
    ok(Page::new(shown, more, |grant: &Grant| grant.id.clone().unwrap_or_default()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let grant = find(&call).await?;
    ok(show(&call.app, call.caller.tenant, &grant))
}

pub(crate) async fn revoke(call: Call) -> Answer {
    call.query()?.finish()?;
    let grant = find(&call).await?;
    let (app, caller) = (&*call.app, &call.caller);
    check_person(caller, "A grant is revoked by who gave it, whom it is about, or an administrator")?;
    if !is_party(caller, &grant) && !caller.may(Scope::Admin) {
        let message = "Only who gave this grant, whom it is about, or an administrator may revoke it.";
        return Err(ApiError::forbidden(message));
    }
    let revocation = Revocation { by: caller.principal.clone(), at: app.now(), reason: call.reason()? };
    let grants = app.options.handle.gate().grants();
    let revoked = grants.revoke(&*app.options.administration, caller.tenant, grant.id, revocation).await?;
    app.options.handle.obey_stops();
    ok(show(app, caller.tenant, &revoked))
}

async fn find(call: &Call) -> Result<CoreGrant, ApiError> {
    let id: GrantId = call.id("grant_id", "grant")?;
    let found = call.app.options.handle.gate().grants().find(call.caller.tenant, id).await?;
    let found = found.filter(|grant| may_see(&call.caller, grant));
    found.ok_or_else(|| ApiError::not_found("grant", &id.to_string()))
}

/// Who gave it, whose work or word it is about, and the program that it lets speak.
fn is_party(caller: &Caller, grant: &CoreGrant) -> bool {
    match &caller.principal {
        Principal::User { id } => grant.by == caller.principal || grant.person() == Some(*id),
        Principal::Service { key } => grant.key() == Some(*key),
        Principal::Operator => true,
        _ => false,
    }
}

fn may_see(caller: &Caller, grant: &CoreGrant) -> bool {
    is_party(caller, grant) || caller.may(Scope::TenantRead)
}

pub(crate) fn show(app: &App, tenant: TenantId, grant: &CoreGrant) -> Grant {
    Grant::of(grant, app.now(), &|who| name(app, tenant, who))
}

/// A person by name and id, so that a grant can be read.
fn name(app: &App, tenant: TenantId, who: &Principal) -> String {
    let person = who.person().and_then(|id| app.options.directory.person(tenant, id));
    match person {
        Some(person) => format!("{} ({who})", person.name),
        None => who.to_string(),
    }
}

/// A program that names a person, as it may order work for them from this agent. Everybody else orders for themselves.
pub(crate) async fn orderer(
    app: &App,
    caller: &Caller,
    subject: Option<&str>,
    agent: AgentId,
) -> Result<Principal, ApiError> {
    const FIELD: &str = "bailiwick.subject";
    let Some(text) = subject else { return Ok(caller.principal.clone()) };
    let person: UserId = id(text, FIELD, "a person")?;
    match &caller.principal {
        Principal::User { id } if *id == person => Ok(caller.principal.clone()),
        Principal::Service { key } => {
            let spoken = app.options.handle.gate().speaking_for(caller.tenant, *key, person, agent).await?;
            spoken.ok_or_else(|| {
                let message = format!(
                    "`{FIELD}`: no grant lets {key} order work for {person} from this agent. The person or an administrator \
                     can give one: `bailiwick grant create subject --person {person} --key {key} --until 30d`."
                );
                ApiError::forbidden(message).with_param(FIELD)
            })
        }
        _ => {
            let message =
                format!("`{FIELD}`: only a program names the person for whom it orders; you order for yourself.");
            Err(ApiError::forbidden(message).with_param(FIELD))
        }
    }
}

/// A program that names a person, as it may pass on what they answer to this agent's questions.
pub(crate) async fn answerer(
    app: &App,
    caller: &Caller,
    person: &str,
    agent: AgentId,
    field: &str,
) -> Result<Principal, ApiError> {
    let who: UserId = id(person, field, "a person")?;
    let Principal::Service { key } = caller.principal else {
        return Err(ApiError::forbidden(format!("`{field}`: only a program passes on what somebody else answers."))
            .with_param(field));
    };
    let relayed = app.options.handle.gate().relaying_for(caller.tenant, key, who, agent).await?;
    relayed.ok_or_else(|| {
        let message = format!(
            "`{field}`: no grant lets {key} pass on what {who} answers. They can give one themselves: `bailiwick grant \
             create relay --key {key} --until 30d`."
        );
        ApiError::forbidden(message).with_param(field)
    })
}

/// The people whose answers a program may pass on to this agent's questions.
pub(crate) async fn relayed_by(app: &App, caller: &Caller, agent: AgentId) -> Result<Vec<Principal>, ApiError> {
    let Principal::Service { key } = caller.principal else { return Ok(Vec::new()) };
    let gate = app.options.handle.gate();
    let mut people: Vec<UserId> = Vec::new();
    for grant in gate.grants().list(caller.tenant).await?.iter() {
        if let What::Relay { person, key: by, .. } = &grant.what
            && *by == key
            && !people.contains(person)
        {
            people.push(*person);
        }
    }
    let mut relayed = Vec::new();
    for person in people {
        relayed.extend(gate.relaying_for(caller.tenant, key, person, agent).await?);
    }
    Ok(relayed)
}
