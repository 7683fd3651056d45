//! Skills: what the organisation keeps of them, and how a session is given one.
//!
//! An upload is read whole and checked before anything of it is kept; what is kept is our own archive of what was read, and
//! never the one that came.

use super::{
    agent_config::at,
    files::{self, broken, text},
    labels::{self, FormFields},
    ok,
    people::page_of,
};
use crate::{
    app::{App, Call},
    body,
    error::{ApiError, sentence},
    query::bits,
    routes::Answer,
    types::{
        agent::Deleted,
        page::Page,
        skill::{
            DeletedSkillVersion, HostedSkillParam, InlineSkillParam, InlineSourceParam, SkillGrantParam, SkillResource,
            SkillUpdateParam, SkillVersionResource,
        },
    },
};
use axum::{
    extract::{FromRequest, Multipart, Request, multipart::Field},
    http::HeaderValue,
};
use bailiwick_core::{
    AgentConfig, EnvironmentSpec, Label, SkillSource, SkillUse,
    skill::{MAX_SKILL_FOLDERS, MAX_SKILLS},
};
use bailiwick_gate::{Deleting, NewSkillVersion, Skill, SkillVersion, SkillsError};
use bailiwick_ports::{Caller, Scope};
use bailiwick_skills::{Bundle, MAX_ARCHIVE, MAX_BYTES, MAX_FILES, SKILL_FILE};
use bailiwick_types::{FileId, Principal, SkillId, SkillVersionId, UserId};
use base64::{Engine, prelude::BASE64_STANDARD};

impl From<SkillsError> for ApiError {
    fn from(error: SkillsError) -> Self {
        match error {
            SkillsError::TooMany => Self::conflict("too_many_skills", sentence(&error)),
            SkillsError::TooManyVersions => Self::conflict("too_many_skill_versions", sentence(&error)),
            SkillsError::Unknown => Self::not_found("skill", "of this id"),
            SkillsError::UnknownVersion => Self::not_found("skill version", "of this number"),
            SkillsError::IsDefault => Self::conflict("default_skill_version", sentence(&error)),
            SkillsError::Gate(error) => error.into(),
        }
    }
}

/// An agent never says what agents can learn.
fn check_person(caller: &Caller) -> Result<(), ApiError> {
    match caller.principal {
        Principal::Agent { .. } => Err(ApiError::forbidden("Skills are for people to keep, never for an agent.")),
        _ => Ok(()),
    }
}

async fn find(call: &Call) -> Result<Skill, ApiError> {
    let id: SkillId = call.id("skill_id", "skill")?;
    let found = call.app.options.handle.gate().skills().find(call.caller.tenant, id).await?;
    found.ok_or_else(|| ApiError::not_found("skill", &id.to_string()))
}

/// The version that the path names.
fn version_of<'a>(call: &Call, skill: &'a Skill) -> Result<&'a SkillVersion, ApiError> {
    let named = call.param("version");
    let number = named.parse::<u32>().ok().filter(|number| number.to_string() == named);
    let found = number.and_then(|number| skill.version(number));
    found.ok_or_else(|| ApiError::not_found("skill version", named))
}

fn resource(skill: &Skill) -> Result<SkillResource, ApiError> {
    SkillResource::of(skill).ok_or_else(|| ApiError::internal("a skill has no version"))
}

// ---- what is kept ----

pub(crate) async fn create(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let (app, caller) = (call.app.clone(), call.caller.clone());
    let _permit = app.bounds.transfer()?;
    let id = SkillId::new(app.now(), app.random());
    let (new, _) = take_in(call, false).await?;
    let skills = app.options.handle.gate().skills();
    let (tenant, file) = (caller.tenant, new.file);
    match skills.create(&*app.options.administration, tenant, id, new).await {
        Ok(kept) => ok(resource(&kept)?),
        Err(error) => {
            app.options.archive.remove_file(tenant, file).await?;
            Err(error.into())
        }
    }
}

