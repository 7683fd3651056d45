//! What the stages of a launch tell each other, as files in the control folder.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What a sandbox may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of everything in it, `/tmp` included.
    pub memory_bytes: u64,
    pub processes: u64,
    /// Thousandths of one processor.
    pub cpu_millis: u64,
    /// Of one process.
    pub open_files: u64,
    /// Of one file.
    pub file_bytes: u64,
    /// Of everything below `/tmp`.
    pub tmp_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            processes: 256,
            cpu_millis: 2_000,
            open_files: 1_024,
            file_bytes: 4 << 30,
            tmp_bytes: 256 << 20,
        }
    }
}

/// What the launcher orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub sandbox: String,
    /// The id of the executor's first session: another one for each launch.
    pub session: String,
    /// Absolute.
    pub workspace: PathBuf,
    pub limits: Limits,
}

/// What came of it. Written once the sandbox's first process exists, and kept for whoever finds it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub sandbox: String,
    /// The executor's session, to be taken up by a client. Another one means that what ran before is gone.
    pub session: String,
    /// Waits for the sandbox, outside of it; when it ends, so does the sandbox.
    pub keeper_pid: i32,
    /// The sandbox's first process, as it is numbered outside.
    pub executor_pid: i32,
    /// Milliseconds since 1970.
    pub started_at_ms: u64,
    /// The kind of wall around it: `process`.
    pub isolation: String,
    /// The user that it runs as, as it is numbered outside.
    pub uid: u32,
    pub limits: Limits,
    /// Limits that this machine cannot enforce, each with the reason.
    pub missing_limits: Vec<String>,
    /// Folders to be removed when it is over.
    pub cgroups: Vec<PathBuf>,
}

/// Why a sandbox could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {cause}{}{remedy}", if remedy.is_empty() { "" } else { "; " })]
pub struct LaunchError {
    /// What was tried, with the system call.
    pub step: String,
    pub cause: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl LaunchError {
    pub fn new(step: impl Into<String>, cause: impl ToString) -> Self {
        Self { step: step.into(), cause: cause.to_string(), remedy: String::new() }
    }

    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// Names the step that an error belongs to.
pub trait Step<T> {
    fn step(self, step: &str) -> Result<T, LaunchError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, LaunchError> {
        self.map_err(|error| LaunchError::new(step, error.into()))
    }
}

pub const PLAN_FILE: &str = "plan.json";
pub const STATE_FILE: &str = "state.json";
/// Held locked by the keeper for as long as the sandbox lives.
pub const LOCK_FILE: &str = "lock";
pub const SOCKET_FILE: &str = "socket";
/// There once files and set-up commands are through. Stays with the workspace that they made.
pub const PREPARED_FILE: &str = "prepared";
/// There when the sandbox was ended while nothing ran in it.
pub const SUSPENDED_FILE: &str = "suspended";
/// Which of its files are kept as artifacts.
pub const PUBLISHED_FILE: &str = "published.json";
pub const LOG_FILE: &str = "log";

/// Writes a document so that a reader sees all of it or nothing.
pub fn write_document(folder: &Path, name: &str, document: &impl Serialize) -> io::Result<()> {
    let part = folder.join(format!("{name}.part"));
    std::fs::write(&part, serde_json::to_vec_pretty(document)?)?;
    std::fs::rename(part, folder.join(name))
}

pub fn read_document<T: DeserializeOwned>(folder: &Path, name: &str) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(folder.join(name))?)?)
}
