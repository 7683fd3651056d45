//! `bailiwick`: the server, its client commands, and the hidden parts that run inside sandboxes.

mod cli;
mod client;
mod config;
mod failure;
mod files;
mod logs;
mod runtime;
mod terminal;
mod variables;

use clap::Parser as _;

fn main() {
    let _ = cli::Arguments::parse();
}
