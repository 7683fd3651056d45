//! Uploaded files. Their bytes pass through part by part and are sealed before they are kept.

use super::{
    labels::{self, FormFields},
    ok,
};
use crate::{
    app::{App, Call},
    body,
    documents::Opened,
    error::ApiError,
    query::Query,
    routes::Answer,
    types::{
        agent::Deleted,
        file::{File, FileExtras, Purpose},
        page::Page,
    },
};
use axum::{
    body::Body,
    extract::{FromRequest, Multipart, Request, multipart::Field},
    http::{HeaderValue, header},
    response::Response,
};
use bailiwick_core::Label;
use bailiwick_gate::{Deleting, ORPHAN_AGE, PART_BYTES};
use bailiwick_ports::{
    Caller,
    store::{DocumentKind, Page as StorePage},
};
use bailiwick_types::{FileId, Millis, Principal, Timestamp};
use bytes::Bytes;
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

/// Files of one page at most; the SDK asks for the next.
const MAX_PAGE: u32 = 1000;
/// Documents read at once.
const CHUNK: u32 = 200;
const MAX_NAME_CHARS: usize = 255;
/// Bytes of a form's field that is no file.
const MAX_FIELD: usize = 4096;
/// Shortest and longest life in seconds of a file that expires, as the API has them.
const MIN_LIFE: u64 = 3600;
const MAX_LIFE: u64 = 2_592_000;
/// Longest time that one upload takes from its first byte to its last. Its parts are nobody's until it has its entry,
/// and must not become orphans before.
const MAX_UPLOAD: Millis = Millis::from_secs(6 * 3600);
const _: () = assert!(MAX_UPLOAD.0 < ORPHAN_AGE.0 / 2);
/// RFC 5987 `attr-char`.
const ATTRIBUTE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The sealed body of a file's document.
#[derive(Serialize, Deserialize)]
pub(crate) struct FileBody {
    pub filename: String,
    pub purpose: Purpose,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Who uploaded it, and so whose it is; `None` for one from before anybody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<Principal>,
    #[serde(default, skip_serializing_if = "Label::is_usual")]
    pub label: Label,
}

/// What an upload's form says beside the file.
#[derive(Default)]
struct Form {
    file: Option<(FileId, String, u64)>,
    purpose: Option<Purpose>,
    anchor: Option<String>,
    seconds: Option<u64>,
    bailiwick: FormFields,
}

pub(crate) async fn create(call: Call) -> Answer {
    call.query()?.finish()?;
    let _permit = call.app.bounds.transfer()?;
    let (app, tenant, caller) = (call.app.clone(), call.caller.tenant, call.caller.clone());
    let mut form = Form::default();
    let read = read_form(call, &mut form).await;
    let kept = match read {
        Ok(()) => keep(&app, &caller, &mut form).await,
        Err(error) => Err(error),
    };
    if let (Err(_), Some((file, ..))) = (&kept, &form.file) {
        // What was written of a refused upload goes again.
        app.options.archive.remove_file(tenant, *file).await?;
    }
    kept
}

