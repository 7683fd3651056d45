//! `bailiwick key rotate`: another key-encryption key, with everything wrapped under it.
//!
//! It works on a data folder that no server uses, under the folder's lock, so that nothing is wrapped under the old key
//! meanwhile. What may be cut off where is said in `identity::rotation`.

use super::{keys, secrets::Secrets};
use crate::{
    cli::RotateKey,
    config::Loaded,
    failure::{Doing as _, Failure, Outcome},
    terminal::Terminal,
};
use bailiwick_identity::{FileKek, OsRandom};
use bailiwick_store::{DataFolder, Options, SqliteStore};
use serde_json::json;

/// Rotates the key. To be called before the process has another thread.
pub fn run(options: RotateKey, terminal: Terminal) -> Outcome {
    let loaded = Loaded::read(options.config.as_deref())
        .map_err(|error| Failure::usage(error.to_string()).help("every key is described in docs/configuration.md"))?;
    let variables = [&loaded.config.keys.variable, &loaded.config.keys.old_variable];
    let secrets = Secrets::take(variables.into_iter().flatten().map(String::as_str))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.doing(|| "start the runtime".to_owned())?.block_on(rotate(options, loaded, secrets, terminal))
}

async fn rotate(options: RotateKey, loaded: Loaded, secrets: Secrets, terminal: Terminal) -> Outcome {
    if !options.data.is_dir() {
        return Err(Failure::usage(format!("there is no folder `{}`", options.data.display())));
    }
    let folder = DataFolder::open(&options.data)
        .map_err(|error| Failure::failed(error.to_string()).help("stop the server on this folder first"))?;
    let settings = &loaded.config.keys;
    let failed = |error: bailiwick_identity::RotationError| Failure::failed(error.to_string());
    let from_file = settings.variable.is_none() && settings.command.is_none();
    // Opened first: what is wrong with the keys is said before anything is changed.
    let kek = keys::open(folder.path(), settings, &secrets, &OsRandom).await?;
    let store =
        SqliteStore::open(Options::new(folder.clone())).await.map_err(|error| Failure::failed(error.to_string()))?;
    let done = if from_file {
        let path = keys::file(folder.path(), settings);
        FileKek::rotate_file(&path, &store, &OsRandom).await.map_err(failed)?
    } else {
        kek.rewrap(&store, &OsRandom).await.map_err(failed)?
    };
    terminal.result(&json!({"rewrapped": done}), || {
        let old = if from_file {
            "The key file holds the new key alone: copy it"
        } else {
            "The old key is not needed here any more"
        };
        format!("wrapped {done} keys anew. {old}. Backups from before still need the old one.\n")
    });
    Ok(())
}
