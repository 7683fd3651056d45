//! Our executor: the server's own binary, re-executed inside a sandbox, answering the executor protocol.
//!
//! It starts processes, keeps their output and their end for as long as it lives, and reads and writes files, when its
//! one client asks. It decides nothing, opens no connection, and knows no secret. What contains it is the sandbox
//! around it, not its own checks. Unlike the stock executor it never forgets a process id, so that an unknown id is
//! proof that the process was never started.

#![allow(
    clippy::disallowed_methods,
    reason = "inside the sandbox it is the one that performs: there is no gate, no store and no simulator there"
)]

mod connection;
mod files;
mod processes;
mod reaper;
mod sessions;
mod spawn;
mod tree;

use rustix::{fd::OwnedFd, process::Signal};
use std::{
    io,
    os::{fd::AsFd, unix::net::UnixListener as StdListener},
    process::ExitCode,
    sync::Arc,
};

pub use bailiwick_executor_protocol::EXECUTOR_ARGUMENT;
pub use connection::serve;
pub use sessions::{Options, Sessions};

/// What the executor says on standard output once it listens.
pub const READY_LINE: &str = "ready\n";

/// Runs the executor until it is killed. `arguments` are those after [`EXECUTOR_ARGUMENT`]: `--session ID`, a session
/// that is there from the start, so that a client may take it up without having begun it; `--cwd PATH`, where
/// processes start by default. Standard input must be a listening Unix socket.
///
/// Must be called before the process has other threads.
pub fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It has no log; its starter reads this.
            let _ = rustix::io::write(rustix::stdio::stderr(), format!("executor: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl IntoIterator<Item = String>) -> io::Result<()> {
    let options = parse(arguments)?;
    // Whoever started the sandbox waits for it outside; when that one is gone, so is the sandbox.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let badness = tree::Badness::open();
    // What runs inside has the same user: it must not read or trace the executor.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    let listener = listener_on_stdin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    runtime.block_on(async {
        let sessions = Arc::new(Sessions::new(options, reaper::start()?, badness));
        let listener = tokio::net::UnixListener::from_std(listener)?;
        announce();
        serve(listener, sessions).await
    })
}

fn parse(arguments: impl IntoIterator<Item = String>) -> io::Result<Options> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| invalid(format!("`{name}` needs a value")))?;
        match name.as_str() {
            "--session" => options.session = Some(value),
            "--cwd" => options.cwd = value.into(),
            other => return Err(invalid(format!("unknown argument `{other}`"))),
        }
    }
    Ok(options)
}

/// Takes the listening socket from standard input and leaves `/dev/null` there.
fn listener_on_stdin() -> io::Result<StdListener> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    if !rustix::net::sockopt::socket_acceptconn(&socket).unwrap_or(false) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "standard input must be a listening Unix socket"));
    }
    let null = open_null()?;
    rustix::stdio::dup2_stdin(&null)?;
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Says that it listens, and lets go of the pipe to whoever started it: that one may die, the executor must not mind.
fn announce() {
    let _ = rustix::io::write(rustix::stdio::stdout(), READY_LINE.as_bytes());
    if let Ok(null) = open_null() {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

fn open_null() -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}
