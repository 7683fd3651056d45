//! Saved agents: versioned documents, and who answers for them.
//!
//! A version is never changed. Which one is live, who owns the agent and whether it may work is its charge, which
//! changes without a new version; both are written in one transaction.

use super::{
    agent_config::{self, Builder},
    ok,
    people::page_of,
};
use crate::{
    app::{App, Call},
    documents::Opened,
    error::ApiError,
    query::{bits, unknown_cursor},
    routes::Answer,
    types::{
        agent::{AgentParam, AgentResource, AgentSettings, Deleted, Metadata, SavedAgentParam},
        extra::{AgentStatus, SavedAgentExtras, SavedExtrasView},
        page::Page,
    },
};
use bailiwick_core::{AgentConfig, ConnectorSource, ConnectorUse};
use bailiwick_gate::{Connector, Deleting};
use bailiwick_ports::{
    ColleagueStatus, DocumentWrite, PeopleError, StoreError,
    people::{Author, Charge, ChargePatch},
    store::DocumentKind,
};
use bailiwick_types::{AgentId, Principal, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, str::FromStr};
use utoipa::ToSchema;

/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;
const MAX_NOTE_CHARS: usize = 1000;

/// The sealed body of a version of an agent.
#[derive(Clone, Serialize, Deserialize)]
struct SavedAgent {
    config: AgentConfig,
    metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<Principal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Written to be looked at first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    draft: bool,
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (SavedAgentParam, _) = call.json().await?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (param, name, metadata, extras) = param.split();
    let id = AgentId::new(app.now(), app.random());
    let mut body = SavedAgent {
        config: agent_config::blank(id),
        metadata: Metadata::default(),
        author: Some(call.caller.principal.clone()),
        note: checked_note(&extras)?,
        draft: extras.draft == Some(true),
    };
    let builder = Builder::new(app, &call.caller).await?;
    apply(&builder, &mut body, param, name, metadata)?;
    body.config.version = 1;
    let mut patch = patch_of(&extras)?;
    if patch.owner.is_none() {
        patch.owner = Some(call.caller.principal.person());
    }
    patch.publish = (!body.draft).then_some(1);
    let now = app.now();
    let kind = DocumentKind::Agent;
    let document = Opened { kind, id: id.to_u128(), version: 1, created: now, updated: now, body: body.clone() };
    let sealed = app.tenant_keys.seal(tenant, document, now).await?;
    let author = author(&call, body.note.clone())?;
    let engaged = app.options.colleagues.engage(author, id, patch, vec![DocumentWrite::Put(sealed)]).await;
    let charge = engaged.map_err(of_extras)?;
    ok(resource(&Opened { kind, id: id.to_u128(), version: 1, created: now, updated: now, body }, &charge))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    let (found, charge) = find(&call.app, call.caller.tenant, call.id("agent_id", "agent")?).await?;
    ok(resource(&found, &charge))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(AgentId))?;
    query.finish()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let found = app.options.store.documents(tenant, DocumentKind::Agent, page.clone()).await?;
    let (documents, more) = found.ok_or_else(|| unknown_cursor(&page))?;
    let mut agents = Vec::with_capacity(documents.len());
    for document in documents {
        let charge = charge(app, tenant, AgentId::from_u128(document.id)).unwrap_or_default();
        // The newest is here already; it is seldom not the one that is live.
        let live = match charge.published {
            0 => document,
            version if version == document.version => document,
            version => {
                let live = app.options.store.document(tenant, DocumentKind::Agent, document.id, Some(version)).await?;
                live.unwrap_or(document)
            }
        };
        agents.push(resource(&app.tenant_keys.open(tenant, &live).await?, &charge));
    }
    ok(Page::new(agents, more, |agent| agent.id.clone()))
}

/// Agents that nobody answers for.
pub(crate) async fn orphaned(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(AgentId))?;
    query.finish()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (ids, more) = page_of(app.options.colleagues.orphans(tenant), &page, |id| id.to_u128())?;
    let mut agents = Vec::with_capacity(ids.len());
    for id in ids {
        // One that is deleted while the page is made is left out.
        if let Ok((found, charge)) = find(app, tenant, id).await {
            agents.push(resource(&found, &charge));
        }
    }
    ok(Page::new(agents, more, |agent| agent.id.clone()))
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let (param, _): (SavedAgentParam, _) = call.json().await?;
    let (param, name, metadata, extras) = param.split();
    let note = checked_note(&extras)?;
    let patch = patch_of(&extras)?;
    for _ in 0..MAX_CONFLICTS {
        let written = write(&call, id, (param.clone(), name.clone(), metadata.clone()), &extras, &note, &patch).await;
        match written {
            Err(error) if error.code == "conflict" => {}
            written => {
                let written = written?;
                call.app.options.handle.obey_stops();
                return ok(written);
            }
        }
    }
    Err(StoreError::Conflict.into())
}

