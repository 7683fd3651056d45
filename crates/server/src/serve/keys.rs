//! The key-encryption keys: from a file, from the environment, or from what a program prints.

use super::secrets::Secrets;
use crate::{
    config::Keys,
    failure::{Doing as _, Failure, Outcome},
    runtime::rest,
};
use async_trait::async_trait;
use bailiwick_identity::{FileKek, GivenKeys, KeyFile, KeySource, RotationError};
use bailiwick_ports::Random;
use bailiwick_types::Secret;
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

/// In the data folder: mode 0600, made at the first start, left out of backups.
const KEY_FILE: &str = "keys";
/// How long a program may take to print a key, looked at in steps.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(10);
/// Of what a program prints. It fits into the pipe, so that nothing has to be read before the program ends.
const MAX_PRINTED: u64 = 16 * 1024;

/// Reads the keys as `[keys]` says.
pub(super) async fn open(data: &Path, keys: &Keys, secrets: &Secrets, random: &dyn Random) -> Outcome<FileKek> {
    if let Some(variable) = &keys.variable {
        let Some(current) = secrets.get(variable) else {
            let problem = format!("[keys] variable: the environment variable `{variable}` is not set");
            return Err(Failure::usage(problem).help("put the key into it: 64 hexadecimal digits"));
        };
        let old = keys.old_variable.as_deref().and_then(|name| secrets.get(name));
        return FileKek::of_words(current, old).map_err(wrong);
    }
    if keys.command.is_some() {
        return printed_keys(keys).await;
    }
    FileKek::open_or_create(&file(data, keys), random).map_err(|error| Failure::failed(error.to_string()))
}

/// Where a rotation gets another key from.
pub(super) fn source(data: &Path, keys: &Keys, random: Arc<dyn Random>) -> Arc<dyn KeySource> {
    match (&keys.variable, &keys.command) {
        (Some(_), _) => Arc::new(GivenKeys),
        (None, Some(_)) => Arc::new(Programs(keys.clone())),
        (None, None) => Arc::new(KeyFile::new(file(data, keys), random)),
    }
}

/// Programs that print the keys. They are asked again, so that what changes there needs no restart.
struct Programs(Keys);

#[async_trait]
impl KeySource for Programs {
    async fn next(&self, _: &FileKek) -> Result<FileKek, RotationError> {
        printed_keys(&self.0).await.map_err(|failure| RotationError::Given(failure.message))
    }

    async fn forget_older(&self) -> Result<(), RotationError> {
        Ok(())
    }
}

async fn printed_keys(keys: &Keys) -> Outcome<FileKek> {
    let current = printed(keys.command.as_deref().unwrap_or_default()).await?;
    let old = match &keys.old_command {
        Some(command) => Some(printed(command).await?),
        None => None,
    };
    FileKek::of_words(&current, old.as_ref()).map_err(wrong)
}

fn wrong(error: bailiwick_identity::KeyWordsError) -> Failure {
    Failure::usage(format!("[keys] {error}"))
}

/// Where the file of keys is.
fn file(data: &Path, keys: &Keys) -> PathBuf {
    keys.file.clone().unwrap_or_else(|| data.join(KEY_FILE))
}

/// What a program prints. It gets no more of our environment than where programs and its user's own files are.
async fn printed(command: &[String]) -> Outcome<Secret> {
    let program = command.first().map(String::as_str).unwrap_or_default();
    let failed = |why: String| Failure::failed(format!("the key command `{program}` {why}"));
    let mut child = spawn(command).doing(|| format!("start the key command `{program}`"))?;
    let mut waited = Duration::ZERO;
    let status = loop {
        if let Some(status) = child.try_wait().doing(|| format!("wait for the key command `{program}`"))? {
            break status;
        }
        if waited >= PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("did not end within {} s, or printed too much", PATIENCE.as_secs())));
        }
        rest(STEP).await;
        waited += STEP;
    };
    if !status.success() {
        return Err(failed(format!("failed ({status}); run it by hand to see why")));
    }
    let mut text = String::new();
    let Some(stdout) = child.stdout.take() else { return Err(failed("printed nothing".into())) };
    // Its own words are not repeated: they may be the key.
    stdout.take(MAX_PRINTED).read_to_string(&mut text).map_err(|_| failed("printed what is no text".into()))?;
    Ok(Secret::new(text))
}

#[allow(clippy::disallowed_methods, reason = "the operator's own program, at the start and for a rotation")]
fn spawn(command: &[String]) -> std::io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut child = std::process::Command::new(program);
    child.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    if let Some(home) = crate::variables::read("HOME") {
        child.env("HOME", home);
    }
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}
