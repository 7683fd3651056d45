//! Digests of passwords: Argon2id (RFC 9106), with a salt of its own for each.
//!
//! Checking one takes tens of milliseconds of a processor on purpose. So few are checked at the same time, and a name
//! that nobody has is checked like any other, against a digest that nothing matches.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_ports::{Random, SignInError};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// Passwords that are checked at the same time: each takes one of the runtime's threads and the memory of its cost.
const AT_ONCE: usize = 1;
/// Those that wait for it; more are refused.
const MAX_WAITING: usize = 64;
/// Fewer characters can be guessed; more bytes are no password.
const MIN_CHARS: usize = 12;
const MAX_BYTES: usize = 1024;
/// Stored digests that claim a higher cost are not computed.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 64;

/// How dear a guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
}

impl Default for PasswordCost {
    /// The smaller choice of OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

/// What is stored of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PasswordDigest {
    #[serde(flatten)]
    cost: PasswordCost,
    /// Both in base 64.
    salt: String,
    digest: String,
}

/// Makes and checks digests, a few at a time.
pub(crate) struct Passwords {
    cost: PasswordCost,
    random: Arc<dyn Random>,
    /// What a name that nobody has is checked against.
    nobody: PasswordDigest,
    turns: Semaphore,
    waiting: Semaphore,
}

impl Passwords {
    pub fn new(cost: PasswordCost, random: Arc<dyn Random>) -> Self {
        let mut bytes = [0; SALT_BYTES + DIGEST_BYTES];
        random.fill(&mut bytes);
        let (salt, digest) = bytes.split_at(SALT_BYTES);
        let text = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
        let nobody = PasswordDigest { cost, salt: text(salt), digest: text(digest) };
        Self { cost, random, nobody, turns: Semaphore::new(AT_ONCE), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Refuses a password that is too easily guessed.
    pub fn check_new(password: &str, login: &str) -> Result<(), SignInError> {
        let refuse = |text: &str| Err(SignInError::Password(text.to_owned()));
        if password.chars().count() < MIN_CHARS {
            return refuse(&format!("at least {MIN_CHARS} characters are needed"));
        }
        if password.len() > MAX_BYTES {
            return refuse(&format!("at most {MAX_BYTES} bytes fit"));
        }
        let lower = password.to_lowercase();
        let mut letters: Vec<char> = lower.chars().collect();
        letters.sort_unstable();
        letters.dedup();
        if letters.len() < 5 || lower.contains(&login.to_lowercase()) {
            return refuse("it is too easily guessed: take other characters, and not your name");
        }
        Ok(())
    }

    pub async fn digest(&self, password: &str) -> Result<PasswordDigest, SignInError> {
        let _turn = self.turn().await?;
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt);
        let digest = compute(self.cost, password, &salt).ok_or_else(unusable)?;
        let text = |bytes: &[u8]| BASE64_STANDARD_NO_PAD.encode(bytes);
        Ok(PasswordDigest { cost: self.cost, salt: text(&salt), digest: text(digest.as_ref()) })
    }

    /// Whether the password is the one. Costs the same when there is none.
    pub async fn is(&self, stored: Option<&PasswordDigest>, password: &str) -> Result<bool, SignInError> {
        let _turn = self.turn().await?;
        let against = stored.unwrap_or(&self.nobody);
        let salt = BASE64_STANDARD_NO_PAD.decode(&against.salt).map_err(|_| unusable())?;
        let wanted = BASE64_STANDARD_NO_PAD.decode(&against.digest).map_err(|_| unusable())?;
        // What is too long to be a password still costs the same.
        let known: String = if password.len() > MAX_BYTES { String::new() } else { password.to_owned() };
        let known = Zeroizing::new(known);
        let digest = compute(against.cost, &known, &salt).ok_or_else(unusable)?;
        let same = verify_slices_are_equal(digest.as_ref(), &wanted).is_ok();
        Ok(same && stored.is_some() && known.len() == password.len())
    }

    async fn turn(&self) -> Result<(tokio::sync::SemaphorePermit<'_>, tokio::sync::SemaphorePermit<'_>), SignInError> {
        let busy = || SignInError::Unavailable("too many people are signing in at this moment".into());
        let waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let turn = self.turns.acquire().await.map_err(|_| busy())?;
        Ok((waiting, turn))
    }
}

fn unusable() -> SignInError {
    SignInError::Unavailable("a stored password cannot be read".into())
}

fn compute(cost: PasswordCost, password: &str, salt: &[u8]) -> Option<Zeroizing<[u8; DIGEST_BYTES]>> {
    if cost.memory_kib > MAX_MEMORY_KIB || cost.passes > MAX_PASSES {
        return None;
    }
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(DIGEST_BYTES)).ok()?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut digest = Zeroizing::new([0; DIGEST_BYTES]);
    argon.hash_password_into(password.as_bytes(), salt, digest.as_mut()).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9106, section 5.3, without secret and associated data, from the reference implementation:
    /// `argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -v 13` of the input `password`.
    #[test]
    fn digests_are_those_of_the_reference_implementation() {
        let digest = compute(PasswordCost { memory_kib: 65_536, passes: 2 }, "password", b"somesalt").unwrap();
        assert_eq!(
            crate::hex::encode(digest.as_ref()),
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
        );
    }

    #[test]
    fn easy_passwords_are_refused() {
        for easy in ["short", "aaaaaaaaaaaaaaaa", "abababababababab", "xx-lovelace-2026", "LOVELACE-2026-yes"] {
            assert!(Passwords::check_new(easy, "lovelace").is_err(), "{easy}");
        }
        assert!(Passwords::check_new(&"ab1d".repeat(300), "lovelace").is_err());
        assert!(Passwords::check_new("a plain sentence is fine", "lovelace").is_ok());
    }
}
