//! Calls that a client makes itself: of an agent that is not run here, with the tools of one that is kept here.
//!
//! Each is an action like any other, in a turn of whoever makes it, in which no model is asked: connectors are opened as
//! in every turn, and what comes back goes to whoever waits for it. Nothing of it is ever told to a model, and nothing of
//! it is begun once nobody waits for it any more.

use super::calls::CallEnd;
use super::connecting;
use super::plan::{Mint, Plan};
use super::state::{Call, CallStatus, State, Turn};
use crate::{
    Action, Failure, FailureCode,
    item::{Change, EffectNote, ErrandOutcome},
    record::{Body, CallRefused, OrderedCall},
};
use bailiwick_types::{ActionId, Principal, Timestamp};
use serde::{Deserialize, Serialize};

/// Calls of one session that may wait at once.
const MAX_WAITING: usize = 64;

/// Somebody who waits for what becomes of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waits {
    /// The input.
    pub sequence: u64,
    /// Until when.
    pub until: Timestamp,
}

/// A call that waits for a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ordered {
    waits: Waits,
    orderer: Principal,
    /// `None`: the connectors are to be opened, and nothing more.
    call: Option<OrderedCall>,
}

impl State {
    pub(super) fn order(
        &mut self,
        waits: Waits,
        orderer: &Principal,
        call: Option<&OrderedCall>,
        out: &mut Vec<Change>,
    ) {
        let is_left = |call: &&Call| call.status != CallStatus::Done;
        let running = self.turn.as_ref().map_or(0, |turn| turn.calls.iter().filter(is_left).count());
        if self.ordered.len() + running >= MAX_WAITING {
            let failure = Failure::new(FailureCode::ToolError, "too many calls wait in this session");
            return out.push(Change::Errand { sequence: waits.sequence, outcome: ErrandOutcome::Failed { failure } });
        }
        self.ordered.push(Ordered { waits, orderer: orderer.clone(), call: call.cloned() });
        // Its answer will say which calls the turn has.
        let is_model = |action: &Action| matches!(action, Action::ModelCall(_));
        let models = self.open.values().any(|open| is_model(&open.action))
            || self.asked.values().any(|asked| is_model(&asked.action));
        let takes = |turn: &Turn| turn.ordered && turn.steps == 0 && !turn.cancel && turn.orderer == *orderer;
        if !models && self.turn.as_ref().is_some_and(takes) {
            self.take_ordered(out);
        }
    }

    /// Whose turn is next, where nobody has said anything.
    pub(super) fn next_orderer(&self) -> Option<&Principal> {
        self.ordered.first().map(|ordered| &ordered.orderer)
    }

    /// The calls of the running turn's orderer become calls of this turn.
    pub(super) fn take_ordered(&mut self, out: &mut Vec<Change>) {
        let Some(orderer) = self.turn.as_ref().map(|turn| turn.orderer.clone()) else { return };
        let (theirs, others): (Vec<Ordered>, Vec<Ordered>) =
            self.ordered.drain(..).partition(|ordered| ordered.orderer == orderer);
        self.ordered = others;
        if let Some(turn) = &mut self.turn {
            turn.calls.retain(|call| call.ordered.is_none() || call.status != CallStatus::Done);
        }
        for Ordered { waits, call, .. } in theirs {
            let ordinal = self.take_ordinal();
            let Some(turn) = &mut self.turn else { return };
            turn.ordered = true;
            let Some(OrderedCall { item, name, arguments }) = call else {
                turn.opening.push(waits);
                continue;
            };
            let output_index = turn.next_output;
            turn.next_output += 1;
            turn.calls.push(Call {
                call_id: item.to_string(),
                name,
                arguments,
                item,
                ordinal,
                output_index,
                scripted: false,
                ordered: Some(waits),
                status: CallStatus::Waiting,
            });
        }
        self.tell_opened(out);
    }

    /// Whoever only wanted the connectors opened is told once all of them were tried.
    pub(super) fn tell_opened(&mut self, out: &mut Vec<Change>) {
        let all = self.turn.as_ref().is_some_and(|turn| connecting::all_tried(self, turn));
        let Some(turn) = self.turn.as_mut().filter(|_| all) else { return };
        let done = |Waits { sequence, .. }| Change::Errand { sequence, outcome: ErrandOutcome::Done };
        out.extend(turn.opening.drain(..).map(done));
    }

    /// The turn is over before the connectors were tried.
    pub(super) fn leave_opening(&mut self, why: &str, out: &mut Vec<Change>) {
        let Some(turn) = &mut self.turn else { return };
        let why = match &turn.failure {
            Some(error) => error.message.clone(),
            None => format!("{why} before the connectors were opened"),
        };
        let failure = Failure::new(FailureCode::Cancelled, why);
        let outcome = ErrandOutcome::Failed { failure };
        let left = |Waits { sequence, .. }| Change::Errand { sequence, outcome: outcome.clone() };
        out.extend(turn.opening.drain(..).map(left));
    }

    /// Until when anybody waits for an action that is about to be decided on; `None` where a model does, which is
    /// patient.
    pub fn waited_for_until(&self, call_id: Option<&str>, action: &Action) -> Option<Timestamp> {
        let turn = self.turn.as_ref()?;
        let waits = |call: &Call| call.ordered.map(|waits| waits.until);
        match (call_id, action) {
            (Some(id), _) => turn.calls.iter().find(|call| call.call_id == id).and_then(waits),
            (None, Action::ConnectorOpen { .. }) => {
                let left = turn.calls.iter().filter(|call| call.status != CallStatus::Done).filter_map(waits);
                left.chain(turn.opening.iter().map(|waits| waits.until)).max()
            }
            (None, _) => None,
        }
    }
}

/// What whoever made a call is told when the same one came to nobody knows what. A model's call waits until that is
/// settled; a client does not.
pub(super) fn held(by: ActionId) -> CallEnd {
    let text = format!(
        "Not done: the same call was made before, as {by}, and nobody knows whether it had its effect. A person can \
         resolve {by}; then call again."
    );
    CallEnd { effect: Some(EffectNote::Held { by }), ..CallEnd::failed(text) }
}

/// Calls that were not begun while anybody waited for them.
pub(super) fn refuse_late(turn: &Turn, now: Timestamp) -> Vec<Body> {
    let is_late = |call: &&Call| {
        call.status == CallStatus::Waiting && call.ordered.is_some_and(|Waits { until, .. }| until <= now)
    };
    let refuse = |call: &Call| {
        let message = "It was not begun in time, and nothing was done: nobody waits for it any more.".to_owned();
        Body::CallRefused(CallRefused { turn: turn.id, call_id: call.call_id.clone(), message })
    };
    turn.calls.iter().filter(is_late).map(refuse).collect()
}

/// Before the first call, what is not open yet is opened. `None` when calls may be made.
pub(super) fn open(state: &State, turn: &Turn, mint: &mut Mint) -> Option<Plan> {
    let is_waited_for = !turn.opening.is_empty() || turn.calls.iter().any(|call| call.status != CallStatus::Done);
    if !turn.ordered || !is_waited_for || connecting::all_tried(state, turn) {
        return None;
    }
    let opens = |action: &Action| matches!(action, Action::ConnectorOpen { .. });
    let running = state.open.values().any(|open| opens(&open.action));
    let asked = state.asked.values().any(|asked| opens(&asked.action));
    Some(if running || asked { Plan::default() } else { connecting::open(state, turn, mint) })
}
