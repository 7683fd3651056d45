//! Who sent a request: by bearer token, by AWS Signature 4, or by a browser's cookie, on every route.

use crate::{app::App, body, body::ClaimedDigest, cookies::Cookies, error::ApiError};
use axum::{
    body::Body,
    http::{HeaderValue, Method, header::AUTHORIZATION, request::Parts},
};
use bailiwick_ports::{
    AuthError, Caller, RequestParts,
    tokens::{Possession, TokenError},
};
use sha2::{Digest, Sha256};

/// Longest path and query that is taken, and longest header section in total.
const MAX_TARGET: usize = 16 * 1024;
const MAX_HEADERS: usize = 64 * 1024;
/// What a page of ours sends along with a cookie.
const PAGE_TOKEN: &str = "x-bailiwick-page";

/// The caller, and the body as it may be read from now on.
pub(crate) async fn authenticate(
    app: &App,
    parts: &Parts,
    base_url: &str,
    body: Body,
) -> Result<(Caller, Body, Option<ClaimedDigest>), ApiError> {
    check_size(parts)?;
    let given = parts.headers.get_all(AUTHORIZATION);
    let mut given = given.iter();
    let Some(value) = given.next() else {
        return Ok((by_cookie(app, parts, base_url).await?, body, None));
    };
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
    if scheme.eq_ignore_ascii_case("dpop") {
        return Ok((by_held_token(app, parts, base_url, rest.trim()).await?, body, None));
    }
    if scheme == "AWS4-HMAC-SHA256" {
        return by_signature(app, parts, body).await;
    }
    Err(AuthError::Malformed("`Authorization` must begin with `Bearer`, `DPoP` or `AWS4-HMAC-SHA256`".into()).into())
}

/// A token that is bound to a key, with the proof that whoever sends it holds that key (RFC 9449, section 7).
async fn by_held_token(app: &App, parts: &Parts, base_url: &str, token: &str) -> Result<Caller, ApiError> {
    let unreadable = |problem: String| ApiError::from(AuthError::Malformed(problem));
    let proof = proof(parts).map_err(unreadable)?;
    let proof = proof.ok_or_else(|| unreadable("a `DPoP` token comes with a proof in the header `DPoP`".into()))?;
    let tokens = app.options.tokens.as_ref().ok_or(AuthError::Unknown)?;
    let url = format!("{base_url}{}", parts.uri.path());
    let shown = Possession { proof, method: parts.method.as_str(), url: &url, token: Some(token) };
    let holder = tokens.prove(shown).await.map_err(|error| match error {
        TokenError::Unavailable(problem) => ApiError::from(AuthError::Unavailable(problem)),
        other => unreadable(other.to_string()),
    })?;
    Ok(app.options.authenticator.authenticate_held(token, &holder).await?)
}

/// The one proof that came along, if any did.
pub(crate) fn proof(parts: &Parts) -> Result<Option<&str>, String> {
    let mut given = parts.headers.get_all("dpop").iter();
    let Some(proof) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err("there is more than one `DPoP` header".into());
    }
    proof.to_str().map(Some).map_err(|_| "the `DPoP` header is not printable ASCII".into())
}

/// A cookie comes along with whatever any page makes a browser send. So what changes something also says what only our
/// own page knows.
async fn by_cookie(app: &App, parts: &Parts, base_url: &str) -> Result<Caller, ApiError> {
    let Some(cookie) = Cookies::of(base_url).find(&parts.headers) else { return Err(AuthError::Missing.into()) };
    let caller = app.options.authenticator.authenticate_cookie(cookie).await?;
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(caller);
    }
    refuse_other_pages(parts)?;
    let wanted = app.options.sign_in.page_token(cookie);
    let given = parts.headers.get(PAGE_TOKEN).map(|value| value.as_bytes()).unwrap_or_default();
    // Digests are compared, so that time tells nothing of where they differ.
    if Sha256::digest(given) == Sha256::digest(&wanted) {
        return Ok(caller);
    }
    let message = format!(
        "A request with a cookie that changes something needs `{PAGE_TOKEN}`; `GET /bailiwick/v1/me` tells it."
    );
    Err(ApiError::forbidden(message).with_param(PAGE_TOKEN))
}

/// A browser says by itself whose page sends a request; programs say nothing. Of another's page it is refused, whatever
/// that page has got to know.
fn refuse_other_pages(parts: &Parts) -> Result<(), ApiError> {
    match parts.headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(ApiError::forbidden("A page of another site sent this, and it is not done.")),
    }
}

pub(crate) fn has_authorization(parts: &Parts) -> bool {
    parts.headers.contains_key(AUTHORIZATION)
}

/// The word after `Bearer`, of a request that was let in by it.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, rest) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

pub(crate) fn check_size(parts: &Parts) -> Result<(), ApiError> {
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
