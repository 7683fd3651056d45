//! The receipt log in this process: what it is made of, its second place, and its life.

use crate::files;
use bailiwick_audit::Audit;
use bailiwick_ports::{BoxFuture, SecondPlace, Tasks, log::LoggedCheckpoint};
use bailiwick_types::TenantId;
use serde_json::json;
use std::{io::Write as _, path::PathBuf, sync::Arc};
use tokio::sync::oneshot;

/// Where checkpoints go when no second place is named; beside the log it is none.
pub const DEFAULT_FILE: &str = "checkpoints.jsonl";

/// A file to which every checkpoint is added as a line of JSON.
pub struct CheckpointFile(PathBuf);

impl CheckpointFile {
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }
}

impl SecondPlace for CheckpointFile {
    fn keep(&self, tenant: TenantId, checkpoint: LoggedCheckpoint) -> BoxFuture<'static, Result<(), String>> {
        let file = self.0.clone();
        let LoggedCheckpoint { size, time, note } = checkpoint;
        let line = json!({"tenant": tenant, "size": size, "time": time.to_string(), "note": note});
        let write = move || {
            let mut open = files::append(&file)?;
            open.write_all(format!("{line}\n").as_bytes())?;
            open.sync_all()
        };
        Box::pin(async move {
            #[allow(clippy::disallowed_methods, reason = "the other place may be slow, and somebody waits for it")]
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
    }
}

/// A running log: told to stop, it adds what is left and signs once more.
pub struct Running {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

impl Running {
    pub fn start(audit: Audit, tasks: &Arc<dyn Tasks>) -> Self {
        let (stop, stopping) = oneshot::channel();
        let (tell, done) = oneshot::channel();
        let work = async move {
            let stop = async move {
                let _ = stopping.await;
            };
            audit.run(stop).await;
            let _ = tell.send(());
        };
        tasks.spawn("receipt-log", Box::pin(work));
        Self { stop, done }
    }

    /// Returns when the last checkpoint is signed.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.done.await;
    }
}