/// What a client says of the agent itself.
type Said = (AgentParam, Option<Option<String>>, Option<Option<Metadata>>);

async fn write(
    call: &Call,
    id: AgentId,
    (param, name, metadata): Said,
    extras: &SavedAgentExtras,
    note: &Option<String>,
    patch: &ChargePatch,
) -> Result<AgentResource, ApiError> {
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let colleagues = &app.options.colleagues;
    let (mut found, _) = find(app, tenant, id).await?;
    let newest = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?;
    let newest = newest.ok_or_else(|| ApiError::not_found("agent", &id.to_string()))?;
    let draft = extras.draft == Some(true);
    if draft {
        // A draft goes on from the last one.
        found = app.tenant_keys.open(tenant, &newest).await?;
    }
    let before = found.body.clone();
    let builder = Builder::new(app, &call.caller).await?;
    apply(&builder, &mut found.body, param, name, metadata)?;
    let same = before.config == found.body.config && before.metadata == found.body.metadata;
    // Another owner is no other agent: only what it is and does makes a version.
    if same && *patch != ChargePatch::default() && !draft {
        let author = author(call, note.clone())?;
        let changed = colleagues.change_charge(author, id, kind_of(patch), patch.clone(), Vec::new()).await;
        return Ok(resource(&found, &changed.map_err(of_extras)?));
    }
    found.version = newest.version + 1;
    found.updated = app.now();
    found.body.config.version = found.version;
    found.body.author = Some(call.caller.principal.clone());
    found.body.note.clone_from(note);
    found.body.draft = draft;
    let mut patch = patch.clone();
    patch.publish = (!draft).then_some(found.version);
    let (shown, updated) = (found.body.clone(), found.updated);
    let Opened { kind, id: bits, version, created, .. } = found;
    let sealed = app.tenant_keys.seal(tenant, found, updated).await?;
    let kind_of = if draft { "agent.drafted" } else { "agent.published" };
    let author = author(call, note.clone())?;
    let changed = colleagues.change_charge(author, id, kind_of, patch, vec![DocumentWrite::Put(sealed)]).await;
    let charge = changed.map_err(of_extras)?;
    Ok(resource(&Opened { kind, id: bits, version, created, updated, body: shown }, &charge))
}

/// Gives an agent a connector, or more tools of one that it has: a new version, in one transaction with `answer`, which says
/// why. What has only drafts gets another draft.
pub(crate) async fn give_connector(
    call: &Call,
    id: AgentId,
    connector: &Connector,
    tools: Option<BTreeSet<String>>,
    note: String,
    answer: DocumentWrite,
) -> Result<(), ApiError> {
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (mut found, charge) = find(app, tenant, id).await?;
    let newest = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), None).await?;
    let newest = newest.ok_or_else(|| ApiError::not_found("agent", &id.to_string()))?;
    let config = &mut found.body.config;
    let source = ConnectorSource::Kept { name: connector.name.clone() };
    match config.connectors.iter_mut().find(|one| one.source == source) {
        Some(one) => {
            one.allowed_tools =
                one.allowed_tools.take().zip(tools).map(|(had, more)| had.union(&more).cloned().collect());
        }
        None => config.connectors.push(ConnectorUse {
            label: connector.name.clone(),
            source,
            allowed_tools: tools,
            required: false,
            credential: None,
            deferred: false,
            from_environment: false,
        }),
    }
    super::connectors::check_tools(config, "tools")?;
    let note: String = note.chars().take(MAX_NOTE_CHARS).collect();
    let (now, draft) = (app.now(), charge.published == 0);
    config.version = newest.version + 1;
    found.version = newest.version + 1;
    found.updated = now;
    found.body.author = Some(call.caller.principal.clone());
    found.body.note = Some(note.clone());
    found.body.draft = draft;
    let patch = ChargePatch { publish: (!draft).then_some(found.version), ..ChargePatch::default() };
    let sealed = app.tenant_keys.seal(tenant, found, now).await?;
    let (author, documents) = (author(call, Some(note))?, vec![DocumentWrite::Put(sealed), answer]);
    app.options.colleagues.change_charge(author, id, "connector.granted", patch, documents).await?;
    Ok(())
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishParam {
    /// A draft, or an earlier version to go back to.
    pub version: u32,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
}

