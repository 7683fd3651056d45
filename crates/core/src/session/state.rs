//! The fold of a session's records. Everything in it can be had again from the stream.

use super::approvals::AskedAction;
use super::connecting::Connection;
use super::consolidating::Consolidating;
use super::errands::Errand;
use super::extracting::Aside;
use super::finding::ToolMemo;
use super::held::Held;
use super::ordered::{Ordered, Waits};
use crate::{
    Action, AgentConfig, Content, EnvironmentFacts, EnvironmentSpec, EnvironmentStatus, Label, Quote, Reservation,
    item::{
        EffectNote, Item, ItemBody, ItemStatus, RequiredAction, SessionStatus, SessionView, TurnStatus, TurnView,
        Unresolved,
    },
    model::Entry,
    record::{Halt, Through, TurnError},
    skill::SkillUse,
};
use bailiwick_types::{
    ActionId, CredentialId, ItemId, Millis, Money, Principal, SessionId, TeamId, TenantId, Timestamp, TokenUsage,
    TurnId, VaultId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Snapshots of another version are not read. Raise it with every change of [`State`]'s shape or meaning.
pub const SNAPSHOT_VERSION: u16 = 7;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub tenant: TenantId,
    pub session: SessionId,
    pub created: Timestamp,
    pub last_active: Timestamp,
    pub creator: Principal,
    pub agent: AgentConfig,
    pub environment: EnvironmentSpec,
    pub environment_status: EnvironmentStatus,
    pub environment_facts: Option<EnvironmentFacts>,
    pub environment_error: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub usage: TokenUsage,
    /// What its model calls have cost, estimates included, where they have a price.
    #[serde(default)]
    pub spent: Money,
    /// What they may cost.
    #[serde(default)]
    pub spend_limit: Option<Money>,
    /// Where what is in it came from, and who may see it.
    #[serde(default)]
    pub label: Label,
    /// The same of what lies in its environment and was not read yet.
    pub environment_label: Label,
    /// Whose secrets its actions may use, if policy lets them.
    #[serde(default)]
    pub vaults: Vec<VaultId>,
    /// For the turns to come; a running turn keeps its own.
    #[serde(default)]
    pub auto_review: bool,
    pub deleted: bool,

    /// Position of the last record in it.
    pub position: u64,
    /// The last input in it.
    pub inbox_through: u64,

    /// What the model sees, since the last compaction.
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Messages that no model call has seen yet.
    pub(crate) queue: Vec<Queued>,
    /// What clients want of the environment and have not got yet, in the order in which it came.
    #[serde(default, rename = "given")]
    pub(crate) errands: Vec<Errand>,
    /// Calls of clients that wait for a turn.
    #[serde(default)]
    pub(crate) ordered: Vec<Ordered>,
    /// Words from the house that no model call has seen yet.
    pub(crate) notices: Vec<String>,
    /// Content that is read for an extraction, by the action that read it. Never part of a prompt of the session.
    pub(crate) aside: BTreeMap<ActionId, Aside>,
    /// Values that the model moves by handles, by the action that brought them. Never part of a prompt.
    #[serde(default)]
    pub(crate) held: BTreeMap<ActionId, Held>,
    /// Where people's own messages point to, by who said it.
    pub(crate) said: Vec<(Principal, BTreeSet<String>)>,
    /// Tokens of the last prompt and answer, as the provider counted them.
    pub(crate) measured_tokens: u64,
    /// Bytes of entries that came after that measurement.
    pub(crate) unmeasured_bytes: u64,

    pub(crate) turn: Option<Turn>,
    /// Actions with an intent and no outcome.
    pub(crate) open: BTreeMap<ActionId, OpenAction>,
    /// Actions that wait for a person's word.
    #[serde(default)]
    pub(crate) asked: BTreeMap<ActionId, AskedAction>,
    /// What became of opening connectors, by label.
    #[serde(default)]
    pub(crate) connections: BTreeMap<String, Connection>,
    /// Actions whose outcome nobody knows.
    pub(crate) unknown: BTreeMap<ActionId, UnknownAction>,
    /// An action that wrote into the environment has happened, so a completed turn may have outputs to publish.
    pub(crate) touched_environment: bool,
    pub(crate) next_ordinal: i64,
    pub(crate) next_turn: i64,
    /// What was said since the session was last consolidated is worth looking at.
    #[serde(default)]
    pub(crate) unconsolidated: bool,
    /// Who ordered the last turn.
    #[serde(default)]
    pub(crate) last_orderer: Option<Principal>,
    pub(crate) shown_status: SessionStatus,
    /// The function calls that the session's row shows as waiting for the application.
    #[serde(default)]
    pub(crate) shown_calls: BTreeSet<ActionId>,
    /// The turn that the session's row shows as running.
    #[serde(default)]
    pub(crate) shown_turn: Option<TurnId>,
    /// The deferred tools that a search has found, in the order in which the model was told of them.
    #[serde(default)]
    pub(crate) found: Vec<String>,
    /// The skills that were found in the environment, as they were then.
    #[serde(default)]
    pub(crate) skills_found: Vec<SkillUse>,
    #[serde(skip)]
    pub(crate) tools: ToolMemo,
}

