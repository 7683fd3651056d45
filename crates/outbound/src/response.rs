//! An answer, whose body is read piece by piece within the request's limits.

use crate::{
    error::{OutboundError, Phase},
    limits::Deadline,
    send::explained,
};
use bailiwick_types::Millis;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::fmt;
use tokio::sync::OwnedSemaphorePermit;

/// Dropping it ends the request, and closes its connection when the body was not read to its end.
pub struct Response {
    pub(crate) inner: reqwest::Response,
    /// The URL that answered, after redirects, without the request's credentials.
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) deadline: Deadline,
    pub(crate) idle_ms: Millis,
    pub(crate) max_body_bytes: u64,
    pub(crate) read_bytes: u64,
    /// Its place among the requests under way.
    pub(crate) _slot: OwnedSemaphorePermit,
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// A header's value, when it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The length that the answer claims for its body. It may lie.
    pub fn claimed_bytes(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// [`OutboundError::TooLong`] when the body goes beyond the limit, and what else breaks a body.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let next = self.deadline.bound(self.inner.chunk(), Phase::Body, self.idle_ms).await?;
        let Some(piece) = next.map_err(|error| explained(error, &self.host))? else { return Ok(None) };
        self.read_bytes += piece.len() as u64;
        if self.read_bytes > self.max_body_bytes {
            return Err(OutboundError::TooLong { limit_bytes: self.max_body_bytes });
        }
        Ok(Some(piece))
    }

    /// The whole body, if it is within the limit.
    pub async fn bytes(mut self) -> Result<Bytes, OutboundError> {
        if self.claimed_bytes().is_some_and(|claimed| claimed > self.max_body_bytes) {
            return Err(OutboundError::TooLong { limit_bytes: self.max_body_bytes });
        }
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_chunk().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// As much of the body as the limit allows, and whether there is more.
    pub async fn bytes_cut(mut self) -> Result<(Bytes, bool), OutboundError> {
        let limit = usize::try_from(self.max_body_bytes).unwrap_or(usize::MAX);
        self.max_body_bytes = u64::MAX;
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_chunk().await? {
            let room = limit - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                return Ok((body.freeze(), true));
            }
        }
        Ok((body.freeze(), false))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status()).field("host", &self.host).finish()
    }
}
