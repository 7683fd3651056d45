//! Services of the company that have an OpenAPI document, each operation a tool; and pages of the web as text.
//!
//! What a document says is data from outside: it is bounded, its references never lead out of it, and it cannot send a
//! credential to another server than the one that an administrator named. Requests leave through `outbound` only.
//!
//! This room never decides whether a call may be made, never keeps a secret beyond one call, and never repeats a call.

mod answer;
mod configuration;
mod document;
mod encode;
mod hand;
mod multipart;
mod request;
mod secrets;
mod service;
mod web;

pub use configuration::{Configuration, MAX_OPERATIONS_LISTED, Pagination, Source, WebSettings};
pub use document::{Document, DocumentError, MAX_DOCUMENT_BYTES, MAX_OPERATIONS};
pub use hand::Hand;
pub use secrets::Secrets;
pub use service::{Access, Call, Service};
pub use web::{Page, WebLimits, definition as web_fetch_definition, fetch as web_fetch, readable};
