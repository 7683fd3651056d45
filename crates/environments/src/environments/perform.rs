//! From an opened permit to what became of it.

use super::{Environments, Place, edit, look, skills, start::connection_failure};
use crate::{
    error::ExecutorError,
    hands::{Command, CommandError, CommandRequest, End, Hands, Polled, SearchRequest},
    marks,
};
use bailiwick_core::{
    Action, ActionResult, CommandEnd, CommandOutput, CommandRun, Content, Failure, FailureCode, Outcome,
    tools::{FILE_ENDS_BEFORE, FILE_GOES_ON, FILE_IS_EMPTY},
};
use bailiwick_gate::{Delta, Live, Mode, Opened};
use bailiwick_types::Millis;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Entries of one listing that a model is shown.
const MAX_LISTED: usize = 2_000;
const MAX_HITS: usize = 200;
const MAX_IMAGE_BYTES: u64 = 5 * 1024 * 1024;

/// A file may be changed by these only up to here.
pub(super) const MAX_EDITED_BYTES: u64 = 8 * 1024 * 1024;

pub(super) fn tool_error(message: impl Into<String>) -> Outcome {
    Outcome::Failed { failure: Failure::new(FailureCode::ToolError, message) }
}

pub(super) fn content(text: impl Into<String>) -> Outcome {
    Outcome::Confirmed { result: ActionResult::Content { content: vec![Content::text(text)] } }
}

fn command(output: CommandOutput) -> Outcome {
    Outcome::Confirmed { result: ActionResult::Command(output) }
}

/// What an error of something without an effect means.
pub(super) fn failed(what: &str, error: &ExecutorError) -> Outcome {
    match error {
        ExecutorError::Refused(refusal) => tool_error(format!("{what}: {}", refusal.message)),
        ExecutorError::TooLarge(message) => tool_error(message.clone()),
        other => Outcome::Failed { failure: connection_failure(other) },
    }
}

/// What an error of something with an effect means.
pub(super) fn failed_or_unknown(what: &str, error: &ExecutorError) -> Outcome {
    if error.is_open() {
        return Outcome::Unknown { reason: format!("{what}: {error}") };
    }
    failed(what, error)
}

impl Environments {
    pub(super) async fn outcome(&self, opened: &Opened, live: &Live) -> Outcome {
        let Some(environment) = opened.action().environment() else {
            if let Action::SkillLoad(load) = opened.action() {
                return self.load_skill(opened, load, None).await;
            }
            return Outcome::Failed {
                failure: Failure::new(FailureCode::Internal, "this action is none of an environment"),
            };
        };
        if let Action::EnvironmentStart { .. } = opened.action() {
            return match self.start(opened, environment).await {
                Ok(facts) => Outcome::Confirmed { result: ActionResult::Environment(facts) },
                Err(failure) => Outcome::Failed { failure },
            };
        }
        match self.find(opened, environment).await {
            Ok((_, hands)) if opened.mode() == Mode::Lookup && !is_same_session(opened, &hands) => {
                let reason = "the environment was started anew since, and does not know what was done before";
                Outcome::Unknown { reason: reason.to_owned() }
            }
            Ok((place, hands)) => self.act(opened, live, &place, &hands).await,
            // It may have happened before, and nobody is there to say.
            Err(failure) if opened.mode() == Mode::Lookup => Outcome::Unknown { reason: failure.message },
            Err(failure) => Outcome::Failed { failure },
        }
    }

    async fn act(&self, opened: &Opened, live: &Live, place: &Place, hands: &Hands) -> Outcome {
        let output_bytes = opened.scope().limits.output_bytes as usize;
        match opened.action() {
            Action::CommandRun(run) => run_command(opened, run, output_bytes, live, hands).await,
            Action::CommandPoll { process, wait_ms, .. } => {
                let id = process.to_string();
                tokio::select! {
                    polled = hands.poll(&id, process.made_at(), *wait_ms) => match polled {
                        Ok(polled) => command(polled_output(polled)),
                        Err(error) => failed("the command", &error),
                    },
                    () = live.cancelled() => cancelled(),
                }
            }
            Action::CommandWrite { process, input, .. } => {
                let write_id = opened.id().to_string();
                match hands.write_to(&process.to_string(), process.made_at(), &write_id, input).await {
                    Ok(()) => content("Written."),
                    Err(error) => failed_or_unknown("the command's input", &error),
                }
            }
            Action::CommandStop { process, .. } => {
                match hands.stop_in_background(&process.to_string(), process.made_at()).await {
                    Ok(polled) => command(polled_output(polled)),
                    Err(CommandError::NotStarted(error)) => failed("the command", &error),
                    Err(CommandError::Unknown(reason)) => Outcome::Unknown { reason },
                }
            }
            Action::FileWrite { path, content: text, .. } => {
                let _changing = place.changing.lock().await;
                match hands.write(path, text.as_bytes()).await {
                    Ok(()) => content(format!("Wrote {} bytes to {path}.", text.len())),
                    Err(error) => failed_or_unknown(path, &error),
                }
            }
            Action::FileAdd { path, file, .. } => {
                let bytes = match self.0.options.archive.file(opened.scope().tenant, *file).await {
                    Ok(bytes) => bytes,
                    Err(error) => return tool_error(format!("file {file} cannot be read: {error}")),
                };
                let _changing = place.changing.lock().await;
                match hands.write(path, &bytes).await {
                    Ok(()) => content(format!("Wrote {} bytes to {path}.", bytes.len())),
                    Err(error) => failed_or_unknown(path, &error),
                }
            }
            Action::FileEdit { path, old, new, all, .. } => {
                let _changing = place.changing.lock().await;
                let edit = edit::Edit { path, old, new, all: *all };
                edit.perform(hands, opened.mode() == Mode::Lookup).await
            }
            Action::SkillLoad(load) => tokio::select! {
                outcome = self.load_skill(opened, load, Some((place, hands))) => outcome,
                () = live.cancelled() => cancelled(),
            },
            Action::ArtifactPublish { directory, .. } => self.publish(opened, hands, directory).await,
            reading => tokio::select! {
                outcome = read(reading, output_bytes, hands) => outcome,
                () = live.cancelled() => cancelled(),
            },
        }
    }
}

