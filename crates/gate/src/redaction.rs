//! Known secrets taken out of what comes back: outcomes and live output of actions that were performed with them.
//!
//! It knows the values that were revealed for this very action, as they are and as they stand in a JSON text. It does not
//! know what somebody made of them: a secret in base 64 or backwards is not found.

use crate::{Delta, Live};
use bailiwick_core::{Failure, FailureCode, Outcome};
use bailiwick_types::{ItemId, Secret};
use serde_json::Value;
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

/// A shorter value would be found in innocent text.
pub(crate) const SHORTEST: usize = 8;
/// What stands in a secret's place.
pub(crate) const REDACTED: &str = "[redacted]";

/// The texts that must not come through.
#[derive(Clone, Default)]
pub(crate) struct Redaction {
    /// The longest first, so that one that holds another is taken out whole.
    needles: Arc<[Box<str>]>,
}

impl Redaction {
    pub fn new(secrets: &[Secret]) -> Self {
        let mut needles: Vec<Box<str>> = Vec::new();
        for secret in secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST) {
            needles.push(secret.into());
            let quoted = serde_json::to_string(secret).unwrap_or_default();
            needles.extend(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(Box::from));
        }
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles: needles.into() }
    }

    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for needle in self.needles.iter().filter(|needle| text.contains(needle.as_ref())) {
            clean = Cow::Owned(clean.replace(needle.as_ref(), REDACTED));
        }
        clean
    }

    /// The outcome without the secrets, wherever in it they stand.
    pub fn outcome(&self, outcome: Outcome) -> Outcome {
        if self.is_empty() {
            return outcome;
        }
        let unreadable = || {
            let message = "what came back holds a secret in a place where it cannot be taken out".to_owned();
            Outcome::Failed { failure: Failure::new(FailureCode::Internal, message) }
        };
        let Ok(mut value) = serde_json::to_value(&outcome) else { return unreadable() };
        if !self.clean(&mut value) {
            return outcome;
        }
        serde_json::from_value(value).unwrap_or_else(|_| unreadable())
    }

    /// `true` when there was something to take out.
    fn clean(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.text(text) {
                Cow::Owned(clean) => {
                    *text = clean;
                    true
                }
                Cow::Borrowed(_) => false,
            },
            Value::Array(values) => values.iter_mut().fold(false, |found, value| self.clean(value) | found),
            Value::Object(fields) => {
                let mut found = fields.values_mut().fold(false, |found, value| self.clean(value) | found);
                if fields.keys().any(|key| matches!(self.text(key), Cow::Owned(_))) {
                    let old = std::mem::take(fields);
                    fields.extend(old.into_iter().map(|(key, value)| (self.text(&key).into_owned(), value)));
                    found = true;
                }
                found
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// How many bytes at the end of a text may be the beginning of a secret.
    fn held_back(&self, text: &str) -> usize {
        let begins = |from: usize| {
            let rest = &text[from..];
            self.needles.iter().any(|needle| needle.len() > rest.len() && needle.starts_with(rest))
        };
        let longest = self.needles.first().map_or(0, |needle| needle.len());
        let first = text.len().saturating_sub(longest);
        let mut starts = text.char_indices().map(|(at, _)| at).filter(|at| *at >= first);
        starts.find(|at| begins(*at)).map_or(0, |at| text.len() - at)
    }
}

/// Live output through a redaction. A secret may come in pieces, so that an end which may be a beginning of one is held
/// back until more is known.
pub(crate) struct Guarded {
    redaction: Redaction,
    to: Live,
    held: Mutex<Option<Delta>>,
}

/// Which text a piece belongs to.
#[derive(PartialEq, Eq)]
enum Place {
    Text(ItemId),
    Summary(ItemId, u16),
    Command,
    None,
}

impl Guarded {
    pub fn new(redaction: Redaction, to: Live) -> Self {
        Self { redaction, to, held: Mutex::default() }
    }

    pub fn emit(&self, delta: Delta) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut delta = delta;
        if let Some(mut before) = held.take() {
            if place(&before) == place(&delta) {
                let start = text_of(&mut before).map(std::mem::take).unwrap_or_default();
                if let Some(text) = text_of(&mut delta) {
                    text.insert_str(0, &start);
                }
            } else if !matches!(delta, Delta::Restarted) {
                // What was streamed before a retry does not count, what was held back of it neither.
                self.to.emit(before);
            }
        }
        let Some(text) = text_of(&mut delta) else { return self.to.emit(delta) };
        let clean = self.redaction.text(text).into_owned();
        let keep = clean.len() - self.redaction.held_back(&clean);
        let rest = clean[keep..].to_owned();
        *text = clean[..keep].to_owned();
        let is_empty = text.is_empty();
        if !rest.is_empty() {
            let mut later = delta.clone();
            if let Some(text) = text_of(&mut later) {
                *text = rest;
            }
            *held = Some(later);
        }
        if !is_empty {
            self.to.emit(delta);
        }
    }
}

impl Drop for Guarded {
    /// Nothing follows: what was held back was no secret.
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(delta) = held.take() {
            self.to.emit(delta);
        }
    }
}

fn place(delta: &Delta) -> Place {
    match delta {
        Delta::Text { item, .. } => Place::Text(*item),
        Delta::ReasoningSummary { item, part, .. } => Place::Summary(*item, *part),
        Delta::CommandOutput { .. } => Place::Command,
        Delta::Restarted => Place::None,
    }
}

fn text_of(delta: &mut Delta) -> Option<&mut String> {
    match delta {
        Delta::Text { text, .. } | Delta::ReasoningSummary { text, .. } | Delta::CommandOutput { text } => Some(text),
        Delta::Restarted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_core::{ActionResult, CommandOutput};

    const SECRET: &str = "sk-\"very\"-secret";

    fn redaction() -> Redaction {
        Redaction::new(&[Secret::new(SECRET), Secret::new("short")])
    }

    #[test]
    fn a_secret_is_taken_out_as_it_is_and_as_json_writes_it_and_a_short_one_is_left() {
        let said = format!("with {SECRET} and {} and short", serde_json::json!({"key": SECRET}));
        let clean = redaction().text(&said).into_owned();
        assert_eq!(clean, r#"with [redacted] and {"key":"[redacted]"} and short"#);
    }

    #[test]
    fn an_outcome_is_cleaned_wherever_the_secret_stands() {
        let output = CommandOutput { output: format!("key={SECRET}"), ..CommandOutput::default() };
        let result = ActionResult::Command(output);
        let Outcome::Confirmed { result: ActionResult::Command(clean) } =
            redaction().outcome(Outcome::Confirmed { result })
        else {
            panic!("it is still a command's output");
        };
        assert_eq!(clean.output, "key=[redacted]");
    }

    #[test]
    fn a_secret_in_pieces_is_not_streamed_and_innocent_beginnings_are() {
        let seen = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&seen);
        let (live, _) = Live::new(move |delta| {
            if let Delta::CommandOutput { text } = delta {
                told.lock().unwrap().push_str(&text);
            }
        });
        let guarded = Guarded::new(redaction(), live);
        for piece in ["sk", "-", "\"ve", "ry\"-se", "cret!", " sk-", "other s"] {
            guarded.emit(Delta::CommandOutput { text: piece.into() });
        }
        drop(guarded);
        assert_eq!(*seen.lock().unwrap(), "[redacted]! sk-other s");
    }
}
