//! What this room asks of an HTTP client. The client lives elsewhere: it holds the address rules, the name resolution
//! and the connections. Nothing here opens a socket.

use async_trait::async_trait;
use bailiwick_types::Secret;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::{fmt, pin::Pin};
use url::Url;

/// Sends requests.
///
/// Redirects are never followed: an endpoint of this protocol that redirects is told so to a person. The response is
/// returned when its headers are there; its body streams.
#[async_trait]
pub trait Http: Send + Sync {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        })
    }
}

/// A request. The bearer token is apart, so that whoever prints a request does not print it.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    pub method: Method,
    pub url: Url,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole value of the header `Authorization`.
    pub authorization: Option<Secret>,
    pub body: Vec<u8>,
}

impl HttpRequest {
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), authorization: None, body: Vec::new() }
    }

    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn bearer(mut self, token: Option<&Secret>) -> Self {
        self.authorization = token.map(|token| Secret::new(format!("Bearer {}", token.expose())));
        self
    }
}

pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, HttpError>> + Send>>;

/// A response of which only the headers have been read.
pub struct HttpResponse {
    pub status: u16,
    /// Names in lower case, values that are text. A name may come more than once.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl HttpResponse {
    /// The first value of this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// Every value of this header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// The media type, without its parameters, in lower case.
    pub fn media_type(&self) -> String {
        let whole = self.header("content-type").unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The whole body, refused above `limit` bytes whatever its length says.
    pub async fn whole(self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = self.body;
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            if whole.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge(limit));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

/// Why there is no response, or not the whole of it. The texts never hold a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// The rules for addresses do not allow it; nothing was sent.
    Refused(String),
    /// There is no connection; nothing was sent.
    Unreachable(String),
    /// It was sent, or may have been, and the answer did not come, or not as a whole.
    Lost(String),
    /// The answer is longer than this many bytes.
    TooLarge(usize),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) | Self::Unreachable(why) | Self::Lost(why) => f.write_str(why),
            Self::TooLarge(limit) => write!(f, "the answer has more than {limit} bytes"),
        }
    }
}

impl std::error::Error for HttpError {}