pub(crate) async fn create_version(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let (app, caller) = (call.app.clone(), call.caller.clone());
    let _permit = app.bounds.transfer()?;
    let (new, default) = take_in(call, true).await?;
    let skills = app.options.handle.gate().skills();
    let (tenant, file) = (caller.tenant, new.file);
    match skills.add_version(&*app.options.administration, tenant, found.id, new, default).await {
        Ok((kept, number)) => {
            let version = kept.version(number).ok_or_else(|| ApiError::internal("a version is not there"))?;
            ok(SkillVersionResource::of(kept.id, version))
        }
        Err(error) => {
            app.options.archive.remove_file(tenant, file).await?;
            Err(error.into())
        }
    }
}

/// Reads the form, and keeps the archive of what was in it.
async fn take_in(call: Call, may_be_default: bool) -> Result<(NewSkillVersion, bool), ApiError> {
    let (app, caller) = (call.app.clone(), call.caller.clone());
    let form = read_form(call, may_be_default).await?;
    let given = form.bailiwick.finish()?.and_then(|extras| extras.label);
    let label = labels::of_given(&app, &caller, given, "bailiwick.label").await?;
    let bundle = match form.files {
        Given::Nothing => return Err(ApiError::invalid("files", "The form has no field `files`.")),
        Given::Archive(bytes) => Bundle::of_zip(&bytes),
        Given::Files(files) => Bundle::of_files(files),
    };
    let bundle = bundle.map_err(|error| ApiError::invalid("files", format!("`files`: {error}.")))?;
    let new = keep(&app, &caller, &bundle, label).await?;
    Ok((new, form.default))
}

/// Seals it under the organisation's key: a skill is the organisation's, whoever made it.
async fn keep(app: &App, caller: &Caller, bundle: &Bundle, label: Label) -> Result<NewSkillVersion, ApiError> {
    let archive = bundle.to_zip();
    let file = FileId::new(app.now(), app.random());
    app.options.archive.put_file(caller.tenant, file, &archive).await?;
    let manifest = bundle.manifest();
    Ok(NewSkillVersion {
        id: SkillVersionId::new(app.now(), app.random()),
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        digest: bundle.digest(),
        bytes: archive.len() as u64,
        files: u32::try_from(bundle.files().len()).unwrap_or(u32::MAX),
        file,
        label,
        by: caller.principal.clone(),
        at: app.now(),
    })
}

/// What a form says.
#[derive(Default)]
struct Form {
    files: Given,
    default: bool,
    bailiwick: FormFields,
}

#[derive(Default)]
enum Given {
    #[default]
    Nothing,
    Archive(Vec<u8>),
    /// Each with its path.
    Files(Vec<(String, Vec<u8>)>),
}

async fn read_form(call: Call, may_be_default: bool) -> Result<Form, ApiError> {
    let Call { app, parts, mut body, claimed, .. } = call;
    let until = app.now() + app.options.limits.body_time;
    let request = Request::from_parts(parts, body::checked(body.take(), claimed));
    let mut fields = Multipart::from_request(request, &())
        .await
        .map_err(|_| ApiError::media_type("Send the skill as `multipart/form-data`."))?;
    let (mut form, mut room) = (Form::default(), MAX_BYTES);
    loop {
        let next = tokio::select! {
            biased;
            next = fields.next_field() => next.map_err(|error| broken(&error))?,
            () = app.options.clock.sleep_until(until) => return Err(ApiError::too_slow("The form did not arrive in time.")),
        };
        let Some(field) = next else { return Ok(form) };
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "files" | "files[]" => take_file(&app, &mut form.files, name == "files[]", field, &mut room).await?,
            "default" if may_be_default => form.default = flag(&text(field).await?)?,
            name if FormFields::is_one(name) => form.bailiwick.take(name, text(field).await?)?,
            other => {
                let shown: String = other.chars().take(64).flat_map(char::escape_debug).collect();
                return Err(ApiError::invalid(shown.clone(), format!("There is no field `{shown}` in this form.")));
            }
        }
    }
}

fn flag(text: &str) -> Result<bool, ApiError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::invalid("default", "`default` must be `true` or `false`.")),
    }
}

