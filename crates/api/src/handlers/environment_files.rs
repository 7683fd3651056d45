//! Files of an environment: those that it will start with, and one more at any time.
//!
//! Nothing here reaches into an environment. A file for one that runs goes into the session's inbox like every order, and
//! is laid in by an action that passes the gate; what is waited for is the record of its outcome.

use super::{environment_config, environments::owner, ok, sessions};
use crate::{
    app::{App, Call, key_reused},
    error::ApiError,
    routes::Answer,
    types::environment::{EnvironmentFile, EnvironmentFilePage, FileParam},
};
use bailiwick_core::{
    EnvironmentSpec, EnvironmentStatus,
    environment::HostedFile,
    item::{Change, GivenOutcome, SessionView},
    record::{Input, InputEnvelope},
};
use bailiwick_engine::{EngineError, EventKind, From as WatchFrom, Submitted, Watch};
use bailiwick_ports::{Caller, Scope, store::Idempotency};
use bailiwick_types::{EnvironmentId, Millis};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// Most files that an environment is given.
const MAX_FILES: usize = 1000;
/// How long an answer waits for a file to be in its place: the start of a sandbox and a large file take seconds.
const LAY_IN: Millis = Millis::from_secs(60);

pub(crate) async fn list(call: Call) -> Answer {
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
    let data = files.into_iter().map(|file| resource(id, file)).collect();
    ok(EnvironmentFilePage { object: "list", data, has_more, next })
}

/// The files that a hosted environment will be given when it starts. Afterwards only a look into the environment could
/// tell what is there, and to look is an action of an agent's turn: reading must not begin one.
fn waiting_files<'a>(call: &Call, view: &'a SessionView) -> Result<&'a [HostedFile], ApiError> {
    match &view.environment {
        EnvironmentSpec::Hosted(hosted) if view.environment_facts.is_none() => Ok(&hosted.files),
        _ => {
            let mut error = ApiError::not_built(format!("{} /v1{}", call.route.method, call.route.path));
            error.message = "The files of a running or self-hosted environment cannot be listed in this version: to \
                look into it is an action, which only a turn can do. Ask the agent, and read what it publishes as \
                artifacts."
                .to_owned();
            Err(error)
        }
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
    check_reachable(&known.view)?;
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
        Ok(_) => ok(resource(id, &file)),
        Err(NotGiven::Late(error) | NotGiven::Never(error)) => Err(error),
    }
}

/// An executor that dials in is waited for by nobody here.
fn check_reachable(view: &SessionView) -> Result<(), ApiError> {
    let there = matches!(view.environment_status, EnvironmentStatus::Ready | EnvironmentStatus::Connected);
    if view.environment.dials_in() && !there {
        return Err(ApiError::conflict(
            "file_not_added",
            "The environment is not connected: start its executor, and give the file again.",
        ));
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
    let (handle, session) = (&app.options.handle, known.view.id);
    let mut watch = handle.watch(caller.tenant, session, WatchFrom::Now).await?;
    let input = InputEnvelope { orderer: caller.principal.clone(), input: Input::AddFile { file } };
    let given = match handle.submit(caller.tenant, session, vec![input], idempotency).await? {
        Submitted::KeyReused => return Err(key_reused().into()),
        Submitted::Accepted { sequence, repeated: false, .. } => (sequence, Given::New),
        Submitted::Accepted { sequence, repeated: true, .. } => {
            watch = handle.watch(caller.tenant, session, WatchFrom::Beginning).await?;
            (sequence, Given::Before)
        }
    };
    tokio::select! {
        outcome = outcome(&mut watch, given.0) => match outcome? {
            GivenOutcome::Done => Ok(given.1),
            GivenOutcome::Denied { message } => Err(ApiError::forbidden(message).into()),
            GivenOutcome::Failed { failure } => {
                let message = format!("The file is not in its place: {}", failure.message);
                Err(ApiError::conflict("file_not_added", message).into())
            }
        },
        () = app.options.clock.sleep_until(app.now() + LAY_IN) => {
            let message = "The file is accepted and will be laid in when nothing stands before it: another's turn, an \
                approval, an executor that is away. Give it again to wait for that.";
            Err(NotGiven::Late(ApiError::too_slow(message)))
        }
    }
}

/// What became of the file that the input `given` brought.
async fn outcome(watch: &mut Watch, given: u64) -> Result<GivenOutcome, EngineError> {
    loop {
        let event = watch.next().await?;
        let EventKind::Changes(changes) = &event.kind else { continue };
        for change in changes {
            if let Change::FileGiven { sequence, outcome } = change
                && *sequence == given
            {
                return Ok(outcome.clone());
            }
        }
    }
}

fn resource(id: EnvironmentId, file: &HostedFile) -> EnvironmentFile {
    EnvironmentFile {
        environment_id: id.to_string(),
        object: "agent.environment.file",
        path: file.path.clone(),
        size_bytes: file.size_bytes,
    }
}
