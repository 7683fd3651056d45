//! The Model Context Protocol: a client of servers that nobody vouches for, and the protocol's half of a server of ours.
//!
//! A server may hang, flood, lie about lengths, send what is no JSON, change its tools, ask for our model or our files,
//! and dress orders up as errors. So everything that it says is bounded (`limits`), read strictly, shown as its own words
//! and never believed; what it claims about a tool's effect decides nothing unless somebody here says that it may. The
//! protocol is written out here rather than taken from a library because each of its waits and buffers has to end.
//!
//! Nothing here opens a socket or starts a process: requests go through [`Http`], servers on standard streams come as a
//! pair of streams. Nothing here decides whether a call may be made.

mod accounts;
mod client;
mod configuration;
mod content;
mod definition;
mod events;
mod hand;
mod http;
mod import;
pub mod limits;
mod link;
mod message;
mod mirror;
pub mod oauth;
mod question;
mod revision;
pub mod server;
mod transport;
mod trouble;
mod way_out;

pub use accounts::{AccountParts, McpAccounts};
pub use bailiwick_core::connector::Effect;
pub use client::{Access, Agreed, Called, Client, LeftOut, Listed, NeedsPerson, Progress, Resume, ToolCall};
pub use configuration::{McpServer, OauthSettings, TransportConfig};
pub use definition::{Annotations, Definition, Digest};
pub use hand::McpHand;
pub use http::{Body, Http, HttpError, HttpRequest, HttpResponse, Method};
pub use import::{Imported, import};
pub use message::RpcError;
pub use question::{Choice, Field, Kind, Question, Reply, Wants};
pub use revision::Revision;
pub use trouble::Trouble;
pub use way_out::WayOut;