/// One file of the form. A single one that is no `SKILL.md` is an archive.
async fn take_file(
    app: &App,
    given: &mut Given,
    is_list: bool,
    field: Field<'_>,
    room: &mut usize,
) -> Result<(), ApiError> {
    let name = field.file_name().unwrap_or("upload").to_owned();
    let is_skill_file = name.rsplit('/').next() == Some(SKILL_FILE);
    let is_archive = (!is_list && !is_skill_file) || name.to_ascii_lowercase().ends_with(".zip");
    let bytes = content(app, field, (*room).max(if is_archive { MAX_ARCHIVE } else { 0 })).await?;
    match given {
        Given::Nothing if is_archive => *given = Given::Archive(bytes),
        Given::Nothing => {
            *room -= bytes.len().min(*room);
            *given = Given::Files(vec![(name, bytes)]);
        }
        Given::Files(files) if files.len() < MAX_FILES => {
            *room -= bytes.len().min(*room);
            files.push((name, bytes));
        }
        Given::Files(_) => {
            return Err(ApiError::invalid("files", format!("`files`: a skill has at most {MAX_FILES} files.")));
        }
        Given::Archive(_) => return Err(ApiError::invalid("files", "`files` is one archive, or files, and not both.")),
    }
    Ok(())
}

async fn content(app: &App, mut field: Field<'_>, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    loop {
        let until = app.now() + app.options.limits.body_time;
        let piece = tokio::select! {
            biased;
            piece = field.chunk() => piece.map_err(|error| broken(&error))?,
            () = app.options.clock.sleep_until(until) => return Err(ApiError::too_slow("The file stopped arriving.")),
        };
        let Some(piece) = piece else { return Ok(bytes) };
        if bytes.len() + piece.len() > most {
            return Err(ApiError::too_large("files", format!("A skill has at most {MAX_BYTES} bytes.")));
        }
        bytes.extend_from_slice(&piece);
    }
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(SkillId))?;
    query.finish()?;
    let all = call.app.options.handle.gate().skills().list(call.caller.tenant).await?;
    let (shown, more) = page_of(all.to_vec(), &page, |skill| skill.id.to_u128())?;
    let shown = shown.iter().map(resource).collect::<Result<_, _>>()?;
    ok(Page::new(shown, more, |skill: &SkillResource| skill.id.clone()))
}

pub(crate) async fn get(call: Call) -> Answer {
    call.query()?.finish()?;
    ok(resource(&find(&call).await?)?)
}

pub(crate) async fn update(mut call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let reason = call.reason()?;
    let (SkillUpdateParam { default_version }, _) = call.json().await?;
    let unknown = || ApiError::invalid("default_version", "`default_version`: the skill has no such version.");
    let number = default_version.parse::<u32>().map_err(|_| unknown())?;
    found.version(number).ok_or_else(unknown)?;
    let (app, caller) = (&*call.app, &call.caller);
    let skills = app.options.handle.gate().skills();
    let doer = (&caller.principal, app.now());
    let changed =
        skills.set_default(&*app.options.administration, caller.tenant, found.id, number, doer, reason).await?;
    ok(resource(&changed)?)
}

/// Refuses while somebody's hold covers what these versions' makers left.
async fn check_holds(call: &Call, makers: Vec<UserId>) -> Result<(), ApiError> {
    for person in makers {
        let deleting = Deleting { person: Some(person), ..Deleting::default() };
        super::holds::check(&call.app, call.caller.tenant, deleting).await?;
    }
    Ok(())
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let reason = call.reason()?;
    let makers = found.versions.iter().filter_map(|version| version.by.person()).chain(found.by.person());
    check_holds(&call, makers.collect()).await?;
    let (app, caller) = (&*call.app, &call.caller);
    let skills = app.options.handle.gate().skills();
    let gone = skills.remove(&*app.options.administration, caller.tenant, found.id, &caller.principal, reason).await?;
    // What a crash leaves of these is swept up: nothing refers to it.
    for version in &gone.versions {
        app.options.archive.remove_file(caller.tenant, version.file).await?;
    }
    ok(Deleted { id: found.id.to_string(), object: "skill.deleted", deleted: true })
}

pub(crate) async fn versions(call: Call) -> Answer {
    let mut query = call.query()?;
    let page = query.page(bits!(SkillVersionId))?;
    query.finish()?;
    let found = find(&call).await?;
    let (shown, more) = page_of(found.versions, &page, |version| version.id.to_u128())?;
    let shown = shown.iter().map(|version| SkillVersionResource::of(found.id, version)).collect();
    ok(Page::new(shown, more, |version: &SkillVersionResource| version.id.clone()))
}

