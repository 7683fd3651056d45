//! Everything that is printed. Results go to standard output, progress and errors to standard error; nothing that came
//! from a model, a tool or a server is printed unescaped.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

pub mod ask;
pub mod escape;
mod table;

pub use table::Table;

use crate::failure::Failure;
use serde_json::{Value, json};
use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether standard output has its one JSON document.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Where a command says things.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    json: bool,
}

impl Terminal {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(self) -> bool {
        self.json
    }

    /// A result in its two forms. Only one of them is printed.
    pub fn result(self, document: &Value, text: impl FnOnce() -> String) {
        let printed = if self.json { format!("{document:#}\n") } else { text() };
        ANSWERED.store(true, Ordering::Relaxed);
        self.out(&printed);
    }

    /// Part of a result as text. The caller has escaped it.
    pub fn out(self, text: &str) {
        write_out(text.as_bytes());
    }

    /// One line of progress, as it stands. The caller has escaped what is not its own.
    pub fn progress(self, line: impl AsRef<str>) {
        eprintln!("{}", line.as_ref());
    }

    /// Progress without a line feed.
    pub fn progress_part(self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// Why the command failed, and what to do. With `--json` standard output gets a document too, unless it has one.
    pub fn failure(self, failure: &Failure) {
        eprintln!("error: {}", escape::lines(&failure.message).trim_end());
        for line in &failure.help {
            eprintln!("  help: {}", escape::line(line));
        }
        if self.json && !ANSWERED.load(Ordering::Relaxed) {
            let error =
                json!({"error": {"code": failure.exit.name(), "message": failure.message, "help": failure.help}});
            write_out(format!("{error:#}\n").as_bytes());
        }
    }
}

/// A reader that went away (`| head`) is no error of ours.
fn write_out(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}