/// A message that waits for the model to see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Queued {
    pub orderer: Principal,
    pub item: ItemId,
    pub content: Vec<Content>,
    /// Its item has been shown in a turn.
    pub shown: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub id: TurnId,
    pub ordinal: i64,
    pub orderer: Principal,
    pub created: Timestamp,
    pub steps: u32,
    pub usage: TokenUsage,
    /// Tool calls of the last answer, in its order.
    pub calls: Vec<Call>,
    pub next_output: u32,
    pub cancel: bool,
    /// The last answer asked for nothing more.
    pub answered: bool,
    /// It was begun for calls that a client makes itself.
    #[serde(default)]
    pub ordered: bool,
    /// Who wants nothing but the connectors opened.
    #[serde(default)]
    pub opening: Vec<Waits>,
    /// Outputs were published, or there was nothing to publish.
    pub published: bool,
    pub failure: Option<TurnError>,
    /// The prompt must shrink before the next step.
    pub overflow: Overflow,
    /// Model calls in a row that left nothing behind.
    pub lost_calls: u32,
    /// What would need a person's word is denied in it.
    #[serde(default)]
    pub auto_review: bool,
    /// For how long it waited for people's words, which does not count.
    #[serde(default)]
    pub waited: Millis,
    /// How far it has come with remembering what the session was about; `None`: it was not begun for that.
    #[serde(default)]
    pub consolidating: Option<Consolidating>,
}

