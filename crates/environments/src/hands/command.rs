//! Commands: run to the end, or in the background; found again after a lost connection or a restart; never run twice.

use super::{Hands, uri};
use crate::{
    client::{Link, Lookup, Output, Watched},
    error::ExecutorError,
};
use bailiwick_executor_protocol::{ProcessStartParams, WriteStatus, code};
use bailiwick_types::{Millis, Timestamp};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

/// After an interrupt, before the kill.
const INTERRUPT_GRACE: Millis = Millis(500);
/// After the kill, for the last of the output. Together with the other steps less than the 2 s that a cancel may take.
const KILL_GRACE: Millis = Millis(500);
const STOP_CALL: Millis = Millis(400);
// INVARIANT: a cancelled command is stopped, or given up on, within two seconds.
const _: () = assert!(2 * STOP_CALL.0 + INTERRUPT_GRACE.0 + KILL_GRACE.0 < 2_000);
/// After the exit, for output that is still under way or that a child holds open.
const CLOSE_GRACE: Millis = Millis(300);
/// Background commands whose unread output is kept. More may run; the oldest ended ones are forgotten here first.
const MAX_FOLLOWED: usize = 256;
/// Output of a background command that is kept until it is polled.
const MAX_UNREAD_BYTES: usize = 1024 * 1024;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// By `bash -c`, or `sh -c` where there is no bash.
    Shell(String),
    Arguments(Vec<String>),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRequest {
    /// The process's id at the executor, which refuses a second start under it.
    pub id: String,
    /// When the id was made: a lookup needs to know how old it is, and the time-out counts from then.
    pub made_at: Timestamp,
    pub command: Command,
    /// Absolute.
    pub cwd: String,
    pub timeout: Option<Millis>,
    /// What is kept of the output: half at the beginning, half at the end.
    pub max_output_bytes: usize,
    /// Variables of this command, which win over those of every command.
    pub variables: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exited,
    TimedOut,
    Cancelled,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub output: Output,
    /// 128 and the signal's number when a signal ended it; `None` when it was killed and its end not seen in time.
    pub exit_code: Option<i32>,
    pub end: End,
    pub duration: Millis,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// It was not started.
    #[error("{0}")]
    NotStarted(#[from] ExecutorError),
    /// It may have run, or may still run.
    #[error("{0}")]
    Unknown(String),
}

/// The state of a background command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// What it printed since the last poll, or since the server was started.
    pub output: Output,
    pub running: bool,
    pub exit_code: Option<i32>,
}

/// The background commands that are followed, oldest first.
#[derive(Default)]
pub struct Background(Mutex<VecDeque<Arc<Watched>>>);

impl Background {
    fn find(&self, id: &str) -> Option<Arc<Watched>> {
        let followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followed.iter().find(|watched| watched.id == id).cloned()
    }

    fn all(&self) -> Vec<Arc<Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn keep(&self, watched: Arc<Watched>) {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if followed.iter().any(|known| known.id == watched.id) {
            return;
        }
        if followed.len() >= MAX_FOLLOWED {
            let ended = followed.iter().position(|known| known.lock().closed).unwrap_or(0);
            followed.remove(ended);
        }
        followed.push_back(watched);
    }
}

impl Hands {
    /// Runs a command to its end. `live` is given text as it comes; `cancel` stops the command, with its process group,
    /// within two seconds. With `again`, it may have been started before: then it is looked for, and started only when
    /// it certainly was not.
    pub async fn run(
        &self,
        request: &CommandRequest,
        again: bool,
        mut live: impl FnMut(String),
        cancel: impl Future<Output = ()>,
    ) -> Result<Report, CommandError> {
        let watched = self.client.watch(&request.id, request.max_output_bytes);
        let connection = self.connection();
        let mut cancel = pin!(cancel);
        // A start is not torn: it is waited for even when it is cancelled meanwhile, and then stopped.
        self.begin(request, &watched, again, false).await?;
        let end = self.follow(request, &watched, connection, &mut live, &mut cancel).await?;
        let mut track = watched.lock();
        let duration = self.client.clock().now().since(request.made_at);
        Ok(Report { output: track.output.take(), exit_code: track.exit_code, end, duration })
    }

