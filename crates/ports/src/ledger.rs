//! What may be spent, counted or summed in a window of time: budgets and rules that count share this.
//!
//! The number shown is the number enforced: a reservation is an upper bound and is held until the action that made it
//! has settled, through any crash.

use bailiwick_types::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

/// One limit that an action counts against, and how much it would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    /// What is counted, for whom: `budget_…`, or a rule's id and the id of whom it counts for.
    pub account: String,
    pub unit: Unit,
    pub window: Window,
    /// An upper bound of what the action takes.
    pub amount: i64,
    pub limit: i64,
    /// Says so and goes on, where a hard limit refuses.
    #[serde(default)]
    pub warn_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Micro-units of the tenant's currency.
    Money,
    /// Actions.
    Count,
    /// Whatever the rule that sums says it sums.
    Sum,
}

/// Over which time a meter counts. Calendar windows are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    Hour,
    Day,
    Month,
    /// For ever.
    Total,
}

/// Why a reservation was refused: nothing of it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    pub account: String,
    pub unit: Unit,
    pub window: Window,
    /// Settled in this window so far.
    pub spent: i64,
    /// Held for actions that have not settled.
    pub reserved: i64,
    pub asked: i64,
    pub limit: i64,
}

/// Balances in memory; the streams hold what they are made of.
pub trait Ledger: Send + Sync {
    /// Reserves all or nothing, atomically among everybody who asks at the same time. Returns the accounts whose
    /// warning limit this passes.
    fn reserve(&self, tenant: TenantId, at: Timestamp, meters: &[Meter]) -> Result<Vec<String>, Exceeded>;
    /// Gives a reservation back, and books what was really taken. `at` is when the reservation was made: it counts in
    /// that window.
    fn settle(&self, tenant: TenantId, at: Timestamp, meters: &[Meter], taken: &[i64]);
    /// What is spent and what is reserved in the window of `at`.
    fn balance(&self, tenant: TenantId, account: &str, window: Window, at: Timestamp) -> (i64, i64);
}
