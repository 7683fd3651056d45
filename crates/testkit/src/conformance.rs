//! What every store must keep, as one suite that each of them runs. A check fails by panicking; its name is printed.
//!
//! Every check gets a fresh, empty store. Time passes only through [`Subject::elapse`], and checks ask the store for
//! the time it is there, so that a virtual clock and a real database pass the same suite.
#![allow(clippy::unwrap_used, reason = "a failed expectation is the point")]
#![allow(clippy::print_stderr, reason = "names the check that fails")]

mod administration;
mod book;
mod documents;
mod due;
mod erase;
mod inbox;
mod kit;
mod leases;
mod log;
mod objects;
mod rows;
mod streams;

use bailiwick_ports::{BoxFuture, LogStore, Objects, Store};
use bailiwick_types::Millis;
use kit::Kit;
use std::{future::Future, sync::Arc};

/// A store under test.
pub struct Subject {
    /// Empty.
    pub store: Arc<dyn Store>,
    /// The receipt log of the same store.
    pub log: Arc<dyn LogStore>,
    /// Lets at least this much time pass on the store's clock.
    pub elapse: Arc<dyn Fn(Millis) -> BoxFuture<'static, ()> + Send + Sync>,
}

type Check = (&'static str, fn(Kit) -> BoxFuture<'static, ()>);

/// Lists checks under their own names.
macro_rules! checks {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |kit| Box::pin($name(kit)))),*] };
}
use checks;

const CHECKS: [&[Check]; 10] = [
    streams::CHECKS,
    leases::CHECKS,
    inbox::CHECKS,
    due::CHECKS,
    rows::CHECKS,
    documents::CHECKS,
    administration::CHECKS,
    book::CHECKS,
    log::CHECKS,
    erase::CHECKS,
];

/// Runs every check on a store of its own.
pub async fn run<F, Fut>(open: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Subject>,
{
    for (name, check) in CHECKS.into_iter().flatten() {
        let running = Running(name);
        check(Kit::new(open().await)).await;
        std::mem::forget(running);
    }
}

/// Checks an empty object store.
pub async fn run_objects(objects: Arc<dyn Objects>) {
    objects::run(objects).await;
}

struct Running(&'static str);

impl Drop for Running {
    fn drop(&mut self) {
        eprintln!("the store fails `{}`", self.0);
    }
}
