//! API keys: the text that a client holds, and what is known of it.
//!
//! A key that we make is `bw_`, 43 letters and digits drawn at random (256 bits), and 6 that check the rest, so that a
//! mistyped key is told from a foreign one. Only its SHA-256 digest is stored.

use crate::hex;
use aws_lc_rs::digest::{Context, SHA256, digest};
use bailiwick_ports::{Random, Scope};
use bailiwick_types::{KeyId, Secret, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const PREFIX: &str = "bw_";
const RANDOM_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;
pub(crate) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bounds of a value that an operator supplies.
pub(crate) const SUPPLIED_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// An API key, without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: KeyId,
    pub tenant: TenantId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    /// When it was revoked. Such a key opens nothing; it stays in lists.
    pub revoked: Option<Timestamp>,
    /// Its last four characters, so that a person knows it again.
    pub last4: String,
}

/// What an administrator says of a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// 1 to 128 characters.
    pub name: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// Later than now.
    pub expires: Option<Timestamp>,
}

/// The sealed body of an API key's document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiKeyBody {
    pub name: String,
    pub scopes: Vec<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    pub last4: String,
    /// The handle once more, so that nobody who can write to the database puts their own handle on this document.
    pub handle: String,
}

/// A fresh key.
pub(crate) fn generate(random: &dyn Random) -> Secret {
    let drawn = draw(RANDOM_CHARS, BASE62, random);
    let body = Zeroizing::new(format!("{PREFIX}{}", *drawn));
    Secret::new(format!("{}{}", *body, check(&body)))
}

/// Letters of an alphabet, each as likely as any other.
pub(crate) fn draw(count: usize, alphabet: &[u8], random: &dyn Random) -> Zeroizing<String> {
    // Bytes above the largest multiple of the alphabet's length are drawn again.
    let fair = 256 - 256 % alphabet.len();
    let mut text = Zeroizing::new(String::with_capacity(count));
    while text.len() < count {
        let mut bytes = Zeroizing::new([0; 64]);
        random.fill(bytes.as_mut());
        let letters = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair);
        let wanted = count - text.len();
        text.extend(letters.take(wanted).map(|b| char::from(alphabet[b % alphabet.len()])));
    }
    text
}

/// Whether a text that begins like one of our keys is whole.
pub(crate) fn is_mistyped(token: &str) -> bool {
    let Some(rest) = token.strip_prefix(PREFIX) else { return false };
    let whole = rest.len() == RANDOM_CHARS + CHECK_CHARS && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    !whole || {
        let (body, given) = token.split_at(PREFIX.len() + RANDOM_CHARS);
        check(body) != given
    }
}

/// What a key is stored and found under.
pub(crate) fn handle(token: &str) -> String {
    hex::encode(digest(&SHA256, token.as_bytes()).as_ref())
}

fn check(body: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(b"bailiwick.key.check");
    context.update(body.as_bytes());
    let digest = context.finish();
    let mut number = digest.as_ref()[..4].iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    let mut digits = [0; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OsRandom;

    #[test]
    fn a_key_is_checked_as_a_whole() {
        let key = generate(&OsRandom);
        let key = key.expose();
        assert_eq!(key.len(), 52);
        assert!(!is_mistyped(key));
        for at in 3..key.len() {
            let mut typed = key.as_bytes().to_vec();
            typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
            assert!(is_mistyped(std::str::from_utf8(&typed).unwrap()), "character {at}");
        }
        assert!(is_mistyped(&key[..51]));
        assert!(is_mistyped("bw_"));
        assert!(!is_mistyped("sk-another-kind-of-key"));
    }

    #[test]
    fn keys_differ() {
        assert_ne!(generate(&OsRandom).expose(), generate(&OsRandom).expose());
    }
}
