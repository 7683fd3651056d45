//! Where an agent's commands and files live: sandboxes on this machine, and executors that somebody else runs.
//!
//! This room acts only on opened permits, and takes every argument from them. It never decides whether something may be
//! done, and it never lets a sandbox be weaker than asked without saying so.

pub mod sandbox;
