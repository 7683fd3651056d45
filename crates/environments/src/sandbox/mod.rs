//! Sandboxes on this machine: one per session, each a user, mount, pid, ipc, uts, cgroup and network namespace of its
//! own, without a network, with our executor as its first process.
//!
//! A sandbox outlives the server that started it, and a new server finds it by its folder:
//!
//! ```text
//! ROOT/ID/control   socket, state.json, lock (held while it lives); never seen from inside
//! ROOT/ID/workspace what the sandbox sees as /workspace
//! ```
//!
//! Nothing falls back silently: a namespace that cannot be had is an error, a limit that cannot be had is listed.

#![allow(
    clippy::disallowed_methods,
    reason = "the room's one place that starts processes and builds what they see; nothing else in it may"
)]

mod cgroup;
mod control;
mod inside;
mod keeper;
mod loopback;
mod plan;
mod processes;
mod seccomp;
mod sys;

pub use inside::ENVIRONMENT;
pub use plan::{LaunchError, Limits, State};

use bailiwick_executor_protocol::EXECUTOR_ARGUMENT;
use plan::{
    LOCK_FILE, LOG_FILE, PLAN_FILE, PREPARED_FILE, PUBLISHED_FILE, Plan, SOCKET_FILE, STATE_FILE, SUSPENDED_FILE, Step,
    read_document, write_document,
};
use rustix::{
    fs::FlockOperation,
    process::{Pid, Signal},
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, SystemTime},
};
use tokio::io::AsyncReadExt;

/// The hidden first arguments with which the server's own binary becomes a stage of a launch.
pub const KEEPER_ARGUMENT: &str = "__sandbox";
pub const INSIDE_ARGUMENT: &str = "__sandbox-inside";

const READY: &str = "ready";
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_POLL: Duration = Duration::from_millis(5);
const MAX_SAID_BYTES: u64 = 16 * 1024;
const MAX_NAME_BYTES: usize = 100;

/// To be called first thing in `main`, before there is another thread: runs a stage of a launch if this process was
/// started to be one. [`EXECUTOR_ARGUMENT`] is not among them: that is the executor's own.
pub fn stage(arguments: &[String]) -> Option<ExitCode> {
    let [_, name, rest @ ..] = arguments else { return None };
    let error = match (name.as_str(), rest) {
        (KEEPER_ARGUMENT, [folder]) => match keeper::run(Path::new(folder)) {
            Ok(status) if status.success() || keeper::is_killed(status) => return Some(ExitCode::SUCCESS),
            // The second stage has said what was wrong.
            Ok(_) => return Some(ExitCode::FAILURE),
            Err(error) => error,
        },
        (INSIDE_ARGUMENT, [folder, uid, privileged]) => {
            inside::run(Path::new(folder), uid.parse().unwrap_or(u32::MAX), privileged == "true")
        }
        (KEEPER_ARGUMENT | INSIDE_ARGUMENT, _) => LaunchError::new("start a stage", "wrong arguments"),
        _ => return None,
    };
    let said = serde_json::to_string(&error).unwrap_or_default();
    let _ = rustix::io::write(rustix::stdio::stdout(), format!("{said}\n").as_bytes());
    Some(ExitCode::FAILURE)
}

/// What is known of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There never was one, or it was wiped.
    Nothing,
    /// It was there and has ended; its workspace is still there.
    Ended,
    Running(State),
}

/// The sandboxes below one folder.
#[derive(Debug, Clone)]
pub struct Sandboxes {
    root: PathBuf,
    program: PathBuf,
}

