//! `bailiwick`: the server, its client commands, and the hidden parts that run inside sandboxes.

mod child;
mod cli;
mod client;
mod commands;
mod config;
mod demo;
mod doctor;
mod failure;
mod files;
mod logs;
mod runtime;
mod scratch;
mod serve;
mod terminal;
mod variables;
mod watch;

use clap::Parser as _;
use cli::{Arguments, Command};
use failure::{Exit, Failure, Outcome};
use std::process::ExitCode;
use terminal::Terminal;

fn main() -> ExitCode {
    // Before anything else: a sandbox's stages and its executor are this same program, and must be alone in theirs.
    if let Some(ended) = hidden() {
        return ended;
    }
    let arguments = Arguments::parse();
    let terminal = Terminal::new(commands::is_json(&arguments.command));
    let done = match arguments.command {
        Command::Serve(options) => serve::run(options),
        Command::Key(cli::Key::Rotate(options)) => serve::rotate_key(options, terminal),
        command => client(command, terminal),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit.into()
        }
    }
}

/// What this program was started as by itself, if it was.
fn hidden() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if let Some(ended) = bailiwick_environments::sandbox::stage(&arguments) {
        return Some(ended);
    }
    if bailiwick_environments::sandbox::is_executor(&arguments) {
        return Some(bailiwick_executor::main(arguments.into_iter().skip(2)));
    }
    if arguments.get(1).is_some_and(|first| first == bailiwick_sample::STAGE) {
        return Some(bailiwick_sample::stage());
    }
    None
}

fn client(command: Command, terminal: Terminal) -> Outcome {
    // One thread of its own is enough, and the demo's child follows this thread's life.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(commands::perform(command, terminal))
}
