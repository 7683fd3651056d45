//! The `Authorization` header of a signed request.

use super::{ALGORITHM, malformed};
use crate::hex;
use bailiwick_ports::AuthError;

const MAX_SIGNED_HEADERS: usize = 100;

/// `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX`.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub access_key_id: &'a str,
    /// Eight digits.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    /// In lower case, sorted, each once.
    pub signed_headers: Vec<&'a str>,
    pub signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    pub fn parse(value: &'a str) -> Result<Self, AuthError> {
        let (algorithm, fields) = value.split_once(' ').unwrap_or((value, ""));
        if algorithm != ALGORITHM {
            return Err(malformed(format!("the only signature algorithm is `{ALGORITHM}`")));
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',').map(str::trim) {
            let slot = match field.split_once('=') {
                Some(("Credential", value)) => (&mut credential, value),
                Some(("SignedHeaders", value)) => (&mut signed_headers, value),
                Some(("Signature", value)) => (&mut signature, value),
                _ => return Err(malformed("`Authorization` holds more than Credential, SignedHeaders and Signature")),
            };
            if slot.0.replace(slot.1).is_some() {
                return Err(malformed("`Authorization` names a field twice"));
            }
        }
        let missing = |name: &str| malformed(format!("`Authorization` has no `{name}`"));
        let credential = credential.ok_or_else(|| missing("Credential"))?;
        let [access_key_id, date, region, service] = scope(credential)?;
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            signed_headers: headers(signed_headers.ok_or_else(|| missing("SignedHeaders"))?)?,
            signature: hex::decode_32(signature.ok_or_else(|| missing("Signature"))?)
                .ok_or_else(|| malformed("`Signature` is not 64 hexadecimal digits"))?,
        })
    }
}

fn scope(credential: &str) -> Result<[&str; 4], AuthError> {
    let form = "`Credential` is not of the form KEY/DATE/REGION/SERVICE/aws4_request";
    let parts: Vec<&str> = credential.split('/').collect();
    let [access_key_id, date, region, service, "aws4_request"] = parts[..] else { return Err(malformed(form)) };
    let word = |text: &str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if ![access_key_id, date, region, service].into_iter().all(word) {
        return Err(malformed(form));
    }
    if service == "s3" {
        return Err(malformed("requests for the service `s3` are signed by other rules: use `bedrock-mantle`"));
    }
    Ok([access_key_id, date, region, service])
}

fn headers(list: &str) -> Result<Vec<&str>, AuthError> {
    let names: Vec<&str> = list.split(';').collect();
    let token = |name: &&str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if !names.iter().all(token) || names.len() > MAX_SIGNED_HEADERS {
        return Err(malformed("`SignedHeaders` is not a list of header names in lower case"));
    }
    if !names.is_sorted_by(|one, next| one < next) {
        return Err(malformed("`SignedHeaders` is not sorted, or names a header twice"));
    }
    Ok(names)
}
