//! How many tokens the next prompt has at most, without encoding it.
//!
//! A token of text is at least one byte, so that bytes bound tokens. What the provider has counted is better than that:
//! after the first answer only what is new since counts in bytes.

use super::{State, consolidating, extracting, prompt};
use crate::{EntryBody, ModelCall, Purpose, ToolSpec};

/// Tokens that a provider's own form adds to an entry, generously: role, names, separators.
const PER_ENTRY: u64 = 16;
/// And to a request as a whole.
const PER_REQUEST: u64 = 64;

/// An upper bound of the tokens of the prompt that `call` would send now.
pub fn input_bound(state: &State, call: &ModelCall) -> u64 {
    if let Some(extract) = &call.extract {
        return PER_REQUEST + 2 * PER_ENTRY + extracting::weight(state, extract);
    }
    let queued: u64 = state.queue.iter().flat_map(|queued| &queued.content).map(|part| part.len() as u64).sum();
    let noticed: u64 = state.notices.iter().map(|notice| notice.len() as u64 + 1).sum();
    let known = match state.measured_tokens {
        0 => whole(state),
        measured => measured + state.unmeasured_bytes + PER_ENTRY * new_entries(state),
    };
    let asked = match call.purpose {
        Purpose::Compaction => prompt::COMPACTION.len() as u64,
        Purpose::Consolidation => consolidating::weight(),
        Purpose::Step | Purpose::Extract => 0,
    };
    known + queued + noticed + asked + PER_ENTRY * (state.queue.len() as u64 + 2)
}

/// Entries after the model's last answer.
fn new_entries(state: &State) -> u64 {
    let answer = |body: &EntryBody| {
        matches!(body, EntryBody::Assistant { .. } | EntryBody::Reasoning { .. } | EntryBody::ToolCall { .. })
    };
    state.entries.iter().rev().take_while(|entry| !answer(&entry.body)).count() as u64
}

fn whole(state: &State) -> u64 {
    let entries: u64 = state
        .entries
        .iter()
        .map(|entry| {
            let native = entry.native.as_ref().map_or(0, |native| json_bytes(&native.value));
            PER_ENTRY + entry.body.weight() as u64 + native
        })
        .sum();
    let tools: u64 = state.tool_specs().iter().map(weight_of).sum();
    let schema = state.agent.text.schema.as_ref().map_or(0, json_bytes);
    PER_REQUEST + prompt::instructions(state).len() as u64 + entries + tools + schema
}

/// What one tool counts in a prompt.
pub(super) fn weight_of(tool: &ToolSpec) -> u64 {
    PER_ENTRY + json_bytes(tool)
}

/// The length of a value as JSON, without making the text.
fn json_bytes<T: serde::Serialize>(value: &T) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // What cannot be counted must not look small.
        Err(_) => u64::from(u32::MAX),
    }
}
