//! Tells a session's story to one connection, in the API's events.
//!
//! It remembers what this connection was told: a final item whose deltas it never saw is announced, sent as one delta
//! with the rest, and finished, as if it had been streamed. Three rules a client can rely on:
//!
//! - `item.done` is final and authoritative; deltas are provisional.
//! - A second `content_part.added` (or `reasoning_summary_part.added`) for the same place means that the text begins
//!   again: a model call was retried, or the connection fell behind.
//! - What was announced and not done when its turn ends is void.

use crate::types::{
    environment,
    event::{
        CommandOutputEvent, ContentPartEvent, EnvironmentEvent, EnvironmentState, ErrorEvent, Event, EventBody,
        EventError, ItemAddedEvent, ItemDoneEvent, OutputPart, Place, SessionEvent, SummaryDeltaEvent,
        SummaryDoneEvent, SummaryPartEvent, TextDeltaEvent, TextDoneEvent, TurnEndEvent, TurnEvent,
    },
    input::TextContent,
    item::{Item, MessageItem, ReasoningItem, SummaryPart},
    session::Session,
    turn::Turn,
};
use bailiwick_core::{
    EnvironmentStatus,
    item::{Change, Item as CoreItem, ItemBody, ItemStatus, SessionStatus, SessionView, TurnStatus, TurnView},
};
use bailiwick_engine::{Event as LiveEvent, EventKind, LiveDelta};
use bailiwick_types::{ItemId, SessionId, TurnId};
use std::collections::{BTreeMap, HashMap, HashSet};

/// One event, ready to be written.
#[derive(Debug)]
pub(crate) struct Told {
    pub event: Event,
    /// The place that a client may resume from once it has this event.
    pub place: Option<(u64, u32)>,
}

/// What a connection is told of one session.
pub(crate) struct Narrator {
    session: SessionId,
    base_url: String,
    /// The turn that is running, as far as this connection knows.
    turn: Option<TurnId>,
    /// The connection begins at a place of which it is not known whether a turn ran then.
    adrift: bool,
    last_ended: Option<TurnId>,
    /// Announced and not done.
    open: HashMap<ItemId, Announced>,
    /// Done in the running turn.
    done: HashSet<ItemId>,
    /// Items that were at work before this connection began.
    at_work: HashMap<ItemId, CoreItem>,
    /// Function calls up to this position that are not among these were answered before this connection began. They
    /// are not announced: an application runs what is announced.
    answered: Option<(u64, HashSet<(TurnId, String)>)>,
    /// Ends after the first turn that it has seen ending.
    until_idle: bool,
    over: bool,
    /// Counts whole texts, which have no place of their own.
    partials: u32,
    out: Vec<Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Reasoning,
    Other,
}

struct Announced {
    kind: Kind,
    output_index: u32,
    /// Text that was sent, by part.
    sent: BTreeMap<u16, String>,
}

/// Where in the stream something is told, for its event's id.
#[derive(Clone, Copy)]
struct At {
    position: u64,
    count: u32,
    change: usize,
    partial: Option<u32>,
}

impl Narrator {
    pub fn new(session: SessionId, base_url: String, until_idle: bool) -> Self {
        Self {
            session,
            base_url,
            turn: None,
            adrift: false,
            last_ended: None,
            open: HashMap::new(),
            done: HashSet::new(),
            at_work: HashMap::new(),
            answered: None,
            until_idle,
            over: false,
            partials: 0,
            out: Vec::new(),
        }
    }

    /// The connection begins in the middle of things.
    pub fn joins(&mut self, view: &SessionView, at_work: Vec<CoreItem>) {
        self.turn = view.turn;
        // A turn may have begun since the row was written.
        self.adrift = view.turn.is_none();
        self.at_work = at_work.into_iter().map(|item| (item.id, item)).collect();
    }

