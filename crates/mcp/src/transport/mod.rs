//! The two ways to a server: Streamable HTTP, and lines over a pair of byte streams. An exchange is one request of ours
//! and whatever the server says until it has answered it.

mod http;
mod lines;

use crate::{message::Incoming, revision::Revision, trouble::Trouble};
use bailiwick_types::Secret;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use http::{HttpChannel, HttpExchange};
pub(crate) use lines::{LineChannel, LineExchange};

pub(crate) enum Transport {
    Http(HttpChannel),
    Lines(LineChannel),
}

/// What goes with a message beside its body.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a> {
    pub bearer: Option<&'a Secret>,
    /// For the header `User-Agent`.
    pub who: &'a str,
    /// None while it is not agreed yet.
    pub revision: Option<Revision>,
    pub session: Option<&'a str>,
    /// What revision 2026-07-28 mirrors into headers.
    pub mirrored: &'a [(String, String)],
}

/// Whether a message may have left.
#[derive(Default)]
pub(crate) struct Sent(AtomicBool);

impl Sent {
    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) enum Exchange<'a> {
    Http(HttpExchange<'a>),
    Lines(LineExchange<'a>),
}

impl Transport {
    pub(crate) fn is_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// Sends a request. Dropping the future leaves it to `sent` whether it may have left.
    pub(crate) async fn open<'a>(
        &'a self,
        message: Vec<u8>,
        marks: Marks<'a>,
        sent: &Sent,
    ) -> Result<Exchange<'a>, Trouble> {
        match self {
            Self::Http(channel) => channel.open(message, marks, sent).await.map(Exchange::Http),
            Self::Lines(channel) => channel.open(message, sent).await.map(Exchange::Lines),
        }
    }

    /// Sends a message that is not answered.
    pub(crate) async fn tell(&self, message: Vec<u8>, marks: Marks<'_>) -> Result<(), Trouble> {
        match self {
            Self::Http(channel) => channel.tell(message, marks).await,
            Self::Lines(channel) => channel.open(message, &Sent::default()).await.map(drop),
        }
    }

    /// Ends a session, where the transport has any.
    pub(crate) async fn end(&self, marks: Marks<'_>) {
        match self {
            Self::Http(channel) => channel.end(marks).await,
            Self::Lines(channel) => channel.end().await,
        }
    }
}

impl Exchange<'_> {
    /// The next message of the server. An exchange that ends without one is trouble.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Trouble> {
        match self {
            Self::Http(exchange) => exchange.next().await,
            Self::Lines(exchange) => exchange.next().await,
        }
    }

    /// Answers a request of the server, or tells it something about this exchange.
    pub(crate) async fn say(&mut self, message: Vec<u8>) -> Result<(), Trouble> {
        match self {
            Self::Http(exchange) => exchange.say(message).await,
            Self::Lines(exchange) => exchange.say(message).await,
        }
    }

    /// The session that the server gave with its answer.
    pub(crate) fn session(&self) -> Option<&str> {
        match self {
            Self::Http(exchange) => exchange.session(),
            Self::Lines(_) => None,
        }
    }
}
