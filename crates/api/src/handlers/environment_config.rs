//! From what a client says of an environment to what a session works with.

use crate::{
    app::App,
    error::ApiError,
    handlers::{artifacts, files, labels, skills},
    types::environment::{EnvironmentParam, FileParam, HostedParam, NetworkAccess, SelfHostedParam, SetupCommandParam},
};
use bailiwick_core::{
    EnvironmentSpec, canonical,
    environment::{Connection, Hosted, HostedFile, SelfHosted, WORKSPACE},
    skill::SKILLS_FOLDER,
};
use bailiwick_ports::Caller;
use bailiwick_types::{ArtifactId, EnvironmentId, FileId};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;

const MAX_VARIABLES: usize = 128;
const MAX_VARIABLE_BYTES: usize = 32 * 1024;
const MAX_FILES: usize = 1000;
const MAX_COMMANDS: usize = 64;
/// The system's own limit for one argument is 128 KiB.
const MAX_COMMAND_BYTES: usize = 100 * 1024;
const MAX_PATH_BYTES: usize = 1024;

/// The specification of a new session's environment. Files that came inline are kept as files of their own.
pub(crate) async fn specify(app: &App, caller: &Caller, param: EnvironmentParam) -> Result<EnvironmentSpec, ApiError> {
    match param {
        EnvironmentParam::None(_) => Ok(EnvironmentSpec::None),
        EnvironmentParam::OpenaiHosted(hosted) => specify_hosted(app, caller, *hosted).await,
        EnvironmentParam::SelfHosted(own) => specify_self_hosted(app, caller, own),
    }
}

async fn specify_hosted(app: &App, caller: &Caller, param: HostedParam) -> Result<EnvironmentSpec, ApiError> {
    refuse_unbuilt(&param)?;
    let env = param.env.unwrap_or_default();
    check_variables(&env)?;
    let commands = param.setup_commands.unwrap_or_default();
    if commands.len() > MAX_COMMANDS {
        let message = format!("`environment.setup_commands` has more than {MAX_COMMANDS} entries.");
        return Err(ApiError::invalid("environment.setup_commands", message));
    }
    let setup_commands = commands.into_iter().enumerate().map(setup_command).collect::<Result<_, _>>()?;
    let files = lay_in(app, caller, param.files.unwrap_or_default()).await?;
    let skill_folders = skills::folders(param.capability_directories)?;
    let skills = skills::of_environment(app, caller, param.skills.unwrap_or_default()).await?;
    let id = EnvironmentId::new(app.now(), app.random());
    let size = param.container_size.map(Into::into).unwrap_or_default();
    Ok(EnvironmentSpec::Hosted(Hosted { id, size, env, files, setup_commands, skills, skill_folders }))
}

fn refuse_unbuilt(param: &HostedParam) -> Result<(), ApiError> {
    let refuse = |field: &str| Err(ApiError::not_built(format!("environment.{field}")));
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if param.desktop.as_ref().is_some_and(|desktop| desktop.enabled) {
        return refuse("desktop.enabled");
    }
    if matches!(param.environment_id, Some(Some(_))) {
        return refuse("environment_id");
    }
    if matches!(param.environment_template_id, Some(Some(_))) {
        return refuse("environment_template_id");
    }
    if let Some(network) = &param.network {
        let domains = some(&network.allowed_domains) || some(&network.blocked_domains);
        match network.access {
            NetworkAccess::Enabled | NetworkAccess::Restricted => return refuse("network.access"),
            NetworkAccess::Disabled if domains => {
                let message = "`environment.network`: domains can only be given with `access: restricted`.";
                return Err(ApiError::invalid("environment.network", message));
            }
            NetworkAccess::Disabled => {}
        }
    }
    if let Some(packages) = &param.packages {
        for (name, list) in [("npm", &packages.npm), ("python", &packages.python), ("system", &packages.system)] {
            if some(list) {
                return refuse(&format!("packages.{name}"));
            }
        }
    }
    if param.plugins.as_ref().is_some_and(|list| !list.is_empty()) {
        return refuse("plugins");
    }
    Ok(())
}

