//! Environments by their own ids. Each belongs to the one session that it was made with.

use super::{environment_config, ok, sessions};
use crate::{
    app::{App, Call},
    documents::Opened,
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        environment::{self, EnvironmentFile, EnvironmentFilePage, EnvironmentInfo, EnvironmentInfoExtras, FileParam},
        page::Page,
        session,
    },
};
use bailiwick_core::{EnvironmentSpec, environment::HostedFile, item::SessionView, record::Input};
use bailiwick_ports::{
    Caller, Scope,
    store::{DocumentKind, Page as StorePage},
};
use bailiwick_types::{EnvironmentId, SessionId, TenantId};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
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

/// Most files that an environment is given.
const MAX_FILES: usize = 1000;

pub(crate) async fn list_files(call: Call) -> Answer {
    let mut query = call.query()?;
    let below = query.take("path").filter(|path| !path.is_empty());
    let token = query.take("page");
    let page = query.page(|_| None)?;
    query.finish()?;
    let id = call.id("environment_id", "environment")?;
    let known = owner(&call.app, &call.caller, id).await?;
    let mut files: Vec<&HostedFile> = waiting_files(&call, &known.view)?.iter().collect();
    if let Some(below) = &below {
        let folder = format!("{}/", below.trim_end_matches('/'));
        files.retain(|file| file.path.starts_with(&folder));
    }
    files.sort_by(|one, other| one.path.split('/').cmp(other.path.split('/')));
    if page.descending {
        files.reverse();
    }
    if let Some(token) = token {
        let last = BASE64_URL_SAFE_NO_PAD.decode(&token).ok();
        let at = last.and_then(|last| files.iter().position(|file| file.path.as_bytes() == last));
        let wrong = || ApiError::invalid("page", "`page` must be the `next` of an earlier page of this list.");
        files.drain(..=at.ok_or_else(wrong)?);
    }
    let has_more = files.len() > page.limit as usize;
    files.truncate(page.limit as usize);
    let next = files.last().filter(|_| has_more).map(|file| BASE64_URL_SAFE_NO_PAD.encode(&file.path));
    let data = files.into_iter().map(|file| file_resource(id, file)).collect();
    ok(EnvironmentFilePage { object: "list", data, has_more, next })
}

pub(crate) async fn create_file(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id = call.id("environment_id", "environment")?;
    let known = owner(&call.app, &call.caller, id).await?;
    let (param, body): (FileParam, _) = call.json().await?;
    let idempotency = call.idempotency(&body).await?;
    let (app, caller) = (&*call.app, &call.caller);
    if matches!(param, FileParam::FileId(_)) && !caller.may(Scope::FilesRead) {
        let message = format!("`file_id`: this key lacks the scope `{}`.", Scope::FilesRead);
        return Err(ApiError::forbidden(message).with_param("file_id"));
    }
    // The same path again replaces the file.
    let mut others = waiting_files(&call, &known.view)?.to_vec();
    let path = param.path().to_owned();
    others.retain(|file| file.path != path);
    if others.len() >= MAX_FILES {
        let message = format!("The environment has {MAX_FILES} files already, which is the limit.");
        return Err(ApiError::invalid("path", message));
    }
    let file = environment_config::lay_in_one(app, caller.tenant, param, &others).await?;
    let input = Input::AddFile { file: file.clone() };
    sessions::submit(app, caller, known.view.id, input, idempotency).await?;
    // It may have started meanwhile, and then nothing was added.
    let now = owner(app, caller, id).await?;
    let added = waiting_files(&call, &now.view)?.iter().find(|added| added.path == path);
    added.map_or_else(|| Err(started(&call)), |added| ok(file_resource(id, added)))
}

/// The files that a hosted environment will be given when it starts. Those of a running one cannot be reached.
fn waiting_files<'a>(call: &Call, view: &'a SessionView) -> Result<&'a [HostedFile], ApiError> {
    match &view.environment {
        EnvironmentSpec::Hosted(hosted) if view.environment_facts.is_none() => Ok(&hosted.files),
        _ => Err(started(call)),
    }
}

fn started(call: &Call) -> ApiError {
    let mut error = ApiError::not_built(format!("{} /v1{}", call.route.method, call.route.path));
    error.message =
        "The files of a running or self-hosted environment cannot be reached through the API in this version. \
        Give files before the first command starts it, and read what it publishes as artifacts."
            .to_owned();
    error
}

fn file_resource(id: EnvironmentId, file: &HostedFile) -> EnvironmentFile {
    EnvironmentFile {
        environment_id: id.to_string(),
        object: "agent.environment.file",
        path: file.path.clone(),
        size_bytes: file.size_bytes,
    }
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
        skills: Vec::new(),
        bailiwick: EnvironmentInfoExtras {
            session_id: view.id.to_string(),
            error: view.environment_error.clone(),
            facts: view.environment_facts.as_ref().map(session::facts),
        },
    }
}
