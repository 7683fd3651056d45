//! Files of an environment: those that are there, those that it will start with, and one more at any time.
//!
//! Nothing here reaches into an environment. A file for one that runs, and a look into it, go into the session's inbox
//! like every order and are done by an action that passes the gate; what is waited for is the record of its outcome.

use super::{
    environment_config,
    environments::owner,
    errands::{self, PATIENCE},
    ok, sessions,
};
use crate::{
    app::{App, Call},
    error::ApiError,
    routes::Answer,
    types::environment::{EnvironmentFile, EnvironmentFilePage, FileParam},
};
use bailiwick_core::{
    EnvironmentSpec, EnvironmentStatus, FoundFile, ListPage, Listing,
    environment::HostedFile,
    item::{ErrandOutcome, SessionView},
    record::Input,
};
use bailiwick_ports::{Caller, Scope, store::Idempotency};
use bailiwick_types::EnvironmentId;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// Most files that an environment is given.
const MAX_FILES: usize = 1000;

fn not_added(message: String) -> ApiError {
    ApiError::conflict("file_not_added", message)
}

fn not_listed(message: String) -> ApiError {
    ApiError::conflict("files_not_listed", message)
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query = call.query()?;
    let below = query.take("path").filter(|path| !path.is_empty());
    let token = query.take("page");
    let page = query.page(|_| None)?;
    query.finish()?;
    let id = call.id("environment_id", "environment")?;
    let known = owner(&call.app, &call.caller, id).await?;
    let folder = folder(below, known.view.environment.workspace())?;
    let wrong = || ApiError::invalid("page", "`page` must be the `next` of an earlier page of this list.");
    let after = token.map(|token| last_path(&token).ok_or_else(wrong)).transpose()?;
    let page = ListPage { after, limit: page.limit, descending: page.descending };
    let Listing { files, more } = match waiting_files(&known.view) {
        Some(files) => listed(files, &folder, &page),
        None => look(&call, &known, folder, page).await?,
    };
    let next = files.last().filter(|_| more).map(|file| BASE64_URL_SAFE_NO_PAD.encode(&file.path));
    let data = files.into_iter().map(|FoundFile { path, size_bytes }| resource(id, path, size_bytes)).collect();
    ok(EnvironmentFilePage { object: "list", data, has_more: next.is_some(), next })
}

