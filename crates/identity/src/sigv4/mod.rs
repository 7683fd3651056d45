//! Verifies AWS Signature Version 4 in the `Authorization` header, as its reference describes it for every service but
//! S3 (docs.aws.amazon.com, "Create a signed AWS API request").
//!
//! The body is always signed: `UNSIGNED-PAYLOAD` and signed streaming are refused. A signature is good for five minutes
//! to both sides of the clock; within them the same request may be repeated, so a request that must not be repeated
//! carries an idempotency key. `x-amz-security-token` must be signed and says nothing more: our keys have no sessions.

mod authorization;
mod canonical;
#[cfg(test)]
mod tests;

use crate::hex;
use authorization::Authorization;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    hmac,
};
use bailiwick_ports::{AuthError, RequestParts};
use bailiwick_types::{Millis, Secret, Timestamp};
use zeroize::Zeroizing;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the signer's clock may be from ours.
const WINDOW: Millis = Millis::from_secs(300);

/// A signed request whose form is right and whose time is now. Nothing is proven yet.
#[derive(Debug)]
pub(crate) struct SignedRequest<'a> {
    request: &'a RequestParts<'a>,
    authorization: Authorization<'a>,
    date: &'a str,
    payload: String,
}

impl<'a> SignedRequest<'a> {
    pub fn read(request: &'a RequestParts<'a>, now: Timestamp) -> Result<Self, AuthError> {
        let authorization = match one_header(request, "authorization")? {
            Some(value) => Authorization::parse(value)?,
            None if request.query.contains("X-Amz-Signature=") => {
                return Err(malformed("a signature in the query is not accepted: sign in the `Authorization` header"));
            }
            None => return Err(AuthError::Missing),
        };
        check_signed_headers(request, &authorization.signed_headers)?;
        let date = one_header(request, "x-amz-date")?.ok_or_else(|| malformed("`x-amz-date` is missing"))?;
        let signed = parse_date(date).ok_or_else(|| malformed("`x-amz-date` is not of the form 20261121T113045Z"))?;
        if !date.starts_with(authorization.date) {
            return Err(malformed("the date in `Credential` is not that of `x-amz-date`"));
        }
        if signed.since(now) > WINDOW || now.since(signed) > WINDOW {
            return Err(AuthError::ClockSkew { signed, now });
        }
        let payload = payload(request)?;
        Ok(Self { request, authorization, date, payload })
    }

    pub fn access_key_id(&self) -> &'a str {
        self.authorization.access_key_id
    }

    /// Whether the holder of `secret` signed exactly this request.
    pub fn verify(&self, secret: &Secret) -> Result<(), AuthError> {
        let Authorization { date, region, service, .. } = self.authorization;
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let key = signing_key(secret, &[date, region, service, "aws4_request"]);
        // A client may have signed the query as it sent it, or as it was meant. Both say what we will read.
        for query in canonical::queries(self.request.query) {
            let canonical =
                canonical::request(self.request, &self.authorization.signed_headers, &query, &self.payload)?;
            let to_sign =
                format!("{ALGORITHM}\n{}\n{scope}\n{}", self.date, hex::encode(digest(&SHA256, &canonical).as_ref()));
            let expected = hmac::sign(&key, to_sign.as_bytes());
            if verify_slices_are_equal(expected.as_ref(), &self.authorization.signature).is_ok() {
                return Ok(());
            }
        }
        Err(bad("check the secret access key, and that no proxy changes the path, the query or signed headers"))
    }
}

/// The signed headers must cover what the signature is about: where it goes, when, and everything of AWS's own.
fn check_signed_headers(request: &RequestParts<'_>, signed: &[&str]) -> Result<(), AuthError> {
    for needed in ["host", "x-amz-date"] {
        if !signed.contains(&needed) {
            return Err(malformed(format!("`SignedHeaders` must contain `{needed}`")));
        }
        one_header(request, needed)?;
    }
    let unsigned = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    let mut unsigned = unsigned.filter(|name| name.starts_with("x-amz-") && !signed.contains(&name.as_str()));
    match unsigned.next() {
        Some(name) => Err(malformed(format!("the header `{name}` must be signed"))),
        None => Ok(()),
    }
}

/// The hexadecimal digest of the body that was signed, which must be that of the body that came.
fn payload(request: &RequestParts<'_>) -> Result<String, AuthError> {
    let came = hex::encode(&request.body_sha256);
    match one_header(request, "x-amz-content-sha256")?.map(str::to_ascii_lowercase) {
        Some(claimed) if claimed.len() != 64 || !claimed.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Err(malformed("`x-amz-content-sha256` must be the digest of the body: unsigned bodies are not accepted"))
        }
        Some(claimed) if claimed != came => Err(bad("the body is not the one that was signed")),
        _ => Ok(came),
    }
}

/// The value of a header that may come once at most.
fn one_header<'a>(request: &RequestParts<'a>, name: &str) -> Result<Option<&'a str>, AuthError> {
    let mut values = request.headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
    let first = values.next().map(|(_, value)| std::str::from_utf8(value).map(str::trim));
    match (first, values.next()) {
        (Some(Err(_)), _) => Err(malformed(format!("the header `{name}` is not text"))),
        (_, Some(_)) => Err(malformed(format!("the header `{name}` came more than once"))),
        (Some(Ok(value)), None) => Ok(Some(value)),
        (None, None) => Ok(None),
    }
}

fn signing_key(secret: &Secret, scope: &[&str]) -> hmac::Key {
    let mut start = Zeroizing::new(String::with_capacity(64));
    start.push_str("AWS4");
    start.push_str(secret.expose());
    let first = hmac::Key::new(hmac::HMAC_SHA256, start.as_bytes());
    scope.iter().fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
}

/// `20261121T113045Z`. Printing the result again finds days and hours that there are not.
fn parse_date(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    // Days from a civil date, after Howard Hinnant's `days_from_civil`.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let time = Timestamp::from_millis((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000);
    let printed: String = time.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    (printed.strip_suffix(".000Z")? == text.strip_suffix('Z')?).then_some(time)
}

fn malformed(what: impl Into<String>) -> AuthError {
    AuthError::Malformed(what.into())
}

fn bad(what: &str) -> AuthError {
    AuthError::BadSignature(what.into())
}
