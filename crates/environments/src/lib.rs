//! Where an agent's commands and files live: sandboxes on this machine, and executors that somebody else runs.
//!
//! This room acts only on opened permits, and takes every argument from them. It never decides whether something may be
//! done, and it never lets a sandbox be weaker than asked without saying so.

mod client;
mod connection;
mod environments;
mod error;
pub mod hands;
mod marks;
pub mod sandbox;

pub use client::{ExecutorClient, Link, Output, Patience, Session, Tools};
pub use connection::{
    AcceptedConnector, ConnectError, Connector, Frames, HandOver, HostedConnector, ListeningConnector,
};
pub use environments::{Environments, ListeningExecutor, Options, OptionsError, Probe};
pub use error::ExecutorError;
pub use hands::Hands;
