//! Proofs that we hold the key to which another system's token is bound (RFC 9449, DPoP), so that whoever gets hold of the
//! token alone has nothing.
//!
//! A key is made here and shown to nobody: one for the tokens that live in memory only, one for each credential that is
//! renewed, sealed with its secrets. What leaves is the public half, in each proof.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use bailiwick_ports::{
    Clock, Random,
    proof::{Proofs, Shown},
};
use bailiwick_types::{Millis, Secret, Timestamp};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The one algorithm that is signed with, as servers name it.
pub(crate) const ALGORITHM: &str = "ES256";
/// Tokens that are remembered, and for how long after they were last given to somebody.
const MAX_BOUND: usize = 20_000;
const REMEMBERED: Millis = Millis::from_secs(3600);
/// Servers whose last word is remembered, and bytes of one.
const MAX_NONCES: usize = 1000;
const MAX_NONCE: usize = 512;
/// Bytes of a coordinate of P-256, and of the mark before an uncompressed point.
const COORDINATE: usize = 32;

/// A key of ours.
pub(crate) struct ProofKey {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl ProofKey {
    /// The error is for the log.
    pub fn generate() -> Result<Self, String> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::of(pair.map_err(|_| "no key could be made".to_owned())?)
    }

    /// One that was kept as [`ProofKey::kept`] gave it.
    pub fn open(kept: &Secret) -> Result<Self, String> {
        let damaged = || "a kept key cannot be read".to_owned();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(kept.expose()).map_err(|_| damaged())?;
        let bytes = zeroize::Zeroizing::new(bytes);
        Self::of(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes).map_err(|_| damaged())?)
    }

    /// For sealing.
    pub fn kept(&self) -> Result<Secret, String> {
        let document = self.pair.to_pkcs8v1().map_err(|_| "a key cannot be kept".to_owned())?;
        Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(document.as_ref())))
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, String> {
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) = (point.get(1..=COORDINATE), point.get(1 + COORDINATE..)) else {
            return Err("a key has no public half".into());
        };
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)});
        Ok(Self { pair, jwk })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a signature draws its own numbers: one that can be told gives the key away"
    )]
    fn sign(&self, claims: &Value) -> Result<String, String> {
        let head = json!({"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": self.jwk}).to_string();
        let mut text = BASE64_URL_SAFE_NO_PAD.encode(head);
        text.push('.');
        text.push_str(&BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signed = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signed.map_err(|_| "no proof could be signed".to_owned())?;
        text.push('.');
        text.push_str(&BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Ok(text)
    }
}

/// Which token is bound to which key, and what servers want to find in the next proof. One for each process.
pub struct ProofKeys {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// For tokens that are held in memory; made when it is first needed.
    own: Mutex<Option<Arc<ProofKey>>>,
    /// By the token's digest.
    bound: Mutex<HashMap<[u8; 32], Bound>>,
    /// By scheme, host and port.
    nonces: Mutex<HashMap<String, String>>,
}

struct Bound {
    key: Arc<ProofKey>,
    until: Timestamp,
}

impl ProofKeys {
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        let (own, bound, nonces) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { clock, random, own, bound, nonces }
    }

    pub(crate) fn own(&self) -> Result<Arc<ProofKey>, String> {
        let mut own = locked(&self.own);
        if let Some(key) = &*own {
            return Ok(Arc::clone(key));
        }
        Ok(Arc::clone(own.insert(Arc::new(ProofKey::generate()?))))
    }

    /// From here on the token goes out with proofs by this key, and never without.
    pub(crate) fn bind(&self, token: &Secret, key: Arc<ProofKey>) {
        let now = self.clock.now();
        let mut bound = locked(&self.bound);
        if bound.len() >= MAX_BOUND {
            // Whoever sends one of these later was given it anew.
            bound.retain(|_, bound| bound.until > now);
        }
        if bound.len() >= MAX_BOUND {
            bound.clear();
        }
        bound.insert(fingerprint(token.expose()), Bound { key, until: now + REMEMBERED });
    }

    /// A proof by this key, for one request; with no token, for asking for one.
    pub(crate) fn prove(&self, key: &ProofKey, method: &str, url: &str, token: Option<&str>) -> Result<String, String> {
        let mut id = [0; 16];
        self.random.fill(&mut id);
        let mut claims = json!({
            "jti": BASE64_URL_SAFE_NO_PAD.encode(id),
            "htm": method,
            "htu": url.split(['?', '#']).next().unwrap_or_default(),
            "iat": self.clock.now().as_seconds(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(BASE64_URL_SAFE_NO_PAD.encode(fingerprint(token)));
        }
        if let Some(nonce) = locked(&self.nonces).get(origin(url)) {
            claims["nonce"] = json!(nonce);
        }
        key.sign(&claims)
    }
}

impl Proofs for ProofKeys {
    fn proof(&self, shown: Shown<'_>) -> Option<Result<String, String>> {
        let key = locked(&self.bound).get(&fingerprint(shown.token)).map(|bound| Arc::clone(&bound.key))?;
        Some(self.prove(&key, shown.method, shown.url, Some(shown.token)))
    }

    fn learn(&self, url: &str, nonce: &str) {
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return;
        }
        let mut nonces = locked(&self.nonces);
        if nonces.len() >= MAX_NONCES && !nonces.contains_key(origin(url)) {
            // A server says it again to whoever does not know it.
            nonces.clear();
        }
        nonces.insert(origin(url).to_owned(), nonce.to_owned());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fingerprint(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

/// Scheme, host and port of a URL, as it is written.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OsRandom,
        jwt::{About, Proof},
    };
    use bailiwick_testkit::clock::ManualClock;

    const URL: &str = "https://systems.example/orders?page=2#x";

    fn keys() -> ProofKeys {
        ProofKeys::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000))), Arc::new(OsRandom))
    }

    fn about<'a>(url: &'a str, token: Option<&'a str>) -> About<'a> {
        About { method: "GET", url, token, now: 1_800_000_000 }
    }

    fn claims(proof: &str) -> Value {
        let part = proof.split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_proof_is_for_one_request_one_token_and_one_key() {
        let keys = keys();
        let token = Secret::new("the-token");
        assert!(keys.proof(Shown { token: "the-token", method: "GET", url: URL }).is_none(), "nobody has bound it");
        keys.bind(&token, keys.own().unwrap());
        let shown = |token| Shown { token, method: "GET", url: URL };
        let first = keys.proof(shown("the-token")).unwrap().unwrap();
        let second = keys.proof(shown("the-token")).unwrap().unwrap();
        assert!(keys.proof(shown("another")).is_none());
        let read = |text: &str| Proof::read(text, about(URL, Some("the-token")));
        assert_ne!(read(&first).unwrap().id, read(&second).unwrap().id, "each is good once");
        assert_eq!(read(&first).unwrap().thumbprint, read(&second).unwrap().thumbprint);
        assert_eq!(claims(&first)["htu"], "https://systems.example/orders", "the query is nobody's business");
        Proof::read(&first, about(URL, Some("another"))).unwrap_err();
        Proof::read(&first, about("https://elsewhere.example/orders", Some("the-token"))).unwrap_err();
        keys.bind(&token, Arc::new(ProofKey::generate().unwrap()));
        let other = keys.proof(shown("the-token")).unwrap().unwrap();
        assert_ne!(read(&other).unwrap().thumbprint, read(&first).unwrap().thumbprint);
    }

    #[test]
    fn a_servers_word_goes_into_the_next_proof_for_that_server_alone() {
        let keys = keys();
        keys.bind(&Secret::new("t"), keys.own().unwrap());
        keys.learn("https://systems.example/token", "word-1");
        for bad in ["", "a b", "line\nbreak", &"x".repeat(MAX_NONCE + 1)] {
            keys.learn(URL, bad);
        }
        let nonce =
            |url| claims(&keys.proof(Shown { token: "t", method: "GET", url }).unwrap().unwrap())["nonce"].clone();
        assert_eq!(nonce(URL), "word-1");
        assert_eq!(nonce("https://systems.example:8443/"), Value::Null);
        keys.learn(URL, "word-2");
        assert_eq!(nonce("https://systems.example"), "word-2");
    }

    #[test]
    fn a_key_that_is_kept_is_the_same_key() {
        let (keys, key) = (keys(), ProofKey::generate().unwrap());
        let again = ProofKey::open(&key.kept().unwrap()).unwrap();
        let thumbprint = |key: &ProofKey| {
            let proof = keys.prove(key, "GET", URL, None).unwrap();
            Proof::read(&proof, about(URL, None)).unwrap().thumbprint
        };
        assert_eq!(thumbprint(&key), thumbprint(&again));
        assert!(ProofKey::open(&Secret::new("no key")).is_err());
    }
}
