//! The sample company of the demonstration: who works there, what they wrote down, and the systems that they use. Each is
//! a real server that speaks the real protocol: mail by SMTP and IMAP, a calendar by CalDAV, minutes of meetings by MCP,
//! accounts of customers as a service with an OpenAPI document, and books in PostgreSQL (in SQLite where there is none).
//!
//! All of it listens on loopback, is gone with the process that serves it, and serves nothing else: mail to other
//! companies is taken on and goes no further. It imports no room, so that nothing of the product can help it to agree
//! with the product.

mod accounts;
mod books;
mod calendar;
pub mod company;
mod http;
mod imap;
mod minutes;
mod papers;
mod post;
mod process;
mod smtp;
mod wire;

pub use books::{Books, Problem};
pub use post::Taken;
pub use process::{Addresses, Command, Event, Opening, STAGE, Served, main as stage, serve};
