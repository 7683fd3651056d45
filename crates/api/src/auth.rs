//! Who sent a request: by bearer token or by AWS Signature 4, on every route.

use crate::{app::App, body, body::ClaimedDigest, error::ApiError};
use axum::{body::Body, http::request::Parts};
use bailiwick_ports::{AuthError, Caller, RequestParts};
use sha2::{Digest, Sha256};

/// Longest path and query that is taken, and longest header section in total.
const MAX_TARGET: usize = 16 * 1024;
const MAX_HEADERS: usize = 64 * 1024;

/// The caller, and the body as it may be read from now on.
pub(crate) async fn authenticate(
    app: &App,
    parts: &Parts,
    body: Body,
) -> Result<(Caller, Body, Option<ClaimedDigest>), ApiError> {
    check_size(parts)?;
    let given = parts.headers.get_all(axum::http::header::AUTHORIZATION);
    let mut given = given.iter();
    let Some(value) = given.next() else { return Err(AuthError::Missing.into()) };
    if given.next().is_some() {
        return Err(AuthError::Malformed("there is more than one `Authorization` header".into()).into());
    }
    let unreadable = || AuthError::Malformed("the `Authorization` header is not printable ASCII".into());
    let text = value.to_str().map_err(|_| unreadable())?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        let caller = app.options.authenticator.authenticate_bearer(rest.trim()).await?;
        return Ok((caller, body, None));
    }
    if scheme == "AWS4-HMAC-SHA256" {
        return by_signature(app, parts, body).await;
    }
    Err(AuthError::Malformed("`Authorization` must begin with `Bearer` or `AWS4-HMAC-SHA256`".into()).into())
}

fn check_size(parts: &Parts) -> Result<(), ApiError> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Err(ApiError::malformed(format!("The path is longer than {MAX_TARGET} bytes.")));
    }
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADERS {
        return Err(ApiError::malformed(format!("The headers are longer than {MAX_HEADERS} bytes.")));
    }
    Ok(())
}

/// A request that claims its body's digest is checked before the body is read, and the body when it is; one that does
/// not has its body read first.
async fn by_signature(app: &App, parts: &Parts, body: Body) -> Result<(Caller, Body, Option<ClaimedDigest>), ApiError> {
    let mut headers: Vec<(&str, &[u8])> =
        parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = authority.as_deref().filter(|_| !parts.headers.contains_key("host")) {
        headers.push(("host", authority.as_bytes()));
    }
    let (digest, claimed, body) = match RequestParts::claimed_body(&headers) {
        Some(digest) => (digest, Some(ClaimedDigest(digest)), body),
        None => {
            let limits = &app.options.limits;
            let until = app.now() + limits.body_time;
            let bytes = tokio::select! {
                biased;
                bytes = body::read(body, limits.json_bytes, None) => bytes?,
                () = app.options.clock.sleep_until(until) => {
                    return Err(ApiError::too_slow("The body did not arrive in time."));
                }
            };
            (<[u8; 32]>::from(Sha256::digest(&bytes)), None, Body::from(bytes))
        }
    };
    let request = RequestParts {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body_sha256: digest,
    };
    let caller = app.options.authenticator.authenticate_sigv4(&request).await?;
    Ok((caller, body, claimed))
}
