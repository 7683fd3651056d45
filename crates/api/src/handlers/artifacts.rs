//! Files that completed turns published.

use super::{files, history, ok, sessions};
use crate::{
    app::{App, Call},
    error::ApiError,
    query::bits,
    routes::Answer,
    types::{
        agent::Deleted,
        file::{Artifact, FileExtras},
        page::Page,
    },
};
use axum::http::{Method, StatusCode};
use bailiwick_core::{item::ArtifactView, record::Input};
use bailiwick_gate::{Deleting, Journal};
use bailiwick_ports::{Caller, store::RowKind};
use bailiwick_types::{ArtifactId, EnvironmentId, SessionId};

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(ArtifactId))?;
    let environment: Option<EnvironmentId> = query.id("environment_id")?;
    query.finish()?;
    let session = call.id("session_id", "session")?;
    let known = sessions::find(&call.app, &call.caller, session).await?;
    // A session has one environment: another one has published nothing here.
    if environment.is_some() && environment != known.view.environment.id() {
        return ok(Page::new(Vec::new(), false, |artifact: &Artifact| artifact.id.clone()));
    }
    let (views, more) =
        history::rows::<ArtifactView>(&call, session, &known.journal, RowKind::Artifact, None, page).await?;
    let artifacts = views.iter().map(|view| resource(session, view)).collect();
    ok(Page::new(artifacts, more, |artifact: &Artifact| artifact.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let (session, view) = find(&call).await?;
    ok(resource(session, &view))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let (session, view) = find(&call).await?;
    let (app, tenant) = (&call.app, call.caller.tenant);
    let artifact = view.file.id;
    let known = sessions::find(app, &call.caller, session).await?;
    let (person, agent) = (known.view.creator.person(), Some(known.view.agent.id));
    super::holds::check(app, tenant, Deleting { person, agent, session: Some(session) }).await?;
    sessions::submit(app, &call.caller, session, Input::RemoveArtifact { artifact }, None).await?;
    app.options.archive.remove_artifact(tenant, artifact).await?;
    ok(Deleted { id: artifact.to_string(), object: "agent.session.artifact.deleted", deleted: true })
}

pub(crate) async fn content(call: Call) -> Answer {
    call.query()?.finish()?;
    let (session, view) = find(&call).await?;
    let permit = call.app.bounds.transfer()?;
    let (app, tenant, artifact) = (call.app.clone(), call.caller.tenant, view.file.id);
    let name = view.file.path.rsplit('/').next().unwrap_or_default().to_owned();
    let part = move |index| {
        let app = app.clone();
        async move { Ok(app.options.archive.artifact_part(tenant, session, artifact, index).await?) }
    };
    files::download(part, view.file.size_bytes, &name, permit).await
}

async fn find(call: &Call) -> Result<(SessionId, ArtifactView), ApiError> {
    let (session, artifact) = (call.id("session_id", "session")?, call.id("artifact_id", "artifact")?);
    let known = sessions::find(&call.app, &call.caller, session).await?;
    let view = find_in(&call.app, &call.caller, session, artifact, &known.journal).await?;
    if call.parts.method != Method::GET {
        known.check_change(&call.caller)?;
    }
    Ok((session, view))
}

/// An artifact of this very session.
async fn find_in(
    app: &App,
    caller: &Caller,
    session: SessionId,
    artifact: ArtifactId,
    journal: &Journal,
) -> Result<ArtifactView, ApiError> {
    let row = app.options.store.row(caller.tenant, RowKind::Artifact, artifact.to_u128()).await?;
    let row = row.filter(|row| SessionId::from(row.stream) == session);
    let row = row.ok_or_else(|| ApiError::not_found("artifact", &artifact.to_string()))?;
    Ok(journal.open_row(RowKind::Artifact, &row)?)
}

/// An artifact by its id alone, with its bytes, for whoever may see its session.
pub(crate) async fn whole(
    app: &App,
    caller: &Caller,
    artifact: ArtifactId,
) -> Result<Option<(ArtifactView, Vec<u8>)>, ApiError> {
    let row = app.options.store.row(caller.tenant, RowKind::Artifact, artifact.to_u128()).await?;
    let Some(session) = row.map(|row| SessionId::from(row.stream)) else { return Ok(None) };
    let known = match sessions::find(app, caller, session).await {
        Ok(known) => known,
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(None),
        Err(error) => return Err(error),
    };
    let view = find_in(app, caller, session, artifact, &known.journal).await?;
    let bytes = app.options.archive.artifact(caller.tenant, session, artifact).await?;
    Ok(Some((view, bytes)))
}

fn resource(session: SessionId, view: &ArtifactView) -> Artifact {
    Artifact {
        id: view.file.id.to_string(),
        object: "agent.session.artifact",
        created_at: view.created.as_seconds(),
        environment_id: view.environment.to_string(),
        path: view.file.path.clone(),
        session_id: session.to_string(),
        turn_id: view.turn.to_string(),
        size_bytes: view.file.size_bytes,
        bailiwick: FileExtras { label: view.label.clone() },
    }
}
