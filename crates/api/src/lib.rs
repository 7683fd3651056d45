//! The interface for programs: the OpenAI Agents API (`agents=v1`) under `/v1` and `/openai/v1`, and our own additions
//! under `/bailiwick/v1`.
//!
//! It turns requests into inputs of sessions, and records into resources and events. It decides nothing: what may be
//! done is for the gate, who is calling for `ports::Authenticator`. It never ignores a field in silence: what is not
//! built answers 501 and names it.

mod app;
mod auth;
mod body;
mod bounds;
mod cookies;
mod documents;
mod error;
mod events;
mod handlers;
mod hex;
mod openapi;
mod options;
mod query;
mod routes;
pub mod types;

pub use error::ApiError;
pub use openapi::openapi;
pub use options::{Api, Limits, Options};
pub use routes::{Need, ROUTES, Route};
