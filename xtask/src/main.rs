//! `cargo xtask …`: what the workspace checks about itself. Ships in nothing.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool of the workspace reads files, starts cargo and prints"
)]

mod check_deps;
mod openapi;
mod tidy;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks that the workspace makes of itself")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One line for each; what it does is in a module of its own.
#[derive(Subcommand)]
enum Command {
    /// Fails on an arrow between crates that `xtask/rooms.toml` does not allow.
    CheckDeps,
    /// Fails on files that break the habits of the house, and lists those that grow too long.
    Tidy,
    /// Writes `docs/openapi.json` from the API's route table and types.
    Openapi {
        /// Writes nothing and fails when the committed document is another.
        #[arg(long)]
        check: bool,
    },
    /// Measures the release build against an fsync and a loop that keeps nothing.
    Bench {
        /// Passed on; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = workspace().and_then(|root| match Arguments::parse().command {
        Command::CheckDeps => report("check-deps", &check_deps::run(&root)?),
        Command::Tidy => report("tidy", &tidy::run(&root)?),
        Command::Openapi { check } => openapi::run(&root, check),
        Command::Bench { arguments } => bench(&root, &arguments),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the binary and the load generator as they ship, and runs one against the other.
fn bench(root: &Path, arguments: &[String]) -> Result<()> {
    let build = ["build", "--release", "--package", "bailiwick-server", "--package", "bailiwick-verifier"];
    cargo(root, build)?;
    cargo(root, ["build", "--release", "--package", "bailiwick-bench"])?;
    cargo(root, ["bench", "--quiet", "--package", "bailiwick-policy", "--bench", "decide"])?;
    let run = ["run", "--quiet", "--release", "--package", "bailiwick-bench", "--"];
    cargo(root, run.into_iter().chain(arguments.iter().map(String::as_str)))
}

fn cargo<'a>(root: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let status = std::process::Command::new(env!("CARGO")).args(arguments).current_dir(root).status()?;
    if status.success() { Ok(()) } else { bail!("cargo ended with {status}") }
}

/// The folder of the workspace, wherever the command was started.
fn workspace() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace")?.to_path_buf())
}

fn report(check: &str, problems: &[String]) -> Result<()> {
    for problem in problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("{check}: good");
            Ok(())
        }
        count => bail!("{check} found {count} problem{}", if count == 1 { "" } else { "s" }),
    }
}
