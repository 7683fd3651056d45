//! Questions to whoever sits at the terminal. What is secret is not shown while it is typed.

use bailiwick_types::Secret;
use rustix::{
    stdio,
    termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr},
};
use std::io::{self, BufRead as _, Read as _, Write as _};

/// Bytes of an answer.
const MAX_ANSWER: u64 = 4096;

/// Whether somebody sits at a terminal.
pub fn is_possible() -> bool {
    isatty(stdio::stdin())
}

/// One line from standard input.
pub fn line(question: &str) -> io::Result<String> {
    if isatty(stdio::stdin()) {
        let mut stderr = io::stderr().lock();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
    }
    let mut answer = String::new();
    io::stdin().lock().take(MAX_ANSWER).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there was no answer on standard input"));
    }
    Ok(answer.trim_end_matches(['\n', '\r']).to_owned())
}

/// One line that is not shown.
pub fn secret(question: &str) -> io::Result<Secret> {
    let stdin = stdio::stdin();
    if !isatty(stdin) {
        return Ok(Secret::new(line(question)?));
    }
    let shown = tcgetattr(stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(stdin, OptionalActions::Flush, &hidden)?;
    let answer = line(question);
    tcsetattr(stdin, OptionalActions::Flush, &shown)?;
    let _ = io::stderr().write_all(b"\n");
    Ok(Secret::new(answer?))
}