/// Makes a version live. An earlier one than the live one is a rollback.
pub(crate) async fn publish(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let (param, _): (PublishParam, _) = call.json().await?;
    check_note(&param.note, "note")?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (_, charge) = find(app, tenant, id).await?;
    let document = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), Some(param.version)).await?;
    let unknown = || ApiError::invalid("version", "`version`: this agent has no such version.");
    let found: Opened<SavedAgent> = app.tenant_keys.open(tenant, &document.ok_or_else(unknown)?).await?;
    let kind = if param.version < charge.published { "agent.rolled_back" } else { "agent.published" };
    let patch = ChargePatch { publish: Some(param.version), ..ChargePatch::default() };
    let author = author(&call, param.note)?;
    let charge = app.options.colleagues.change_charge(author, id, kind, patch, Vec::new()).await?;
    ok(resource(&found, &charge))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    find(&call.app, call.caller.tenant, id).await?;
    super::holds::check(&call.app, call.caller.tenant, Deleting { agent: Some(id), ..Deleting::default() }).await?;
    let documents = vec![DocumentWrite::Remove { kind: DocumentKind::Agent, id: id.to_u128() }];
    let patch = ChargePatch { deleted: true, ..ChargePatch::default() };
    let author = author(&call, None)?;
    call.app.options.colleagues.change_charge(author, id, "agent.deleted", patch, documents).await?;
    ok(Deleted { id: id.to_string(), object: "agent.deleted", deleted: true })
}

/// Every version, newest first.
pub(crate) async fn versions(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: AgentId = call.id("agent_id", "agent")?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let charge = charge(app, tenant, id)?;
    let mut documents = app.options.store.document_versions(tenant, DocumentKind::Agent, id.to_u128()).await?;
    documents.sort_by_key(|document| std::cmp::Reverse(document.version));
    let mut versions = Vec::with_capacity(documents.len());
    for document in &documents {
        versions.push(resource(&app.tenant_keys.open(tenant, document).await?, &charge));
    }
    ok(Page::new(versions, false, |agent| agent.id.clone()))
}

/// The live configuration of a saved agent, for a session.
pub(crate) async fn config(app: &App, tenant: TenantId, id: &str, path: &str) -> Result<AgentConfig, ApiError> {
    let unknown = || ApiError::not_found("agent", id).with_param(path);
    let id: AgentId = id.parse().map_err(|_| unknown())?;
    let (found, charge) = find(app, tenant, id).await.map_err(|error| error.with_param(path))?;
    let not_active = |why: &str| Err(ApiError::agent_not_active(format!("`{path}`: {why}.")).with_param(path));
    match charge.status {
        ColleagueStatus::Active => {}
        ColleagueStatus::Suspended if charge.owner.is_none() => {
            return not_active("this agent is suspended because nobody answers for it: give it an owner");
        }
        ColleagueStatus::Suspended => return not_active("this agent is suspended: its owner can make it active again"),
        ColleagueStatus::Retired => return not_active("this agent is retired: take another one"),
    }
    if charge.published == 0 {
        return not_active("this agent has only drafts: publish one");
    }
    Ok(found.body.config)
}

/// The live version; the newest while there are only drafts.
async fn find(app: &App, tenant: TenantId, id: AgentId) -> Result<(Opened<SavedAgent>, Charge), ApiError> {
    let charge = charge(app, tenant, id)?;
    let version = Some(charge.published).filter(|version| *version > 0);
    let document = app.options.store.document(tenant, DocumentKind::Agent, id.to_u128(), version).await?;
    let document = document.ok_or_else(|| ApiError::not_found("agent", &id.to_string()))?;
    Ok((app.tenant_keys.open(tenant, &document).await?, charge))
}

pub(crate) fn charge(app: &App, tenant: TenantId, id: AgentId) -> Result<Charge, ApiError> {
    let known = app.options.colleagues.charge(tenant, id).filter(|charge| charge.deleted.is_none());
    known.ok_or_else(|| ApiError::not_found("agent", &id.to_string()))
}

