//! The seeded simulator: whole sessions through the real engine and the real gate, with everything else replaced, and
//! the process dying at any step.
//!
//! One thread, a virtual clock and one random number generator, so that a seed and a crash point replay any failure.

mod asking;
mod check;
mod hands;
mod money;
mod objects;
mod run;
mod runtime;
mod snapshots;
mod store;
mod world;

pub use check::Violation;
pub use run::{Outcome, Plan, run};
