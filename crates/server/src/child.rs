//! A server as a process of its own: the demo's, which can really be killed, and the one that `model test` asks.

use crate::{
    client::Client,
    failure::{Doing as _, Failure, Outcome},
    files,
    runtime::rest,
    serve::Announcement,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

/// How long a start may take, looked at in steps.
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(10);
/// A port that is free.
const ANY: &str = "127.0.0.1:0";
/// Of the log, when a start fails.
const MOST_LOG: u64 = 1024 * 1024;

/// A data folder and the server that runs on it.
pub struct Server {
    data: PathBuf,
    config: PathBuf,
    child: Child,
    /// Where it answers; also after it was started again.
    address: Option<String>,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub async fn start(data: &Path, config: &Path) -> Outcome<Self> {
        let child = spawn(data, config, ANY)?;
        let mut server = Self { data: data.to_owned(), config: config.to_owned(), child, address: None };
        server.ready().await?;
        Ok(server)
    }

    /// The address that it says it answers at.
    pub fn url(&self) -> Outcome<String> {
        let found = Announcement::read(&self.data).map(|found| found.url);
        found.ok_or_else(|| Failure::failed("the server does not say where it listens"))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Outcome<Client> {
        Client::local(&self.data)
    }

    /// Ends the process at once, as a crash or an operator would: it has no say in it.
    pub fn kill(&mut self) -> Outcome {
        self.child.kill().and_then(|()| self.child.wait()).doing(|| "kill the server".to_owned())?;
        Ok(())
    }

    /// Starts the server again after it was killed.
    pub async fn start_again(&mut self) -> Outcome {
        self.child = spawn(&self.data, &self.config, self.address.as_deref().unwrap_or(ANY))?;
        self.ready().await
    }

    /// Asks the server to stop, and makes it when it does not.
    pub async fn stop(mut self) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let mut waited = Duration::ZERO;
        while waited < STOP && matches!(self.child.try_wait(), Ok(None)) {
            rest(STEP).await;
            waited += STEP;
        }
        let _ = self.kill();
    }

    async fn ready(&mut self) -> Outcome {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(found) = Announcement::read(&self.data).filter(|found| found.pid == self.child.id()) {
                self.address = Some(found.address);
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = files::read_bounded(&log(&self.data), MOST_LOG).unwrap_or_default();
                let log = String::from_utf8_lossy(&log)
                    .lines()
                    .rev()
                    .take(5)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .collect::<Vec<_>>()
                    .join("\n");
                return Err(Failure::failed(format!("the server ended at once ({status}):\n{log}")));
            }
            if waited >= START {
                return Err(Failure::failed("the server did not start in time"));
            }
            rest(STEP).await;
            waited += STEP;
        }
    }
}

fn log(data: &Path) -> PathBuf {
    data.with_extension("log")
}

#[allow(clippy::disallowed_methods, reason = "this program itself, as a server")]
fn spawn(data: &Path, config: &Path, address: &str) -> Outcome<Child> {
    let program = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
    let log = files::append(&log(data)).doing(|| "write the server's log".to_owned())?;
    let mut command = std::process::Command::new(program);
    command.args(["serve", "--listen", address, "--with-parent", "--data"]).arg(data);
    command.arg("--config").arg(config);
    // A group of its own: Ctrl-C is for us, and we stop it in order.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    command.spawn().doing(|| "start the server".to_owned())
}