fn apply(
    builder: &Builder<'_>,
    body: &mut SavedAgent,
    param: AgentParam,
    name: Option<Option<String>>,
    metadata: Option<Option<Metadata>>,
) -> Result<(), ApiError> {
    agent_config::apply(builder, param, "", &mut body.config)?;
    if let Some(name) = name {
        agent_config::check_name(&name, "name")?;
        body.config.name = name;
    }
    if let Some(metadata) = metadata {
        let metadata = metadata.unwrap_or_default();
        agent_config::check_metadata(&metadata)?;
        body.metadata = metadata;
    }
    Ok(())
}

fn patch_of(extras: &SavedAgentExtras) -> Result<ChargePatch, ApiError> {
    fn id<T: FromStr>(given: &Option<Option<String>>, field: &str) -> Result<Option<Option<T>>, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        let Some(given) = given else { return Ok(None) };
        let Some(text) = given else { return Ok(Some(None)) };
        let path = format!("bailiwick.{field}");
        let wrong = |error: T::Err| ApiError::invalid(path.clone(), format!("`{path}`: {error}."));
        Ok(Some(Some(text.parse().map_err(wrong)?)))
    }
    Ok(ChargePatch {
        owner: id(&extras.owner, "owner")?,
        deputy: id(&extras.deputy, "deputy")?,
        team: id(&extras.team, "team")?,
        status: extras.status.map(|status| match status {
            AgentStatus::Active => ColleagueStatus::Active,
            AgentStatus::Suspended => ColleagueStatus::Suspended,
            AgentStatus::Retired => ColleagueStatus::Retired,
        }),
        review: extras.review_at.map(|at| at.map(|at| Timestamp::from_millis(at.saturating_mul(1000)))),
        publish: None,
        deleted: false,
    })
}

/// What a change of the charge alone is called on its receipt.
fn kind_of(patch: &ChargePatch) -> &'static str {
    match patch.status {
        Some(ColleagueStatus::Active) => "agent.activated",
        Some(ColleagueStatus::Suspended) => "agent.suspended",
        Some(ColleagueStatus::Retired) => "agent.retired",
        None => "agent.charge_changed",
    }
}

fn checked_note(extras: &SavedAgentExtras) -> Result<Option<String>, ApiError> {
    check_note(&extras.note, "bailiwick.note")?;
    Ok(extras.note.clone().filter(|note| !note.is_empty()))
}

fn check_note(note: &Option<String>, path: &str) -> Result<(), ApiError> {
    if note.as_ref().is_some_and(|note| note.chars().count() > MAX_NOTE_CHARS) {
        return Err(ApiError::invalid(path, format!("`{path}` has at most {MAX_NOTE_CHARS} characters.")));
    }
    Ok(())
}

/// The note of a version is why it was written.
fn author(call: &Call, note: Option<String>) -> Result<Author, ApiError> {
    let author = super::people::author(call)?;
    Ok(Author { reason: note.or(author.reason.clone()), ..author })
}

/// What is wrong with who answers for an agent stands in the object `bailiwick`.
fn of_extras(error: PeopleError) -> ApiError {
    match error {
        PeopleError::Invalid { field, problem } => {
            let path = format!("bailiwick.{field}");
            ApiError::invalid(path.clone(), format!("`{path}`: {problem}."))
        }
        other => other.into(),
    }
}

fn resource(agent: &Opened<SavedAgent>, charge: &Charge) -> AgentResource {
    let body = &agent.body;
    let mut settings = AgentSettings::of(&body.config);
    settings.bailiwick.saved = Some(SavedExtrasView {
        state: charge.state_of(agent.version, body.draft).name(),
        published_version: Some(charge.published).filter(|version| *version > 0),
        author: body.author.as_ref().map(ToString::to_string),
        note: body.note.clone(),
        owner: charge.owner.map(|id| id.to_string()),
        deputy: charge.deputy.map(|id| id.to_string()),
        team: charge.team.map(|id| id.to_string()),
        status: match charge.status {
            ColleagueStatus::Active => AgentStatus::Active,
            ColleagueStatus::Suspended => AgentStatus::Suspended,
            ColleagueStatus::Retired => AgentStatus::Retired,
        },
        review_at: charge.review.map(|at| at.as_seconds()),
    });
    AgentResource {
        id: body.config.id.to_string(),
        object: "agent",
        created_at: agent.created.as_seconds(),
        updated_at: agent.updated.as_seconds(),
        metadata: body.metadata.clone(),
        settings,
    }
}
