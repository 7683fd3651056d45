//! Environments by their own ids. Each belongs to the one session that it was made with.

use super::{ok, sessions};
use crate::{
    app::{App, Call},
    documents::Opened,
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        environment::{self, EnvironmentInfo, EnvironmentInfoExtras},
        page::Page,
        session,
        skill::HostedSkill,
    },
};
use bailiwick_core::{EnvironmentSpec, item::SessionView};
use bailiwick_ports::{
    Caller,
    store::{DocumentKind, Page as StorePage},
};
use bailiwick_types::{EnvironmentId, SessionId, TenantId};
use serde::{Deserialize, Serialize};

/// Documents read at once.
const CHUNK: u32 = 100;

/// The sealed body of an environment's document.
#[derive(Serialize, Deserialize)]
struct Owner {
    session: SessionId,
    hosted: bool,
}

/// Notes which session an environment belongs to, before that session begins.
pub(crate) async fn remember(
    app: &App,
    tenant: TenantId,
    spec: &EnvironmentSpec,
    session: SessionId,
) -> Result<(), ApiError> {
    let Some(id) = spec.id() else { return Ok(()) };
    let now = app.now();
    let body = Owner { session, hosted: matches!(spec, EnvironmentSpec::Hosted(_)) };
    let kind = DocumentKind::Environment;
    let document = Opened { kind, id: id.to_u128(), version: 1, created: now, updated: now, body };
    let sealed = app.tenant_keys.seal(tenant, document, now).await?;
    Ok(app.options.store.put_document(tenant, sealed).await?)
}

pub(crate) async fn forget(app: &App, tenant: TenantId, spec: &EnvironmentSpec) -> Result<(), ApiError> {
    if let Some(id) = spec.id() {
        app.options.store.remove_document(tenant, DocumentKind::Environment, id.to_u128()).await?;
    }
    Ok(())
}

/// The session that works in an environment. Another tenant's environment is unknown.
pub(crate) async fn owner(app: &App, caller: &Caller, id: EnvironmentId) -> Result<sessions::Known, ApiError> {
    let unknown = || ApiError::not_found("environment", &id.to_string());
    let document = app.options.store.document(caller.tenant, DocumentKind::Environment, id.to_u128(), None).await?;
    let owner: Opened<Owner> = app.tenant_keys.open(caller.tenant, &document.ok_or_else(unknown)?).await?;
    match sessions::find(app, caller, owner.body.session).await {
        Ok(known) if known.view.environment.id() == Some(id) => Ok(known),
        Ok(_) => Err(unknown()),
        Err(error) if error.status == axum::http::StatusCode::NOT_FOUND => Err(unknown()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let id = call.id("environment_id", "environment")?;
    let known = owner(&call.app, &call.caller, id).await?;
    ok(resource(id, &known.view))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(EnvironmentId))?;
    let hosted = match query.take("type").as_deref() {
        None | Some("openai_hosted") => true,
        Some("self_hosted") => false,
        Some(_) => return Err(ApiError::invalid("type", "`type` must be `openai_hosted` or `self_hosted`.")),
    };
    query.finish()?;
    let (app, caller) = (&*call.app, &call.caller);
    let (limit, mut after, mut more) = (page.limit as usize, page.after, true);
    let mut infos = Vec::new();
    while more && infos.len() <= limit {
        let chunk = StorePage { limit: CHUNK, after, ..page.clone() };
        let found = app.options.store.documents(caller.tenant, DocumentKind::Environment, chunk).await?;
        let (documents, further) = found.ok_or_else(|| unknown_cursor(&page))?;
        more = further && !documents.is_empty();
        after = documents.last().map(|document| document.id);
        for document in &documents {
            let opened: Opened<Owner> = app.tenant_keys.open(caller.tenant, document).await?;
            if opened.body.hosted == hosted && infos.len() <= limit {
                // One whose session never began, or is gone, is no more.
                if let Ok(known) = sessions::find(app, caller, opened.body.session).await {
                    infos.push(resource(EnvironmentId::from_u128(document.id), &known.view));
                }
            }
        }
    }
    more = infos.len() > limit;
    infos.truncate(limit);
    ok(Page::new(infos, more, |info| info.id.clone()))
}

fn resource(id: EnvironmentId, view: &SessionView) -> EnvironmentInfo {
    let (r#type, files) = match &view.environment {
        EnvironmentSpec::Hosted(hosted) => ("openai_hosted", environment::files(hosted)),
        _ => ("self_hosted", Vec::new()),
    };
    EnvironmentInfo {
        id: id.to_string(),
        object: "agent.environment",
        r#type,
        status: environment::status(view.environment_status),
        files,
        plugins: Vec::new(),
        skills: view.environment.skills().iter().map(HostedSkill::of).collect(),
        bailiwick: EnvironmentInfoExtras {
            session_id: view.id.to_string(),
            error: view.environment_error.clone(),
            facts: view.environment_facts.as_ref().map(session::facts),
        },
    }
}
