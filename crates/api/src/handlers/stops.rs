//! Stop buttons: for a session, an agent, a team, and everything.

use super::ok;
use crate::{
    app::{App, Call},
    error::ApiError,
    routes::Answer,
    types::{
        page::Page,
        stop::{Stop, StopParam},
    },
};
use bailiwick_core::{StopOrder, StopScope, stop::MAX_STOP_REASON};
use bailiwick_gate::StopError;
use bailiwick_ports::store::DocumentKind;
use bailiwick_types::TenantId;

impl From<StopError> for ApiError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::TooMany => Self::conflict("too_many_stops", error.to_string()),
            StopError::Unknown => Self::not_found("stop", "on this"),
            StopError::Gate(error) => error.into(),
        }
    }
}

pub(crate) async fn set(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (StopParam { target, reason }, _) = call.json::<StopParam>().await?;
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_STOP_REASON) {
        return Err(ApiError::invalid("reason", format!("`reason` is longer than {MAX_STOP_REASON} bytes.")));
    }
    let (app, caller) = (&*call.app, &call.caller);
    let scope = scope_of(caller.tenant, &target).ok_or_else(|| {
        ApiError::invalid("target", "`target` must be `everything`, or the id of a session, an agent or a team.")
    })?;
    check_target(app, caller.tenant, scope, &target).await?;
    let order = StopOrder { scope, reason, by: caller.principal.clone(), since: app.now() };
    let handle = &app.options.handle;
    let order = handle.gate().stops().set(&*app.options.administration, caller.tenant, order).await?;
    handle.obey_stops();
    ok(Stop::of(caller.tenant, &order))
}

pub(crate) async fn list(call: Call) -> Answer {
    call.query()?.finish()?;
    let tenant = call.caller.tenant;
    let stops = call.app.options.handle.gate().stops().list(tenant).await?;
    let stops = stops.iter().map(|stop| Stop::of(tenant, stop)).collect();
    ok(Page::new(stops, false, |stop: &Stop| stop.target.clone()))
}

pub(crate) async fn lift(call: Call) -> Answer {
    call.query()?.finish()?;
    let (app, caller) = (&*call.app, &call.caller);
    let unknown = || ApiError::not_found("stop", call.param("target"));
    let scope = scope_of(caller.tenant, call.param("target")).ok_or_else(unknown)?;
    let stops = app.options.handle.gate().stops();
    match stops.lift(&*app.options.administration, &caller.principal, caller.tenant, scope, None).await {
        Err(StopError::Unknown) => Err(unknown()),
        lifted => ok(Stop::of(caller.tenant, &lifted?)),
    }
}

fn scope_of(tenant: TenantId, target: &str) -> Option<StopScope> {
    if target == "everything" || target == tenant.to_string() {
        return Some(StopScope::Tenant);
    }
    let session = target.parse().ok().map(|id| StopScope::Session { id });
    let agent = || target.parse().ok().map(|id| StopScope::Agent { id });
    let team = || target.parse().ok().map(|id| StopScope::Team { id });
    session.or_else(agent).or_else(team)
}

/// A stop of what is not there would look like one and stop nobody.
async fn check_target(app: &App, tenant: TenantId, scope: StopScope, target: &str) -> Result<(), ApiError> {
    let store = &app.options.store;
    let known = match scope {
        StopScope::Tenant => true,
        StopScope::Session { id } => store.head(id.into()).await?.is_some_and(|head| head.tenant == tenant),
        StopScope::Agent { id } => store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?.is_some(),
        StopScope::Team { id } => store.document(tenant, DocumentKind::Team, id.to_u128(), None).await?.is_some(),
    };
    if known { Ok(()) } else { Err(ApiError::invalid("target", format!("`target`: there is no {target}."))) }
}
