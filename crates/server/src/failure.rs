//! How a command ends: the exit codes that scripts may rely on, and errors that say what to do next.

use std::{fmt, process::ExitCode};

/// Stable exit codes (docs/commands.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    SignIn = 4,
    Denied = 5,
    Waiting = 6,
    Budget = 7,
    TimedOut = 8,
    OutcomeUnknown = 9,
    Interrupted = 130,
}

impl Exit {
    /// Its name in the `--json` form of an error.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::SignIn => "sign_in_needed",
            Self::Denied => "denied",
            Self::Waiting => "waiting",
            Self::Budget => "budget",
            Self::TimedOut => "timed_out",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what was asked. The message may hold what others wrote: it is escaped where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// What to do next, one line each.
    pub help: Vec<String>,
    /// There was no answer at all: the server may come back.
    pub unreachable: bool,
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: Vec::new(), unreachable: false }
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Says what was being done when something failed.
pub trait Doing<T> {
    /// `what` continues "cannot …".
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure::failed(format!("cannot {}: {error}", what())))
    }
}