pub(crate) async fn get_version(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call).await?;
    ok(SkillVersionResource::of(found.id, version_of(&call, &found)?))
}

pub(crate) async fn delete_version(call: Call) -> Answer {
    call.query()?.finish()?;
    check_person(&call.caller)?;
    let found = find(&call).await?;
    let reason = call.reason()?;
    let version = version_of(&call, &found)?;
    check_holds(&call, version.by.person().into_iter().collect()).await?;
    let (app, caller) = (&*call.app, &call.caller);
    let (skills, doer) = (app.options.handle.gate().skills(), (&caller.principal, app.now()));
    let (administration, tenant) = (&*app.options.administration, caller.tenant);
    let gone = skills.remove_version(administration, tenant, found.id, version.version, doer, reason).await?;
    app.options.archive.remove_file(tenant, gone.file).await?;
    let (id, version) = (gone.id.to_string(), gone.version.to_string());
    ok(DeletedSkillVersion { id, object: "skill.version.deleted", deleted: true, version })
}

/// The archive of the default version.
pub(crate) async fn content_of_default(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call).await?;
    let version = found.default().ok_or_else(|| ApiError::internal("a skill has no default version"))?;
    download(&call, version).await
}

pub(crate) async fn content_of_version(call: Call) -> Answer {
    call.query()?.finish()?;
    let found = find(&call).await?;
    download(&call, version_of(&call, &found)?).await
}

async fn download(call: &Call, version: &SkillVersion) -> Answer {
    let permit = call.app.bounds.transfer()?;
    let (app, tenant, file) = (call.app.clone(), call.caller.tenant, version.file);
    let part = move |index| {
        let app = app.clone();
        async move { Ok(app.options.archive.file_part(tenant, file, index).await?) }
    };
    let mut response = files::download(part, version.bytes, &format!("{}.zip", version.name), permit).await?;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/zip"));
    Ok(response)
}

// ---- what a session is given ----

/// Exactly the version that is meant now. What somebody may not see is not there.
pub(crate) fn pin(
    caller: &Caller,
    all: &[Skill],
    skill: &str,
    version: Option<&str>,
    path: &str,
) -> Result<SkillUse, ApiError> {
    let place = at(path, "skill_id");
    let unknown = || ApiError::invalid(place.clone(), format!("`{place}`: there is no such skill."));
    let id: SkillId = skill.parse().map_err(|_| unknown())?;
    let may = caller.may(Scope::AgentsRead);
    let found = all.iter().find(|known| known.id == id).filter(|_| may).ok_or_else(unknown)?;
    let place = at(path, "version");
    let wrong = || ApiError::invalid(place.clone(), format!("`{place}`: the skill has no such version."));
    let version = match version {
        None => found.default(),
        Some("latest") => found.latest(),
        Some(number) => number.parse::<u32>().ok().and_then(|number| found.version(number)),
    };
    Ok(version.ok_or_else(wrong)?.pinned(id))
}

/// The skills that an agent is given, each pinned.
pub(crate) fn granted(
    caller: &Caller,
    all: &[Skill],
    given: Vec<SkillGrantParam>,
    path: &str,
) -> Result<Vec<SkillUse>, ApiError> {
    check_count(given.len(), path)?;
    let one = |(index, one): (usize, SkillGrantParam)| {
        pin(caller, all, &one.skill_id, one.version.as_deref(), &format!("{path}[{index}]"))
    };
    let pinned: Vec<SkillUse> = given.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
    check_names(pinned.iter(), path)?;
    Ok(pinned)
}

fn check_count(count: usize, path: &str) -> Result<(), ApiError> {
    match count > MAX_SKILLS {
        true => Err(ApiError::invalid(path, format!("`{path}` has more than {MAX_SKILLS} entries."))),
        false => Ok(()),
    }
}