/// Whether the executor's session is the one that was there when the action was decided.
fn is_same_session(opened: &Opened, hands: &Hands) -> bool {
    let decided = opened.scope().environment_facts.as_ref().and_then(|facts| facts.executor_session.as_deref());
    decided.is_some() && hands.session_id().as_deref() == decided
}

fn cancelled() -> Outcome {
    Outcome::Failed { failure: Failure::new(FailureCode::Cancelled, "the turn was cancelled") }
}

async fn run_command(opened: &Opened, run: &CommandRun, output_bytes: usize, live: &Live, hands: &Hands) -> Outcome {
    let id = opened.id();
    let request = CommandRequest {
        id: id.to_string(),
        made_at: id.made_at(),
        command: Command::Shell(run.command.clone()),
        cwd: run.cwd.clone(),
        timeout: (!run.background).then_some(run.timeout_ms),
        max_output_bytes: output_bytes,
        variables: marks::variables(&opened.scope().principal),
    };
    let again = opened.mode() != Mode::First;
    let report = if run.background {
        match hands.run_in_background(&request, again).await {
            Ok(()) => return command(CommandOutput { ended: CommandEnd::Running, ..CommandOutput::default() }),
            Err(error) => Err(error),
        }
    } else {
        hands.run(&request, again, |text| live.emit(Delta::CommandOutput { text }), live.cancelled()).await
    };
    match report {
        Ok(report) => command(CommandOutput {
            output: report.output.to_text(),
            omitted_bytes: report.output.omitted,
            exit_code: report.exit_code,
            ended: match report.end {
                End::Exited => CommandEnd::Exited,
                End::TimedOut => CommandEnd::TimedOut,
                End::Cancelled => CommandEnd::Cancelled,
            },
            duration_ms: report.duration,
        }),
        Err(CommandError::NotStarted(error)) => failed("the command could not be started", &error),
        Err(CommandError::Unknown(reason)) => Outcome::Unknown { reason },
    }
}

fn polled_output(polled: Polled) -> CommandOutput {
    CommandOutput {
        output: polled.output.to_text(),
        omitted_bytes: polled.output.omitted,
        exit_code: polled.exit_code,
        ended: if polled.running { CommandEnd::Running } else { CommandEnd::Exited },
        duration_ms: Millis(0),
    }
}

/// The actions that only read.
async fn read(action: &Action, output_bytes: usize, hands: &Hands) -> Outcome {
    match action {
        Action::FileRead { path, offset, limit, .. } => {
            match hands.read_lines(path, *offset, *limit, output_bytes).await {
                Ok(lines) => {
                    let mut text = lines.text;
                    if lines.count == 0 {
                        text = match offset {
                            0 | 1 => FILE_IS_EMPTY.to_owned(),
                            _ => format!("{FILE_ENDS_BEFORE}{offset} lines]"),
                        };
                    } else if lines.more {
                        let next = offset.saturating_add(lines.count);
                        text.push_str(&format!("\n{FILE_GOES_ON}{next}]"));
                    }
                    content(text)
                }
                Err(error) => failed(path, &error),
            }
        }
        Action::FileList { path, depth, page: Some(page), .. } => look::look(hands, path, *depth, page).await,
        Action::FileList { path, depth, page: None, .. } => match hands.list(path, *depth, MAX_LISTED).await {
            Ok((listed, truncated)) => {
                let mut lines: Vec<String> = listed
                    .into_iter()
                    .map(|entry| if entry.is_folder { entry.path + "/" } else { entry.path })
                    .collect();
                if truncated {
                    lines.push("[there is more: list a folder further down]".to_owned());
                }
                content(if lines.is_empty() { "[the folder is empty]".to_owned() } else { lines.join("\n") })
            }
            Err(error) => failed(path, &error),
        },
        Action::SkillsFind { directory, .. } => skills::find(hands, directory).await,
        Action::FileSearch { path, pattern, glob, .. } => {
            let request =
                SearchRequest { path: path.clone(), pattern: pattern.clone(), glob: glob.clone(), max_hits: MAX_HITS };
            match hands.search(&request).await {
                Ok(hits) => {
                    let mut lines = hits.lines;
                    if lines.is_empty() {
                        lines.push(format!("[no line matches in {} files]", hits.files_searched));
                    }
                    if hits.truncated {
                        lines.push("[there is more: search a smaller folder, or for something rarer]".to_owned());
                    }
                    content(lines.join("\n"))
                }
                Err(error) => failed(path, &error),
            }
        }
        Action::ImageView { path, .. } => match hands.read(path, MAX_IMAGE_BYTES).await {
            Ok(bytes) => match image_type(&bytes) {
                Some(kind) => {
                    let url = format!("data:{kind};base64,{}", STANDARD.encode(&bytes));
                    Outcome::Confirmed { result: ActionResult::Content { content: vec![Content::Image { url }] } }
                }
                None => tool_error(format!("{path} is not a PNG, JPEG, GIF or WebP image")),
            },
            Err(error) => failed(path, &error),
        },
        other => tool_error(format!("an environment cannot do {}", other.operation())),
    }
}

/// By the first bytes, whatever the name says.
fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}
