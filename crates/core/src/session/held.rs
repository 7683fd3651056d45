//! Opaque handles: values that a model moves without having seen them.
//!
//! What `hold_value` reads is kept aside, and the model is told a handle: `{{held:act_…}}`, the id of the action that
//! brought the value, so that no two values ever have the same one. Where a handle stands in what an action sends
//! ([`outgoing`]), the gate puts the value in its place: for policy, for the digest, and for the hand. The model's
//! history keeps the handle. What comes back from an action that carried a value may be the value again: it is held as
//! well, or told in our own words. A value must never get into [`State::entries`].

use super::calls::CallEnd;
use super::state::{OpenAction, State, describe};
use crate::{
    Action, ActionResult, Content, Failure, FailureCode, Label, Outcome, ToolAnswer, canonical,
    item::{Change, HeldView},
    joined_text,
    record::ActionSettled,
    tools::{FILE_ENDS_BEFORE, FILE_GOES_ON, FILE_IS_EMPTY},
};
use bailiwick_types::ActionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

const OPENS: &str = "{{held:";
const CLOSES: &str = "}}";
/// Values that one session holds, and bytes of one and of all.
const MAX_HELD: usize = 32;
const MAX_VALUE: usize = 64 * 1024;
const MAX_HELD_BYTES: usize = 1024 * 1024;
/// Handles in one action.
const MAX_HANDLES: usize = 16;
/// Bytes of a value that a person who is asked is shown.
const MAX_SHOWN: usize = 4 * 1024;

/// A value that is no part of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub text: String,
    pub label: Label,
    /// Where it came from, in plain words.
    pub source: String,
}

/// What a handle says.
fn handle(id: ActionId) -> String {
    format!("{OPENS}{id}{CLOSES}")
}

/// A text in pieces: what it says itself, and the handles in it.
enum Piece<'a> {
    Words(&'a str),
    Handle(ActionId),
    /// It begins like a handle and is none.
    Broken,
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(after) = rest.strip_prefix(OPENS) else {
            let (words, later) = rest.split_at(rest.find(OPENS).unwrap_or(rest.len()));
            rest = later;
            return Some(Piece::Words(words));
        };
        let named = after.split_once(CLOSES).and_then(|(id, later)| Some((id.parse().ok()?, later)));
        let (piece, later) = named.map_or((Piece::Broken, after), |(id, later)| (Piece::Handle(id), later));
        rest = later;
        Some(piece)
    })
}