fn check_variables(env: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let wrong = |name: &str, reason: &str| {
        let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        Err(ApiError::invalid("environment.env", format!("`environment.env`: the variable `{shown}` {reason}.")))
    };
    if env.len() > MAX_VARIABLES {
        let message = format!("`environment.env` has more than {MAX_VARIABLES} variables.");
        return Err(ApiError::invalid("environment.env", message));
    }
    for (name, value) in env {
        let start = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !start || name.len() > 128 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return wrong(name, "must have a name of letters, digits and `_` that does not begin with a digit");
        }
        if value.len() > MAX_VARIABLE_BYTES || value.contains('\0') {
            return wrong(name, "must have at most 32 KiB and no null character");
        }
    }
    Ok(())
}

/// One shell command. A folder of its own goes in front of it.
fn setup_command((index, param): (usize, SetupCommandParam)) -> Result<String, ApiError> {
    let path = format!("environment.setup_commands[{index}]");
    if param.command.is_empty() || param.command.len() > MAX_COMMAND_BYTES || param.command.contains('\0') {
        let path = format!("{path}.command");
        let message = format!("`{path}` must have 1 to {MAX_COMMAND_BYTES} bytes and no null character.");
        return Err(ApiError::invalid(path, message));
    }
    match param.cwd {
        None => Ok(param.command),
        Some(cwd) => {
            if !is_plain_path(&cwd) {
                let path = format!("{path}.cwd");
                let message = format!("`{path}` must be an absolute path without `.` and `..`.");
                return Err(ApiError::invalid(path, message));
            }
            Ok(format!("cd -- '{}' && {{\n{}\n}}", cwd.replace('\'', r"'\''"), param.command))
        }
    }
}

async fn lay_in(app: &App, caller: &Caller, params: Vec<FileParam>) -> Result<Vec<HostedFile>, ApiError> {
    if params.len() > MAX_FILES {
        let message = format!("`environment.files` has more than {MAX_FILES} entries.");
        return Err(ApiError::invalid("environment.files", message));
    }
    let mut laid: Vec<HostedFile> = Vec::with_capacity(params.len());
    let mut contents: Vec<(FileId, Vec<u8>)> = Vec::new();
    for (index, param) in params.into_iter().enumerate() {
        let (file, content) =
            place(app, caller, param, &laid, WORKSPACE, &format!("environment.files[{index}].")).await?;
        contents.extend(content.map(|content| (file.file, content)));
        laid.push(file);
    }
    // Kept only once all of them are known to fit.
    for (file, content) in contents {
        files::keep_inline(app, caller, file, &content).await?;
    }
    Ok(laid)
}

/// One file more for an environment that has these others.
pub(crate) async fn lay_in_one(
    app: &App,
    caller: &Caller,
    param: FileParam,
    others: &[HostedFile],
    workspace: &str,
) -> Result<HostedFile, ApiError> {
    let (file, content) = place(app, caller, param, others, workspace, "").await?;
    if let Some(content) = content {
        files::keep_inline(app, caller, file.file, &content).await?;
    }
    Ok(file)
}

/// A file with its place, and its content when that came inline. `at` goes in front of fields' names.
async fn place(
    app: &App,
    caller: &Caller,
    param: FileParam,
    others: &[HostedFile],
    workspace: &str,
    at: &str,
) -> Result<(HostedFile, Option<Vec<u8>>), ApiError> {
    let path = param.path().to_owned();
    check_destination(&path, others, workspace, &format!("{at}path"))?;
    match param {
        FileParam::FileId(given) => {
            let named = format!("{at}file_id");
            let unknown = || ApiError::invalid(named.clone(), format!("`{named}`: there is no such file."));
            if let Ok(artifact) = given.file_id.parse() {
                return Ok((published(app, caller, artifact, path).await?.ok_or_else(unknown)?, None));
            }
            let file: FileId = given.file_id.parse().map_err(|_| unknown())?;
            let known = files::find(app, caller, file).await?.ok_or_else(unknown)?;
            let (size_bytes, label) = (known.body.bytes, known.body.label);
            Ok((HostedFile { file, path, size_bytes, inline: false, label }, None))
        }
        FileParam::Inline(given) => {
            let named = format!("{at}data");
            let content = BASE64_STANDARD
                .decode(given.data.as_bytes())
                .map_err(|_| ApiError::invalid(named.clone(), format!("`{named}` is not standard base64.")))?;
            let file = FileId::new(app.now(), app.random());
            let said = given.bailiwick.and_then(|extras| extras.label);
            let label = labels::of_given(app, caller, said, &format!("{at}bailiwick.label")).await?;
            let size_bytes = content.len() as u64;
            Ok((HostedFile { file, path, size_bytes, inline: true, label }, Some(content)))
        }
    }
}

