//! What comes next: a pure function of the state, the time and what the model can take.

use super::state::{Call, CallStatus, Overflow, State, Turn};
use super::{connecting, consolidating, extracting, ordered, remembering, skills};
use crate::{
    Action, Answer, Class, EnvironmentSpec, EnvironmentStatus, ModelCall, Purpose,
    connector::{NoStatements, StatementReader},
    environment::OUTPUTS,
    record::{Body, CallRefused, TurnEnd, TurnEnded, TurnError, TurnStarted},
    tools,
};
use bailiwick_types::{ActionId, Timestamp, TurnId};

/// An action that the engine wants to have let through.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    pub id: ActionId,
    pub turn: TurnId,
    pub call_id: Option<String>,
    pub action: Action,
    /// It was asked about, and this was answered.
    pub answers: Vec<Answer>,
    /// It was asked about, and its time is over.
    pub expired: bool,
}

impl Ask {
    /// For what was never asked for before.
    pub fn new(id: ActionId, turn: TurnId, call_id: Option<String>, action: Action) -> Self {
        Self { id, turn, call_id, action, answers: Vec::new(), expired: false }
    }
}

/// What to do now. Records come before asks; nothing of it has happened yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub records: Vec<Body>,
    pub asks: Vec<Ask>,
    /// Open actions that must stop.
    pub stop: Vec<ActionId>,
    /// Look again at this time even if nothing happens.
    pub wake: Option<Timestamp>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.asks.is_empty()
    }
}

/// What a plan depends on beside the state: what the model of the session can take, and who reads statements.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
    statements: &'a dyn StatementReader,
}

impl Bounds<'static> {
    pub fn new(context_tokens: u64) -> Self {
        Self { context_tokens, statements: &NoStatements }
    }
}

impl<'a> Bounds<'a> {
    /// With somebody who can read what databases are asked.
    #[must_use]
    pub fn reading(self, statements: &'a dyn StatementReader) -> Self {
        Self { statements, ..self }
    }
}

/// Where ids come from: a time and random bytes that the engine drew for this planning.
#[derive(Debug, Clone)]
pub struct Mint {
    now: Timestamp,
    random: [u8; 10],
    count: u8,
}

impl Mint {
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self { now, random, count: 0 }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = self.random;
        bytes[9] = bytes[9].wrapping_add(self.count);
        self.count = self.count.wrapping_add(1);
        bytes
    }

    pub(super) fn action(&mut self) -> ActionId {
        ActionId::new(self.now, self.bytes())
    }

    pub(super) fn turn(&mut self) -> TurnId {
        TurnId::new(self.now, self.bytes())
    }
}

/// Compaction begins when a prompt fills this share of the context.
const COMPACT_PERCENT: u64 = 80;

/// The next step. Call it again after its records and decisions are applied, until it is empty.
pub fn plan(state: &State, bounds: Bounds<'_>, mint: &mut Mint) -> Plan {
    match &state.turn {
        None if state.deleted => Plan::default(),
        None => start_turn(state, mint),
        Some(turn) if turn.cancel => cancel(state, turn),
        Some(turn) => go_on(state, turn, bounds, mint),
    }
}

fn start_turn(state: &State, mint: &mut Mint) -> Plan {
    let message = state.queue.first().map(|queued| &queued.orderer);
    let errand = state.errands.first().map(|errand| &errand.orderer);
    let waiting = message.or(errand).or(state.next_orderer());
    let Some(orderer) = waiting else { return consolidating::begin(state, mint) };
    let started = TurnStarted { turn: mint.turn(), orderer: orderer.clone(), consolidates: false };
    Plan { records: vec![Body::TurnStarted(started)], ..Plan::default() }
}

fn cancel(state: &State, turn: &Turn) -> Plan {
    let running = running(state);
    if !running.is_empty() {
        return Plan { stop: running, ..Plan::default() };
    }
    match turn.failure.as_ref().filter(|error| error.denied_by.is_some()) {
        Some(error) => end(turn, TurnEnd::Failed { error: error.clone() }),
        None => end(turn, TurnEnd::Cancelled),
    }
}

/// Open actions that a hand of ours performs.
fn running(state: &State) -> Vec<ActionId> {
    state.open.iter().filter(|(_, open)| open.action.class() != Class::Awaited).map(|(id, _)| *id).collect()
}

