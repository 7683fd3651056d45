//! The words with which one program proves that it began what another one ends (RFC 7636), as a command line does that
//! signs somebody in through a browser.

use aws_lc_rs::digest::{SHA256, digest};
use bailiwick_ports::Random;
use bailiwick_types::Secret;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// Drawn for one sign-in.
pub struct Pkce {
    /// What must come back as it was.
    pub state: String,
    /// What only whoever began knows.
    pub verifier: Secret,
    /// What everybody may know of it: its SHA-256, in base 64.
    pub challenge: String,
}

impl Pkce {
    pub fn draw(random: &dyn Random) -> Self {
        let verifier = word(random);
        Self { state: word(random), challenge: challenge(&verifier), verifier: Secret::new(verifier) }
    }
}

/// 256 random bits as text.
pub(crate) fn word(random: &dyn Random) -> String {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Of the method `S256`.
pub(crate) fn challenge(verifier: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref())
}
