//! What agents do with memory: each action under its permit, within what the gate says that it may reach.
//!
//! A session that has read untrusted input may look, and may propose. It changes nothing, removes nothing and confirms
//! nothing: whoever wrote what it read would do it through the agent's hand. A proposal is told to no session.

use crate::book::{Book, Note, Remembered};
use async_trait::async_trait;
use bailiwick_core::{
    Action, ActionResult, Content, Failure, FailureCode, Integrity, Label, MemoryEntry, MemorySearch, MemorySource,
    MemoryState, MemoryWrite, Outcome, ToolAnswer, memory::MemoryVersion,
};
use bailiwick_gate::{Memory, Opened, Permit, Settled};
use bailiwick_ports::{
    Clock, StoreError,
    memory::{Holder, MAX_MEMORIES, MemoryError, MemoryScope, Precondition, Within},
};
use bailiwick_types::MemoryId;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// The hand. Clones share what it works with.
#[derive(Clone)]
pub struct Hand {
    book: Book,
    clock: Arc<dyn Clock>,
}

/// What comes back, or why nothing does.
type Told = Result<ToolAnswer, Refusal>;

/// Why something was not done.
enum Refusal {
    /// In words for the model, ours alone.
    Plain(String),
    Fault(MemoryError),
}

impl From<MemoryError> for Refusal {
    fn from(error: MemoryError) -> Self {
        Self::Fault(error)
    }
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Plain(words)
    }
}

#[async_trait]
impl Memory for Hand {
    async fn perform(&self, permit: Permit) -> Settled {
        let opened = match permit.open(&*self.clock) {
            Ok(opened) => opened,
            Err(settled) => return settled,
        };
        let told = match (opened.action(), opened.within()) {
            (Action::MemorySearch(search), Some(within)) => self.search(&opened, within, search).await,
            (Action::MemoryRead { memory, .. }, Some(within)) => self.read(within, *memory).await,
            (Action::MemoryWrite(write), Some(within)) => self.write(&opened, within, write).await,
            (Action::MemoryForget { seen, label, .. }, Some(within)) => self.forget(within, *seen, label).await,
            _ => Err("This is no action of memory.".to_owned().into()),
        };
        let outcome = outcome(opened.action(), told);
        opened.settle(outcome)
    }
}

impl Hand {
    pub fn new(book: Book, clock: Arc<dyn Clock>) -> Self {
        Self { book, clock }
    }

    /// Refuses to write over or remove what a legal hold covers.
    async fn check_held(&self, within: &Within, id: MemoryId) -> Result<(), Refusal> {
        let holder = self.book.holder(within, id).await?;
        match self.book.is_held(within.tenant, holder).await? {
            false => Ok(()),
            true => Err(Refusal::Plain("A legal hold forbids to change or remove what is remembered here.".into())),
        }
    }

    async fn search(&self, opened: &Opened, within: &Within, search: &MemorySearch) -> Told {
        let found = self.book.search(within, &search.query, &search.kinds, u32::from(search.limit)).await?;
        let room = opened.scope().limits.output_bytes as usize;
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for entry in &found {
            bytes += entry.text.len() + ENTRY_BYTES;
            if bytes > room && !shown.is_empty() {
                break;
            }
            shown.push(entry);
        }
        let mut said = json!({"memories": shown.iter().map(|entry| view(entry)).collect::<Vec<_>>()});
        if shown.len() < found.len() {
            said["left_out"] = json!(found.len() - shown.len());
        }
        Ok(answer(&said, &shown))
    }

    async fn read(&self, within: &Within, id: MemoryId) -> Told {
        let entry = self.confirmed(within, id).await?;
        Ok(answer(&view(&entry), &[&entry]))
    }

    /// An entry that sessions may know of.
    async fn confirmed(&self, within: &Within, id: MemoryId) -> Result<MemoryEntry, MemoryError> {
        let entry = self.book.get(within, id).await?;
        if entry.state == MemoryState::Confirmed { Ok(entry) } else { Err(MemoryError::Unknown) }
    }

    async fn write(&self, opened: &Opened, within: &Within, write: &MemoryWrite) -> Told {
        let note = |label: Label| Note {
            kind: write.kind,
            text: write.text.clone(),
            label,
            source: MemorySource {
                by: opened.scope().principal.clone(),
                session: Some(opened.scope().session),
                action: Some(opened.id()),
                consolidated_by: write.consolidated_by,
                confirmed_by: None,
            },
            at: self.clock.now(),
        };
        let Some(seen) = write.replaces else {
            let holder = holder(within, write.scope)?;
            let written =
                self.book.remember(within.tenant, opened.id().into(), holder, note(write.label.clone())).await?;
            return Ok(told_of(&written));
        };
        vouched(&write.label, "corrected")?;
        let before = self.confirmed_or_written(within, seen.memory, opened).await?;
        self.check_held(within, seen.memory).await?;
        let mut label = write.label.clone();
        label.join(&before.label);
        let wanted = Precondition { version: seen.version, action: Some(opened.id()) };
        let entry = self.book.rewrite(within, seen.memory, wanted, MemoryState::under(&label), note(label)).await?;
        Ok(answer(&json!({"corrected": entry.id, "version": entry.version}), &[]))
    }

