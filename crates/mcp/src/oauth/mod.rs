//! Getting a token for an MCP server from whoever gives them out for it
//! (<https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization>).
//!
//! 1. A server refuses with a [`Challenge`].
//! 2. [`Authorizer::discover`] finds who gives out tokens for exactly this server.
//! 3. [`Authorizer::client`] says who we are there: a client of the configuration, our metadata document, or one that is
//!    registered now.
//! 4. [`Authorizer::begin`] makes the link for the person, and what has to be kept until they are back.
//! 5. [`Authorizer::finish`] turns what they bring back into [`Tokens`], which a vault keeps; [`Authorizer::refresh`]
//!    renews them.
//!
//! Where the company's identity provider vouches for its people at other servers, [`Authorizer::by_identity`] takes the
//! place of 4 and 5.
//!
//! Tokens are asked for with the server as their audience, and are never shown to another. A token that somebody sent to
//! us is never a part of this. Each state is data of the caller's: nothing is remembered here.

mod challenge;
mod discovery;
mod enterprise;
mod fetch;
mod flow;
mod registration;

pub use challenge::Challenge;
pub use discovery::Discovery;
pub use enterprise::IdentityProvider;
pub use flow::{Pending, Returned, Tokens, ends_soon};
pub use registration::{ClientIdentity, OurClient};

use crate::http::Http;
use bailiwick_core::{Failure, FailureCode};
use bailiwick_ports::{Clock, Random};
use std::{fmt, sync::Arc};

/// Gets tokens.
pub struct Authorizer {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    ours: OurClient,
}

impl Authorizer {
    pub fn new(http: Arc<dyn Http>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, ours: OurClient) -> Self {
        Self { http, clock, random, ours }
    }
}

/// Why there is no token, by who can do something about it. The texts never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OauthError {
    /// A person has to sign in, again.
    NeedsPerson(String),
    /// Whoever configures the connector has to do something.
    Misconfigured(String),
    /// It may go by itself.
    Unavailable(String),
    /// The other side breaks the rules; nothing of what it said was used.
    Refused(String),
}

impl OauthError {
    pub fn failure(self) -> Failure {
        let code = match &self {
            Self::NeedsPerson(_) | Self::Misconfigured(_) => FailureCode::AuthenticationFailed,
            Self::Unavailable(_) => FailureCode::ConnectionFailed,
            Self::Refused(_) => FailureCode::MalformedAnswer,
        };
        Failure::new(code, self.to_string())
    }
}

impl fmt::Display for OauthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsPerson(why) | Self::Misconfigured(why) | Self::Unavailable(why) | Self::Refused(why) => {
                f.write_str(why)
            }
        }
    }
}

impl std::error::Error for OauthError {}
