//! Saved agents: versioned documents.

use super::{agent_config, ok};
use crate::{
    app::{App, Call},
    documents::Opened,
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        agent::{AgentResource, AgentSettings, Deleted, Metadata, SavedAgentParam},
        page::Page,
    },
};
use bailiwick_core::AgentConfig;
use bailiwick_ports::{StoreError, store::DocumentKind};
use bailiwick_types::{AgentId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// The sealed body of an agent's document.
#[derive(Serialize, Deserialize)]
struct SavedAgent {
    config: AgentConfig,
    metadata: Metadata,
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (SavedAgentParam, _) = call.json().await?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (param, name, metadata) = param.split();
    let id = AgentId::new(app.now(), app.random());
    let mut config = agent_config::blank(id);
    agent_config::apply(app, param, "", &mut config)?;
    config.version = 1;
    config.name = name.flatten();
    agent_config::check_name(&config.name, "name")?;
    let metadata = metadata.flatten().unwrap_or_default();
    agent_config::check_metadata(&metadata)?;
    let now = app.now();
    let kind = DocumentKind::Agent;
    let body = SavedAgent { config, metadata };
    let document = Opened { kind, id: id.to_u128(), version: 1, created: now, updated: now, body };
    let shown = resource(&document);
    let sealed = app.tenant_keys.seal(tenant, document, now).await?;
    app.options.store.put_document(tenant, sealed).await?;
    ok(shown)
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call.app, call.caller.tenant, call.id("agent_id", "agent")?).await?;
    ok(resource(&found))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(AgentId))?;
    query.finish()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let found = app.options.store.documents(tenant, DocumentKind::Agent, page.clone()).await?;
    let (documents, more) = found.ok_or_else(|| unknown_cursor(&page))?;
    let mut agents = Vec::with_capacity(documents.len());
    for document in &documents {
        agents.push(resource(&app.tenant_keys.open(tenant, document).await?));
    }
    ok(Page::new(agents, more, |agent| agent.id.clone()))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let (param, _): (SavedAgentParam, _) = call.json().await?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (param, name, metadata) = param.split();
    for _ in 0..MAX_CONFLICTS {
        let mut found = find(app, tenant, id).await?;
        agent_config::apply(app, param.clone(), "", &mut found.body.config)?;
        if let Some(name) = &name {
            agent_config::check_name(name, "name")?;
            found.body.config.name = name.clone();
        }
        if let Some(metadata) = &metadata {
            let metadata = metadata.clone().unwrap_or_default();
            agent_config::check_metadata(&metadata)?;
            found.body.metadata = metadata;
        }
        found.version += 1;
        found.body.config.version = found.version;
        found.updated = app.now();
        let shown = resource(&found);
        let updated = found.updated;
        let sealed = app.tenant_keys.seal(tenant, found, updated).await?;
        match app.options.store.put_document(tenant, sealed).await {
            Err(StoreError::Conflict) => {}
            written => {
                written?;
                return ok(shown);
            }
        }
    }
    Err(StoreError::Conflict.into())
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let store = &call.app.options.store;
    match store.remove_document(call.caller.tenant, DocumentKind::Agent, id.to_u128()).await? {
        true => ok(Deleted { id: id.to_string(), object: "agent.deleted", deleted: true }),
        false => Err(ApiError::not_found("agent", &id.to_string())),
    }
}

/// Every version, newest first.
pub(crate) async fn versions(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let mut documents = app.options.store.document_versions(tenant, DocumentKind::Agent, id.to_u128()).await?;
    if documents.is_empty() {
        return Err(ApiError::not_found("agent", &id.to_string()));
    }
    documents.sort_by_key(|document| std::cmp::Reverse(document.version));
    let mut versions = Vec::with_capacity(documents.len());
    for document in &documents {
        versions.push(resource(&app.tenant_keys.open(tenant, document).await?));
    }
    ok(Page::new(versions, false, |agent| agent.id.clone()))
}

/// The newest configuration of a saved agent, for a session.
pub(crate) async fn config(app: &App, tenant: TenantId, id: &str, path: &str) -> Result<AgentConfig, ApiError> {
    let unknown = || ApiError::not_found("agent", id).with_param(path);
    let id: AgentId = id.parse().map_err(|_| unknown())?;
    let document = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?;
    let document = document.ok_or_else(unknown)?;
    let found: Opened<SavedAgent> = app.tenant_keys.open(tenant, &document).await?;
    Ok(found.body.config)
}

async fn find(app: &App, tenant: TenantId, id: AgentId) -> Result<Opened<SavedAgent>, ApiError> {
    let document = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?;
    let document = document.ok_or_else(|| ApiError::not_found("agent", &id.to_string()))?;
    app.tenant_keys.open(tenant, &document).await
}

fn resource(agent: &Opened<SavedAgent>) -> AgentResource {
    let seconds = |at: Timestamp| at.as_seconds();
    AgentResource {
        id: agent.body.config.id.to_string(),
        object: "agent",
        created_at: seconds(agent.created),
        updated_at: seconds(agent.updated),
        metadata: agent.body.metadata.clone(),
        settings: AgentSettings::of(&agent.body.config),
    }
}