/// A model asks for a skill by its name.
fn check_names<'a>(skills: impl Iterator<Item = &'a SkillUse>, path: &str) -> Result<(), ApiError> {
    let mut names: Vec<&str> = Vec::new();
    for skill in skills {
        if names.contains(&skill.name.as_str()) {
            let message = format!("`{path}`: there are two skills `{}`.", skill.name);
            return Err(ApiError::invalid(path, message));
        }
        names.push(&skill.name);
    }
    Ok(())
}

/// The skills of an agent and of its environment together.
pub(crate) fn check_session(agent: &AgentConfig, environment: &EnvironmentSpec) -> Result<(), ApiError> {
    check_names(agent.skills.iter().chain(environment.skills()), "environment.skills")
}

/// The skills that come with a new environment, each pinned. Archives that came inline are kept with the session.
pub(crate) async fn of_environment(
    app: &App,
    caller: &Caller,
    params: Vec<HostedSkillParam>,
) -> Result<Vec<SkillUse>, ApiError> {
    const PATH: &str = "environment.skills";
    check_count(params.len(), PATH)?;
    let all = app.options.handle.gate().skills().list(caller.tenant).await?;
    let (mut skills, mut archives) = (Vec::with_capacity(params.len()), Vec::new());
    for (index, param) in params.into_iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        match param {
            HostedSkillParam::SkillReference(given) => {
                skills.push(pin(caller, &all, &given.skill_id, given.version.flatten().as_deref(), &path)?);
            }
            HostedSkillParam::Inline(given) => {
                let (skill, file, archive) = inline(app, caller, given, &path).await?;
                archives.push((file, archive));
                skills.push(skill);
            }
        }
    }
    check_names(skills.iter(), PATH)?;
    // Kept only once all of them are known to fit.
    for (file, archive) in archives {
        files::keep_inline(app, caller, file, &archive).await?;
    }
    Ok(skills)
}

async fn inline(
    app: &App,
    caller: &Caller,
    given: InlineSkillParam,
    path: &str,
) -> Result<(SkillUse, FileId, Vec<u8>), ApiError> {
    let InlineSourceParam::Base64(source) = given.source;
    let place = at(path, "source.data");
    let bytes = BASE64_STANDARD
        .decode(source.data.as_bytes())
        .map_err(|_| ApiError::invalid(place.clone(), format!("`{place}` is not standard base64.")))?;
    let bundle =
        Bundle::of_zip(&bytes).map_err(|error| ApiError::invalid(place.clone(), format!("`{place}`: {error}.")))?;
    let manifest = bundle.manifest();
    let said = given.description.split_whitespace().collect::<Vec<_>>().join(" ");
    for (field, fits) in [("name", given.name == manifest.name), ("description", said == manifest.description)] {
        if !fits {
            let place = at(path, field);
            return Err(ApiError::invalid(place.clone(), format!("`{place}` is not what `SKILL.md` says.")));
        }
    }
    let said = given.bailiwick.and_then(|extras| extras.label);
    let label = labels::of_given(app, caller, said, &at(path, "bailiwick.label")).await?;
    let file = FileId::new(app.now(), app.random());
    let skill = SkillUse {
        name: manifest.name.clone(),
        description: manifest.description.clone(),
        digest: bundle.digest(),
        source: SkillSource::Inline { file },
        label,
    };
    Ok((skill, file, bundle.to_zip()))
}

/// Folders in which skills are looked for.
pub(crate) fn folders(given: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    const PATH: &str = "environment.capability_directories";
    let given = given.unwrap_or_default();
    if given.len() > MAX_SKILL_FOLDERS {
        return Err(ApiError::invalid(PATH, format!("`{PATH}` has more than {MAX_SKILL_FOLDERS} entries.")));
    }
    let mut folders: Vec<String> = Vec::with_capacity(given.len());
    for (index, folder) in given.into_iter().enumerate() {
        let place = format!("{PATH}[{index}]");
        let folder = folder.trim_end_matches('/').to_owned();
        if !super::environment_config::is_plain_path(&folder) {
            let message = format!("`{place}` must be an absolute path without `.` and `..`.");
            return Err(ApiError::invalid(place, message));
        }
        if folders.contains(&folder) {
            return Err(ApiError::invalid(place.clone(), format!("`{place}` is given twice.")));
        }
        folders.push(folder);
    }
    Ok(folders)
}
