//! Proofs beside tokens that are bound to a key (RFC 9449): which they are, and by which key, others know.

use crate::{error::OutboundError, send::secret_value};
use bailiwick_ports::proof::{Proofs, Shown};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use url::Url;

pub(crate) const HEADER: &str = "dpop";
const NONCE: &str = "dpop-nonce";
const WANTS_NONCE: &str = "use_dpop_nonce";

/// Has a token that is bound go out as one, with its proof for this request.
pub(crate) fn add(
    headers: &mut HeaderMap,
    proofs: &dyn Proofs,
    method: &Method,
    url: &Url,
) -> Result<(), OutboundError> {
    let Some(token) = headers.get(header::AUTHORIZATION).and_then(bearer).map(str::to_owned) else { return Ok(()) };
    let shown = Shown { token: &token, method: method.as_str(), url: url.as_str() };
    let Some(proof) = proofs.proof(shown) else { return Ok(()) };
    let proof = proof.map_err(OutboundError::Invalid)?;
    headers.insert(header::AUTHORIZATION, secret_value(&format!("DPoP {token}"))?);
    headers.insert(HEADER, secret_value(&proof)?);
    Ok(())
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// What a server wants to find in the next proof.
pub(crate) struct Wanted {
    pub word: String,
    /// It did not look at this request for want of it.
    pub refused: bool,
}

pub(crate) fn wanted(answer: &reqwest::Response) -> Option<Wanted> {
    let word = answer.headers().get(NONCE)?.to_str().ok()?.to_owned();
    let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE);
    let challenged = challenges.iter().any(|one| one.to_str().is_ok_and(|text| text.contains(WANTS_NONCE)));
    Some(Wanted { word, refused: challenged && answer.status() == StatusCode::UNAUTHORIZED })
}
