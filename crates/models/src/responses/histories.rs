//! Encoded histories, so that each call encodes only what is new.
//!
//! A history grows at its end. What a call encoded is kept under the session's cache key together with the entries it
//! is the encoding of; the next call takes it when its history begins with those very entries (the same allocations,
//! not equal ones, so that the comparison costs nothing), and encodes anew when not. Forgetting is always safe.

use bailiwick_core::{Entry, ToolSpec};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Encoded bytes that are kept for all sessions of one model. The entries themselves weigh about as much again.
const MAX_BYTES: usize = 32 << 20;
/// A longer history is encoded anew for each call.
const MAX_HISTORY: usize = 8 << 20;

/// What was encoded for one session.
#[derive(Default)]
pub(super) struct History {
    entries: Vec<Arc<Entry>>,
    /// The items, separated by commas.
    pub items: Vec<u8>,
    tools: Option<EncodedTools>,
    used: u64,
}

/// Tools, and the bytes that say them.
type EncodedTools = (Arc<[ToolSpec]>, Arc<[u8]>);

impl History {
    /// How many of these entries are encoded already. When they are others than before, none.
    pub fn covered(&mut self, entries: &[Arc<Entry>]) -> usize {
        let same = self.entries.len() <= entries.len()
            && self.entries.iter().zip(entries).all(|(kept, given)| Arc::ptr_eq(kept, given));
        if !same {
            self.entries.clear();
            self.items.clear();
        }
        self.entries.len()
    }

    /// `items` is now the encoding of these entries; some of them were covered before.
    pub fn cover(&mut self, entries: &[Arc<Entry>]) {
        self.entries.extend_from_slice(&entries[self.entries.len()..]);
    }

    /// The encoding of these tools.
    pub fn tools(&mut self, tools: &Arc<[ToolSpec]>, encode: impl FnOnce() -> Vec<u8>) -> Arc<[u8]> {
        match &self.tools {
            Some((kept, encoded)) if Arc::ptr_eq(kept, tools) => Arc::clone(encoded),
            _ => {
                let encoded: Arc<[u8]> = encode().into();
                self.tools = Some((Arc::clone(tools), Arc::clone(&encoded)));
                encoded
            }
        }
    }

    fn weight(&self) -> usize {
        let tools = self.tools.as_ref().map_or(0, |(_, encoded)| encoded.len());
        self.items.len() + tools + self.entries.len() * size_of::<Arc<Entry>>()
    }
}

/// The histories of a model's sessions, those used last.
#[derive(Default)]
pub(super) struct Histories(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_key: HashMap<String, History>,
    bytes: usize,
    uses: u64,
}

impl Histories {
    /// Takes a session's history out; who takes it gives it back.
    pub fn take(&self, key: &str) -> History {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let history = kept.by_key.remove(key).unwrap_or_default();
        kept.bytes -= history.weight();
        history
    }

    pub fn give_back(&self, key: &str, mut history: History) {
        let weight = history.weight();
        if key.is_empty() || weight > MAX_HISTORY {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        history.used = kept.uses;
        // Two calls of one session at once do not happen; if they did, one of the histories is as good as the other.
        kept.forget(key);
        while kept.bytes + weight > MAX_BYTES {
            let oldest = kept.by_key.iter().min_by_key(|(_, history)| history.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            kept.forget(&oldest);
        }
        kept.bytes += weight;
        kept.by_key.insert(key.to_owned(), history);
    }
}

impl Kept {
    fn forget(&mut self, key: &str) {
        if let Some(history) = self.by_key.remove(key) {
            self.bytes -= history.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::EntryBody;
    use bailiwick_types::ItemId;

    fn entries(count: u128) -> Vec<Arc<Entry>> {
        let entry =
            |id| Entry { id: ItemId::from_u128(id), body: EntryBody::Notice { text: id.to_string() }, native: None };
        (0..count).map(|id| Arc::new(entry(id))).collect()
    }

    #[test]
    fn a_history_covers_only_what_begins_with_its_own_entries() {
        let all = entries(4);
        let mut history = History::default();
        assert_eq!(history.covered(&all), 0);
        history.items.extend_from_slice(b"1,2,3");
        history.cover(&all[..3]);
        assert_eq!(history.covered(&all), 3);
        assert_eq!(history.covered(&all[..2]), 0, "a history that became shorter is another one");
        assert!(history.items.is_empty());
        history.cover(&all);
        assert_eq!(history.covered(&entries(4)), 0, "equal entries are not the same");
    }

    #[test]
    fn what_was_used_longest_ago_goes_when_there_is_no_room() {
        let histories = Histories::default();
        let large = || History { items: vec![b'x'; MAX_BYTES / 5], ..History::default() };
        for key in ["a", "b", "c", "d"] {
            histories.give_back(key, large());
        }
        let used = histories.take("a");
        assert!(!used.items.is_empty());
        histories.give_back("a", used);
        histories.give_back("e", large());
        histories.give_back("f", History { items: vec![b'x'; MAX_HISTORY + 1], ..History::default() });
        let there = |key| !histories.take(key).items.is_empty();
        assert_eq!([there("a"), there("b"), there("c"), there("f")], [true, true, true, false]);
        histories.give_back("g", large());
        histories.give_back("h", large());
        assert!(there("d") && there("e"), "what was taken out made room");
    }

    #[test]
    fn the_room_is_bounded() {
        let histories = Histories::default();
        for key in 0..100 {
            histories.give_back(&key.to_string(), History { items: vec![b'x'; 1 << 20], ..History::default() });
        }
        let kept = histories.0.lock().unwrap();
        assert!(kept.bytes <= MAX_BYTES);
        assert_eq!(kept.bytes, kept.by_key.values().map(History::weight).sum::<usize>());
        assert!(kept.by_key.contains_key("99") && !kept.by_key.contains_key("0"));
    }
}
