//! What watchers see: every change with its place, and provisional deltas between them.
//!
//! A watcher that comes late or falls behind reads the stream from where it is and then goes on live. Nothing is kept
//! for watchers but the partial texts of the answer that is being streamed.

use bailiwick_core::item::Change;
use bailiwick_gate::{Delta, GateError, Journal, Replay};
use bailiwick_ports::Store;
use bailiwick_types::{ItemId, SessionId, TurnId};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// Events that a watcher may be behind before it has to read the stream again.
const BACKLOG: usize = 1024;
/// Records read at once by a watcher that catches up.
const CHUNK: u32 = 128;
/// Partial text kept for watchers that come late, per item. More is cut: the final item has it all.
const MAX_PARTIAL: usize = 1024 * 1024;

/// One thing to tell. `position.count` is its place: `count` deltas after the record at `position`.
#[derive(Debug, Clone)]
pub struct Event {
    pub position: u64,
    pub count: u32,
    pub kind: EventKind,
}

#[derive(Debug, Clone)]
pub enum EventKind {
    /// On disk: all that one record changed.
    Changes(Vec<Change>),
    /// Provisional, and follows the delta before it.
    Delta(LiveDelta),
    /// Provisional: all of an item's text so far, for a watcher that came late or fell behind. It takes the place of
    /// whatever deltas of this item the watcher has seen.
    Partial(LiveDelta),
}

/// A delta with the place where its item will stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveDelta {
    Text {
        turn: TurnId,
        item: ItemId,
        output_index: u32,
        text: String,
    },
    ReasoningSummary {
        turn: TurnId,
        item: ItemId,
        output_index: u32,
        part: u16,
        text: String,
    },
    CommandOutput {
        turn: TurnId,
        item: ItemId,
        output_index: u32,
        text: String,
    },
    /// These items' texts begin again.
    Restarted {
        turn: TurnId,
        items: Vec<ItemId>,
    },
}

/// From where to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Now,
    Beginning,
    /// After an event's place.
    After {
        position: u64,
    },
}

/// The line of one session to its watchers.
#[derive(Clone)]
pub(crate) struct Channel(Arc<Inner>);

struct Inner {
    sender: broadcast::Sender<Arc<Event>>,
    streaming: Mutex<Streaming>,
}

#[derive(Default)]
struct Streaming {
    position: u64,
    count: u32,
    /// Text so far of each item that is being streamed.
    partial: HashMap<(ItemId, u16), LiveDelta>,
}

impl Channel {
    fn new() -> Self {
        let (sender, _) = broadcast::channel(BACKLOG);
        Self(Arc::new(Inner { sender, streaming: Mutex::default() }))
    }

    fn streaming(&self) -> MutexGuard<'_, Streaming> {
        self.0.streaming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what a commit changed, record by record.
    pub(crate) fn publish(&self, changes: Vec<(u64, Change)>) {
        let mut streaming = self.streaming();
        let mut record: Vec<Change> = Vec::new();
        let mut changes = changes.into_iter().peekable();
        while let Some((position, change)) = changes.next() {
            match &change {
                Change::ItemDone(item) => streaming.partial.retain(|(id, _), _| *id != item.id),
                Change::TurnEnded(_) => streaming.partial.clear(),
                _ => {}
            }
            record.push(change);
            if changes.peek().is_none_or(|(next, _)| *next != position) {
                (streaming.position, streaming.count) = (position, 0);
                let kind = EventKind::Changes(std::mem::take(&mut record));
                self.send(Event { position, count: 0, kind });
            }
        }
    }

    pub(crate) fn stream(&self, delta: LiveDelta) {
        let mut streaming = self.streaming();
        streaming.remember(&delta);
        streaming.count += 1;
        self.send(Event { position: streaming.position, count: streaming.count, kind: EventKind::Delta(delta) });
    }

    fn send(&self, event: Event) {
        // Nobody watching is not an error.
        let _ = self.0.sender.send(Arc::new(event));
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.sender.receiver_count() > 0
    }

    /// A receiver, and the partial texts up to the moment it was made.
    fn subscribe(&self) -> (broadcast::Receiver<Arc<Event>>, Vec<Arc<Event>>) {
        let streaming = self.streaming();
        let partial = streaming.partial.values().map(|delta| {
            let (position, count) = (streaming.position, streaming.count);
            Arc::new(Event { position, count, kind: EventKind::Partial(delta.clone()) })
        });
        let partial = partial.collect();
        (self.0.sender.subscribe(), partial)
    }
}

impl Streaming {
    fn remember(&mut self, delta: &LiveDelta) {
        let key = match delta {
            LiveDelta::Text { item, .. } => (*item, 0),
            LiveDelta::ReasoningSummary { item, part, .. } => (*item, *part),
            LiveDelta::CommandOutput { item, .. } => (*item, 0),
            LiveDelta::Restarted { items, .. } => {
                self.partial.retain(|(id, _), _| !items.contains(id));
                return;
            }
        };
        match self.partial.get_mut(&key) {
            None => {
                self.partial.insert(key, delta.clone());
            }
            Some(kept) => {
                let (Some(kept), Some(more)) = (text_mut(kept), text(delta)) else { return };
                if kept.len() + more.len() <= MAX_PARTIAL {
                    kept.push_str(more);
                }
            }
        }
    }
}