    /// The entry before a correction; where a crash came between writing and telling, after it.
    async fn confirmed_or_written(
        &self,
        within: &Within,
        id: MemoryId,
        opened: &Opened,
    ) -> Result<MemoryEntry, MemoryError> {
        let entry = self.book.get(within, id).await?;
        let mine = entry.source.action == Some(opened.id());
        if mine || entry.state == MemoryState::Confirmed { Ok(entry) } else { Err(MemoryError::Unknown) }
    }

    async fn forget(&self, within: &Within, seen: MemoryVersion, label: &Label) -> Told {
        vouched(label, "forgotten")?;
        match self.confirmed(within, seen.memory).await {
            Ok(_) => {
                self.check_held(within, seen.memory).await?;
                self.book.forget(within, seen.memory, Some(seen.version), None).await?;
            }
            // It may be this very action that removed it, before a crash. Either way it is not there.
            Err(MemoryError::Unknown) => {
                return Ok(answer(&json!({"forgotten": seen.memory, "was_there": false}), &[]));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(answer(&json!({"forgotten": seen.memory, "was_there": true}), &[]))
    }
}

/// Bytes that an entry takes beside its text, generously.
const ENTRY_BYTES: usize = 256;

/// Whether the session may change what others rely on.
fn vouched(label: &Label, what: &str) -> Result<(), Refusal> {
    match label.integrity {
        Integrity::Trusted => Ok(()),
        Integrity::Untrusted => Err(Refusal::Plain(format!(
            "This session has read input that nobody vouches for, so nothing that is remembered can be {what} from it. Propose \
             a new entry without `id`, or let the person do it."
        ))),
    }
}

/// Whose entry it will be.
fn holder(within: &Within, scope: MemoryScope) -> Result<Holder, Refusal> {
    let mut fitting = within.holders.iter().copied().filter(|holder| holder.scope() == scope);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Refusal::Plain(
            "The person is in several teams, so nobody can say which of them is meant. Use another `scope`.".into(),
        )),
        (None, _) => Err(Refusal::Plain(match scope {
            MemoryScope::Person => "No person is worked for here, so there is no memory of one.".into(),
            MemoryScope::Team => "There is no team here whose memory it could be.".into(),
            MemoryScope::Agent => "This agent is not saved, so it has no memory of its own.".into(),
            MemoryScope::Tenant => "This agent does not share memory with everybody.".into(),
        })),
    }
}

fn told_of(written: &Remembered) -> ToolAnswer {
    let (word, entry) = match written {
        Remembered::New(entry) if entry.state == MemoryState::Proposed => ("proposed", entry),
        Remembered::New(entry) => ("remembered", entry),
        Remembered::Known(entry) => ("known_already", entry),
        Remembered::Confirmed(entry) => ("confirmed", entry),
    };
    let mut said = json!({word: entry.id, "version": entry.version});
    if entry.state == MemoryState::Proposed {
        said["note"] = json!(
            "It is kept apart until a person confirms it, because it came from a session that had read untrusted input."
        );
    }
    answer(&said, &[])
}

/// An entry as a model is told of it.
fn view(entry: &MemoryEntry) -> Value {
    json!({
        "id": entry.id, "kind": entry.kind, "scope": entry.scope, "version": entry.version, "text": entry.text,
        "updated": entry.updated.to_string(),
    })
}

/// An answer with the label of all that is in it, and its entries for the receipt.
fn answer(said: &Value, shown: &[&MemoryEntry]) -> ToolAnswer {
    let mut label = Label::nothing();
    shown.iter().for_each(|entry| label.join(&entry.label));
    let ids: Vec<String> = shown.iter().map(|entry| format!("{}@{}", entry.id, entry.version)).collect();
    let facts = match ids.is_empty() {
        true => BTreeMap::new(),
        false => BTreeMap::from([("memories".to_owned(), ids.join(" "))]),
    };
    ToolAnswer { content: vec![Content::text(said.to_string())], label: Some(label), facts, failed: false }
}

fn outcome(action: &Action, told: Told) -> Outcome {
    let error = match told {
        Ok(answer) => return Outcome::Confirmed { result: ActionResult::Tool(answer) },
        Err(Refusal::Plain(words)) => return failed(FailureCode::ToolError, words),
        Err(Refusal::Fault(error)) => error,
    };
    let words = match error {
        MemoryError::Unknown => "There is no such entry.".to_owned(),
        MemoryError::Version(version) => {
            format!("It was changed meanwhile and has version {version}. Read it again before you change it.")
        }
        MemoryError::Same(other) => format!("{other} says the same already."),
        MemoryError::Full(scope) => {
            format!("There are {MAX_MEMORIES} entries of this {} already. Forget some first.", scope.name())
        }
        MemoryError::Invalid { field, problem } => format!("`{field}` {problem}."),
        MemoryError::Store(StoreError::Unavailable(reason)) if changes(action) => return Outcome::Unknown { reason },
        MemoryError::Store(_) | MemoryError::Unreadable(_) => {
            return failed(FailureCode::Internal, format!("Memory cannot be used: {error}."));
        }
    };
    failed(FailureCode::ToolError, words)
}

fn changes(action: &Action) -> bool {
    matches!(action, Action::MemoryWrite(_) | Action::MemoryForget { .. })
}

fn failed(code: FailureCode, words: String) -> Outcome {
    Outcome::Failed { failure: Failure::new(code, words) }
}
