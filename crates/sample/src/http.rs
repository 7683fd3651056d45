//! What the company's three HTTP servers have in common: bounded requests, and who asks.

use crate::{company::Employee, wire};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::{io, sync::Arc};

/// Longest request.
const MAX_BODY: usize = 1024 * 1024;

/// A request, whole.
pub(crate) struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What answers requests.
pub(crate) trait Answers: Send + Sync + 'static {
    fn answer(&self, asked: Asked) -> Response;
}

/// Serves on a port of its own, which it gives.
#[allow(clippy::disallowed_methods, reason = "a process of its own, which no simulator drives")]
pub(crate) async fn serve<T: Answers>(server: Arc<T>) -> io::Result<u16> {
    let (listener, port) = wire::listen().await?;
    let one = async |State(server): State<Arc<T>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        server.answer(Asked { method, uri, headers, body })
    };
    let router = Router::new().fallback(one).layer(DefaultBodyLimit::max(MAX_BODY)).with_state(server);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(port)
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Who signed in with HTTP's basic scheme.
    pub fn basic<'a>(&self, people: &'a [Employee]) -> Option<&'a Employee> {
        let proof = STANDARD.decode(self.header("authorization")?.strip_prefix("Basic ")?).ok()?;
        let proof = String::from_utf8(proof).ok()?;
        let (login, secret) = proof.split_once(':')?;
        people.iter().find(|one| one.login == login && one.secret == secret)
    }

    /// Whose token this is.
    pub fn bearer<'a>(&self, people: &'a [Employee]) -> Option<&'a Employee> {
        let token = self.header("authorization")?.strip_prefix("Bearer ")?;
        people.iter().find(|one| one.secret == token)
    }
}

pub(crate) fn json(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

pub(crate) fn sign_in_first(scheme: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, scheme)], "sign in first").into_response()
}
