//! A program of the operator's that prints a key. It has a bounded time, prints a bounded text, and leaves nothing
//! behind: whatever it starts is in a group of its own, which ends with it.

use crate::{
    failure::{Doing as _, Failure, Outcome},
    runtime::{rest, within},
};
use bailiwick_types::Secret;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::{
    io::{self, ErrorKind, Read as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

/// How long a program may take to print a key.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked at.
const STEP: Duration = Duration::from_millis(10);
/// Bytes that a program may print.
const MAX_PRINTED: usize = 16 * 1024;

/// What a program prints. It gets no more of our environment than where programs and its user's own files are.
pub(super) async fn printed(command: &[String], patience: Duration) -> Outcome<Secret> {
    let program = command.first().map(String::as_str).unwrap_or_default();
    let failed = |why: String| Failure::failed(format!("the key command `{program}` {why}"));
    let mut running = Running::start(command).doing(|| format!("start the key command `{program}`"))?;
    match within(patience, running.printed()).await {
        Some(Ok(text)) => Ok(text),
        Some(Err(why)) => Err(failed(why)),
        None => Err(failed(format!("did not end within {} s", patience.as_secs()))),
    }
}

struct Running {
    child: Child,
    stdout: ChildStdout,
    /// It leads a group of this number.
    group: Pid,
}

impl Running {
    #[allow(clippy::disallowed_methods, reason = "the operator's own program, at the start and for a rotation")]
    fn start(command: &[String]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(ErrorKind::InvalidInput)?;
        let mut child = std::process::Command::new(program);
        child.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").process_group(0);
        if let Some(home) = crate::variables::read("HOME") {
            child.env("HOME", home);
        }
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let group = Pid::from_child(&child);
        // INVARIANT: it was started with a pipe.
        let stdout = child.stdout.take().expect("its output is a pipe");
        // From here on it is ended whatever fails.
        let running = Self { child, stdout, group };
        // Whoever inherits the pipe may keep it open for ever: nobody waits for its end.
        rustix::io::ioctl_fionbio(&running.stdout, true)?;
        Ok(running)
    }

    /// What it printed until it ended. Its own words are not repeated in an error: they may be the key.
    async fn printed(&mut self) -> Result<Secret, String> {
        let mut text = Vec::new();
        loop {
            // Looked at before the pipe is read: what an ended program printed is in it.
            let status = self.ended().map_err(|error| format!("cannot be waited for: {error}"))?;
            self.read(&mut text).map_err(|error| format!("cannot be read from: {error}"))?;
            if text.len() > MAX_PRINTED {
                return Err(format!("printed more than {} KiB, which is no key", MAX_PRINTED / 1024));
            }
            match status {
                Some(0) => {
                    return String::from_utf8(text).map(Secret::new).map_err(|_| "printed what is no text".into());
                }
                Some(status) => return Err(format!("failed ({status}); run it by hand to see why")),
                None => rest(STEP).await,
            }
        }
    }

    /// How it ended, if it did. It is left where it is until all of its group has ended, so that nobody else gets its
    /// number.
    fn ended(&self) -> io::Result<Option<i32>> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.group), look)?;
        Ok(status.map(|status| status.exit_status().or(status.terminating_signal()).unwrap_or(-1)))
    }

    /// What is in the pipe now, up to a little more than may be.
    fn read(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        let room = (MAX_PRINTED + 1).saturating_sub(text.len()) as u64;
        match (&mut self.stdout).take(room).read_to_end(text) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
        // It ends at once, if it has not ended by itself.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    async fn run(script: &str, patience: Duration) -> Outcome<Secret> {
        printed(&["sh", "-c", script].map(str::to_owned), patience).await
    }

    /// Whether a process is there and no zombie.
    fn lives(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_does_not_hold_up_its_key_and_ends() {
        let printed = run("sleep 600 & echo $!", PATIENCE).await.unwrap();
        let left = printed.expose().trim();
        assert!(left.parse::<u32>().is_ok(), "{left}");
        while lives(left) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
        let pids = tempfile::NamedTempFile::new().unwrap();
        let script = format!("sleep 600 & echo $! > {}; wait", pids.path().display());
        let refused = run(&script, Duration::from_millis(500)).await.unwrap_err();
        assert!(refused.message.contains("did not end"), "{refused:?}");
        let left = std::fs::read_to_string(pids.path()).unwrap();
        while lives(left.trim()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_printed_beyond_a_key_is_refused_and_never_cut() {
        for bytes in [MAX_PRINTED + 1, 100 * 1024] {
            let refused = run(&format!("head -c {bytes} /dev/zero | tr '\\0' a"), PATIENCE).await.unwrap_err();
            assert!(refused.message.contains("more than 16 KiB"), "{refused:?}");
        }
        let all = run(&format!("head -c {MAX_PRINTED} /dev/zero | tr '\\0' a"), PATIENCE).await.unwrap();
        assert_eq!(all.expose().len(), MAX_PRINTED);
        let refused = run("echo a-secret; exit 3", PATIENCE).await.unwrap_err();
        assert!(refused.message.contains("failed (3)") && !refused.message.contains("a-secret"), "{refused:?}");
    }
}
