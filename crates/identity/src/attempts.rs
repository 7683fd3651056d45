//! How often somebody may try: tokens in buckets, one for each account and one for each address.

use bailiwick_types::{Millis, Timestamp};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Buckets that are remembered; the one that was quiet longest is forgotten first.
const MAX_BUCKETS: usize = 10_000;

/// Attempts that may come at once, and how long until one more may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub burst: u32,
    pub one_more_after: Millis,
}

pub(crate) struct Attempts<K> {
    pace: Pace,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl<K: Hash + Eq + Clone> Attempts<K> {
    pub fn new(pace: Pace) -> Self {
        Self { pace, buckets: Mutex::default() }
    }

    /// Counts one attempt, or says in how many seconds the next may come.
    pub fn count(&self, key: K, now: Timestamp) -> Result<(), u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            let quiet = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            quiet.map(|key| buckets.remove(&key));
        }
        let burst = f64::from(self.pace.burst);
        let each = self.pace.one_more_after.0 as f64;
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = (bucket.tokens + now.since(bucket.at).0 as f64 / each).min(burst);
        bucket.at = bucket.at.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - bucket.tokens) * each / 1000.0).ceil().clamp(1.0, 3600.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn attempts_come_back_with_time_and_not_by_a_clock_that_is_set_back() {
        let attempts = Attempts::new(Pace { burst: 2, one_more_after: Millis::from_secs(10) });
        assert_eq!(attempts.count("a", NOW), Ok(()));
        assert_eq!(attempts.count("a", NOW), Ok(()));
        assert_eq!(attempts.count("a", NOW), Err(10));
        assert_eq!(attempts.count("b", NOW), Ok(()));
        assert_eq!(attempts.count("a", Timestamp::from_millis(0)), Err(10));
        assert_eq!(attempts.count("a", NOW + Millis::from_secs(10)), Ok(()));
        assert!(attempts.count("a", NOW + Millis::from_secs(10)).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let attempts = Attempts::new(Pace { burst: 1, one_more_after: Millis::from_secs(10) });
        for key in 0..MAX_BUCKETS + 10 {
            attempts.count(key, NOW + Millis(key as u64)).unwrap();
        }
        assert_eq!(attempts.buckets.lock().unwrap().len(), MAX_BUCKETS);
    }
}
