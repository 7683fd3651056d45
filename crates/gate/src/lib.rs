//! The door that every action passes: who, may they, write it down, and only then a permit.
//!
//! The gate never performs anything itself. Hands (models, environments, tools) implement the traits of [`hands`] and
//! act on nothing but an opened [`Permit`].

pub mod hands;
mod permit;

pub use hands::{Delta, Executor, Live, Model, Stopper};
pub use permit::{Mode, Opened, Permit, Scope, Settled};
