//! Models behind one port: each published name is a provider, an endpoint and limits.
//!
//! A provider is two pure halves, an encoder of [`ModelRequest`](bailiwick_core::ModelRequest) and a decoder of the
//! events that come back, and one shared piece of transport with time-outs and retries. Nothing here decides whether a
//! model may be called: a call needs a [`Permit`](bailiwick_gate::Permit), and what leaves is exactly the request that
//! the permit carries. Keys are never logged, never put into an error and never sent anywhere but to their endpoint.

mod attempts;
mod chat;
mod draft;
mod endpoint;
mod http;
mod mark;
mod models;
mod options;
mod prices;
mod probe;
mod rehearsal;
mod remote;
mod responses;
mod retry;
mod schema;
mod sse;
mod trouble;

#[cfg(test)]
mod tests;

pub use mark::Told;
pub use models::Models;
pub use options::{ModelOptions, Options, OptionsError, ProviderKind, Timeouts};
pub use probe::{Feature, Finding, Heard, ProbeReport, Verdict, probe};
pub use rehearsal::{EXAMPLE_SCENARIO, Scenario, ScenarioError};
