//! The loop: it takes leases, drives turns, recovers what a crash left, and tells watchers.
//!
//! It knows no SQL, no HTTP, no provider and no sandbox by name, and it never spawns or sleeps except through
//! `ports::Tasks` and `ports::Clock`. What comes next is decided in `core`; whether it may, in `gate`.

mod accounts;
mod away;
mod deletion;
mod driver;
mod eraser;
mod erasure;
mod handle;
mod live;
mod marks;
mod retention;
mod scheduler;
mod snapshots;
mod stops;
mod sweep;

pub use eraser::{Eraser, EraserOptions};
pub use erasure::{Erasure, ErasureError, PATIENCE, Stage};
pub use handle::{Engine, EngineError, Handle, Options, Submitted};
pub use live::{Event, EventKind, From, LiveDelta, Watch, WatchError};