fn end(turn: &Turn, end: TurnEnd) -> Plan {
    Plan { records: vec![Body::TurnEnded(TurnEnded { turn: turn.id, end })], ..Plan::default() }
}

fn fail(turn: &Turn, code: &str, message: String) -> Plan {
    end(turn, TurnEnd::Failed { error: TurnError { code: code.to_owned(), message, denied_by: None } })
}

fn go_on(state: &State, turn: &Turn, bounds: Bounds<'_>, mint: &mut Mint) -> Plan {
    let running = running(state);
    let deadline = turn.created + state.agent.limits.turn_time_ms + turn.waited;
    let late = state.asked.is_empty() && mint.now() >= deadline;
    if turn.failure.is_some() || late {
        if !running.is_empty() {
            return Plan { stop: running, ..Plan::default() };
        }
        return match &turn.failure {
            Some(error) => end(turn, TurnEnd::Failed { error: error.clone() }),
            None => fail(
                turn,
                "request_timeout",
                format!("The turn ran longer than its limit of {} ms.", state.agent.limits.turn_time_ms.0),
            ),
        };
    }
    let late = ordered::refuse_late(turn, mint.now());
    if !late.is_empty() {
        return Plan { records: late, ..Plan::default() };
    }
    let opening = ordered::open(state, turn, mint);
    let waits_for_opening = opening.is_some();
    let mut plan = opening.unwrap_or_else(|| calls(state, turn, bounds, &running, mint));
    extracting::ask(state, turn, &running, &mut plan, mint);
    errands(state, turn, &running, &mut plan, mint);
    plan.asks.extend(state.answered_questions(mint));
    let waiting = !state.open.is_empty() || !state.asked.is_empty() || state.has_errands();
    let pending = waiting || turn.calls.iter().any(|call| call.status != CallStatus::Done);
    if plan.is_empty() && !pending && !waits_for_opening {
        plan = step(state, turn, bounds, mint);
    }
    plan.wake = Some(state.first_expiry().unwrap_or(deadline));
    plan
}

/// Asks for the tool calls that wait, as many as may run at once.
fn calls(state: &State, turn: &Turn, bounds: Bounds<'_>, running: &[ActionId], mint: &mut Mint) -> Plan {
    let mut plan = Plan::default();
    let mut room = usize::from(state.agent.limits.parallel_actions.max(1)).saturating_sub(running.len());
    for call in turn.calls.iter().filter(|call| call.status == CallStatus::Waiting) {
        if call.ordered.is_none() && state.is_search(&call.name) {
            plan.records.push(match state.search_tools(turn, &call.call_id, &call.arguments) {
                Ok(found) => Body::ToolsFound(found),
                Err(message) => refused(turn, call, message),
            });
            continue;
        }
        let connected = connecting::to_action(state, call, bounds.statements);
        let own = || match call.ordered {
            Some(_) => Err(state.no_such_tool(&call.name)),
            None => remembering::to_action(state, call)
                .or_else(|| skills::to_action(state, call))
                .unwrap_or_else(|| tools::to_action(&call.name, &call.arguments, &state.agent, &state.environment)),
        };
        let action = match connected.unwrap_or_else(own).and_then(|action| state.check_handles(action)) {
            Ok(action) => action,
            Err(message) => {
                plan.records.push(refused(turn, call, message));
                continue;
            }
        };
        if action.environment().is_some() && state.environment_status != EnvironmentStatus::Connected {
            start_environment(state, turn, running, &mut plan, mint);
            continue;
        }
        if room == 0 {
            break;
        }
        room -= 1;
        plan.asks.push(Ask::new(mint.action(), turn.id, Some(call.call_id.clone()), action));
    }
    plan
}

fn refused(turn: &Turn, call: &Call, message: String) -> Body {
    Body::CallRefused(CallRefused { turn: turn.id, call_id: call.call_id.clone(), message })
}

/// Asks for the next thing that a client wants of the environment.
fn errands(state: &State, turn: &Turn, running: &[ActionId], plan: &mut Plan, mint: &mut Mint) {
    let Some(action) = state.next_errand() else { return };
    if state.environment_status == EnvironmentStatus::Connected {
        plan.asks.push(Ask::new(mint.action(), turn.id, None, action));
    } else {
        start_environment(state, turn, running, plan, mint);
    }
}

