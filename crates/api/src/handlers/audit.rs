//! The receipt log: questions about receipts, proofs, exports, and who changed what the administration keeps.

use super::ok;
use crate::{
    app::Call,
    error::ApiError,
    query::Query,
    routes::Answer,
    types::{
        audit::{
            AdministrationEntry, AgentReach, AuditLog, AuditReceipt, AuditReceiptProof, AuditRecord,
            CheckpointResource, ConsistencyProof, Reached,
        },
        page::Page,
    },
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use bailiwick_core::record::Body as RecordBody;
use bailiwick_ports::{
    AuditError, Scope, StoreError,
    log::{Export, ExportOf, ReceiptFilter, ReceiptKind, ReceiptQuery, ReceiptRow},
};
use bailiwick_types::{ActionId, AgentId, SessionId, StreamId, Timestamp};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

/// Entries of a page.
const MAX_LIMIT: u32 = 1000;
/// Characters of a word in a filter.
const MAX_WORD: usize = 128;

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            AuditError::Invalid(message) => Self::malformed(format!("{message}.")),
            AuditError::Damaged(reason) => Self::internal(reason),
        }
    }
}

/// Whether the caller may read what receipts are about, beyond that they are there.
fn may_open(call: &Call) -> bool {
    call.caller.may(Scope::SessionsRead) && call.caller.may(Scope::TenantRead)
}

pub(crate) async fn status(call: Call) -> Answer {
    call.query()?.finish()?;
    let status = call.app.options.auditor.status(call.caller.tenant).await?;
    ok(AuditLog {
        object: "bailiwick.audit.log",
        origin: status.origin,
        key: status.key,
        size: status.size,
        checkpoint: CheckpointResource::of(&status.checkpoint),
    })
}

/// `limit` and the cursor `after`, a place in a log.
fn window(query: &mut Query) -> Result<(u32, Option<u64>), ApiError> {
    let limit = match query.take("limit").map(|text| text.parse()) {
        None => 100,
        Some(Ok(limit @ 1..=MAX_LIMIT)) => limit,
        Some(_) => return Err(ApiError::invalid("limit", format!("`limit` must be a number from 1 to {MAX_LIMIT}."))),
    };
    let after = match query.take("after").map(|text| text.parse()) {
        None => None,
        Some(Ok(after)) => Some(after),
        Some(Err(_)) => return Err(ApiError::invalid("after", "`after` must be the id of an entry of this list.")),
    };
    Ok((limit, after))
}

/// The filter that the query says.
fn filter(query: &mut Query) -> Result<ReceiptFilter, ApiError> {
    let mut word = |name: &str| match query.take(name) {
        Some(text) if text.is_empty() || text.chars().count() > MAX_WORD => {
            Err(ApiError::invalid(name, format!("`{name}` must have 1 to {MAX_WORD} characters.")))
        }
        text => Ok(text),
    };
    let (orderer, operation, decision, effect) =
        (word("orderer")?, word("operation")?, word("decision")?, word("effect")?);
    let kind = match word("kind")? {
        None => None,
        Some(text) => Some(
            ReceiptKind::ALL
                .into_iter()
                .find(|kind| kind.name() == text)
                .ok_or_else(|| ApiError::invalid("kind", "`kind` must be `action`, `refusal` or `administration`."))?,
        ),
    };
    let mut time = |name: &str| match word(name)?.map(|text| text.parse::<i64>()) {
        None => Ok(None),
        Some(Ok(seconds)) => Ok(Some(Timestamp::from_millis(seconds.saturating_mul(1000)))),
        Some(Err(_)) => Err(ApiError::invalid(name, format!("`{name}` must be in seconds since 1970."))),
    };
    let (from, until) = (time("from")?, time("until")?);
    let leaves = query.flag("outside")?.unwrap_or_default();
    let left = query.flag("left")?.unwrap_or_default();
    let (person, agent, session) = (query.id("person")?, query.id("agent")?, query.id("session")?);
    let credential = query.id("credential")?;
    Ok(ReceiptFilter {
        kind,
        orderer,
        person,
        agent,
        session,
        operation,
        decision,
        effect,
        leaves,
        left,
        credential,
        from,
        until,
    })
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let (limit, after) = window(&mut query)?;
    let descending = match query.take("order").as_deref() {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err(ApiError::invalid("order", "`order` must be `asc` or `desc`.")),
    };
    let filter = filter(&mut query)?;
    query.finish()?;
    let asked = ReceiptQuery { filter, descending, after, limit };
    let found = call.app.options.receipts.receipts(call.caller.tenant, &asked).await?;
    let unknown = || ApiError::invalid("after", "`after` must be the id of an entry of this list.");
    let (rows, more) = found.ok_or_else(unknown)?;
    let receipts = rows.iter().map(AuditReceipt::of).collect();
    ok(Page::new(receipts, more, |receipt: &AuditReceipt| receipt.id.clone()))
}

pub(crate) async fn show(call: Call) -> Answer {
    call.query()?.finish()?;
    let action: ActionId = call.id("action_id", "receipt")?;
    let (app, tenant) = (&call.app, call.caller.tenant);
    let row = app.options.receipts.receipt(tenant, action).await?;
    let row = row.ok_or_else(|| ApiError::not_found("receipt", &action.to_string()))?;
    let settled = row.outcome.as_ref().map(|outcome| outcome.position);
    let mut records = Vec::new();
    for position in [Some(row.position), settled].into_iter().flatten() {
        records.extend(record(&call, &row, position).await?);
    }
    ok(AuditReceiptProof { receipt: AuditReceipt::of(&row), records })
}

