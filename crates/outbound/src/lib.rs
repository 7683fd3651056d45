//! The one way out for HTTP: every request to a URL that a user, a model or a connector names goes through [`Outbound`].
//!
//! Where a request may go is its [`Reach`]: to what belongs to everybody, or to the one authority that an administrator
//! named. A name is resolved once for each connection, every answer is checked, and the connection is made to one of
//! those answers, so that another answer a moment later changes nothing. Redirects are walked here, each under the same
//! rules. Every wait and every size has a limit.
//!
//! A bearer token that is bound to a key of ours (RFC 9449) goes out with a proof, whoever sends it.
//!
//! This room never decides whether a request may be made (that is the gate's), never reads a proxy or a credential out
//! of the process's environment, never repeats a request but one that was refused for want of a word in its proof, never
//! keeps cookies, and never unpacks a body.

mod address;
mod clients;
mod error;
mod limits;
mod proof;
mod request;
mod resolver;
mod response;
mod send;
mod target;
mod trust;

pub use address::{Network, is_forbidden, is_public};
pub use error::{Arrival, OutboundError, Phase};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use limits::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_REDIRECTS, MAX_URL_BYTES};
pub use request::{Credential, Reach, Redirects, Request, Timeouts};
pub use resolver::{Resolver, SystemResolver};
pub use response::Response;
pub use send::{Options, Outbound};
pub use target::{Authority, host_sent};
pub use trust::Trust;