pub(super) fn start_environment(state: &State, turn: &Turn, running: &[ActionId], plan: &mut Plan, mint: &mut Mint) {
    let starting = |action: &Action| matches!(action, Action::EnvironmentStart { .. });
    let already = state.asks_for_environment()
        || running.iter().any(|id| state.open.get(id).is_some_and(|open| starting(&open.action)))
        || plan.asks.iter().any(|ask| starting(&ask.action));
    let Some(environment) = state.environment.id() else { return };
    if already || state.waits_for_connection() {
        return;
    }
    let action = Action::EnvironmentStart { environment };
    plan.asks.push(Ask::new(mint.action(), turn.id, None, action));
}

/// All results are in: the next model call, or the end.
fn step(state: &State, turn: &Turn, bounds: Bounds<'_>, mint: &mut Mint) -> Plan {
    let steered = state.queue.iter().any(|queued| queued.orderer == turn.orderer);
    if turn.answered && !steered {
        let consolidation = consolidating::step(state, turn, bounds.context_tokens, mint);
        return if consolidation.is_empty() { finish(state, turn, mint) } else { consolidation };
    }
    let opening = connecting::open(state, turn, mint);
    if !opening.is_empty() {
        return opening;
    }
    let limit = state.agent.limits.steps_per_turn;
    if turn.steps >= limit {
        let message = format!(
            "The turn used all its {limit} steps. Send another message to let it go on, or raise `steps_per_turn`."
        );
        return fail(turn, "usage_limit_exceeded", message);
    }
    let near = state.estimated_tokens() * 100 > bounds.context_tokens.saturating_mul(COMPACT_PERCENT);
    let purpose = match turn.overflow {
        Overflow::Refused => Purpose::Compaction,
        Overflow::No if near && state.entries.len() > 2 => Purpose::Compaction,
        Overflow::Compacted if near && state.entries.len() > 4 => Purpose::Compaction,
        _ => Purpose::Step,
    };
    let skipped_entries =
        if turn.overflow == Overflow::Refused { skip_to_fit(state, bounds.context_tokens) } else { 0 };
    let call = ModelCall { model: state.agent.model.clone(), purpose, skipped_entries, extract: None };
    let action = Action::ModelCall(call);
    Plan { asks: vec![Ask::new(mint.action(), turn.id, None, action)], ..Plan::default() }
}

/// How many of the oldest entries to leave out so that the rest is about half the context, cut where no tool call is
/// torn from its result.
pub(super) fn skip_to_fit(state: &State, context_tokens: u64) -> u32 {
    let budget = usize::try_from(context_tokens.saturating_mul(2)).unwrap_or(usize::MAX);
    let mut weight = 0_usize;
    let mut keep_from = state.entries.len();
    for (index, entry) in state.entries.iter().enumerate().rev() {
        weight = weight.saturating_add(entry.body.weight());
        if weight > budget {
            break;
        }
        let result = matches!(entry.body, crate::EntryBody::ToolResult { .. } | crate::EntryBody::ToolCall { .. });
        if !result {
            keep_from = index;
        }
    }
    u32::try_from(keep_from).unwrap_or(u32::MAX)
}

fn finish(state: &State, turn: &Turn, mint: &mut Mint) -> Plan {
    if !turn.published
        && state.touched_environment
        && let EnvironmentSpec::Hosted(hosted) = &state.environment
    {
        if state.environment_status != EnvironmentStatus::Connected {
            let mut plan = Plan::default();
            start_environment(state, turn, &[], &mut plan, mint);
            return plan;
        }
        let action = Action::ArtifactPublish { environment: hosted.id, directory: OUTPUTS.to_owned() };
        return Plan { asks: vec![Ask::new(mint.action(), turn.id, None, action)], ..Plan::default() };
    }
    end(turn, TurnEnd::Completed)
}

/// Open actions that a crash left behind, each with the way its class allows. Awaited ones simply go on waiting.
pub fn recover(state: &State) -> Vec<(ActionId, Class)> {
    state
        .open
        .iter()
        .map(|(id, open)| (*id, open.action.class()))
        .filter(|(_, class)| *class != Class::Awaited)
        .collect()
}