/// One record of a receipt, with the proof that it is in the log.
async fn record(call: &Call, row: &ReceiptRow, position: u64) -> Result<Option<AuditRecord>, ApiError> {
    let (options, tenant) = (&call.app.options, call.caller.tenant);
    let found = options.store.records(row.stream, position - 1, 1).await?;
    let included = options.auditor.inclusion(tenant, row.stream, position).await?;
    let (Some(sealed), Some(included)) = (found.first(), included) else { return Ok(None) };
    let opened = match may_open(call) && row.stream != StreamId::from(tenant) {
        true => {
            match call.app.open(&call.caller, SessionId::from(row.stream)).await {
                Ok((_, journal)) => super::receipts::opened(SessionId::from(row.stream), sealed, &journal)?,
                // What nobody can read can still be proven.
                Err(error) if error.is_erased() => None,
                Err(error) => return Err(error),
            }
        }
        false => None,
    };
    Ok(Some(AuditRecord::of(row.stream, sealed, included, opened)))
}

pub(crate) async fn checkpoints(call: Call) -> Answer {
    let mut query = call.query()?;
    let (limit, after) = window(&mut query)?;
    query.finish()?;
    let log = &call.app.options.receipts;
    let mut found = log.checkpoints(call.caller.tenant, after.unwrap_or_default(), limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let shown = found.iter().map(CheckpointResource::of).collect();
    ok(Page::new(shown, more, |checkpoint: &CheckpointResource| checkpoint.id.clone()))
}

pub(crate) async fn consistency(call: Call) -> Answer {
    let mut query = call.query()?;
    let mut size = |name: &str| match query.take(name).map(|text| text.parse::<u64>()) {
        Some(Ok(size)) => Ok(size),
        _ => Err(ApiError::invalid(name, format!("`{name}` must be a number of leaves."))),
    };
    let (from, to) = (size("from")?, size("to")?);
    query.finish()?;
    let proof = call.app.options.auditor.consistency(call.caller.tenant, from, to).await?;
    ok(ConsistencyProof::of(from, to, &proof))
}

pub(crate) async fn reach(call: Call) -> Answer {
    call.query()?.finish()?;
    let agent: AgentId = call.id("agent_id", "agent")?;
    let found = call.app.options.receipts.tally(call.caller.tenant, agent).await?;
    // One that is not of this organisation has done nothing here and is not known here.
    if found.is_empty() && call.app.options.colleagues.charge(call.caller.tenant, agent).is_none() {
        return Err(ApiError::not_found("agent", &agent.to_string()));
    }
    let operations = found.iter().map(Reached::of).collect();
    ok(AgentReach { object: "bailiwick.audit.reach", agent_id: agent.to_string(), operations })
}

/// JSON lines, for as long as it takes.
pub(crate) async fn export(call: Call) -> Answer {
    let mut query = call.query()?;
    let of = match query.take("of").as_deref() {
        None | Some("receipts") => {
            let filter = filter(&mut query)?;
            match (&filter.session, filter == ReceiptFilter { session: filter.session, ..ReceiptFilter::default() }) {
                // Whoever asks for a session gets the whole of it, so that a gap can be seen.
                (Some(session), true) => {
                    match call.app.open(&call.caller, *session).await {
                        Err(error) if !error.is_erased() => return Err(error),
                        _ => {}
                    }
                    ExportOf::Stream((*session).into())
                }
                _ => ExportOf::Receipts(filter),
            }
        }
        Some("checkpoints") => ExportOf::Checkpoints,
        Some("everything") => ExportOf::Everything,
        Some(_) => return Err(ApiError::invalid("of", "`of` must be `receipts`, `checkpoints` or `everything`.")),
    };
    let opened = query.flag("opened")?.unwrap_or(true) && may_open(&call);
    query.finish()?;
    let permit = call.app.bounds.transfer()?;
    let mut lines = call.app.options.auditor.export(call.caller.tenant, of, opened).await?;
    // The first lines are made before the status is sent, so that what cannot be exported is an error.
    let first = lines.next().await?;
    let mut response = Response::new(Body::from_stream(streamed(first, lines, permit)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// An export that fails on its way is cut, and has no manifest.
fn streamed(
    first: Option<Bytes>,
    lines: Box<dyn Export>,
    permit: OwnedSemaphorePermit,
) -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    // A body must be shareable; only one ever reads it.
    let lines = std::sync::Arc::new(tokio::sync::Mutex::new(lines));
    stream::unfold((first, Some(lines), permit), |(held, lines, permit)| async move {
        let lines = lines?;
        let next = match held {
            Some(bytes) => Ok(Some(bytes)),
            None => lines.lock().await.next().await,
        };
        match next {
            Ok(Some(bytes)) => Some((Ok(bytes), (None, Some(lines), permit))),
            Ok(None) => None,
            Err(error) => Some((Err(std::io::Error::other(error.to_string())), (None, None, permit))),
        }
    })
}

/// The changes of the tenant's administration, oldest first.
pub(crate) async fn administration(call: Call) -> Answer {
    let mut query = call.query()?;
    let (limit, after) = window(&mut query)?;
    query.finish()?;
    let (options, tenant) = (&call.app.options, call.caller.tenant);
    let journal = options.archive.tenant_journal(tenant).await?;
    let mut sealed = match options.store.records(tenant.into(), after.unwrap_or_default(), limit + 1).await {
        // It is made with its first record.
        Err(StoreError::UnknownStream(_)) => Vec::new(),
        found => found?,
    };
    let more = sealed.len() > limit as usize;
    sealed.truncate(limit as usize);
    let mut changes = Vec::with_capacity(sealed.len());
    for sealed in &sealed {
        if let RecordBody::AdministrationChanged(changed) = journal.open_record(sealed)?.body {
            changes.push(AdministrationEntry::of(sealed, changed));
        }
    }
    ok(Page::new(changes, more, |change: &AdministrationEntry| change.id.clone()))
}
