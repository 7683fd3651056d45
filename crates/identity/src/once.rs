//! What may be used once: the ids of proofs and of foreign tokens, remembered for as long as they could be shown again.

use bailiwick_types::Timestamp;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Ids that are remembered. When there is no room, what comes is refused until the first of them has expired.
const MAX_REMEMBERED: usize = 100_000;

#[derive(Default)]
pub(crate) struct Once(Mutex<HashMap<String, Timestamp>>);

impl Once {
    /// Whether nobody used it before. It is remembered until `until`; a clock that is set back forgets nothing.
    pub fn first(&self, id: String, until: Timestamp, now: Timestamp) -> Result<bool, Full> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains_key(&id) {
            return Ok(false);
        }
        if used.len() >= MAX_REMEMBERED {
            used.retain(|_, until| now < *until);
        }
        if used.len() >= MAX_REMEMBERED {
            return Err(Full);
        }
        used.insert(id, until);
        Ok(true)
    }
}

/// Too many were used at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_types::Millis;

    #[test]
    fn an_id_is_good_once_and_memory_is_bounded() {
        let (once, now) = (Once::default(), Timestamp::from_millis(1_000_000));
        assert_eq!(once.first("a".into(), now + Millis(10), now), Ok(true));
        assert_eq!(once.first("a".into(), now + Millis(10), now + Millis(5)), Ok(false));
        assert_eq!(once.first("a".into(), now + Millis(10), Timestamp::from_millis(0)), Ok(false));
        for number in 1..MAX_REMEMBERED {
            once.first(number.to_string(), now + Millis(20), now).unwrap();
        }
        assert_eq!(once.first("b".into(), now + Millis(30), now + Millis(5)), Err(Full));
        assert_eq!(once.first("b".into(), now + Millis(30), now + Millis(20)), Ok(true));
    }
}
