//! Legal holds, and the erasure of a person's content, which they forbid.

use super::ok;
use crate::{
    app::{App, Call},
    error::{ApiError, sentence},
    query::bits,
    routes::Answer,
    types::{
        hold::{ErasureParam, ErasureResource, HoldParam, HoldResource},
        page::Page,
    },
};
use bailiwick_engine::{Eraser, ErasureError};
use bailiwick_gate::{Deleting, Hold, HoldError, HoldScope, MAX_HOLD_REASON};
use bailiwick_ports::store::DocumentKind;
use bailiwick_types::{Principal, TenantId, UserId};

impl From<HoldError> for ApiError {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::TooMany => Self::conflict("too_many_holds", sentence(&error)),
            HoldError::Unknown => Self::not_found("hold", "on this"),
            HoldError::Gate(error) => error.into(),
        }
    }
}

impl From<ErasureError> for ApiError {
    fn from(error: ErasureError) -> Self {
        match error {
            ErasureError::Held(hold) => held(&hold),
            ErasureError::List(reason) | ErasureError::Vault(reason) | ErasureError::Memory(reason) => {
                Self::internal(reason)
            }
            ErasureError::Archive(error) => error.into(),
            ErasureError::Audit(error) => error.into(),
        }
    }
}

fn held(hold: &Hold) -> ApiError {
    let (target, by, reason) = (hold.scope.target(), &hold.by, &hold.reason);
    let message = format!(
        "A legal hold on {target}, set by {by}, forbids to delete this: {reason}. It can be deleted when the hold is \
         lifted (`bailiwick audit hold lift {target}`)."
    );
    ApiError::conflict("held", message)
}

/// Refuses when a hold covers what is to be deleted.
pub(crate) async fn check(app: &App, tenant: TenantId, deleting: Deleting) -> Result<(), ApiError> {
    match &app.options.eraser {
        Some(eraser) => Ok(eraser.check_held(tenant, &deleting).await?),
        None => Ok(()),
    }
}

fn eraser(app: &App) -> Result<&Eraser, ApiError> {
    app.options.eraser.as_ref().ok_or_else(|| ApiError::not_built("erasure"))
}

fn reason_of(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_HOLD_REASON || text.chars().any(char::is_control) {
        let message = format!("`reason` must say why, in at most {MAX_HOLD_REASON} bytes on one line.");
        return Err(ApiError::invalid("reason", message));
    }
    Ok(text.to_owned())
}

/// An agent never decides what is kept.
fn check_person(call: &Call) -> Result<(), ApiError> {
    match call.caller.principal {
        Principal::Agent { .. } => Err(ApiError::forbidden("This is for people, never for an agent.")),
        _ => Ok(()),
    }
}

pub(crate) async fn set(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let (HoldParam { target, reason }, _) = call.json::<HoldParam>().await?;
    let reason = reason_of(&reason)?;
    let (app, caller) = (&*call.app, &call.caller);
    let scope = scope_of(app, caller.tenant, &target).await?;
    let eraser = eraser(app)?;
    // What is being destroyed is destroyed before the hold stands, or not at all.
    let _deciding = eraser.deciding().await;
    let hold = Hold { scope, reason, by: caller.principal.clone(), since: app.now() };
    let hold = eraser.holds().set(&*app.options.administration, caller.tenant, hold).await?;
    ok(HoldResource::of(&hold))
}

async fn scope_of(app: &App, tenant: TenantId, target: &str) -> Result<HoldScope, ApiError> {
    let person = target.parse().ok().map(|id| HoldScope::Person { id });
    let agent = || target.parse().ok().map(|id| HoldScope::Agent { id });
    let session = || target.parse().ok().map(|id| HoldScope::Session { id });
    let Some(scope) = person.or_else(agent).or_else(session) else {
        return Err(ApiError::invalid("target", "`target` must be the id of a person, an agent or a session."));
    };
    let options = &app.options;
    // A hold on what is not there would look like one and keep nothing.
    let known = match scope {
        HoldScope::Person { id } => options.people.user(tenant, id).is_some(),
        HoldScope::Agent { id } => {
            options.store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?.is_some()
                || options.colleagues.charge(tenant, id).is_some()
        }
        HoldScope::Session { id } => options.store.head(id.into()).await?.is_some_and(|head| head.tenant == tenant),
    };
    match known {
        true => Ok(scope),
        false => Err(ApiError::invalid("target", format!("`target`: there is no {target}."))),
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    call.query()?.finish()?;
    let holds = eraser(&call.app)?.holds().list(call.caller.tenant).await?;
    let holds = holds.iter().map(HoldResource::of).collect();
    ok(Page::new(holds, false, |hold: &HoldResource| hold.target.clone()))
}

pub(crate) async fn lift(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let target = call.param("target").to_owned();
    let missing = || ApiError::invalid("Bailiwick-Reason", "The header `Bailiwick-Reason` must say why it is lifted.");
    let reason = call.reason()?;
    let (app, caller) = (&*call.app, &call.caller);
    let holds = eraser(app)?.holds();
    if !holds.list(caller.tenant).await?.iter().any(|hold| hold.scope.target() == target) {
        return Err(ApiError::not_found("hold", &target));
    }
    let reason = reason.ok_or_else(missing)?;
    match holds.lift(&*app.options.administration, caller.tenant, &target, &caller.principal, reason).await {
        Err(HoldError::Unknown) => Err(ApiError::not_found("hold", &target)),
        lifted => ok(HoldResource::of(&lifted?)),
    }
}

pub(crate) async fn erase(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call)?;
    let person: UserId = call.id("user_id", "user")?;
    let (app, caller) = (call.app.clone(), call.caller.clone());
    if app.options.people.user(caller.tenant, person).is_none() {
        return Err(ApiError::not_found("user", &person.to_string()));
    }
    let (ErasureParam { reason }, _) = call.json::<ErasureParam>().await?;
    let reason = reason_of(&reason)?;
    let erasure = eraser(&app)?.order(caller.tenant, person, caller.principal, reason).await?;
    ok(ErasureResource::of(&erasure))
}

pub(crate) async fn erasure(call: Call) -> Answer {
    call.query()?.finish()?;
    let person: UserId = call.id("user_id", "erasure")?;
    let found = eraser(&call.app)?.erasure(call.caller.tenant, person).await?;
    let found = found.ok_or_else(|| ApiError::not_found("erasure", &person.to_string()))?;
    ok(ErasureResource::of(&found))
}

pub(crate) async fn erasures(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(UserId))?;
    query.finish()?;
    let all = eraser(&call.app)?.erasures(call.caller.tenant).await?;
    let (all, more) = super::people::page_of(all, &page, |erasure| erasure.person.to_u128())?;
    let all = all.iter().map(ErasureResource::of).collect();
    ok(Page::new(all, more, |erasure: &ErasureResource| erasure.id.clone()))
}