    /// Starts a command that runs on by itself. Its input stays open for [`Hands::write_to`].
    pub async fn run_in_background(&self, request: &CommandRequest, again: bool) -> Result<(), CommandError> {
        let watched = self.client.watch(&request.id, MAX_UNREAD_BYTES);
        self.background.keep(Arc::clone(&watched));
        self.begin(request, &watched, again, true).await
    }

    async fn begin(
        &self,
        request: &CommandRequest,
        watched: &Watched,
        again: bool,
        input: bool,
    ) -> Result<(), CommandError> {
        if again && self.find(request, watched).await? {
            return Ok(());
        }
        match self.start(request, input).await {
            Err(error) if error.is_open() => {
                if self.find(request, watched).await? {
                    return Ok(());
                }
                match self.start(request, input).await {
                    Err(error) if error.is_open() => {
                        Err(CommandError::Unknown(format!("the command may have been started: {error}")))
                    }
                    other => other.map_err(CommandError::NotStarted),
                }
            }
            other => other.map_err(CommandError::NotStarted),
        }
    }

    /// Whether the command was started before; an error when nobody can say.
    async fn find(&self, request: &CommandRequest, watched: &Watched) -> Result<bool, CommandError> {
        match self.client.look_up(watched, request.made_at).await {
            Ok(Lookup::Known) => Ok(true),
            Ok(Lookup::NeverSeen) => Ok(false),
            Ok(Lookup::Forgotten) => Err(CommandError::Unknown(
                "the executor no longer knows the command; it forgets what has ended after a minute".to_owned(),
            )),
            Err(error) => {
                Err(CommandError::Unknown(format!("what became of the command cannot be found out: {error}")))
            }
        }
    }

    async fn start(&self, request: &CommandRequest, pipe_stdin: bool) -> Result<(), ExecutorError> {
        let argv = match &request.command {
            Command::Arguments(arguments) => arguments.clone(),
            Command::Shell(text) => vec!["bash".to_owned(), "-c".to_owned(), text.clone()],
        };
        let mut env = self.environment.clone();
        env.extend(request.variables.clone());
        let mut params = ProcessStartParams {
            process_id: request.id.clone(),
            argv,
            cwd: uri(&request.cwd)?,
            env,
            tty: false,
            pipe_stdin,
            arg0: None,
        };
        let started = self.client.start(&params).await;
        let no_such_file = |error: &ExecutorError| {
            matches!(error, ExecutorError::Refused(error)
                if error.code == code::INTERNAL && error.message.contains("No such file"))
        };
        let started = match (&request.command, started) {
            (Command::Shell(_), Err(error)) if no_such_file(&error) => {
                "sh".clone_into(&mut params.argv[0]);
                self.client.start(&params).await
            }
            (_, started) => started,
        };
        started.map_err(|error| match error {
            ExecutorError::Refused(mut refusal) if no_such_file(&ExecutorError::Refused(refusal.clone())) => {
                refusal.message = format!("{}: is the folder `{}` there?", refusal.message, request.cwd);
                ExecutorError::Refused(refusal)
            }
            error => error,
        })
    }

    /// The number of the connection that there is.
    fn connection(&self) -> Option<u64> {
        match *self.client.link().borrow() {
            Link::Connected(number) => Some(number),
            Link::Connecting(_) | Link::Gone(_) => None,
        }
    }

