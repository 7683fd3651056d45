//! `cargo xtask bench`: what a durable step costs, side by side with an fsync and with a loop that keeps nothing.
//!
//! Everything is measured in one run against the real binary, with the load generator and the model server in this
//! process, so that the ratios mean something on a noisy machine.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark starts processes, reads clocks and prints"
)]

mod client;
mod disk;
mod plain;
mod process;
mod receipts;
mod report;
mod systems;

use anyhow::{Context as _, Result};
use bailiwick_testkit::model_server::{Answer, Behaviour, ModelServer, Seen};
use clap::Parser;
use client::Client;
use process::Server;
use report::Report;
use std::{path::PathBuf, time::Instant};

/// Steps of a turn of which many are made at once. In a shorter one, beginning and ending it would count for much.
const MIN_TURN: usize = 40;

#[derive(Parser)]
struct Arguments {
    /// The binary to measure.
    #[arg(long, default_value = "target/release/bailiwick")]
    server: PathBuf,
    /// The verifier to measure.
    #[arg(long, default_value = "target/release/bailiwick-verify")]
    verifier: PathBuf,
    /// Receipts that it verifies.
    #[arg(long, default_value_t = 1_000_000)]
    receipts: u64,
    /// Where data folders are made: the disk that is measured.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Idle sessions in the large case.
    #[arg(long, default_value_t = 100_000)]
    idle: u64,
    /// Steps of a measured turn.
    #[arg(long, default_value_t = 150)]
    steps: usize,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(measure(&arguments))?;
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let model = ModelServer::start(script).await;
    let mut report = Report::default();
    let fsync = disk::fsync_micros(&arguments.folder)?;
    report.add("fsync of 512 bytes, median", fsync, "µs");
    steps(arguments, &model, fsync, &mut report).await?;
    systems::measure(&arguments.server, &arguments.folder, &model, fsync, &mut report).await?;
    throughput(arguments, &model, &mut report).await?;
    idle(arguments, &model, &mut report).await?;
    receipts::measure(&arguments.verifier, &arguments.folder, arguments.receipts, &mut report)?;
    Ok(report)
}

/// A turn whose order is `steps N` makes N steps of one trivial tool call and then answers.
fn script(seen: &Seen) -> Behaviour {
    let wanted = seen.user.strip_prefix("steps ").and_then(|count| count.parse().ok()).unwrap_or(0);
    if seen.results_since_user < wanted {
        Behaviour::Answer(Answer::call("list_files", "{}"))
    } else {
        Behaviour::Answer(Answer::text("Done."))
    }
}

/// Overhead of a step early in a session and after a thousand.
async fn steps(arguments: &Arguments, model: &ModelServer, fsync: f64, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let server = Server::start(&arguments.server, folder.path(), &model.base_url()).await?;
    let client = Client::new(&server);
    let session = client.session("main").await?;
    client.turn(&session, 5).await.context("the turn that starts the sandbox")?;
    let count = arguments.steps;
    let cpu = server.cpu_ms()?;
    let early = client.turn(&session, count).await?;
    let cpu = (server.cpu_ms()? - cpu) / count as f64;
    let mut plain = plain::Loop::new(&model.base_url());
    plain.steps(5).await?;
    let plain_early = plain.steps(count).await?;
    let per = |micros: f64| micros / count as f64;
    let overhead = per(early) - per(plain_early);
    report.add("plain loop, per step", per(plain_early), "µs");
    report.add("durable step (one model call, one tool call)", per(early), "µs");
    report.add("overhead per durable step", overhead, "µs");
    report.add("overhead per durable step", overhead / fsync, "× fsync");
    report.add("server CPU per step, one session", cpu, "ms");
    let mut done = 5 + count;
    while done < 1000 {
        let more = (1000 - done).min(150);
        client.turn(&session, more).await?;
        plain.steps(more).await?;
        done += more;
    }
    let late = client.turn(&session, count).await?;
    let plain_late = plain.steps(count).await?;
    let late_overhead = per(late) - per(plain_late);
    report.add("plain loop after 1,000 steps, per step", per(plain_late), "µs");
    report.add("overhead per step after 1,000 steps", late_overhead, "µs");
    report.add("overhead after 1,000 steps against the beginning", late_overhead / overhead, "×");
    Ok(())
}

async fn throughput(arguments: &Arguments, model: &ModelServer, report: &mut Report) -> Result<()> {
    for sessions in [1_usize, 16, 64] {
        let folder = tempfile::tempdir_in(&arguments.folder)?;
        let server = Server::start(&arguments.server, folder.path(), &model.base_url()).await?;
        let client = Client::new(&server);
        let mut ids = Vec::new();
        for _ in 0..sessions {
            let id = client.session("main").await?;
            client.turn(&id, 1).await?;
            ids.push(id);
        }
        let count = (arguments.steps * 4 / sessions).max(MIN_TURN);
        let cpu = server.cpu_ms()?;
        let begun = Instant::now();
        let turns = ids.iter().map(|id| client.turn(id, count));
        futures_util::future::try_join_all(turns).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let all = (count * sessions) as f64;
        report.add(&format!("steps per second, {sessions} sessions"), all / elapsed, "1/s");
        report.add(&format!("server CPU per step, {sessions} sessions"), (server.cpu_ms()? - cpu) / all, "ms");
    }
    Ok(())
}

/// Memory and start-up with nothing, with a thousand, and with very many idle sessions.
async fn idle(arguments: &Arguments, model: &ModelServer, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let server = Server::start(&arguments.server, folder.path(), &model.base_url()).await?;
    report.add("start to first answer, empty", server.first_answer_ms, "ms");
    let client = Client::new(&server);
    client.idle_sessions(0, 1).await?;
    let empty = server.memory_kib()?;
    report.add("memory, no sessions", empty / 1024.0, "MiB");
    client.idle_sessions(1, 1000).await?;
    report.add("memory, 1,000 idle sessions", server.memory_kib()? / 1024.0, "MiB");
    client.idle_sessions(1000, arguments.idle).await?;
    let full = server.memory_kib()?;
    report.add(&format!("memory, {} idle sessions", arguments.idle), full / 1024.0, "MiB");
    report.add("memory per idle session", (full - empty) / arguments.idle as f64, "KiB");
    drop(server);
    let server = Server::start(&arguments.server, folder.path(), &model.base_url()).await?;
    report.add(&format!("start to first answer, {} sessions on disk", arguments.idle), server.first_answer_ms, "ms");
    Ok(())
}