async fn keep(app: &App, caller: &Caller, form: &mut Form) -> Answer {
    let missing = |field: &str| ApiError::invalid(field, format!("The form has no field `{field}`."));
    let (file, filename, bytes) = form.file.clone().ok_or_else(|| missing("file"))?;
    let purpose = form.purpose.ok_or_else(|| missing("purpose"))?;
    let now = app.now();
    if now.since(file.made_at()) > MAX_UPLOAD {
        return Err(ApiError::too_slow("The upload took longer than 6 hours."));
    }
    let expires = match (&form.anchor, form.seconds) {
        (None, None) => None,
        (Some(anchor), Some(seconds)) if anchor == "created_at" && (MIN_LIFE..=MAX_LIFE).contains(&seconds) => {
            Some(now + Millis::from_secs(seconds))
        }
        _ => {
            let message =
                format!("`expires_after` needs `anchor: created_at` and `seconds` from {MIN_LIFE} to {MAX_LIFE}.");
            return Err(ApiError::invalid("expires_after", message));
        }
    };
    let tenant = caller.tenant;
    let given = std::mem::take(&mut form.bailiwick).finish()?.and_then(|extras| extras.label);
    let label = labels::of_given(app, caller, given, "bailiwick.label").await?;
    let body = FileBody { filename, purpose, bytes, expires, creator: Some(caller.principal.clone()), label };
    let kind = DocumentKind::File;
    let document = Opened { kind, id: file.to_u128(), version: 1, created: now, updated: now, body };
    let shown = resource(&document);
    let sealed = app.tenant_keys.seal(tenant, document, now).await?;
    app.options.store.put_document(tenant, sealed).await?;
    ok(shown)
}

async fn read_form(call: Call, form: &mut Form) -> Result<(), ApiError> {
    let Call { app, caller, parts, mut body, claimed, .. } = call;
    let until = app.now() + app.options.limits.body_time;
    let request = Request::from_parts(parts, body::checked(body.take(), claimed));
    let mut fields = Multipart::from_request(request, &())
        .await
        .map_err(|_| ApiError::media_type("Send the file as `multipart/form-data`."))?;
    loop {
        let next = tokio::select! {
            biased;
            next = fields.next_field() => next.map_err(|error| broken(&error))?,
            () = app.options.clock.sleep_until(until) => return Err(ApiError::too_slow("The form did not arrive in time.")),
        };
        let Some(field) = next else { return Ok(()) };
        match field.name().unwrap_or_default() {
            "file" if form.file.is_none() => {
                let name = filename(&field)?;
                let file = FileId::new(app.now(), app.random());
                form.file = Some((file, name, 0));
                let size = take_file(&app, &caller, file, field).await?;
                if let Some(known) = &mut form.file {
                    known.2 = size;
                }
            }
            "purpose" => form.purpose = Some(purpose(&text(field).await?)?),
            "expires_after[anchor]" => form.anchor = Some(text(field).await?),
            "expires_after[seconds]" => form.seconds = Some(text(field).await?.parse().unwrap_or(0)),
            "file" => return Err(ApiError::invalid("file", "The form has two fields `file`.")),
            name if FormFields::is_one(name) => {
                let name = name.to_owned();
                form.bailiwick.take(&name, text(field).await?)?;
            }
            other => {
                let shown: String = other.chars().take(64).flat_map(char::escape_debug).collect();
                return Err(ApiError::invalid(shown.clone(), format!("There is no field `{shown}` in this form.")));
            }
        }
    }
}

pub(crate) fn broken(error: &axum::extract::multipart::MultipartError) -> ApiError {
    ApiError::malformed(format!("The form cannot be read: {}.", error.body_text().trim_end_matches('.')))
}

fn filename(field: &Field<'_>) -> Result<String, ApiError> {
    let name = field.file_name().unwrap_or("upload").rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let message =
            format!("The name of `file` must have 1 to {MAX_NAME_CHARS} characters and no control characters.");
        return Err(ApiError::invalid("file", message));
    }
    Ok(name)
}