/// The folder to list, in the one form that rules are asked about.
fn folder(below: Option<String>, workspace: &str) -> Result<String, ApiError> {
    let Some(below) = below else { return Ok(workspace.to_owned()) };
    let folder = below.trim_end_matches('/');
    let inside = folder.strip_prefix(workspace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !inside || !environment_config::is_plain_path(folder) {
        let message = format!("`path` must be `{workspace}` or an absolute path below it without `.` and `..`.");
        return Err(ApiError::invalid("path", message));
    }
    Ok(folder.to_owned())
}

fn last_path(token: &str) -> Option<String> {
    let path = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    environment_config::is_plain_path(&path).then_some(path)
}

/// The files that a hosted environment will be given when it starts. Afterwards only a look into it tells what is there.
fn waiting_files(view: &SessionView) -> Option<&[HostedFile]> {
    match &view.environment {
        EnvironmentSpec::Hosted(hosted) if view.environment_facts.is_none() => Some(&hosted.files),
        _ => None,
    }
}

fn listed(files: &[HostedFile], folder: &str, page: &ListPage) -> Listing {
    let folder = format!("{folder}/");
    let below = files.iter().filter(|file| file.path.starts_with(&folder)).collect();
    let (files, more) = page.cut(below, |file: &&HostedFile| &file.path);
    let found = |file: &HostedFile| FoundFile { path: file.path.clone(), size_bytes: file.size_bytes };
    Listing { files: files.into_iter().map(found).collect(), more }
}

/// Looks into an environment that was started: an action of the agent on behalf of the caller, with a receipt.
async fn look(call: &Call, known: &sessions::Known, path: String, page: ListPage) -> Result<Listing, ApiError> {
    let (app, caller) = (&*call.app, &call.caller);
    known.check_change(caller)?;
    if !caller.may(Scope::SessionsWrite) {
        let scope = Scope::SessionsWrite;
        let message = format!("To look into a running environment is an action: this key lacks the scope `{scope}`.");
        return Err(ApiError::forbidden(message));
    }
    check_reachable(&known.view, "list the files again").map_err(not_listed)?;
    let input = Input::Look { path, page, until: app.now() + PATIENCE };
    let (outcome, _) = errands::run(app, caller, known.view.id, input, None).await?;
    match outcome {
        Some(ErrandOutcome::Listed(listing)) => Ok(listing),
        Some(ErrandOutcome::Denied { message }) => Err(ApiError::forbidden(message)),
        Some(ErrandOutcome::Failed { failure }) => {
            Err(not_listed(format!("The files cannot be listed: {}", failure.message)))
        }
        Some(ErrandOutcome::Done | ErrandOutcome::Answered { .. }) => {
            Err(not_listed("What came back is no listing.".to_owned()))
        }
        None => Err(ApiError::too_slow(
            "Nobody could look in time: another's turn is under way, or an executor is away. List the files again when \
             the session is idle, or cancel its turn.",
        )),
    }
}

pub(crate) async fn create(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let id = call.id("environment_id", "environment")?;
    let known = owner(&call.app, &call.caller, id).await?;
    let (param, body): (FileParam, _) = call.json().await?;
    let idempotency = call.idempotency(&body).await?;
    let (app, caller) = (&*call.app, &call.caller);
    known.check_change(caller)?;
    if matches!(param, FileParam::FileId(_)) && !caller.may(Scope::FilesRead) {
        let message = format!("`file_id`: this key lacks the scope `{}`.", Scope::FilesRead);
        return Err(ApiError::forbidden(message).with_param("file_id"));
    }
    check_reachable(&known.view, "give the file again").map_err(not_added)?;
    // The same path again replaces the file.
    let mut others = match &known.view.environment {
        EnvironmentSpec::Hosted(hosted) => hosted.files.clone(),
        _ => Vec::new(),
    };
    others.retain(|file| file.path != param.path());
    if others.len() >= MAX_FILES {
        let message = format!("The environment was given {MAX_FILES} files already, which is the limit.");
        return Err(ApiError::invalid("path", message));
    }
    let workspace = known.view.environment.workspace();
    let file = environment_config::lay_in_one(app, caller, param, &others, workspace).await?;
    let given = give(app, caller, &known, file.clone(), idempotency).await;
    // Nobody needs the content of an inline file any more that is in its place, or will never be. One that was not waited
    // for may still be needed.
    let kept = matches!(known.view.environment, EnvironmentSpec::Hosted(_)) && matches!(given, Ok(Given::New));
    if file.inline && !kept && !matches!(given, Err(NotGiven::Late(_))) {
        app.options.archive.remove_file(caller.tenant, file.file).await?;
    }
    match given {
        Ok(_) => ok(resource(id, file.path, file.size_bytes)),
        Err(NotGiven::Late(error) | NotGiven::Never(error)) => Err(error),
    }
}

/// An executor that dials in is waited for by nobody here.
fn check_reachable(view: &SessionView, again: &str) -> Result<(), String> {
    let there = matches!(view.environment_status, EnvironmentStatus::Ready | EnvironmentStatus::Connected);
    if view.environment.dials_in() && !there {
        return Err(format!("The environment is not connected: start its executor, and {again}."));
    }
    Ok(())
}

/// The file is in its place, or will be there when the environment is started.
enum Given {
    New,
    /// By an earlier request with the same idempotency key.
    Before,
}

enum NotGiven {
    /// It may still be.
    Late(ApiError),
    Never(ApiError),
}

impl<E: Into<ApiError>> std::convert::From<E> for NotGiven {
    fn from(error: E) -> Self {
        Self::Never(error.into())
    }
}

async fn give(
    app: &App,
    caller: &Caller,
    known: &sessions::Known,
    file: HostedFile,
    idempotency: Option<Idempotency>,
) -> Result<Given, NotGiven> {
    let (outcome, repeated) = errands::run(app, caller, known.view.id, Input::AddFile { file }, idempotency).await?;
    match outcome {
        Some(ErrandOutcome::Done | ErrandOutcome::Listed(_) | ErrandOutcome::Answered { .. }) if repeated => {
            Ok(Given::Before)
        }
        Some(ErrandOutcome::Done | ErrandOutcome::Listed(_) | ErrandOutcome::Answered { .. }) => Ok(Given::New),
        Some(ErrandOutcome::Denied { message }) => Err(ApiError::forbidden(message).into()),
        Some(ErrandOutcome::Failed { failure }) => {
            Err(not_added(format!("The file is not in its place: {}", failure.message)).into())
        }
        None => {
            let message = "The file is accepted and will be laid in when nothing stands before it: another's turn, an \
                approval, an executor that is away. Give it again to wait for that.";
            Err(NotGiven::Late(ApiError::too_slow(message)))
        }
    }
}

fn resource(id: EnvironmentId, path: String, size_bytes: u64) -> EnvironmentFile {
    EnvironmentFile { environment_id: id.to_string(), object: "agent.environment.file", path, size_bytes }
}