/// An artifact of another session as a file of this one: a copy with its label, so that either may go.
async fn published(
    app: &App,
    caller: &Caller,
    artifact: ArtifactId,
    path: String,
) -> Result<Option<HostedFile>, ApiError> {
    let _permit = app.bounds.transfer()?;
    let Some((view, bytes)) = artifacts::whole(app, caller, artifact).await? else { return Ok(None) };
    let file = FileId::new(app.now(), app.random());
    files::keep_inline(app, caller, file, &bytes).await?;
    Ok(Some(HostedFile { file, path, size_bytes: bytes.len() as u64, inline: true, label: view.label }))
}

/// A file's place in the workspace: the same rules as the SDK's own check.
fn check_destination(path: &str, laid: &[HostedFile], workspace: &str, at: &str) -> Result<(), ApiError> {
    let wrong = |reason: String| Err(ApiError::invalid(at, format!("`{at}` {reason}.")));
    let below = path.strip_prefix(workspace).and_then(|rest| rest.strip_prefix('/'));
    let Some(below) = below.filter(|_| is_plain_path(path)) else {
        return wrong(format!("must be an absolute path below `{workspace}` without `.` and `..`"));
    };
    let first = below.split('/').next().unwrap_or_default();
    if first == ".codex" || first == SKILLS_FOLDER || first.starts_with(".managed-agents") || below == "outputs" {
        return wrong("is a reserved place".to_owned());
    }
    for other in laid {
        let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        if other.path == path || inside(&other.path, path) || inside(path, &other.path) {
            return wrong("stands in the way of another file, or the other of it".to_owned());
        }
    }
    Ok(())
}

/// Absolute, in the one form that rules are asked about, and nothing in it that another system would read otherwise.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && path.len() > 1
        && path.starts_with('/')
        && !path.chars().any(char::is_control)
        && !path.contains('\\')
        && canonical::path(path, "/").as_deref() == Ok(path)
}

fn specify_self_hosted(app: &App, caller: &Caller, param: SelfHostedParam) -> Result<EnvironmentSpec, ApiError> {
    let skill_folders = skills::folders(param.capability_directories)?;
    let folder = param.workspace_directory.trim_end_matches('/');
    if !is_plain_path(folder) {
        let path = "environment.workspace_directory";
        let message = format!("`{path}` must be an absolute path without `.` and `..`.");
        return Err(ApiError::invalid(path, message));
    }
    let extras = param.bailiwick.unwrap_or_default();
    let content = labels::of_folder(caller, extras.content, "environment.bailiwick.content")?;
    let connection = match extras.executor {
        None => Connection::DialIn,
        Some(executor) if app.options.executors.contains(&executor) => Connection::Listen { executor },
        Some(executor) => {
            let path = "environment.bailiwick.executor";
            let shown: String = executor.chars().take(64).flat_map(char::escape_debug).collect();
            let message = format!("`{path}`: the server's configuration has no `[executors.{shown}]`.");
            return Err(ApiError::invalid(path, message));
        }
    };
    let id = EnvironmentId::new(app.now(), app.random());
    let workspace_directory = folder.to_owned();
    Ok(EnvironmentSpec::SelfHosted(SelfHosted { id, workspace_directory, connection, content, skill_folders }))
}
