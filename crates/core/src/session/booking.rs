//! What records do to reservations, balances and the book of what was spent.
//!
//! Every reservation ends exactly once: with its action, with the attempt that a crash took, or with the turn.

use super::state::{OpenAction, State};
use crate::{
    Action, ActionResult, Booking, Cost, Ending, Lost, Meter, Outcome, Reservation, Spend, TurnOutcome, Unit,
    budget::taken,
    item::Change,
    record::{ActionResumed, Spending, TurnEnd, TurnEnded},
};
use bailiwick_types::{ActionId, Money, Principal, Timestamp, TokenUsage};

/// Stands before a function's name where the book has a model's.
const TOOL_PREFIX: &str = "tool:";

/// How an action left the open ones.
pub(super) struct Closing {
    pub ending: Ending,
    /// What was paid, where that is known.
    pub cost: Option<Cost>,
    pub usage: TokenUsage,
    /// It reached whoever performs it.
    pub sent: bool,
}

impl Closing {
    /// By its outcome; `cost` as the record says it.
    pub fn of(open: &OpenAction, outcome: &Outcome, cost: Option<Cost>) -> Self {
        let usage = match outcome {
            Outcome::Confirmed { result: ActionResult::Model(answer) } => answer.usage,
            _ => TokenUsage::default(),
        };
        let cost = cost.or_else(|| open.quote.map(|quote| quote.cost(outcome)));
        Self { ending: outcome.into(), cost, usage, sent: !matches!(outcome, Outcome::NotSent { .. }) }
    }

    /// An action that somebody else performs, and that ends without an outcome of a hand.
    pub fn of_awaited(open: &OpenAction, ending: Ending) -> Self {
        let cost = open.quote.map(|quote| quote.flat_cost(ending));
        Self { ending, cost, usage: TokenUsage::default(), sent: true }
    }
}

impl State {
    /// What a model call that ends so has cost, where it has a price. `lost` is what its hand knows of attempts in it that
    /// broke.
    pub fn cost_of(&self, action: ActionId, outcome: &Outcome, lost: Option<Lost>) -> Option<Cost> {
        self.open.get(&action)?.quote.map(|quote| quote.cost_after(outcome, lost))
    }

    /// The most that is held for the session's open model calls and functions with a price.
    pub fn reserved(&self) -> Money {
        let quotes = self.open.values().filter_map(|open| open.quote);
        quotes.fold(Money::ZERO, |sum, quote| sum.saturating_add(quote.bound))
    }

    /// A reservation that begins; none is kept of what reserves nothing.
    pub(super) fn reserve(at: Timestamp, spending: &Spending, changes: &mut Vec<Change>) -> Vec<Reservation> {
        if spending.meters.is_empty() {
            return Vec::new();
        }
        let reservation = Reservation { at, meters: spending.meters.clone() };
        changes.push(Change::Booked(vec![Booking::Reserved(reservation.clone())]));
        vec![reservation]
    }

    /// Takes an action from the open ones and books what became of what it held.
    pub(super) fn close(
        &mut self,
        at: Timestamp,
        id: ActionId,
        closing: &Closing,
        changes: &mut Vec<Change>,
    ) -> Option<OpenAction> {
        let mut open = self.open.remove(&id)?;
        let mut bookings = Vec::new();
        for reservation in std::mem::take(&mut open.reservations) {
            let taken = taken(&reservation.meters, closing.ending, closing.cost);
            bookings.push(Booking::Settled { reservation, taken });
        }
        bookings.extend(self.spend(at, id, &open, closing));
        if !bookings.is_empty() {
            changes.push(Change::Booked(bookings));
        }
        Some(open)
    }

    /// A model call, or a call of a function with a price, in the book.
    fn spend(&mut self, at: Timestamp, id: ActionId, open: &OpenAction, closing: &Closing) -> Option<Booking> {
        let model = match &*open.action {
            Action::ModelCall(call) => call.model.clone(),
            Action::FunctionCall { name, .. } if open.quote.is_some() => format!("{TOOL_PREFIX}{name}"),
            _ => return None,
        };
        if !closing.sent {
            return None;
        }
        self.spent = self.spent.saturating_add(closing.cost.map_or(Money::ZERO, |cost| cost.amount));
        Some(Booking::Spent(Box::new(Spend {
            position: self.position,
            time: at,
            turn: open.turn,
            action: id,
            person: payer(&open.principal),
            team: open.team,
            agent: self.agent.id,
            session: self.session,
            model,
            ending: closing.ending,
            usage: closing.usage,
            cost: closing.cost,
        })))
    }

    /// A model call is made again after a crash. Nobody saw how the attempt before it ended, so what was reserved for
    /// that is spent. What its rule counts is one action still.
    pub(super) fn attempt_again(&mut self, at: Timestamp, resumed: &ActionResumed, changes: &mut Vec<Change>) {
        let Some(open) = self.open.get(&resumed.action) else { return };
        if !matches!(*open.action, Action::ModelCall(_)) {
            return;
        }
        let before = open.clone();
        let reason = String::new();
        let closing = Closing::of(&before, &Outcome::Unknown { reason }, None);
        let (mut bookings, mut kept) = (Vec::new(), Vec::new());
        for Reservation { at, meters } in before.reservations.clone() {
            let (money, counts): (Vec<Meter>, Vec<Meter>) =
                meters.into_iter().partition(|meter| meter.unit == Unit::Money);
            if !money.is_empty() {
                let taken = taken(&money, closing.ending, closing.cost);
                bookings.push(Booking::Settled { reservation: Reservation { at, meters: money }, taken });
            }
            if !counts.is_empty() {
                kept.push(Reservation { at, meters: counts });
            }
        }
        bookings.extend(self.spend(at, resumed.action, &before, &closing));
        changes.push(Change::Booked(bookings));
        kept.extend(Self::reserve(at, &resumed.spending, changes));
        if let Some(open) = self.open.get_mut(&resumed.action) {
            (open.quote, open.team, open.reservations) = (resumed.spending.quote, resumed.spending.team, kept);
        }
    }

    /// What is still open when a turn ends was given to somebody else, and may have been done.
    pub(super) fn close_all(&mut self, at: Timestamp, ended: &TurnEnded, changes: &mut Vec<Change>) {
        let open: Vec<ActionId> = self.open.keys().copied().collect();
        for id in open {
            let Some(open) = self.open.get(&id) else { continue };
            let closing = Closing::of_awaited(open, Ending::Unknown);
            self.close(at, id, &closing, changes);
        }
        let outcome = match ended.end {
            TurnEnd::Completed => TurnOutcome::Completed,
            TurnEnd::Failed { .. } => TurnOutcome::Failed,
            TurnEnd::Cancelled => TurnOutcome::Cancelled,
        };
        changes.push(Change::Booked(vec![Booking::TurnEnded { turn: ended.turn, outcome }]));
    }
}

/// For whom an agent's call is paid: the person, else the program that asked.
fn payer(principal: &Principal) -> String {
    match principal {
        Principal::Agent { on_behalf_of: Some(subject), .. } => payer(subject),
        other => other.to_string(),
    }
}