/// Keeps a file's bytes as they come, and gives their number.
async fn take_file(app: &App, caller: &Caller, file: FileId, mut field: Field<'_>) -> Result<u64, ApiError> {
    let (limits, tenant, owner) = (&app.options.limits, caller.tenant, caller.principal.person());
    let (mut part, mut index, mut size) = (Vec::with_capacity(64 * 1024), 0_u32, 0_u64);
    loop {
        let until = app.now() + limits.body_time;
        let piece = tokio::select! {
            biased;
            piece = field.chunk() => piece.map_err(|error| broken(&error))?,
            () = app.options.clock.sleep_until(until) => return Err(ApiError::too_slow("The file stopped arriving.")),
        };
        let Some(piece) = piece else { break };
        size += piece.len() as u64;
        if size > limits.file_bytes {
            let message = format!("The file is longer than {} bytes.", limits.file_bytes);
            return Err(ApiError::too_large("file", message));
        }
        let mut piece = &piece[..];
        while part.len() + piece.len() >= PART_BYTES {
            let (fits, rest) = piece.split_at(PART_BYTES - part.len());
            part.extend_from_slice(fits);
            app.options.archive.put_file_part(tenant, owner, file, index, &part).await?;
            part.clear();
            index += 1;
            piece = rest;
        }
        part.extend_from_slice(piece);
    }
    app.options.archive.put_file_part(tenant, owner, file, index, &part).await?;
    Ok(size)
}

pub(crate) async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| broken(&error))? {
        if bytes.len() + piece.len() > MAX_FIELD {
            return Err(ApiError::invalid(name.clone(), format!("`{name}` is longer than {MAX_FIELD} bytes.")));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| ApiError::invalid(name.clone(), format!("`{name}` is not UTF-8.")))
}

fn purpose(text: &str) -> Result<Purpose, ApiError> {
    let known = Purpose::ALL.iter().find(|(name, _)| *name == text);
    known.map(|(_, purpose)| *purpose).ok_or_else(|| {
        let names: Vec<String> = Purpose::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
        ApiError::invalid("purpose", format!("`purpose` must be one of {}.", names.join(", ")))
    })
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let wanted = query.take("purpose");
    let page = page_of(&mut query)?;
    query.finish()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (limit, mut after) = (page.limit as usize, page.after);
    let mut files: Vec<File> = Vec::new();
    let mut more = true;
    while more && files.len() <= limit {
        let chunk = StorePage { limit: CHUNK, after, ..page.clone() };
        let found = app.options.store.documents(tenant, DocumentKind::File, chunk).await?;
        let Some((documents, further)) = found else { return Err(crate::query::unknown_cursor(&page)) };
        more = further && !documents.is_empty();
        after = documents.last().map(|document| document.id);
        for document in &documents {
            let opened: Opened<FileBody> = app.tenant_keys.open(tenant, document).await?;
            let file = resource(&opened);
            if is_for(&opened, &call.caller, app.now()) && wanted.as_ref().is_none_or(|wanted| *wanted == file.purpose)
            {
                files.push(file);
            }
        }
    }
    more = files.len() > limit;
    files.truncate(limit);
    ok(Page::new(files, more, |file| file.id.clone()))
}

/// Files have larger pages than everything else.
fn page_of(query: &mut Query) -> Result<StorePage, ApiError> {
    let limit = match query.take("limit").map(|text| text.parse::<u32>()) {
        None => MAX_PAGE,
        Some(Ok(limit @ 1..=10_000)) => limit.min(MAX_PAGE),
        Some(_) => return Err(ApiError::invalid("limit", "`limit` must be a number from 1 to 10000.")),
    };
    let page = query.page(crate::query::bits!(FileId))?;
    Ok(StorePage { limit, ..page })
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(resource(&known(&call).await?))
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = known(&call).await?;
    if !call.caller.may_change(found.body.creator.as_ref().unwrap_or(&Principal::Operator)) {
        return Err(ApiError::forbidden("This file is somebody else's: you may read it at most."));
    }
    let (app, tenant, file) = (&*call.app, call.caller.tenant, FileId::from_u128(found.id));
    let person = found.body.creator.as_ref().and_then(Principal::person);
    super::holds::check(app, tenant, Deleting { person, ..Deleting::default() }).await?;
    // First the bytes: a file that is still listed can be deleted again.
    app.options.archive.remove_file(tenant, file).await?;
    app.options.store.remove_document(tenant, DocumentKind::File, found.id).await?;
    ok(Deleted { id: file.to_string(), object: "file", deleted: true })
}

