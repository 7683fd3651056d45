//! A small memory of keys that were found a moment ago, so that a request costs no database read.
//!
//! An entry lives for seconds, so that what another node revoked is refused soon. What this node revokes is forgotten at
//! once, also where a read that began before is still under way.

use bailiwick_types::{Millis, Timestamp};
use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// How long an entry is believed.
pub(crate) const LIFE: Millis = Millis::from_secs(5);
const MAX_ENTRIES: usize = 1024;

pub(crate) struct Cache<K, V> {
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    entries: HashMap<K, (Timestamp, V)>,
    /// Counts revocations.
    generation: u64,
}

/// Proof that nothing was forgotten since it was taken.
#[derive(Clone, Copy)]
pub(crate) struct Ticket(u64);

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub fn new() -> Self {
        Self { inner: Mutex::new(Inner { entries: HashMap::new(), generation: 0 }) }
    }

    /// The entry, or a ticket to put it in with.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: Timestamp) -> Result<V, Ticket>
    where
        K: Borrow<Q>,
    {
        let inner = self.lock();
        match inner.entries.get(key) {
            // A clock that was set back must not make an entry live for ever.
            Some((since, value)) if now >= *since && now < *since + LIFE => Ok(value.clone()),
            _ => Err(Ticket(inner.generation)),
        }
    }

    /// Remembers what was read after `ticket` was given out, unless something was forgotten meanwhile.
    pub fn put(&self, ticket: Ticket, key: K, value: V, now: Timestamp) {
        let mut inner = self.lock();
        if inner.generation != ticket.0 {
            return;
        }
        if inner.entries.len() >= MAX_ENTRIES {
            inner.entries.retain(|_, (since, _)| now >= *since && now < *since + LIFE);
        }
        if inner.entries.len() >= MAX_ENTRIES {
            inner.entries.clear();
        }
        inner.entries.insert(key, (now, value));
    }

    /// Forgets everything.
    pub fn forget(&self) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.entries.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<K, V>> {
        // No code panics while it holds the lock, and a map is whole after any panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn an_entry_lives_for_seconds() {
        let cache: Cache<String, u8> = Cache::new();
        let ticket = cache.get("a", NOW).unwrap_err();
        cache.put(ticket, "a".into(), 1, NOW);
        assert_eq!(cache.get("a", NOW).ok(), Some(1));
        assert_eq!(cache.get("a", NOW + Millis(4_999)).ok(), Some(1));
        assert!(cache.get("a", NOW + LIFE).is_err());
        assert!(cache.get("a", Timestamp::from_millis(999_999)).is_err());
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_remembered() {
        let cache: Cache<String, u8> = Cache::new();
        let ticket = cache.get("a", NOW).unwrap_err();
        cache.forget();
        cache.put(ticket, "a".into(), 1, NOW);
        assert!(cache.get("a", NOW).is_err());
    }

    #[test]
    fn it_is_bounded() {
        let cache: Cache<usize, u8> = Cache::new();
        for key in 0..5_000 {
            let ticket = cache.get(&key, NOW).unwrap_err();
            cache.put(ticket, key, 1, NOW);
            assert!(cache.lock().entries.len() <= MAX_ENTRIES);
        }
    }
}
