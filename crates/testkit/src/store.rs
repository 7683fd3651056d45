//! Stores in memory that keep the contract of `ports::Store` and `ports::Objects` to the letter, on a clock that the
//! test owns, and that fail on request. What they accept, a real store accepts: both pass `conformance`.

mod book;
mod faults;
mod log;
mod memory;
mod objects;
mod state;

pub use faults::{Faults, When};
pub use memory::MemoryStore;
pub use objects::MemoryObjects;
