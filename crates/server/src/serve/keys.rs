//! The key-encryption keys: from a file, from the environment, or from what a program prints.

use super::{
    key_program::{PATIENCE, printed},
    secrets::Secrets,
};
use crate::{
    config::Keys,
    failure::{Failure, Outcome},
};
use async_trait::async_trait;
use bailiwick_identity::{FileKek, GivenKeys, KeyFile, KeySource, RotationError};
use bailiwick_ports::Random;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// In the data folder: mode 0600, made at the first start, left out of backups.
const KEY_FILE: &str = "keys";

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
    let current = printed(keys.command.as_deref().unwrap_or_default(), PATIENCE).await?;
    let old = match &keys.old_command {
        Some(command) => Some(printed(command, PATIENCE).await?),
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
