//! `bailiwick key rotate`: another key-encryption key, with everything wrapped under it.
//!
//! On a data folder that a server uses, that server does it while it works, asked through its administration socket. Else
//! this process does it, under the folder's lock. What may be cut off where is said in `identity::rotation`.

use super::{kept, secrets::Secrets};
use crate::{
    cli::RotateKey,
    client::Client,
    config::Loaded,
    failure::{Doing as _, Failure, Outcome},
    runtime::{TokioTasks, rest},
    terminal::{Terminal, escape},
};
use bailiwick_store::{DataFolder, FolderError};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How often a server is asked how far it is.
const STEP: Duration = Duration::from_millis(250);

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
    let RotateKey { data, reason, .. } = options;
    if !data.is_dir() {
        return Err(Failure::usage(format!("there is no folder `{}`", data.display())));
    }
    let settings = &loaded.config.keys;
    let done = match DataFolder::open(&data) {
        Err(FolderError::InUse { .. }) => {
            let done = ask(&Client::local(&data)?, reason.as_deref(), terminal).await?;
            done["rotation"]["rewrapped"].as_u64().unwrap_or_default()
        }
        Err(error) => return Err(Failure::failed(error.to_string())),
        Ok(folder) => {
            drop(folder);
            kept::rotate(&data, &loaded, &secrets, Arc::new(TokioTasks), reason.as_deref()).await?
        }
    };
    terminal.result(&json!({"rewrapped": done}), || {
        let old = if settings.variable.is_none() && settings.command.is_none() {
            "A key file holds the new key alone: copy it"
        } else {
            "The old key is not needed here any more"
        };
        format!("wrapped {done} keys anew. {old}. Backups from before still need the old one.\n")
    });
    Ok(())
}

/// Has the server do it, and waits until it has.
async fn ask(client: &Client, reason: Option<&str>, terminal: Terminal) -> Outcome<Value> {
    let mut now = client.post("/bailiwick/v1/encryption-keys/rotate", &json!({"reason": reason})).await?;
    let mut told = 0;
    while now["rotation"]["status"] == "running" {
        let done = now["rotation"]["rewrapped"].as_u64().unwrap_or_default();
        if done > told {
            told = done;
            terminal.progress(format!("{done} keys wrapped anew so far"));
        }
        rest(STEP).await;
        now = client.get("/bailiwick/v1/encryption-keys").await?;
    }
    if now["rotation"]["status"] == "done" {
        return Ok(now);
    }
    let problem = now["rotation"]["problem"].as_str().unwrap_or("the server was started again meanwhile");
    Err(Failure::failed(escape::line(problem)).help("nothing was lost: give the same command again"))
}