pub(crate) async fn content(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = known(&call).await?;
    let permit = call.app.bounds.transfer()?;
    let (app, tenant, file) = (call.app.clone(), call.caller.tenant, FileId::from_u128(found.id));
    let part = move |index| {
        let app = app.clone();
        async move { Ok(app.options.archive.file_part(tenant, file, index).await?) }
    };
    download(part, found.body.bytes, &found.body.filename, permit).await
}

/// Answers with bytes that lie in parts.
pub(crate) async fn download<F, P>(part: P, size: u64, name: &str, permit: OwnedSemaphorePermit) -> Answer
where
    P: Fn(u32) -> F + Send + 'static,
    F: Future<Output = Result<Vec<u8>, ApiError>> + Send,
{
    // The first part is read before the status is sent, so that missing bytes are an error and not a cut body.
    let first = part(0).await?;
    let state = (Some(first), 0_u32, part, permit);
    let parts = stream::unfold(state, |(held, index, part, permit)| async move {
        let bytes = match held {
            Some(bytes) => bytes,
            None => match part(index).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    let broken = std::io::Error::other(error.message);
                    return Some((Err(broken), (Some(Vec::new()), u32::MAX, part, permit)));
                }
            },
        };
        if bytes.is_empty() {
            return None;
        }
        // The part after a full one; a shorter one is the last.
        let held = (bytes.len() < PART_BYTES).then(Vec::new);
        Some((Ok::<Bytes, std::io::Error>(Bytes::from(bytes)), (held, index + 1, part, permit)))
    });
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    // Bytes of others are never shown as a page of ours.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let disposition = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, ATTRIBUTE));
    if let Ok(disposition) = HeaderValue::try_from(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

async fn known(call: &Call) -> Result<Opened<FileBody>, ApiError> {
    let file: FileId = call.id("file_id", "file")?;
    let found = find(&call.app, &call.caller, file).await?;
    found.ok_or_else(|| ApiError::not_found("file", &file.to_string()))
}

pub(crate) async fn find(app: &App, caller: &Caller, file: FileId) -> Result<Option<Opened<FileBody>>, ApiError> {
    let document = app.options.store.document(caller.tenant, DocumentKind::File, file.to_u128(), None).await?;
    let Some(document) = document else { return Ok(None) };
    let opened = app.tenant_keys.open(caller.tenant, &document).await?;
    Ok(Some(opened).filter(|opened| is_for(opened, caller, app.now())))
}

/// Whether a file is there for this caller. Another person's is not.
fn is_for(file: &Opened<FileBody>, caller: &Caller, now: Timestamp) -> bool {
    let creator = file.body.creator.as_ref().unwrap_or(&Principal::Operator);
    is_live(file, now) && caller.reach().covers(creator)
}

fn is_live(file: &Opened<FileBody>, now: Timestamp) -> bool {
    file.body.expires.is_none_or(|expires| now < expires)
}

/// Keeps a file that came inside another request. It has no entry of its own in `/files`.
pub(crate) async fn keep_inline(app: &App, caller: &Caller, file: FileId, bytes: &[u8]) -> Result<(), ApiError> {
    Ok(app.options.archive.put_file_of(caller.tenant, caller.principal.person(), file, bytes).await?)
}

fn resource(file: &Opened<FileBody>) -> File {
    let body = &file.body;
    let purpose = Purpose::ALL.iter().find(|(_, purpose)| *purpose == body.purpose);
    File {
        id: FileId::from_u128(file.id).to_string(),
        object: "file",
        bytes: body.bytes,
        created_at: file.created.as_seconds(),
        expires_at: body.expires.map(|at| at.as_seconds()),
        filename: body.filename.clone(),
        purpose: purpose.map_or("user_data", |(name, _)| name).to_owned(),
        status: "processed",
        bailiwick: FileExtras { label: body.label.clone() },
    }
}