impl Turn {
    /// It is ended from outside, and why is known: nothing that comes back later is the reason.
    pub fn is_halted(&self) -> bool {
        self.cancel && self.failure.as_ref().is_some_and(|error| error.denied_by.is_some())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Overflow {
    No,
    /// The provider refused the prompt as too long.
    Refused,
    /// It was compacted for that already in this turn.
    Compacted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub call_id: String,
    pub name: String,
    pub arguments: String,
    pub item: ItemId,
    pub ordinal: i64,
    pub output_index: u32,
    pub scripted: bool,
    /// Who waits for it, where a client made it and no model.
    #[serde(default)]
    pub ordered: Option<Waits>,
    pub status: CallStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CallStatus {
    /// The gate was not asked yet.
    Waiting,
    Open(ActionId),
    /// Asked for while the same effect is unknown.
    Held(ActionId),
    /// Waits for a person's word.
    Asked(ActionId),
    /// The content of an extraction is there, and the model that is to read it was not asked yet.
    Read(ActionId),
    Done,
}

/// An action whose intent is on disk and whose outcome is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenAction {
    pub action: Arc<Action>,
    pub turn: TurnId,
    pub call_id: Option<String>,
    pub digest: String,
    pub principal: Principal,
    /// When the intent was written.
    pub since: Timestamp,
    /// What its running attempt costs at most.
    #[serde(default)]
    pub quote: Option<Quote>,
    /// The team that pays.
    #[serde(default)]
    pub team: Option<TeamId>,
    /// What it holds, oldest first.
    #[serde(default)]
    pub reservations: Vec<Reservation>,
    /// The secrets that it uses.
    #[serde(default)]
    pub credentials: Vec<CredentialId>,
    /// The system that it was let through to.
    #[serde(default)]
    pub through: Option<Through>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnknownAction {
    pub open: OpenAction,
    pub reason: String,
    pub item: Option<Item>,
}

impl State {
    /// The principal that everything in the running turn is done by.
    pub fn acting(&self) -> Option<Principal> {
        self.turn.as_ref().map(|turn| Principal::Agent {
            id: self.agent.id,
            session: self.session,
            on_behalf_of: Some(Box::new(turn.orderer.clone())),
        })
    }

    pub fn turn_id(&self) -> Option<TurnId> {
        self.turn.as_ref().map(|turn| turn.id)
    }

    pub fn open_actions(&self) -> &BTreeMap<ActionId, OpenAction> {
        &self.open
    }

    /// What would need a person's word is denied in the running turn.
    pub fn reviews_automatically(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.auto_review)
    }

    /// The running turn is to end as soon as what runs has stopped.
    pub fn is_cancelling(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.cancel)
    }

    /// Why the running turn is ended from outside; `None` while it is not, and where a client cancelled it.
    pub fn halt(&self) -> Option<Halt> {
        let turn = self.turn.as_ref().filter(|turn| turn.cancel)?;
        let TurnError { denied_by, message, .. } = turn.failure.as_ref()?;
        denied_by.as_ref().map(|rule| Halt { rule: rule.clone(), message: message.clone() })
    }

    /// Where the turn's next output item will stand; provisional deltas count from here.
    pub fn next_output_index(&self) -> u32 {
        self.turn.as_ref().map_or(0, |turn| turn.next_output)
    }

    /// The item and its place for an action that a tool call asked for.
    pub fn item_of(&self, action: ActionId) -> Option<(ItemId, u32)> {
        let call = self.turn.as_ref()?.calls.iter().find(|call| call.status == CallStatus::Open(action))?;
        Some((call.item, call.output_index))
    }

    /// The action with an unknown outcome whose effect would be this one's.
    pub fn unknown_like(&self, digest: &str) -> Option<ActionId> {
        self.unknown.iter().find(|(_, unknown)| unknown.open.digest == digest).map(|(id, _)| *id)
    }

    pub fn is_unknown(&self, action: ActionId) -> bool {
        self.unknown.contains_key(&action)
    }

    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    /// The function calls that wait for the application, and the actions that wait for a person.
    pub(crate) fn awaited_calls(&self) -> BTreeSet<ActionId> {
        let awaited = |open: &OpenAction| matches!(*open.action, Action::FunctionCall { .. });
        let awaited = self.open.iter().filter(|(_, open)| awaited(open)).map(|(id, _)| id);
        awaited.chain(self.asked.keys()).copied().collect()
    }

    pub fn status(&self) -> SessionStatus {
        match &self.turn {
            None if self.queue.is_empty() => SessionStatus::Idle,
            None => SessionStatus::InProgress,
            Some(turn) if !turn.cancel && self.only_waits(turn) => SessionStatus::RequiresAction,
            Some(_) => SessionStatus::InProgress,
        }
    }

    /// Nothing runs and nothing can be asked before somebody outside acts.
    fn only_waits(&self, turn: &Turn) -> bool {
        if self.waits_for_connection() {
            return true;
        }
        let mut waits = false;
        for call in &turn.calls {
            match call.status {
                CallStatus::Waiting if self.asks_for_environment() => waits = true,
                CallStatus::Waiting | CallStatus::Read(_) => return false,
                CallStatus::Held(_) => waits = true,
                CallStatus::Open(_) | CallStatus::Asked(_) | CallStatus::Done => {}
            }
        }
        let awaited = |open: &OpenAction| matches!(*open.action, Action::FunctionCall { .. });
        let answered = self.asked.values().any(AskedAction::is_stirred);
        let waits = waits || !self.open.is_empty() || !self.asked.is_empty();
        waits && !answered && self.open.values().all(awaited)
    }

    /// A tool call needs a self-hosted executor that has to dial in first.
    pub(crate) fn waits_for_connection(&self) -> bool {
        let dials_in = self.environment.dials_in();
        let away = matches!(self.environment_status, EnvironmentStatus::Pending | EnvironmentStatus::Disconnected);
        let wanted = self.has_errands()
            || self.turn.as_ref().is_some_and(|turn| {
                turn.calls.iter().any(|call| call.status == CallStatus::Waiting && self.needs_environment(call))
            });
        let running = self.open.values().any(|open| !matches!(*open.action, Action::FunctionCall { .. }));
        dials_in && away && wanted && !running
    }

    fn required_actions(&self) -> Vec<RequiredAction> {
        let mut required = Vec::new();
        if self.waits_for_connection()
            && let Some(environment) = self.environment.id()
        {
            required.push(RequiredAction::EnvironmentConnection { environment });
        }
        for open in self.open.values() {
            if let (Action::FunctionCall { name, arguments }, Some(call_id)) = (&*open.action, &open.call_id) {
                let sent = self.filled(&open.action);
                let sent = sent.as_ref().map_or(arguments, |sent| match sent {
                    Action::FunctionCall { arguments, .. } => arguments,
                    _ => arguments,
                });
                let (name, arguments) = (name.clone(), sent.clone());
                required.push(RequiredAction::FunctionCall {
                    turn: open.turn,
                    call_id: call_id.clone(),
                    name,
                    arguments,
                });
            }
        }
        required.extend(self.approvals());
        if let Some(turn) = &self.turn {
            let held: BTreeSet<ActionId> = turn
                .calls
                .iter()
                .filter_map(|call| if let CallStatus::Held(by) = call.status { Some(by) } else { None })
                .collect();
            required.extend(held.into_iter().map(|action| RequiredAction::ResolveOutcome { turn: turn.id, action }));
        }
        required
    }

    pub fn view(&self) -> SessionView {
        SessionView {
            id: self.session,
            agent: self.agent.clone(),
            environment: self.environment.clone(),
            environment_status: self.environment_status,
            environment_facts: self.environment_facts.clone(),
            environment_error: self.environment_error.clone(),
            metadata: self.metadata.clone(),
            creator: self.creator.clone(),
            created: self.created,
            last_active: self.last_active,
            status: self.status(),
            required_actions: self.required_actions(),
            unresolved: self.unknown.iter().map(|(id, unknown)| unresolved(*id, unknown)).collect(),
            usage: self.usage,
            spent: self.spent,
            spend_limit: self.spend_limit,
            auto_review: self.auto_review,
            label: self.label.clone(),
            environment_label: self.environment_label.clone(),
            vaults: self.vaults.clone(),
            connections: self.connection_views(),
            turn: self.turn_id(),
            error: None,
        }
    }

    pub(crate) fn turn_view(&self, turn: &Turn) -> TurnView {
        let waiting = self.status() == SessionStatus::RequiresAction;
        TurnView {
            id: turn.id,
            ordinal: turn.ordinal,
            agent: self.agent.id,
            orderer: turn.orderer.clone(),
            status: if waiting { TurnStatus::Waiting } else { TurnStatus::InProgress },
            created: turn.created,
            completed: None,
            error: None,
            usage: turn.usage,
            steps: turn.steps,
        }
    }

    pub(crate) fn take_ordinal(&mut self) -> i64 {
        self.next_ordinal += 1;
        self.next_ordinal
    }

    /// Tokens that the next prompt will have, by the last measurement and four bytes to a token since.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        let queued: usize = self.queue.iter().flat_map(|queued| &queued.content).map(Content::len).sum();
        self.measured_tokens + (self.unmeasured_bytes + queued as u64) / 4
    }
}

