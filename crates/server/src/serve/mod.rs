//! `bailiwick serve`: puts the rooms together and runs them until somebody says stop.

mod announcement;
mod audit;
mod compose;
mod doors;
mod erasures;
mod feeds;
mod health;
mod identity;
mod kept;
mod key_program;
mod keys;
mod listener;
mod metered;
mod metrics;
mod node;
mod pages;
mod rotate;
mod secrets;
mod systems;
mod web;

pub use announcement::Announcement;
pub use audit::DEFAULT_FILE as DEFAULT_CHECKPOINTS;
pub(crate) use compose::House;
pub use metrics::{STREAM_BEHIND, STREAM_FAILURES};
pub use rotate::run as rotate_key;
pub use secrets::Secrets;

use crate::{
    cli::Serve,
    config::Loaded,
    failure::{Doing as _, Exit, Failure, Outcome},
    logs,
    runtime::{SystemClock, TokioTasks, within},
    terminal::Terminal,
};
use bailiwick_engine::Engine;
use bailiwick_ports::{Clock as _, Tasks};
use doors::Doors;
use secrets::BOOTSTRAP_KEY;
use std::{sync::Arc, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
};

/// Runs the server to its end. To be called before the process has another thread.
pub fn run(options: Serve) -> Outcome {
    if options.with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .doing(|| "follow the parent process".to_owned())?;
    }
    let loaded = Loaded::read(options.config.as_deref())
        .map_err(|error| Failure::usage(error.to_string()).help("every key is described in docs/configuration.md"))?;
    let secrets = Secrets::take([BOOTSTRAP_KEY].into_iter().chain(loaded.key_variables()))?;
    let format = options.log_format.unwrap_or(loaded.config.server.log_format);
    logs::start(format, &options.log).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.doing(|| "start the runtime".to_owned())?.block_on(serve(options, loaded, secrets))
}

async fn serve(options: Serve, loaded: Loaded, secrets: Secrets) -> Outcome {
    let mut signals = Signals::new()?;
    let tasks: Arc<dyn Tasks> = Arc::new(TokioTasks);
    let settings = loaded.config.server.clone();
    let limits = loaded.config.limits.clone();
    let (house, engine) = House::build(&options.data, &loaded, &secrets, Arc::clone(&tasks)).await?;
    drop(secrets);
    let doors = Doors::open(options.listen.unwrap_or(settings.listen), house.folder.path()).await?;

    let (stop, stopping) = watch::channel(false);
    house.environments.end_idle_sandboxes();
    let receipts = audit::Running::start(house.audit.clone(), &tasks);
    let engine_done = start_engine(engine, &tasks, stopping.clone());
    let eraser = house.eraser.clone();
    let erasing = tasks.spawn("eraser", Box::pin(async move { eraser.run().await }));
    let api = house.api.clone();
    let releasing = tasks.spawn("accounts", Box::pin(async move { api.release_connected().await }));
    let feeding = house.feeds.start(&tasks);
    let announcement = Announcement::of(&doors, SystemClock.now());
    let closed = doors.serve(&house, limits.connections, stopping);
    announcement.write(house.folder.path()).doing(|| "write server.json".to_owned())?;
    Terminal::new(false).out(&announcement.line(house.folder.path()));
    tracing::info!(url = announcement.url, data = %house.folder.path().display(), "ready");

    signals.next().await;
    tracing::info!("stopping: requests are being finished; sessions go on at the next start");
    stop.send_replace(true);
    house.api.close_streams();
    let span = Duration::from_secs(settings.shutdown_seconds);
    let orderly = async {
        closed.await;
        let _ = engine_done.await;
    };
    tokio::select! {
        done = within(span, orderly) => if done.is_none() {
            tracing::warn!("some requests did not end in time");
        },
        () = signals.next() => tracing::warn!("stopping at once"),
    }
    // What they have not done is done at the next start.
    erasing.abort();
    releasing.abort();
    feeding.iter().for_each(bailiwick_ports::TaskHandle::abort);
    // What was written until now is signed before the store goes.
    within(Duration::from_secs(10), receipts.stop()).await;
    Announcement::remove(house.folder.path());
    within(Duration::from_secs(10), house.store.close()).await;
    Ok(())
}

/// Starts the engine; the receiver hears of its end.
fn start_engine(engine: Engine, tasks: &Arc<dyn Tasks>, mut stopping: watch::Receiver<bool>) -> oneshot::Receiver<()> {
    let (done, hear) = oneshot::channel();
    let work = async move {
        let stop = async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        engine.run(stop).await;
        let _ = done.send(());
    };
    tasks.spawn("engine", Box::pin(work));
    hear
}

/// The ways in which an operator says stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Outcome<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("cannot hear signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
