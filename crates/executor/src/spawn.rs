//! Starts one process with pipes, in a process group of its own.

use crate::{reaper::Reaper, tree::Badness};
use bailiwick_executor_protocol::{FileUri, ProcessStartParams, RpcError, code};
use rustix::fd::OwnedFd;
use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tokio::{
    net::unix::pipe::{Receiver, Sender},
    sync::oneshot,
};

/// More arguments and variables than any real command has; the kernel's own limit is higher.
const MAX_ARGUMENT_BYTES: usize = 1024 * 1024;

/// A started process.
pub struct Spawned {
    pub pid: i32,
    pub stdin: Option<Sender>,
    pub stdout: Receiver,
    pub stderr: Receiver,
    pub ended: oneshot::Receiver<i32>,
}

/// Checks what can be checked before the process id is taken.
pub fn check(params: &ProcessStartParams) -> Result<PathBuf, RpcError> {
    let invalid = |message: &str| RpcError::new(code::INVALID_PARAMS, message);
    if params.argv.is_empty() {
        return Err(invalid("argv must not be empty"));
    }
    let variables = params.env.iter().map(|(name, value)| name.len() + value.len() + 2);
    let bytes: usize = params.argv.iter().map(|argument| argument.len() + 1).chain(variables).sum();
    if bytes > MAX_ARGUMENT_BYTES {
        return Err(invalid("`argv` and `env` together must not be longer than 1 MiB"));
    }
    let has_nul = |text: &String| text.contains('\0');
    if params.argv.iter().any(has_nul) || params.env.iter().any(|(name, value)| has_nul(name) || has_nul(value)) {
        return Err(invalid("`argv` and `env` must not hold a zero byte"));
    }
    if params.env.keys().any(|name| name.is_empty() || name.contains('=')) {
        return Err(invalid("a name in `env` must not be empty or hold `=`"));
    }
    if params.tty {
        return Err(invalid("this executor has no terminals: `tty` must be false"));
    }
    to_path(&params.cwd)
}

fn to_path(uri: &FileUri) -> Result<PathBuf, RpcError> {
    uri.to_path().map_err(|error| RpcError::new(code::INVALID_PARAMS, error.to_string()))
}

pub fn spawn(reaper: &Reaper, badness: &Badness, params: &ProcessStartParams, cwd: &Path) -> Result<Spawned, RpcError> {
    start(reaper, badness, params, cwd).map_err(|error| RpcError::new(code::INTERNAL, error.to_string()))
}

fn start(reaper: &Reaper, badness: &Badness, params: &ProcessStartParams, cwd: &Path) -> io::Result<Spawned> {
    let (program, arguments) = params.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&params.env).current_dir(cwd).process_group(0);
    if let Some(name) = &params.arg0 {
        command.arg0(name);
    }
    command.stdin(if params.pipe_stdin { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (pid, mut child, ended) = reaper.spawn(|| {
        let child = badness.around(|| command.spawn())?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok((pid, child))
    })?;
    let missing = || io::Error::other("a pipe is missing");
    let stdin = child.stdin.take().map(|pipe| Sender::from_owned_fd(OwnedFd::from(pipe))).transpose()?;
    let stdout = Receiver::from_owned_fd(OwnedFd::from(child.stdout.take().ok_or_else(missing)?))?;
    let stderr = Receiver::from_owned_fd(OwnedFd::from(child.stderr.take().ok_or_else(missing)?))?;
    Ok(Spawned { pid, stdin, stdout, stderr, ended })
}
