//! Calls that a client makes itself: of an agent that is not run here, with the tools of one that is kept here.
//!
//! Each is an action like any other, in a turn of whoever makes it, in which no model is asked: connectors are opened as
//! in every turn, and what comes back goes to whoever waits for it. Nothing of it is ever told to a model.

use super::connecting;
use super::plan::{Mint, Plan};
use super::state::{Call, CallStatus, State, Turn};
use crate::{
    Action, Failure, FailureCode,
    item::{Change, ErrandOutcome},
    record::OrderedCall,
};
use bailiwick_types::{Millis, Principal};
use serde::{Deserialize, Serialize};

/// Calls of one session that may wait at once.
const MAX_WAITING: usize = 64;
/// How long a question about such a call waits for a person: no longer than programs wait for an answer. Nothing is done
/// when nobody waits for it any more.
const PATIENCE: Millis = Millis::from_secs(50);

/// A call that waits for a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ordered {
    /// The input that brought it.
    sequence: u64,
    orderer: Principal,
    /// `None`: the connectors are to be opened, and nothing more.
    call: Option<OrderedCall>,
}

impl State {
    pub(super) fn order(
        &mut self,
        sequence: u64,
        orderer: &Principal,
        call: Option<&OrderedCall>,
        out: &mut Vec<Change>,
    ) {
        let ordered = Ordered { sequence, orderer: orderer.clone(), call: call.cloned() };
        let running = self.turn.as_ref().map_or(0, |turn| turn.calls.len());
        if self.ordered.len() + running >= MAX_WAITING {
            let failure = Failure::new(FailureCode::ToolError, "too many calls wait in this session");
            return out.push(Change::Errand { sequence, outcome: ErrandOutcome::Failed { failure } });
        }
        self.ordered.push(ordered);
        let models = self.open.values().any(|open| matches!(*open.action, Action::ModelCall(_)));
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
        for Ordered { sequence, call, .. } in theirs {
            let ordinal = self.take_ordinal();
            let Some(turn) = &mut self.turn else { return };
            turn.ordered = true;
            let Some(OrderedCall { item, name, arguments }) = call else {
                turn.opening.push(sequence);
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
                ordered: Some(sequence),
                status: CallStatus::Waiting,
            });
        }
        self.tell_opened(out);
    }

    /// Whoever only wanted the connectors opened is told once all of them were tried.
    pub(super) fn tell_opened(&mut self, out: &mut Vec<Change>) {
        let all = self.turn.as_ref().is_some_and(|turn| connecting::all_tried(self, turn));
        let Some(turn) = self.turn.as_mut().filter(|_| all) else { return };
        let done = |sequence| Change::Errand { sequence, outcome: ErrandOutcome::Done };
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
        let left = |sequence| Change::Errand { sequence, outcome: ErrandOutcome::Failed { failure: failure.clone() } };
        out.extend(turn.opening.drain(..).map(left));
    }

    /// How long a question of the running turn waits, where nobody waits as long as people do.
    pub fn patience(&self) -> Option<Millis> {
        self.turn.as_ref().filter(|turn| turn.ordered && turn.steps == 0).map(|_| PATIENCE)
    }
}

/// Before the first call, what is not open yet is opened. `None` when calls may be made.
pub(super) fn open(state: &State, turn: &Turn, mint: &mut Mint) -> Option<Plan> {
    if !turn.ordered || connecting::all_tried(state, turn) {
        return None;
    }
    let opens = |action: &Action| matches!(action, Action::ConnectorOpen { .. });
    let running = state.open.values().any(|open| opens(&open.action));
    let asked = state.asked.values().any(|asked| opens(&asked.action));
    Some(if running || asked { Plan::default() } else { connecting::open(state, turn, mint) })
}
