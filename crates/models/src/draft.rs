//! An answer while it comes in: what both decoders collect, and how it becomes entries.

use crate::trouble::Trouble;
use bailiwick_core::{Entry, EntryBody, Native, Phase};
use bailiwick_gate::Delta;
use bailiwick_types::{ActionId, ItemId};
use serde_json::Value;
use std::sync::Arc;

/// The most items in one answer.
const MAX_ITEMS: usize = 512;
/// The most summary parts in one reasoning item.
const MAX_PARTS: usize = 256;

/// The items of one answer in the model's order. Each keeps its place, so that the id which its deltas named is the id
/// of its entry.
pub(crate) struct Draft {
    action: ActionId,
    origin: Arc<str>,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Default)]
pub(crate) struct Item {
    pub(crate) body: ItemBody,
    /// The provider's own form of it.
    pub(crate) native: Option<Value>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ItemBody {
    Message { text: String, phase: Option<Phase> },
    Reasoning { summary: Vec<String> },
    Call { call_id: String, name: String, arguments: String },
}

impl Default for ItemBody {
    /// What a kind of item that we do not know becomes: a reasoning entry without text, whose native form goes back to
    /// where it came from.
    fn default() -> Self {
        Self::Reasoning { summary: Vec::new() }
    }
}

impl Draft {
    pub(crate) fn new(action: ActionId, origin: &Arc<str>) -> Self {
        Self { action, origin: Arc::clone(origin), items: Vec::new() }
    }

    /// Adds an item and gives its place.
    pub(crate) fn open(&mut self, body: ItemBody) -> Result<usize, Trouble> {
        if self.items.len() == MAX_ITEMS {
            return Err(Trouble::malformed(format!("it has more than {MAX_ITEMS} items")));
        }
        self.items.push(Item { body, native: None });
        Ok(self.items.len() - 1)
    }

    /// More text of the message at `place`.
    pub(crate) fn say(&mut self, place: usize, more: &str, emit: &mut dyn FnMut(Delta)) {
        let (item, index) = self.id(place);
        if let Some(Item { body: ItemBody::Message { text, .. }, .. }) = self.items.get_mut(place)
            && !more.is_empty()
        {
            text.push_str(more);
            emit(Delta::Text { item, index, text: more.to_owned() });
        }
    }

    /// More text of the `part`-th summary of the reasoning at `place`.
    pub(crate) fn think(
        &mut self,
        place: usize,
        part: usize,
        more: &str,
        emit: &mut dyn FnMut(Delta),
    ) -> Result<(), Trouble> {
        let (item, index) = self.id(place);
        if part >= MAX_PARTS {
            return Err(Trouble::malformed(format!("a reasoning item has more than {MAX_PARTS} parts")));
        }
        if let Some(Item { body: ItemBody::Reasoning { summary }, .. }) = self.items.get_mut(place)
            && !more.is_empty()
        {
            if summary.len() <= part {
                summary.resize(part + 1, String::new());
            }
            summary[part].push_str(more);
            emit(Delta::ReasoningSummary { item, index, part: part as u16, text: more.to_owned() });
        }
        Ok(())
    }

    fn id(&self, place: usize) -> (ItemId, u16) {
        // INVARIANT: `open` gives no place above MAX_ITEMS.
        let index = u16::try_from(place).unwrap_or(u16::MAX);
        (ItemId::of_output(self.action, index), index)
    }

    /// The entries. In an answer that calls tools every message is commentary; else the last message is the final
    /// answer, whatever the provider calls it. Messages without text are left out.
    pub(crate) fn into_entries(self) -> Vec<Arc<Entry>> {
        let calls = self.items.iter().any(|item| matches!(item.body, ItemBody::Call { .. }));
        let is_message = |item: &Item| matches!(&item.body, ItemBody::Message { text, .. } if !text.is_empty());
        let last = if calls { None } else { self.items.iter().rposition(is_message) };
        let ids: Vec<ItemId> = (0..self.items.len()).map(|place| self.id(place).0).collect();
        let mut entries = Vec::with_capacity(self.items.len());
        for (place, (Item { body, native }, id)) in self.items.into_iter().zip(ids).enumerate() {
            let body = match body {
                ItemBody::Message { text, .. } if text.is_empty() => continue,
                ItemBody::Message { text, phase } => {
                    let said = if calls { Phase::Commentary } else { phase.unwrap_or(Phase::Commentary) };
                    let phase = if last == Some(place) { Phase::FinalAnswer } else { said };
                    EntryBody::Assistant { text, phase: Some(phase) }
                }
                ItemBody::Reasoning { summary } => EntryBody::Reasoning { summary },
                ItemBody::Call { call_id, name, arguments } => EntryBody::ToolCall { call_id, name, arguments },
            };
            let native = native.map(|value| Native { origin: Arc::clone(&self.origin), value });
            entries.push(Arc::new(Entry { id, body, native }));
        }
        entries
    }
}