impl Sandboxes {
    /// `root` is made when it is needed. `program` is this server's own binary, which calls [`stage`] and the
    /// executor's `main`.
    pub fn new(root: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), program: program.into() }
    }

    fn control(&self, name: &str) -> PathBuf {
        self.root.join(name).join("control")
    }

    /// Finds the sandbox of that name, or starts one. The workspace of one that ended is used again.
    pub async fn launch(&self, name: &str, limits: &Limits) -> Result<State, LaunchError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
            return Err(LaunchError::new("name the sandbox", "a name has 1 to 100 letters, digits, `_` and `-`"));
        }
        if let Found::Running(state) = self.find(name).step("look for the sandbox")? {
            return Ok(state);
        }
        let folder = self.prepare(name, limits).step("make the sandbox's folders")?;
        let said = tokio::time::timeout(LAUNCH_TIMEOUT, self.run_keeper(&folder))
            .await
            .map_err(|_| LaunchError::new("start the sandbox", "it was not ready in time"))?
            .step("start the sandbox (execve)")?;
        if said.lines().any(|line| line == READY) {
            return read_document(&folder, STATE_FILE).step("read the sandbox's state");
        }
        if let Some(error) = said.lines().find_map(|line| serde_json::from_str(line).ok()) {
            return Err(error);
        }
        let log = fs::read_to_string(folder.join(LOG_FILE)).unwrap_or_default();
        Err(LaunchError::new("start the sandbox", format!("it ended at once: {}", log.trim())))
    }

    fn prepare(&self, name: &str, limits: &Limits) -> io::Result<PathBuf> {
        let (control, workspace) = (self.control(name), self.root.join(name).join("workspace"));
        for folder in [&control, &workspace] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        for name in [STATE_FILE, LOG_FILE, SUSPENDED_FILE] {
            remove_if_there(&control.join(name))?;
        }
        let control = control.canonicalize()?;
        let since = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?;
        let plan = Plan {
            sandbox: name.to_owned(),
            session: format!("{name}-{:x}", since.as_nanos()),
            workspace: workspace.canonicalize()?,
            limits: limits.clone(),
        };
        write_document(&control, PLAN_FILE, &plan)?;
        Ok(control)
    }

    /// Starts the keeper and gives back what it and its child say until they are ready or at their end.
    async fn run_keeper(&self, folder: &Path) -> io::Result<String> {
        let log = File::create(folder.join(LOG_FILE))?;
        let mut command = tokio::process::Command::new(&self.program);
        command.arg(KEEPER_ARGUMENT).arg(folder).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(log));
        // The runtime waits for it in the background once this handle is gone.
        let mut child = command.kill_on_drop(false).spawn()?;
        let mut said = String::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(MAX_SAID_BYTES).read_to_string(&mut said).await?;
        }
        Ok(said)
    }

    /// What there is of that name.
    pub fn find(&self, name: &str) -> io::Result<Found> {
        let folder = self.control(name);
        if !is_locked(&folder.join(LOCK_FILE))? {
            return Ok(if folder.exists() { Found::Ended } else { Found::Nothing });
        }
        match read_document(&folder, STATE_FILE) {
            Ok(state) => Ok(Found::Running(state)),
            // It is being started; whoever does so will say so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Ended),
            Err(error) => Err(error),
        }
    }

    /// Whether files and set-up commands are through, in this sandbox or in an earlier one with the same workspace.
    pub fn is_prepared(&self, name: &str) -> bool {
        self.control(name).join(PREPARED_FILE).exists()
    }

    /// Notes that they are.
    pub fn mark_prepared(&self, name: &str) -> io::Result<()> {
        File::create(self.control(name).join(PREPARED_FILE)).map(drop)
    }

    /// What was noted as published of the sandbox's files: by path, size and time of change.
    pub fn published(&self, name: &str) -> io::Result<BTreeMap<String, (u64, i64)>> {
        read_document(&self.control(name), PUBLISHED_FILE)
    }

    pub fn note_published(&self, name: &str, files: &BTreeMap<String, (u64, i64)>) -> io::Result<()> {
        write_document(&self.control(name), PUBLISHED_FILE, files)
    }

    /// The names of all sandboxes that have a folder, running or not.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// A connection to the executor in the sandbox of that name.
    pub fn connect(&self, name: &str) -> io::Result<UnixStream> {
        control::connect(&self.control(name), SOCKET_FILE)
    }

    /// Ends the sandbox of that name with all that runs in it, and keeps its workspace.
    pub async fn end(&self, name: &str) -> io::Result<()> {
        let folder = self.control(name);
        let state: Option<State> = read_document(&folder, STATE_FILE).ok();
        let waiting = async {
            while is_locked(&folder.join(LOCK_FILE))? {
                // The lock says that the keeper lives, and it is the one who reaps the executor: the numbers are theirs.
                if let Some(state) = &state {
                    for pid in [state.executor_pid, state.keeper_pid] {
                        if let Some(pid) = Pid::from_raw(pid) {
                            let _ = rustix::process::kill_process(pid, Signal::KILL);
                        }
                    }
                }
                tokio::time::sleep(STOP_POLL).await;
            }
            // Its last processes may still be on their way out.
            while state.as_ref().is_some_and(|state| cgroup::remove(&state.cgroups).is_err()) {
                tokio::time::sleep(STOP_POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(STOP_TIMEOUT, waiting).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("the sandbox `{name}` does not end")))
        })
    }

    /// Whether nothing runs in a sandbox but its executor.
    pub async fn is_quiet(&self, state: &State) -> io::Result<bool> {
        let executor = state.executor_pid;
        let company = tokio::task::spawn_blocking(move || processes::has_company(executor));
        company.await.map_err(io::Error::other)?.map(|company| !company)
    }

    /// Ends a sandbox in which nothing runs, and notes that nothing was lost with it. Its workspace is kept.
    pub async fn suspend(&self, name: &str) -> io::Result<()> {
        self.end(name).await?;
        File::create(self.control(name).join(SUSPENDED_FILE)).map(drop)
    }

    /// Whether the sandbox of that name is not there because it was suspended.
    pub fn is_suspended(&self, name: &str) -> bool {
        self.control(name).join(SUSPENDED_FILE).exists() && !matches!(self.find(name), Ok(Found::Running(_)))
    }

    /// Ends the sandbox of that name and wipes all that it left.
    pub async fn stop(&self, name: &str) -> io::Result<()> {
        self.end(name).await?;
        let folder = self.root.join(name);
        tokio::task::spawn_blocking(move || wipe(&folder)).await.map_err(io::Error::other)?
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Folders that an agent closed to itself are opened first: an ordinary user could not empty them else.
fn wipe(folder: &Path) -> io::Result<()> {
    for _ in 0..2 {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_folders(folder),
            other => return other,
        }
    }
    fs::remove_dir_all(folder)
}

fn open_folders(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        next.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
}

/// Whether this process was started to be the executor.
pub fn is_executor(arguments: &[String]) -> bool {
    arguments.get(1).is_some_and(|name| name == EXECUTOR_ARGUMENT)
}
