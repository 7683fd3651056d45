//! People who signed in at the identity provider for a command line that has not come for its sign-in yet
//! (RFC 8252: the browser carries a code to it; RFC 7636: only whoever began can redeem it).
//!
//! All of it is in memory and short: after a restart one begins again.

use super::kept::Came;
use crate::{api_key, pkce};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bailiwick_types::{Millis, TenantId, Timestamp, UserId};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long a code is good.
const LIFE: Millis = Millis::from_secs(60);
const MAX_WAITING: usize = 1000;
/// RFC 7636, section 4.1.
const MAX_VERIFIER: usize = 128;

/// Somebody who was let in.
pub(super) struct Guest {
    pub tenant: TenantId,
    pub user: UserId,
    pub came: Came,
}

struct Waiting {
    guest: Guest,
    challenge: String,
    until: Timestamp,
}

/// By the digest of the code.
#[derive(Default)]
pub(super) struct WaitingRoom(Mutex<HashMap<String, Waiting>>);

impl WaitingRoom {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false` when there is no room.
    pub fn enter(&self, code: &str, guest: Guest, challenge: String, now: Timestamp) -> bool {
        let mut all = self.lock();
        all.retain(|_, waiting| now < waiting.until);
        if all.len() >= MAX_WAITING {
            return false;
        }
        all.insert(api_key::handle(code), Waiting { guest, challenge, until: now + LIFE });
        true
    }

    /// A code is good for one attempt.
    pub fn leave(&self, code: &str, verifier: &str, now: Timestamp) -> Option<Guest> {
        let waiting = self.lock().remove(&api_key::handle(code))?;
        if now >= waiting.until || verifier.len() > MAX_VERIFIER {
            return None;
        }
        let challenge = pkce::challenge(verifier);
        let same = verify_slices_are_equal(challenge.as_bytes(), waiting.challenge.as_bytes()).is_ok();
        same.then_some(waiting.guest)
    }

    pub fn retain(&self, stays: impl Fn(&Guest) -> bool) {
        self.lock().retain(|_, waiting| stays(&waiting.guest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn guest() -> Guest {
        let came = Came { subject: "u-1".into(), session: None, refresh: None };
        Guest { tenant: TenantId::from_u128(1), user: UserId::from_u128(7), came }
    }

    #[test]
    fn a_code_is_good_once_for_whoever_began_and_not_for_long() {
        let room = WaitingRoom::default();
        let challenge = pkce::challenge("verifier");
        assert!(room.enter("a", guest(), challenge.clone(), NOW));
        assert!(room.leave("a", "verifier", NOW).is_some());
        assert!(room.leave("a", "verifier", NOW).is_none(), "twice");
        assert!(room.enter("b", guest(), challenge.clone(), NOW));
        assert!(room.leave("b", "another", NOW).is_none());
        assert!(room.leave("b", "verifier", NOW).is_none(), "after an attempt that failed");
        assert!(room.enter("c", guest(), challenge.clone(), NOW));
        assert!(room.leave("c", "verifier", NOW + LIFE).is_none(), "late");
        for number in 0..MAX_WAITING {
            assert!(room.enter(&number.to_string(), guest(), challenge.clone(), NOW));
        }
        assert!(!room.enter("d", guest(), challenge.clone(), NOW));
        assert!(room.enter("d", guest(), challenge, NOW + LIFE));
    }
}