    /// Waits for the end of a started command. `connection` is the one over which all its notifications came so far.
    async fn follow(
        &self,
        request: &CommandRequest,
        watched: &Watched,
        mut connection: Option<u64>,
        live: &mut impl FnMut(String),
        cancel: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<End, CommandError> {
        let clock = self.client.clock();
        let mut link = self.client.link();
        let mut text = LiveText::default();
        let mut lost_since: Option<Timestamp> = None;
        let deadline = request.timeout.map(|timeout| request.made_at + timeout);
        loop {
            let changed = watched.changed.notified();
            if let Some(shown) = text.decode(std::mem::take(&mut watched.lock().live)) {
                live(shown);
            }
            let (exited, closed, gap) = {
                let track = watched.lock();
                (track.exit_code.is_some(), track.closed, track.has_gap())
            };
            if closed {
                return Ok(End::Exited);
            }
            let now_link = link.borrow_and_update().clone();
            match now_link {
                Link::Gone(reason) => return Err(CommandError::Unknown(reason)),
                Link::Connecting(_) => {
                    lost_since.get_or_insert_with(|| clock.now());
                }
                Link::Connected(number) if connection != Some(number) => {
                    lost_since = None;
                    self.catch_up(watched).await?;
                    connection = Some(number);
                    continue;
                }
                Link::Connected(_) => lost_since = None,
            }
            let give_up = lost_since.map(|since| since + self.client.patience().lost);
            tokio::select! {
                () = changed => {}
                _ = link.changed() => {}
                () = &mut *cancel => {
                    self.stop(watched).await?;
                    return Ok(End::Cancelled);
                }
                () = clock.sleep_until(clock.now() + CLOSE_GRACE), if exited || (gap && lost_since.is_none()) => {
                    self.catch_up(watched).await?;
                    if exited {
                        // Something that it left behind holds its output open: that is not waited for.
                        return Ok(End::Exited);
                    }
                }
                () = until(clock, deadline) => {
                    self.stop(watched).await?;
                    return Ok(End::TimedOut);
                }
                () = until(clock, give_up) => {
                    let reason = "the connection to the executor was lost while the command ran, and did not come back";
                    return Err(CommandError::Unknown(reason.to_owned()));
                }
            }
        }
    }

    async fn catch_up(&self, watched: &Watched) -> Result<(), CommandError> {
        match self.client.catch_up(watched).await {
            Ok(()) => Ok(()),
            Err(ExecutorError::Refused(error)) => {
                Err(CommandError::Unknown(format!("the executor lost the command: {}", error.message)))
            }
            // The connection is gone again: the loop waits for it.
            Err(_) => Ok(()),
        }
    }

    /// Interrupts, then kills a process with its group, and takes the last of its output.
    async fn stop(&self, watched: &Watched) -> Result<(), CommandError> {
        let _ = self.within(STOP_CALL, self.client.interrupt(&watched.id)).await;
        if self.within(INTERRUPT_GRACE, closed(watched)).await.is_some() {
            return Ok(());
        }
        match self.within(STOP_CALL, self.client.terminate(&watched.id)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return Err(CommandError::Unknown(format!("the command was to be stopped and may still run: {error}")));
            }
            None => {
                let reason = "the command was to be stopped and may still run: the executor does not answer";
                return Err(CommandError::Unknown(reason.to_owned()));
            }
        }
        let _ = self.within(KILL_GRACE, closed(watched)).await;
        Ok(())
    }

    /// Takes what a background command printed, waiting up to `wait` for something new.
    pub async fn poll(&self, id: &str, made_at: Timestamp, wait: Millis) -> Result<Polled, ExecutorError> {
        let watched = self.followed(id, made_at).await?;
        let news = async {
            loop {
                let changed = watched.changed.notified();
                {
                    let mut track = watched.lock();
                    track.live.clear();
                    if track.has_output() || track.closed {
                        return;
                    }
                }
                changed.await;
            }
        };
        let _ = self.within(wait, news).await;
        if watched.lock().has_gap() || watched.lock().exit_code.is_some() {
            self.client.catch_up(&watched).await?;
        }
        let mut track = watched.lock();
        track.live.clear();
        Ok(Polled { output: track.output.take(), running: track.exit_code.is_none(), exit_code: track.exit_code })
    }