fn unresolved(id: ActionId, unknown: &UnknownAction) -> Unresolved {
    Unresolved {
        action: id,
        operation: unknown.open.action.operation().to_owned(),
        what: describe(&unknown.open.action),
        reason: unknown.reason.clone(),
    }
}

/// An action in a few plain words.
pub(crate) fn describe(action: &Action) -> String {
    match action {
        Action::ModelCall(call) => format!("a call of model `{}`", call.model),
        Action::EnvironmentStart { environment } => format!("starting {environment}"),
        Action::CommandRun(run) => run.command.clone(),
        Action::CommandPoll { process, .. } => format!("reading the output of {process}"),
        Action::CommandWrite { process, .. } => format!("writing to {process}"),
        Action::CommandStop { process, .. } => format!("stopping {process}"),
        Action::FileRead { path, .. } => format!("reading {path}"),
        Action::FileWrite { path, .. } => format!("writing {path}"),
        Action::FileAdd { path, .. } => format!("laying in {path}"),
        Action::FileEdit { path, .. } => format!("editing {path}"),
        Action::FileList { path, .. } => format!("listing {path}"),
        Action::FileSearch { path, .. } => format!("searching {path}"),
        Action::ImageView { path, .. } => format!("viewing {path}"),
        Action::SkillsFind { directory, .. } => format!("looking for skills in {directory}"),
        Action::SkillLoad(load) => format!("loading the skill {}", load.skill.name),
        Action::ArtifactPublish { directory, .. } => format!("publishing {directory}"),
        Action::FunctionCall { name, .. } => format!("calling {name}"),
        Action::ConnectorOpen { connector, .. } => format!("opening the connector {connector}"),
        Action::ConnectorCall(call) => format!("calling {} of {}", call.tool, call.connector),
        Action::DataQuery(query) => format!("{} on {}", query.statement, query.connector),
        Action::MemorySearch(search) => format!("searching memory for {}", search.query),
        Action::MemoryRead { memory, .. } => format!("reading {memory}"),
        Action::MemoryWrite(write) => format!("remembering for the {}: {}", write.scope.name(), write.text),
        Action::MemoryForget { seen, scope, .. } => format!("forgetting {} of the {}", seen.memory, scope.name()),
    }
}

impl Call {
    /// The item that shows this call, at the start of its life.
    pub(crate) fn item(&self, turn: TurnId, action: Option<ActionId>, body: ItemBody) -> Item {
        Item {
            id: self.item,
            turn,
            ordinal: self.ordinal,
            output_index: Some(self.output_index),
            status: ItemStatus::InProgress,
            action,
            effect: None::<EffectNote>,
            scripted: self.scripted,
            who: None,
            body,
        }
    }

    /// The arguments as JSON where they are, else as the text that they are.
    pub(crate) fn arguments_value(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| Value::String(self.arguments.clone()))
    }
}