fn text(delta: &LiveDelta) -> Option<&str> {
    match delta {
        LiveDelta::Text { text, .. }
        | LiveDelta::ReasoningSummary { text, .. }
        | LiveDelta::CommandOutput { text, .. } => Some(text),
        LiveDelta::Restarted { .. } => None,
    }
}

fn text_mut(delta: &mut LiveDelta) -> Option<&mut String> {
    match delta {
        LiveDelta::Text { text, .. }
        | LiveDelta::ReasoningSummary { text, .. }
        | LiveDelta::CommandOutput { text, .. } => Some(text),
        LiveDelta::Restarted { .. } => None,
    }
}

/// The channels of the sessions that are driven or watched.
#[derive(Default)]
pub(crate) struct Channels(Mutex<HashMap<SessionId, Channel>>);

impl Channels {
    fn map(&self) -> MutexGuard<'_, HashMap<SessionId, Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, session: SessionId) -> Channel {
        self.map().entry(session).or_insert_with(Channel::new).clone()
    }

    /// Forgets a channel that nobody drives (this is the driver's last use) and nobody watches.
    pub(crate) fn forget_unwatched(&self, session: SessionId) {
        let mut map = self.map();
        if map.get(&session).is_some_and(|channel| !channel.is_watched()) {
            map.remove(&session);
        }
    }
}

/// One delta's place, for a hand that knows only its own action.
pub(crate) fn place(
    delta: Delta,
    turn: TurnId,
    base: u32,
    command: Option<(ItemId, u32)>,
    streamed: &mut Vec<ItemId>,
) -> Option<LiveDelta> {
    Some(match delta {
        Delta::Text { item, index, text } => {
            remember_item(streamed, item);
            LiveDelta::Text { turn, item, output_index: base + u32::from(index), text }
        }
        Delta::ReasoningSummary { item, index, part, text } => {
            remember_item(streamed, item);
            LiveDelta::ReasoningSummary { turn, item, output_index: base + u32::from(index), part, text }
        }
        Delta::CommandOutput { text } => {
            let (item, output_index) = command?;
            LiveDelta::CommandOutput { turn, item, output_index, text }
        }
        Delta::Restarted => LiveDelta::Restarted { turn, items: std::mem::take(streamed) },
    })
}

fn remember_item(streamed: &mut Vec<ItemId>, item: ItemId) {
    if !streamed.contains(&item) {
        streamed.push(item);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// A watcher's reading of one session: [`Watch::next`] until the watcher has enough.
pub struct Watch {
    store: Arc<dyn Store>,
    journal: Journal,
    channels: Arc<Channels>,
    session: SessionId,
    /// The last record whose changes were told.
    position: u64,
    replay: Option<Replay>,
    waiting: VecDeque<Arc<Event>>,
    partial: Vec<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
}

impl Watch {
    pub(crate) fn new(store: Arc<dyn Store>, journal: Journal, channels: Arc<Channels>, from: From) -> Self {
        let session = journal.session();
        let (receiver, partial) = channels.of(session).subscribe();
        let (position, replay) = match from {
            From::Now => (0, None),
            From::Beginning => (0, Some(Replay::new(journal.clone()))),
            From::After { position } => (position, Some(Replay::after(journal.clone(), position))),
        };
        let waiting = VecDeque::new();
        Self { store, journal, channels, session, position, replay, waiting, partial, receiver }
    }

    /// Leaves out everything up to `position`.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.position = position;
        self.waiting.extend(std::mem::take(&mut self.partial));
    }

    /// The next event. Pends while the session is quiet.
    pub async fn next(&mut self) -> Result<Arc<Event>, WatchError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Ok(event);
            }
            if self.replay.is_some() {
                self.catch_up().await?;
                continue;
            }
            match self.receiver.recv().await {
                Ok(event) if self.is_new(&event) => return Ok(event),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.start_over(),
                // The driver forgot the channel while nobody was counted as watching: take the new one.
                Err(broadcast::error::RecvError::Closed) => self.start_over(),
            }
        }
    }

    fn is_new(&mut self, event: &Event) -> bool {
        match event.kind {
            EventKind::Delta(_) | EventKind::Partial(_) => true,
            EventKind::Changes(_) if event.position > self.position => {
                self.position = event.position;
                true
            }
            EventKind::Changes(_) => false,
        }
    }

    fn start_over(&mut self) {
        let (receiver, partial) = self.channels.of(self.session).subscribe();
        self.receiver = receiver;
        self.partial = partial;
        self.replay = Some(Replay::after(self.journal.clone(), self.position));
    }

    async fn catch_up(&mut self) -> Result<(), WatchError> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        let replayed = replay.next(&*self.store, CHUNK).await?;
        if replayed.is_empty() {
            self.replay = None;
            self.waiting.extend(std::mem::take(&mut self.partial));
            return Ok(());
        }
        for one in replayed {
            let position = one.record.position;
            self.position = position;
            // As they are told live: the place of a change in its record is part of its event's id.
            let told = one.changes.into_iter().filter(|change| !matches!(change, Change::Booked(_)));
            let kind = EventKind::Changes(told.collect());
            self.waiting.push_back(Arc::new(Event { position, count: 0, kind }));
        }
        Ok(())
    }
}