    /// Writes to a background command's input, once for each `write_id`.
    pub async fn write_to(
        &self,
        id: &str,
        made_at: Timestamp,
        write_id: &str,
        input: &str,
    ) -> Result<(), ExecutorError> {
        // The stock executor accepts input for what has ended.
        let ended = self.followed(id, made_at).await?.lock().exit_code.is_some();
        let status = match ended {
            true => WriteStatus::StdinClosed,
            false => self.client.write(id, write_id.to_owned(), input.as_bytes().to_vec()).await?,
        };
        let why = match status {
            WriteStatus::Accepted => return Ok(()),
            WriteStatus::UnknownProcess => "there is no such command",
            WriteStatus::StdinClosed => "the command does not read input (any more); only one in the background does",
            WriteStatus::Starting => "the command is only being started; try again",
        };
        Err(ExecutorError::Refused(bailiwick_executor_protocol::RpcError::new(code::INVALID_REQUEST, why)))
    }

    /// Stops a background command and gives the last of its output.
    pub async fn stop_in_background(&self, id: &str, made_at: Timestamp) -> Result<Polled, CommandError> {
        let watched = self.followed(id, made_at).await?;
        if !watched.lock().closed {
            self.stop(&watched).await?;
        }
        let mut track = watched.lock();
        Ok(Polled { output: track.output.take(), running: false, exit_code: track.exit_code })
    }

    /// Stops all background commands that are followed, as far as that can be done.
    pub async fn stop_all(&self) {
        for watched in self.background.all() {
            if !watched.lock().closed {
                let _ = self.stop(&watched).await;
            }
        }
    }

    async fn followed(&self, id: &str, made_at: Timestamp) -> Result<Arc<Watched>, ExecutorError> {
        if let Some(watched) = self.background.find(id) {
            return Ok(watched);
        }
        let watched = self.client.watch(id, MAX_UNREAD_BYTES);
        match self.client.look_up(&watched, made_at).await? {
            Lookup::Known => {
                self.background.keep(Arc::clone(&watched));
                Ok(watched)
            }
            Lookup::NeverSeen | Lookup::Forgotten => {
                let message = "there is no such command, or it ended too long ago";
                Err(ExecutorError::Refused(bailiwick_executor_protocol::RpcError::new(code::NOT_FOUND, message)))
            }
        }
    }
}

async fn closed(watched: &Watched) {
    loop {
        let changed = watched.changed.notified();
        if watched.lock().closed {
            return;
        }
        changed.await;
    }
}

async fn until(clock: &dyn bailiwick_ports::Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Output on its way to a watcher: a character that is cut between two pieces waits for its rest.
#[derive(Default)]
struct LiveText {
    rest: Vec<u8>,
}

impl LiveText {
    fn decode(&mut self, bytes: Vec<u8>) -> Option<String> {
        if bytes.is_empty() {
            return None;
        }
        self.rest.extend(bytes);
        let keep = match std::str::from_utf8(&self.rest) {
            // No error length: more bytes may complete the character.
            Err(error) if error.error_len().is_none() => self.rest.len() - error.valid_up_to(),
            _ => 0,
        };
        // Behind an invalid byte a cut character may follow too; it is shown as it is.
        let rest = self.rest.split_off(self.rest.len() - keep.min(3));
        let text = String::from_utf8_lossy(&self.rest).into_owned();
        self.rest = rest;
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_cut_is_shown_whole() {
        let mut live = LiveText::default();
        let bytes = "aü€b".as_bytes();
        let shown: String = bytes.iter().filter_map(|byte| live.decode(vec![*byte])).collect();
        assert_eq!(shown, "aü€b");
        assert_eq!(live.decode(vec![b'x', 0xff, b'y']).as_deref(), Some("x\u{fffd}y"));
    }
}