    /// The connection begins after a place in the past.
    pub fn resumes(&mut self, at_work: Vec<CoreItem>) {
        self.adrift = true;
        self.at_work = at_work.into_iter().map(|item| (item.id, item)).collect();
    }

    /// The turn of whatever comes first is the one that runs.
    fn drift(&mut self, turn: TurnId) {
        if std::mem::take(&mut self.adrift) {
            self.turn = Some(turn);
        }
    }

    /// What was up to `position` is told again; only these function calls still wait.
    pub fn repeats(&mut self, position: u64, pending: HashSet<(TurnId, String)>) {
        self.answered = Some((position, pending));
    }

    /// Nothing more is to be told on this connection.
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn tell(&mut self, event: &LiveEvent) -> Vec<Told> {
        let mut at = At { position: event.position, count: event.count, change: 0, partial: None };
        match &event.kind {
            EventKind::Changes(changes) => {
                for (index, change) in changes.iter().enumerate() {
                    at.change = index;
                    self.change(at, change, changes);
                    if self.over {
                        break;
                    }
                }
            }
            EventKind::Delta(delta) => self.delta(at, delta, false),
            EventKind::Partial(delta) => {
                self.partials += 1;
                at.partial = Some(self.partials);
                self.delta(at, delta, true);
            }
        }
        let mut told = std::mem::take(&mut self.out);
        if let Some(last) = told.last_mut() {
            last.place = Some((event.position, event.count));
        }
        told
    }

    fn say(&mut self, at: At, step: u32, body: EventBody) {
        // The low half of a session's id is random, so ids differ between sessions too.
        let session = self.session.to_u128() as u64;
        let At { position, count, change, partial } = at;
        let partial = partial.map(|serial| format!("p{serial:x}")).unwrap_or_default();
        let event_id = format!("evt_{session:016x}_{position:x}_{count:x}{partial}_{change:x}_{step:x}");
        self.out.push(Told { event: Event { event_id, body, obfuscation: None }, place: None });
    }

    fn session_id(&self) -> String {
        self.session.to_string()
    }

