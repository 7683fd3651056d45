//! Proof that whoever shows a token holds the key that it is bound to (RFC 9449, DPoP): a small signed statement about
//! one request. It is the one kind of token here that brings its key along, and it proves nothing but that somebody
//! holds that key; whether it is the right one is told by its thumbprint (RFC 7638).

use super::{Algorithm, KeySet, MAX_TOKEN, TokenError};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

const TYPE: &str = "dpop+jwt";
const MAX_ID: usize = 256;
/// How old a proof may be, and by how much clocks may differ.
const MAX_AGE_SECONDS: i64 = 60;
/// Members that belong to nobody but the key's owner (RFC 7518, section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The request that a proof has to be about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub method: &'a str,
    /// Without query and fragment.
    pub url: &'a str,
    /// The token that is shown with it; `None` where one is asked for.
    pub token: Option<&'a str>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What a proof says, once it is proven.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// SHA-256 over the key in its canonical form, in base 64.
    pub thumbprint: String,
    pub id: String,
    /// Seconds since 1970 from which on it is refused by itself.
    pub over: i64,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    #[serde(default)]
    ath: Option<String>,
}

impl Proof {
    pub fn read(text: &str, about: About<'_>) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let mut parts = text.split('.');
        let (Some(head), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Malformed);
        };
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed);
        let header: Map<String, Value> = serde_json::from_slice(&decode(head)?).map_err(|_| TokenError::Malformed)?;
        if header.get("typ").and_then(Value::as_str) != Some(TYPE) {
            return Err(TokenError::Type);
        }
        for name in ["jku", "x5u", "x5c"] {
            if header.contains_key(name) {
                return Err(TokenError::OwnKey(name));
            }
        }
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::read);
        let algorithm = algorithm.ok_or(TokenError::Algorithm)?;
        let key = header.get("jwk").and_then(Value::as_object).ok_or(TokenError::UnknownKey)?;
        let thumbprint = thumbprint(key).ok_or(TokenError::UnknownKey)?;
        // Its other members (`kid`, `use`, `alg`) mean nothing here.
        let bare: Map<String, Value> = key
            .iter()
            .filter(|(name, _)| MEMBERS.contains(&name.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        let keys = KeySet::read(json!({"keys": [bare]}).to_string().as_bytes()).ok_or(TokenError::UnknownKey)?;
        let signed = &text[..head.len() + 1 + claims.len()];
        keys.verify(algorithm, None, signed.as_bytes(), &decode(signature)?)?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?)
            .map_err(|_| TokenError::Claims("`jti`, `htm`, `htu`, `iat`".into()))?;
        check(&claims, about).map_err(|problem| TokenError::Claims(problem.to_owned()))?;
        Ok(Self { thumbprint, over: claims.iat.saturating_add(MAX_AGE_SECONDS + 1), id: claims.jti })
    }
}

fn check(claims: &Claims, about: About<'_>) -> Result<(), &'static str> {
    if claims.jti.is_empty() || claims.jti.len() > MAX_ID {
        return Err("`jti` has 1 to 256 characters");
    }
    if claims.htm != about.method {
        return Err("`htm` is another method");
    }
    if place(&claims.htu) != place(about.url) {
        return Err("`htu` is another URL");
    }
    let age = about.now.saturating_sub(claims.iat);
    if !(-MAX_AGE_SECONDS..=MAX_AGE_SECONDS).contains(&age) {
        return Err("`iat` is not now");
    }
    let wanted = about.token.map(|token| BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()).as_ref()));
    if wanted.is_some() && claims.ath != wanted {
        return Err("`ath` is of another token");
    }
    Ok(())
}

/// A URL without query and fragment, with its scheme and host in small letters and without the scheme's own port.
fn place(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (scheme, mut host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let own = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    if let Some(bare) = host.strip_suffix(own).filter(|_| !own.is_empty()) {
        host = bare.to_owned();
    }
    format!("{scheme}://{host}/{path}")
}

const MEMBERS: [&str; 6] = ["kty", "crv", "x", "y", "n", "e"];

/// RFC 7638: the members that make the key, by name, without blanks. None for a key that is not public.
fn thumbprint(key: &Map<String, Value>) -> Option<String> {
    if PRIVATE.iter().any(|member| key.contains_key(*member)) {
        return None;
    }
    let members: &[&str] = match key.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut text = String::from("{");
    for (at, member) in members.iter().enumerate() {
        let value = key.get(*member)?.as_str()?;
        // All of them are letters, digits, `-` and `_`: nothing of them needs an escape.
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return None;
        }
        let comma = if at == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\"{member}\":\"{value}\""));
    }
    text.push('}');
    Some(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_the_one_of_the_standard() {
        // RFC 7638, section 3.1.
        let key = json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let key = key.as_object().unwrap();
        assert_eq!(thumbprint(key).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let mut private = key.clone();
        private.insert("d".into(), json!("AQAB"));
        assert_eq!(thumbprint(&private), None);
    }

    #[test]
    fn one_place_has_one_form() {
        assert_eq!(place("HTTPS://Agents.Example:443/a/B?x=1#y"), "https://agents.example/a/B");
        assert_ne!(place("https://agents.example:8443/a"), place("https://agents.example/a"));
        assert_ne!(place("http://agents.example/a"), place("https://agents.example/a"));
        assert_ne!(place("https://agents.example/A"), place("https://agents.example/a"));
    }
}
