//! What may be spent, counted or summed in a window of time, as the store keeps it: budgets and rules that count share
//! this. The arithmetic is `core::budget`; who reserves is the gate.
//!
//! The number shown is the number enforced: a reservation is an upper bound and is held until the action that made it
//! has settled, through any crash.

pub use bailiwick_core::{Budget, Cost, Ending, Exceeded, Meter, Payer, Spend, TurnOutcome, Unit, Window};

use bailiwick_types::{Money, TenantId, Timestamp};

/// What one balance is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountKey {
    /// As [`Meter::account`].
    pub account: String,
    pub window: Window,
    /// When that window began.
    pub start: Timestamp,
}

impl AccountKey {
    /// Where `meter` counts at `at`.
    pub fn of(meter: &Meter, at: Timestamp) -> Self {
        Self { account: meter.account.clone(), window: meter.window, start: meter.window.start(at) }
    }
}

/// What is spent and what is held, in the meter's unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    pub spent: i64,
    pub reserved: i64,
}

/// What one commit adds to a balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceChange {
    pub key: AccountKey,
    pub spent: i64,
    pub reserved: i64,
}

/// One line of the book of what was spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpendEntry {
    Call(Box<Spend>),
    /// Every call of this turn belonged to work that ended so.
    TurnEnded {
        turn: bailiwick_types::TurnId,
        outcome: TurnOutcome,
    },
}

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpendBy {
    Day,
    Person,
    Team,
    Agent,
    Session,
    Model,
    /// `completed`, `failed`, `cancelled`, or `running` while its turn is.
    Outcome,
}

impl SpendBy {
    pub const ALL: [Self; 7] =
        [Self::Day, Self::Person, Self::Team, Self::Agent, Self::Session, Self::Model, Self::Outcome];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Person => "person",
            Self::Team => "team",
            Self::Agent => "agent",
            Self::Session => "session",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }
}

/// The most sums of one answer.
pub const MAX_SPEND_SUMS: u32 = 100_000;

/// Which part of the book, and how it is summed.
#[derive(Debug, Clone)]
pub struct SpendQuery {
    pub tenant: TenantId,
    /// Calls that ended at or after this, and before `until`.
    pub from: Timestamp,
    pub until: Timestamp,
    /// Only calls with these values, as [`SpendSum::values`] has them; each dimension at most once.
    pub only: Vec<(SpendBy, String)>,
    /// Each at most once; with none there is one sum of all.
    pub by: Vec<SpendBy>,
    /// At most [`MAX_SPEND_SUMS`]; the dearest come first.
    pub limit: u32,
}

/// What some calls came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpendSum {
    /// In the order of [`SpendQuery::by`]: an id with its prefix, a name, a day as `2026-11-21`; empty where there is
    /// none.
    pub values: Vec<String>,
    pub calls: u64,
    /// Calls of models that have no price; nothing of them is in `cost`.
    pub unpriced: u64,
    pub input: u64,
    pub cached_input: u64,
    pub output: u64,
    pub cost: Money,
    /// How much of `cost` is an estimate.
    pub estimated: Money,
}