    fn change(&mut self, at: At, change: &Change, all: &[Change]) {
        match change {
            Change::SessionCreated(view) => {
                let event = self.session_event(view);
                self.say(at, 0, EventBody::SessionCreated(event));
            }
            Change::SessionUpdated(_)
            | Change::Artifacts(_)
            | Change::ApprovalAsked(_)
            | Change::ApprovalEnded(_)
            | Change::ArtifactRemoved(_)
            | Change::Errand { .. }
            | Change::TurnUpdated(_)
            | Change::Booked(_) => {}
            Change::SessionStatus(view) => self.status(at, view),
            Change::SessionDeleted => self.over = true,
            Change::TurnCreated(turn) => {
                self.adrift = false;
                self.turn = Some(turn.id);
                self.forget_items();
                let event = self.turn_event(turn);
                self.say(at, 0, EventBody::TurnCreated(event));
            }
            Change::TurnInProgress(turn) => {
                let event = self.turn_event(turn);
                self.say(at, 0, EventBody::TurnInProgress(event));
            }
            Change::TurnEnded(turn) => self.turn_ended(at, turn),
            Change::ItemAdded(item) => {
                let finished = all.iter().any(|other| matches!(other, Change::ItemDone(done) if done.id == item.id));
                self.item_added(at, item, finished);
            }
            Change::ItemDone(item) => self.item_done(at, item),
            Change::Environment { id, kind, status, error } => {
                let error = error.as_ref().map(|message| EventError {
                    code: "sandbox_error".into(),
                    message: message.clone(),
                    param: None,
                    r#type: "server_error",
                });
                let state =
                    EnvironmentState { id: id.to_string(), r#type: kind, status: environment::status(*status), error };
                let turn_id = self.turn.map(|turn| turn.to_string());
                let event = EnvironmentEvent { session_id: self.session_id(), turn_id, environment: state };
                self.say(at, 0, environment_body(*status, event));
            }
        }
    }

    fn session_event(&self, view: &SessionView) -> SessionEvent {
        SessionEvent { session: Box::new(Session::of(view, &self.base_url)) }
    }

    fn status(&mut self, at: At, view: &SessionView) {
        let event = self.session_event(view);
        let ended = self.turn.is_none() && self.last_ended.is_some();
        let (body, last) = match view.status {
            SessionStatus::Idle => (EventBody::SessionIdle(event), ended),
            SessionStatus::InProgress => (EventBody::SessionInProgress(event), false),
            SessionStatus::RequiresAction => (EventBody::SessionRequiresAction(event), false),
            SessionStatus::Failed => (EventBody::SessionFailed(event), true),
        };
        self.say(at, 0, body);
        self.over = self.until_idle && last;
    }

    // ---- turns ----

    fn turn_event(&self, turn: &TurnView) -> TurnEvent {
        TurnEvent { session_id: self.session_id(), turn_id: turn.id.to_string(), turn: Turn::of(self.session, turn) }
    }

    fn turn_ended(&mut self, at: At, turn: &TurnView) {
        self.drift(turn.id);
        if self.turn.is_none_or(|running| running == turn.id) {
            self.turn = None;
            self.forget_items();
        }
        self.last_ended = Some(turn.id);
        if let Some(error) = &turn.error {
            let error = EventError {
                code: error.code.clone(),
                message: error.message.clone(),
                param: None,
                r#type: "server_error",
            };
            self.say(at, 0, EventBody::Error(ErrorEvent { session_id: self.session_id(), error }));
        }
        let TurnEvent { session_id, turn_id, turn: shown } = self.turn_event(turn);
        let event = TurnEndEvent { session_id, turn_id, usage: shown.usage, turn: shown };
        let body = match turn.status {
            TurnStatus::Failed => EventBody::TurnFailed(event),
            TurnStatus::Cancelled => EventBody::TurnCancelled(event),
            TurnStatus::Completed | TurnStatus::InProgress | TurnStatus::Waiting => EventBody::TurnCompleted(event),
        };
        self.say(at, 1, body);
    }

    fn forget_items(&mut self) {
        self.open.clear();
        self.done.clear();
        self.at_work.clear();
    }

    // ---- items ----

    fn item_added(&mut self, at: At, item: &CoreItem, finished: bool) {
        self.drift(item.turn);
        if let ItemBody::FunctionCall { call_id, .. } = &item.body {
            // A function call that is announced is run by the application: never one that was refused, denied or
            // answered already.
            let answered = self.answered.as_ref().is_some_and(|(position, pending)| {
                at.position <= *position && !pending.contains(&(item.turn, call_id.clone()))
            });
            if finished || answered {
                return;
            }
        }
        if let Some(output_index) = item.output_index {
            self.open.insert(item.id, Announced::new(Kind::Other, output_index));
        }
        self.announce(at, item);
    }

    fn announce(&mut self, at: At, item: &CoreItem) {
        let event = ItemAddedEvent {
            session_id: self.session_id(),
            turn_id: item.turn.to_string(),
            item: Item::of(item),
            output_index: item.output_index,
        };
        self.say(at, 0, EventBody::ItemAdded(event));
    }

    fn item_done(&mut self, at: At, item: &CoreItem) {
        let Some(output_index) = item.output_index else { return };
        self.drift(item.turn);
        let told_before = self.turn != Some(item.turn) || self.done.contains(&item.id);
        if !told_before {
            match &item.body {
                ItemBody::AssistantMessage { text, .. } => self.finish_message(at, item, output_index, text),
                ItemBody::Reasoning { summary } => self.finish_reasoning(at, item, output_index, summary),
                ItemBody::FunctionCall { .. } => {}
                ItemBody::CommandExecution { output, .. } => {
                    self.finish_command(at, item, output_index, output.as_deref())
                }
                _ => self.ensure_announced(at, item),
            }
        }
        self.open.remove(&item.id);
        self.at_work.remove(&item.id);
        if self.turn == Some(item.turn) {
            self.done.insert(item.id);
        }
        let event = ItemDoneEvent {
            session_id: self.session_id(),
            turn_id: item.turn.to_string(),
            item: Item::of(item),
            output_index,
        };
        self.say(at, u32::MAX, EventBody::ItemDone(event));
    }

    /// An item whose beginning this connection did not see.
    fn ensure_announced(&mut self, at: At, item: &CoreItem) {
        if !self.open.contains_key(&item.id) {
            self.announce(at, &begun(item));
            self.open.insert(item.id, Announced::new(Kind::Other, item.output_index.unwrap_or_default()));
        }
    }

    fn finish_command(&mut self, at: At, item: &CoreItem, output_index: u32, output: Option<&str>) {
        self.ensure_announced(at, item);
        let silent = self.open.get(&item.id).is_some_and(|announced| announced.sent.is_empty());
        if let Some(output) = output.filter(|output| silent && !output.is_empty()) {
            let place = self.place(item.turn, item.id, output_index);
            self.say(at, 3, EventBody::CommandOutputDelta(CommandOutputEvent { place, delta: output.to_owned() }));
        }
    }

    fn finish_message(&mut self, at: At, item: &CoreItem, output_index: u32, text: &str) {
        let place = self.place(item.turn, item.id, output_index);
        self.open_text(at, item.turn, item.id, output_index, Kind::Message, 0);
        if let Some(rest) = self.rest(at, &place, item.id, Kind::Message, 0, text) {
            self.say(at, 3, text_delta(&place, Kind::Message, 0, rest));
        }
        let done = TextDoneEvent { place: place.clone(), content_index: 0, text: text.to_owned() };
        self.say(at, 4, EventBody::TextDone(done));
        let part = OutputPart::OutputText(TextContent { text: text.to_owned() });
        self.say(at, 5, EventBody::ContentPartDone(ContentPartEvent { place, content_index: 0, part }));
    }

    fn finish_reasoning(&mut self, at: At, item: &CoreItem, output_index: u32, summary: &[String]) {
        let place = self.place(item.turn, item.id, output_index);
        self.open_item(at, item.turn, item.id, output_index, Kind::Reasoning);
        for (index, text) in summary.iter().enumerate() {
            let part = u16::try_from(index).unwrap_or(u16::MAX);
            let steps = 8 * (u32::from(part) + 1);
            self.open_text(at, item.turn, item.id, output_index, Kind::Reasoning, part);
            if let Some(rest) = self.rest(at, &place, item.id, Kind::Reasoning, part, text) {
                self.say(at, steps + 3, text_delta(&place, Kind::Reasoning, part, rest));
            }
            let summary_index = u32::from(part);
            let done = SummaryDoneEvent { place: place.clone(), summary_index, text: text.clone() };
            self.say(at, steps + 4, EventBody::SummaryDone(done));
            let part = SummaryPart::SummaryText(TextContent { text: text.clone() });
            self.say(
                at,
                steps + 5,
                EventBody::SummaryPartDone(SummaryPartEvent { place: place.clone(), summary_index, part }),
            );
        }
    }

    /// What of the final text was not sent yet. Where something else was sent, the text begins again.
    fn rest(&mut self, at: At, place: &Place, item: ItemId, kind: Kind, part: u16, text: &str) -> Option<String> {
        let sent = self.open.get(&item).and_then(|announced| announced.sent.get(&part)).cloned().unwrap_or_default();
        let rest = match text.strip_prefix(sent.as_str()) {
            Some(rest) => rest.to_owned(),
            None => {
                self.say(at, 2 + 8 * u32::from(part), part_added(place, kind, part));
                text.to_owned()
            }
        };
        (!rest.is_empty()).then_some(rest)
    }

    fn place(&self, turn: TurnId, item: ItemId, output_index: u32) -> Place {
        Place { session_id: self.session_id(), turn_id: turn.to_string(), item_id: item.to_string(), output_index }
    }

    /// Announces an answer's item that is being streamed.
    fn open_item(&mut self, at: At, turn: TurnId, item: ItemId, output_index: u32, kind: Kind) {
        if self.open.get(&item).is_some_and(|announced| announced.kind == kind) {
            return;
        }
        self.open.insert(item, Announced::new(kind, output_index));
        let (id, turn_id, status) = (item.to_string(), turn.to_string(), "in_progress");
        let shown = match kind {
            Kind::Reasoning => Item::Reasoning(ReasoningItem {
                id,
                turn_id: turn_id.clone(),
                status,
                summary: Vec::new(),
                bailiwick: None,
            }),
            Kind::Message | Kind::Other => Item::Message(MessageItem {
                id,
                turn_id: turn_id.clone(),
                role: "assistant",
                status,
                content: Vec::new(),
                phase: None,
                bailiwick: None,
            }),
        };
        let output_index = Some(output_index);
        let event = ItemAddedEvent { session_id: self.session_id(), turn_id, item: shown, output_index };
        self.say(at, 0, EventBody::ItemAdded(event));
    }

    /// Announces an item and one of its texts.
    fn open_text(&mut self, at: At, turn: TurnId, item: ItemId, output_index: u32, kind: Kind, part: u16) {
        self.open_item(at, turn, item, output_index, kind);
        let place = self.place(turn, item, output_index);
        let Some(announced) = self.open.get_mut(&item) else { return };
        if announced.sent.contains_key(&part) {
            return;
        }
        announced.sent.insert(part, String::new());
        self.say(at, 1 + 8 * u32::from(part), part_added(&place, kind, part));
    }

    // ---- deltas ----

    fn delta(&mut self, at: At, delta: &LiveDelta, whole: bool) {
        let turn = match delta {
            LiveDelta::Text { turn, .. }
            | LiveDelta::ReasoningSummary { turn, .. }
            | LiveDelta::CommandOutput { turn, .. }
            | LiveDelta::Restarted { turn, .. } => *turn,
        };
        self.drift(turn);
        // Left over from a turn that has ended on this connection already.
        if self.last_ended == Some(turn) || self.turn.is_some_and(|running| running != turn) {
            return;
        }
        match delta {
            LiveDelta::Text { item, output_index, text, .. } => {
                self.stream_text(at, turn, *item, *output_index, Kind::Message, 0, text, whole);
            }
            LiveDelta::ReasoningSummary { item, output_index, part, text, .. } => {
                self.stream_text(at, turn, *item, *output_index, Kind::Reasoning, *part, text, whole);
            }
            LiveDelta::CommandOutput { item, output_index, text, .. } => {
                self.stream_output(at, turn, *item, *output_index, text, whole);
            }
            LiveDelta::Restarted { items, .. } => self.restart(at, turn, items),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a delta has that many coordinates")]
    fn stream_text(
        &mut self,
        at: At,
        turn: TurnId,
        item: ItemId,
        output_index: u32,
        kind: Kind,
        part: u16,
        text: &str,
        whole: bool,
    ) {
        if self.done.contains(&item) {
            return;
        }
        self.open_text(at, turn, item, output_index, kind, part);
        let place = self.place(turn, item, output_index);
        let sent = self.open.get(&item).and_then(|announced| announced.sent.get(&part));
        if whole && sent.is_some_and(|sent| !sent.is_empty()) {
            self.say(at, 2 + 8 * u32::from(part), part_added(&place, kind, part));
            self.sent(item, part).clear();
        }
        self.sent(item, part).push_str(text);
        self.say(at, 3 + 8 * u32::from(part), text_delta(&place, kind, part, text.to_owned()));
    }

    fn sent(&mut self, item: ItemId, part: u16) -> &mut String {
        let announced = self.open.entry(item).or_insert(Announced::new(Kind::Other, 0));
        announced.sent.entry(part).or_default()
    }

    fn stream_output(&mut self, at: At, turn: TurnId, item: ItemId, output_index: u32, text: &str, whole: bool) {
        if self.done.contains(&item) {
            return;
        }
        if !self.open.contains_key(&item) {
            let Some(known) = self.at_work.remove(&item) else { return };
            self.ensure_announced(at, &known);
        }
        let place = self.place(turn, item, output_index);
        // Output has no way to begin again: whoever fell behind is sent what it has not seen.
        let sent = self.sent(item, 0);
        let fresh = if whole { text.strip_prefix(sent.as_str()).unwrap_or_default() } else { text };
        let fresh = fresh.to_owned();
        sent.push_str(&fresh);
        if !fresh.is_empty() {
            self.say(at, 3, EventBody::CommandOutputDelta(CommandOutputEvent { place, delta: fresh }));
        }
    }

    fn restart(&mut self, at: At, turn: TurnId, items: &[ItemId]) {
        for (index, item) in items.iter().enumerate() {
            let Some(announced) = self.open.get_mut(item) else { continue };
            let (kind, output_index) = (announced.kind, announced.output_index);
            let parts: Vec<u16> = announced.sent.keys().copied().collect();
            announced.sent.values_mut().for_each(String::clear);
            let at = At { change: index, ..at };
            for part in parts {
                let place = self.place(turn, *item, output_index);
                self.say(at, 2 + 8 * u32::from(part), part_added(&place, kind, part));
            }
        }
    }
}

impl Announced {
    fn new(kind: Kind, output_index: u32) -> Self {
        Self { kind, output_index, sent: BTreeMap::new() }
    }
}

/// An item as it was before it ended.
fn begun(item: &CoreItem) -> CoreItem {
    let mut item = CoreItem { status: ItemStatus::InProgress, effect: None, ..item.clone() };
    match &mut item.body {
        ItemBody::CommandExecution { output, exit_code, duration_ms, .. } => {
            (*output, *exit_code, *duration_ms) = (None, None, None);
        }
        ItemBody::ToolCall { output, error, .. } => (*output, *error) = (None, None),
        _ => {}
    }
    item
}

fn part_added(place: &Place, kind: Kind, part: u16) -> EventBody {
    let (place, text) = (place.clone(), TextContent { text: String::new() });
    match kind {
        Kind::Reasoning => EventBody::SummaryPartAdded(SummaryPartEvent {
            place,
            summary_index: u32::from(part),
            part: SummaryPart::SummaryText(text),
        }),
        Kind::Message | Kind::Other => EventBody::ContentPartAdded(ContentPartEvent {
            place,
            content_index: u32::from(part),
            part: OutputPart::OutputText(text),
        }),
    }
}

fn text_delta(place: &Place, kind: Kind, part: u16, delta: String) -> EventBody {
    let place = place.clone();
    match kind {
        Kind::Reasoning => EventBody::SummaryDelta(SummaryDeltaEvent { place, summary_index: u32::from(part), delta }),
        Kind::Message | Kind::Other => {
            EventBody::TextDelta(TextDeltaEvent { place, content_index: u32::from(part), delta })
        }
    }
}

fn environment_body(status: EnvironmentStatus, event: EnvironmentEvent) -> EventBody {
    match status {
        EnvironmentStatus::Pending => EventBody::EnvironmentPending(event),
        EnvironmentStatus::Ready => EventBody::EnvironmentReady(event),
        EnvironmentStatus::Connected => EventBody::EnvironmentConnected(event),
        EnvironmentStatus::Disconnected => EventBody::EnvironmentDisconnected(event),
        EnvironmentStatus::Suspended => EventBody::EnvironmentSuspended(event),
        EnvironmentStatus::Expired => EventBody::EnvironmentExpired(event),
        EnvironmentStatus::Failed => EventBody::EnvironmentFailed(event),
    }
}