/// The texts that an action sends and that may hold handles: contents and inputs. Not where something goes, and not what
/// a shell is given to run.
fn outgoing(action: &Action) -> Vec<&str> {
    let mut texts = Vec::new();
    match action {
        Action::FileWrite { content, .. } => texts.push(content.as_str()),
        Action::FileEdit { new, .. } => texts.push(new.as_str()),
        Action::CommandWrite { input, .. } => texts.push(input.as_str()),
        Action::FunctionCall { arguments, .. } => collect(arguments, &mut texts),
        Action::ConnectorCall(call) => collect(&call.arguments, &mut texts),
        _ => {}
    }
    texts
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace(value: &mut Value, fill: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = fill(text),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, fill)),
        Value::Object(fields) => fields.values_mut().for_each(|value| replace(value, fill)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Brings arguments into the one form of their schema, where they have one.
fn spell(arguments: &mut Value, schema: Option<&Value>) {
    if let Some(Ok(spelt)) = schema.map(|schema| canonical::arguments(&arguments.to_string(), schema)) {
        *arguments = spelt;
    }
}

impl State {
    /// The values that an action carries, by their handles, each once.
    fn carried(&self, action: &Action) -> Vec<(ActionId, &Held)> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let mut carried: Vec<(ActionId, &Held)> = Vec::new();
        for piece in outgoing(action).into_iter().flat_map(pieces) {
            if let Piece::Handle(id) = piece
                && let Some(held) = self.held.get(&id)
                && carried.iter().all(|(known, _)| *known != id)
            {
                carried.push((id, held));
            }
        }
        carried
    }

    pub(super) fn carries_held(&self, action: &Action) -> bool {
        !self.carried(action).is_empty()
    }

    /// Of the values that an action carries, as policy and those who are asked must take it.
    pub(super) fn label_carried(&self, action: &Action) -> Label {
        let mut label = Label::nothing();
        self.carried(action).iter().for_each(|(_, held)| label.join(&held.label));
        label
    }

    /// The action with the values in the place of their handles: what is really sent. `None` where it carries none.
    pub fn filled(&self, action: &Action) -> Option<Action> {
        if !self.carries_held(action) {
            return None;
        }
        let fill = |text: &str| -> String {
            let part = |piece| match piece {
                Piece::Words(words) => Cow::Borrowed(words),
                Piece::Handle(id) => self.held.get(&id).map_or_else(|| handle(id).into(), |held| (&held.text).into()),
                Piece::Broken => OPENS.into(),
            };
            pieces(text).map(part).collect()
        };
        let mut filled = action.clone();
        match &mut filled {
            Action::FileWrite { content: text, .. }
            | Action::FileEdit { new: text, .. }
            | Action::CommandWrite { input: text, .. } => *text = fill(text),
            Action::FunctionCall { name, arguments } => {
                replace(arguments, &fill);
                // A value may have another spelling than the one form of its argument.
                let tool = self.agent.tools.iter().find(|tool| tool.name == *name);
                spell(arguments, tool.map(|tool| &tool.parameters));
            }
            Action::ConnectorCall(call) => {
                replace(&mut call.arguments, &fill);
                let tool = self.connector_tool(&call.connector, &call.tool);
                spell(&mut call.arguments, tool.map(|tool| &tool.parameters));
            }
            _ => {}
        }
        Some(filled)
    }

    /// Whether the arguments of a call have the one form that its schema wants.
    fn is_spelt(&self, action: &Action) -> bool {
        let (arguments, schema) = match action {
            Action::FunctionCall { name, arguments } => {
                (arguments, self.agent.tools.iter().find(|tool| tool.name == *name).map(|tool| &tool.parameters))
            }
            Action::ConnectorCall(call) => {
                (&call.arguments, self.connector_tool(&call.connector, &call.tool).map(|tool| &tool.parameters))
            }
            _ => return true,
        };
        schema.is_none_or(|schema| canonical::arguments(&arguments.to_string(), schema).as_ref() == Ok(arguments))
    }

    /// Refuses handles that mean nothing, or stand where nothing is filled in. The error is for the model.
    pub(super) fn check_handles(&self, action: Action) -> Result<Action, String> {
        let canonical = action.canonical();
        let all = canonical.windows(OPENS.len()).filter(|window| *window == OPENS.as_bytes()).count();
        if all == 0 {
            return Ok(action);
        }
        let (mut handles, mut bytes) = (0, 0);
        for piece in outgoing(&action).into_iter().flat_map(pieces) {
            match piece {
                Piece::Words(words) => bytes += words.len(),
                Piece::Handle(id) => {
                    let held = self.held.get(&id);
                    let held = held.ok_or_else(|| format!("There is no handle `{}` in this session.", handle(id)))?;
                    (handles, bytes) = (handles + 1, bytes + held.text.len());
                }
                Piece::Broken => {
                    return Err(format!("`{OPENS}` begins a handle, which is written `{{{{held:act_…}}}}`."));
                }
            }
        }
        if handles != all {
            return Err(
                "A handle can stand in the content of a file, in the new text of an edit, in the input of a command and in \
                 the texts of a function's arguments, and nowhere else."
                    .into(),
            );
        }
        if handles > MAX_HANDLES || bytes > MAX_HELD_BYTES {
            return Err(format!(
                "One call can hold {MAX_HANDLES} handles, and {MAX_HELD_BYTES} bytes with their values."
            ));
        }
        if self.filled(&action).is_some_and(|sent| !self.is_spelt(&sent)) {
            return Err("What a handle stands for does not fit the argument that it is given for.".into());
        }
        Ok(action)
    }

    /// What `hold_value` reads is there, or is not. Why not is said in our words.
    pub(super) fn hold_read(&mut self, id: ActionId, open: &OpenAction, content: &[Content]) -> Result<String, String> {
        let Action::FileRead { path, .. } = &*open.action else { return Err("It is nothing that can be read.".into()) };
        let text = joined_text(content);
        if text == FILE_IS_EMPTY || text.starts_with(FILE_ENDS_BEFORE) {
            return Err("There is nothing to hold: the file ends before that line.".into());
        }
        if text.rsplit('\n').next().is_some_and(|last| last.starts_with(FILE_GOES_ON)) {
            return Err(format!(
                "It is longer than what one read gives: hold it in parts, with `offset` and `limit`. {}",
                bound()
            ));
        }
        let (label, source) = (self.environment_label.clone(), format!("lines of {path}"));
        self.hold(id, Held { text, label, source })
    }

    /// The error is for the model.
    fn hold(&mut self, id: ActionId, held: Held) -> Result<String, String> {
        let size = held.text.len();
        let sum: usize = self.held.values().map(|held| held.text.len()).sum();
        if size > MAX_VALUE || sum + size > MAX_HELD_BYTES || self.held.len() >= MAX_HELD {
            return Err(format!("It was not kept. {}", bound()));
        }
        self.held.insert(id, held);
        Ok(format!("Held as {} (text, {size} bytes).", handle(id)))
    }

    /// How an action that carried values ended, as the history may know it.
    pub(super) fn told<'a>(&mut self, id: ActionId, open: &OpenAction, outcome: &'a Outcome) -> Cow<'a, Outcome> {
        if !self.carries_held(&open.action) {
            return Cow::Borrowed(outcome);
        }
        Cow::Owned(match outcome {
            Outcome::Confirmed { result: ActionResult::Tool(answer) } => {
                let own = self.label_of_connector(&open.action, outcome);
                let kept = self.hold_answer(id, open, &own, &answer.content);
                let said = if answer.failed { "The tool says that it failed." } else { "The tool has answered." };
                let content = vec![Content::text(format!("{said} {kept}"))];
                let answer = ToolAnswer { content, failed: answer.failed, ..ToolAnswer::default() };
                Outcome::Confirmed { result: ActionResult::Tool(answer) }
            }
            Outcome::Confirmed { .. } => {
                Outcome::Confirmed { result: ActionResult::Content { content: vec![Content::text("Done.")] } }
            }
            Outcome::Failed { failure } => {
                let message = match failure.code {
                    FailureCode::ToolError => {
                        "It was not done: what it was to be done to is not there or does not fit."
                    }
                    FailureCode::Cancelled => "It was not done: the turn was cancelled.",
                    _ => "It was not done.",
                };
                Outcome::Failed { failure: Failure::new(failure.code, message) }
            }
            Outcome::Unknown { .. } => Outcome::Unknown { reason: "nobody knows what became of it".into() },
            Outcome::NotSent { reason } => Outcome::NotSent { reason: reason.clone() },
        })
    }

    /// The application's answer to a call that carried values.
    pub(super) fn told_by_function(
        &mut self,
        id: ActionId,
        open: &OpenAction,
        result: &Result<Vec<Content>, String>,
    ) -> CallEnd {
        let Ok(content) = result else { return CallEnd::failed("The function failed.".into()) };
        let said = self.hold_answer(id, open, &Label::foreign(), content);
        CallEnd::done(format!("The function has answered. {said}"))
    }

    /// Keeps what a call that carried values has brought: it may be these values again.
    fn hold_answer(&mut self, id: ActionId, open: &OpenAction, own: &Label, content: &[Content]) -> String {
        let mut label = self.label_carried(&open.action);
        label.join(own);
        let (text, source) = (joined_text(content), format!("the answer to {}", describe(&open.action)));
        match self.hold(id, Held { text, label, source }) {
            Ok(said) | Err(said) => said,
        }
    }

    /// Ends a `hold_value`.
    pub(super) fn held_settled(
        &mut self,
        open: &OpenAction,
        settled: &ActionSettled,
        content: &[Content],
        changes: &mut Vec<Change>,
    ) {
        let Some(index) = self.call_index(open.call_id.as_deref()) else { return };
        let end = match self.hold_read(settled.action, open, content) {
            Ok(said) => CallEnd::done(said),
            Err(why) => CallEnd::failed(why),
        };
        self.finish_call(index, Some((settled.action, &open.action)), end, changes);
    }

    /// The values that a person is asked about.
    pub(super) fn held_views(&self, action: &Action) -> Vec<HeldView> {
        let view = |(id, held): (ActionId, &Held)| {
            let shown = held.text.floor_char_boundary(MAX_SHOWN);
            HeldView {
                handle: handle(id),
                source: held.source.clone(),
                label: held.label.clone(),
                size_bytes: held.text.len() as u64,
                text: held.text[..shown].to_owned(),
            }
        };
        self.carried(action).into_iter().map(view).collect()
    }
}

fn bound() -> String {
    format!(
        "A session holds up to {MAX_HELD} values of at most {MAX_VALUE} bytes each, and {MAX_HELD_BYTES} bytes in all."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let shown = |piece| match piece {
            Piece::Words(words) => words.to_owned(),
            Piece::Handle(id) => format!("<{id}>"),
            Piece::Broken => "?".to_owned(),
        };
        pieces(text).map(shown).collect()
    }

    #[test]
    fn a_text_is_words_and_handles_and_what_only_begins_like_one_is_told() {
        let id = "act_01a17720ca7b70008000000000000009";
        assert_eq!(read(&format!("a {{{{held:{id}}}}} b")), ["a ", &format!("<{id}>"), " b"]);
        assert_eq!(read(&format!("{{{{held:{id}}}}}{{{{held:{id}}}}}")).len(), 2);
        assert_eq!(read("{{held:act_1}} x"), ["?", "act_1}} x"]);
        assert_eq!(read("{{held:"), ["?"]);
        assert_eq!(read("{{hold}}"), ["{{hold}}"]);
    }
}
