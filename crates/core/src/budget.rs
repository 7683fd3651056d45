//! Budget arithmetic: what a call may cost at most, what it has cost, and in which window of time that counts.
//!
//! Everything here is exact: micro-units of one currency in whole numbers, windows in UTC. What is reserved is an upper
//! bound, and whatever may have been paid for stays booked, marked as an estimate, until somebody knows better.

use crate::{ActionResult, FailureCode, Outcome};
use bailiwick_types::{
    ActionId, AgentId, BudgetId, Money, SessionId, TeamId, TenantId, Timestamp, TokenUsage, TurnId, UserId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The account of a session's own limit. Its balance is the session's state: it has one writer and no other keeper.
pub const SESSION_ACCOUNT: &str = "session";
/// The highest limit of a budget: a thousand million units of the currency.
pub const MAX_LIMIT: Money = Money::from_micros(1_000_000_000_000_000);
/// The highest price of a million tokens: a million units of the currency.
pub const MAX_PRICE: Money = Money::from_micros(1_000_000_000_000);

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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    Hour,
    Day,
    Month,
    /// For ever.
    Total,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

impl Window {
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Month, Self::Total];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// When the window that holds `at` began.
    pub fn start(self, at: Timestamp) -> Timestamp {
        let millis = at.as_millis();
        Timestamp::from_millis(match self {
            Self::Hour => millis - millis.rem_euclid(HOUR_MS),
            Self::Day => millis - millis.rem_euclid(DAY_MS),
            Self::Month => {
                let days = millis.div_euclid(DAY_MS);
                (days - (day_of_month(days) - 1)) * DAY_MS
            }
            Self::Total => 0,
        })
    }

    /// When the next one begins; `None` for ever.
    pub fn end(self, at: Timestamp) -> Option<Timestamp> {
        let start = self.start(at).as_millis();
        let span = match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
            // 31 days on is always in the next month, and never in the one after.
            Self::Month => return Some(Self::Month.start(Timestamp::from_millis(start + 31 * DAY_MS))),
            Self::Total => return None,
        };
        Some(Timestamp::from_millis(start + span))
    }
}

/// From 1. After Howard Hinnant's `civil_from_days`; `days` count from 1970-01-01.
const fn day_of_month(days: i64) -> i64 {
    let z = days + 719_468;
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year - (153 * month + 2) / 5 + 1
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a million tokens cost, in micro-units of the tenant's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Counts from 1; a new price is a new version, and a receipt says which it was settled by.
    pub version: u32,
    pub input: Money,
    /// Of input that the provider had cached; like input when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Money>,
    pub output: Money,
}

const PER: i128 = 1_000_000;

impl Prices {
    /// What a call cost, rounded up to a micro-unit, so that no call is free because it is small.
    pub fn cost(&self, usage: &TokenUsage) -> Money {
        let cached = usage.cached_input.min(usage.input);
        self.sum([
            (usage.input - cached, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (usage.output, self.output),
        ])
    }

    /// The most that a call with so many tokens can cost, whatever of them was cached.
    pub fn bound(&self, input: u64, output: u64) -> Money {
        let dearest = self.cached_input.unwrap_or(self.input).max(self.input);
        self.sum([(input, dearest), (output, self.output), (0, Money::ZERO)])
    }

    fn sum(&self, parts: [(u64, Money); 3]) -> Money {
        let micros: i128 =
            parts.iter().map(|(tokens, price)| i128::from(*tokens) * i128::from(price.as_micros())).sum();
        Money::from_micros(i64::try_from((micros + PER - 1) / PER).unwrap_or(i64::MAX))
    }
}

/// What a call may cost at most, by the prices of the moment in which it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Of all its attempts together.
    pub bound: Money,
    pub prices: Prices,
    /// The most tokens of its prompt; 0 where that was not written down.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_tokens: u64,
    /// How many attempts that may be paid for the bound covers.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub attempts: u32,
}

const fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_one(attempts: &u32) -> bool {
    *attempts == 1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
const fn is_none(attempts: &u32) -> bool {
    *attempts == 0
}

/// Attempts of one call that broke after they were sent. The provider may want to be paid for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Of which it is known how far the answer came.
    pub heard: u32,
    /// Tokens of those answers, as far as they came.
    pub output_tokens: u64,
    /// Of which nothing was heard.
    pub unheard: u32,
}

impl Lost {
    pub fn attempts(self) -> u32 {
        self.heard.saturating_add(self.unheard)
    }
}

/// What a call has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    pub amount: Money,
    /// Nobody said what it was: this is what had been reserved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    pub price_version: u32,
    /// Attempts in it that broke after they were sent.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost_attempts: u32,
}

impl Quote {
    /// Of a model call whose prompt and answer have so many tokens at most, and that may be paid for so many times.
    pub fn of_call(prices: Prices, input_tokens: u64, output_tokens: u64, attempts: u32) -> Self {
        let attempts = attempts.max(1);
        let bound = times(prices.bound(input_tokens, output_tokens), attempts);
        Self { bound, prices, input_tokens, attempts }
    }

    /// Of what costs the same each time.
    pub fn flat(price: Money) -> Self {
        let prices = Prices { version: 1, input: Money::ZERO, cached_input: None, output: Money::ZERO };
        Self { bound: price, prices, input_tokens: 0, attempts: 1 }
    }

    /// By the usage that the provider reported. Whatever was sent and did not come to its end is taken to have cost all
    /// that was reserved for it.
    pub fn cost(&self, outcome: &Outcome) -> Cost {
        self.cost_after(outcome, None)
    }

    /// By the usage that the provider reported, and by what is known of attempts that broke: all of them, where `lost`
    /// says so. Without it, whatever did not come to its end is taken to have cost all that was reserved for it.
    pub fn cost_after(&self, outcome: &Outcome, lost: Option<Lost>) -> Cost {
        let (last, estimated) = match (outcome, lost) {
            (Outcome::Confirmed { result: ActionResult::Model(answer) }, _) if answer.usage.total() > 0 => {
                (self.prices.cost(&answer.usage), false)
            }
            (Outcome::Confirmed { .. }, _) => (self.of_one(), true),
            (Outcome::NotSent { .. }, _) | (Outcome::Failed { .. }, Some(_)) => (Money::ZERO, false),
            (Outcome::Failed { failure }, None) if is_free(failure.code) => (Money::ZERO, false),
            (Outcome::Failed { .. } | Outcome::Unknown { .. }, _) => (self.bound, true),
        };
        let lost = lost.unwrap_or_default();
        let amount = last.saturating_add(self.of_lost(lost));
        let estimated = estimated || lost.attempts() > 0;
        Cost { amount, estimated, price_version: self.prices.version, lost_attempts: lost.attempts() }
    }

    /// Of what costs the same each time, by how it ended.
    pub fn flat_cost(&self, ending: Ending) -> Cost {
        let amount = if ending == Ending::DidNot { Money::ZERO } else { self.bound };
        let estimated = ending == Ending::Unknown;
        Cost { amount, estimated, price_version: self.prices.version, lost_attempts: 0 }
    }

    /// What one attempt costs at most.
    fn of_one(&self) -> Money {
        Money::from_micros(self.bound.as_micros() / i64::from(self.attempts.max(1)))
    }

    /// The prompt in full and the answer as far as it came; an attempt of which nothing was heard costs the most.
    fn of_lost(&self, lost: Lost) -> Money {
        let most = times(self.of_one(), lost.heard);
        let heard = match self.input_tokens {
            0 => most,
            input => most.min(self.prices.bound(input.saturating_mul(u64::from(lost.heard)), lost.output_tokens)),
        };
        heard.saturating_add(times(self.of_one(), lost.unheard))
    }
}

fn times(amount: Money, count: u32) -> Money {
    Money::from_micros(amount.as_micros().saturating_mul(i64::from(count)))
}

/// The provider refused the request, or never had it: there was nothing to pay for.
fn is_free(code: FailureCode) -> bool {
    match code {
        FailureCode::RateLimited
        | FailureCode::Overloaded
        | FailureCode::ServerError
        | FailureCode::ConnectionFailed
        | FailureCode::ContextOverflow
        | FailureCode::AuthenticationFailed
        | FailureCode::InvalidRequest
        | FailureCode::UnknownModel => true,
        FailureCode::FirstByteTimeout
        | FailureCode::StreamStalled
        | FailureCode::StreamCut
        | FailureCode::MalformedAnswer
        | FailureCode::ContentFilter
        | FailureCode::SandboxError
        | FailureCode::ExecutorIncompatible
        | FailureCode::ToolError
        | FailureCode::Cancelled
        | FailureCode::Internal => false,
    }
}

/// How an action ended, as far as meters care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Happened,
    /// It failed or never left: what it would have counted is given back.
    DidNot,
    /// It may have happened, so it counts.
    Unknown,
}

impl From<&Outcome> for Ending {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Confirmed { .. } => Self::Happened,
            Outcome::Failed { .. } | Outcome::NotSent { .. } => Self::DidNot,
            Outcome::Unknown { .. } => Self::Unknown,
        }
    }
}

/// What was taken of each of `meters`, in their order.
pub fn taken(meters: &[Meter], ending: Ending, cost: Option<Cost>) -> Vec<i64> {
    let of = |meter: &Meter| match (meter.unit, cost, ending) {
        (Unit::Money, Some(cost), _) => cost.amount.as_micros(),
        (_, _, Ending::DidNot) => 0,
        (_, _, Ending::Happened | Ending::Unknown) => meter.amount,
    };
    meters.iter().map(of).collect()
}

/// Meters that an action holds since `at`, which says in which windows they count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    pub at: Timestamp,
    pub meters: Vec<Meter>,
}

/// What one record did to balances and to the book of what was spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Booking {
    /// Held for an action that is about to be done.
    Reserved(Reservation),
    /// The reservation is over, and this was taken, meter by meter.
    Settled {
        reservation: Reservation,
        taken: Vec<i64>,
    },
    /// One attempt of a model call ended.
    Spent(Box<Spend>),
    TurnEnded {
        turn: TurnId,
        outcome: TurnOutcome,
    },
}

/// One attempt of a model call: for whom, by whom, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spend {
    /// Position of the record that says so.
    pub position: u64,
    pub time: Timestamp,
    pub turn: TurnId,
    pub action: ActionId,
    /// For whom: the id of a user, else of a key, else `operator`.
    pub person: String,
    pub team: Option<TeamId>,
    pub agent: AgentId,
    pub session: SessionId,
    /// The published name.
    pub model: String,
    pub ending: Ending,
    pub usage: TokenUsage,
    /// `None` where nobody said what the model costs.
    pub cost: Option<Cost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TurnOutcome {
    Completed,
    Failed,
    Cancelled,
}

impl TurnOutcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Payer {
    Tenant,
    Team { id: TeamId },
    User { id: UserId },
    Agent { id: AgentId },
    Session { id: SessionId },
}

impl Payer {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Team { .. } => "team",
            Self::User { .. } => "user",
            Self::Agent { .. } => "agent",
            Self::Session { .. } => "session",
        }
    }

    pub fn id(&self) -> Option<String> {
        match self {
            Self::Tenant => None,
            Self::Team { id } => Some(id.to_string()),
            Self::User { id } => Some(id.to_string()),
            Self::Agent { id } => Some(id.to_string()),
            Self::Session { id } => Some(id.to_string()),
        }
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{} {id}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

/// A limit on what may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub payer: Payer,
    pub window: Window,
    pub limit: Money,
    /// Says so and goes on, where a hard one refuses.
    pub warn_only: bool,
}

impl Budget {
    /// The same payer, window and kind are always the same budget: one that is removed and set again goes on counting
    /// where it was.
    pub fn id(&self, tenant: TenantId) -> BudgetId {
        let mut hash = Sha256::new();
        hash.update(b"bailiwick.budget.v1");
        hash.update(tenant.to_u128().to_be_bytes());
        for part in [self.payer.to_string().as_str(), self.window.name()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update([u8::from(self.warn_only)]);
        let digest: [u8; 32] = hash.finalize().into();
        let (bits, _) = digest.split_at(16);
        BudgetId::from_u128(bits.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte)))
    }
}

/// Why an action was refused: it would not have fitted. Nothing was reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exceeded {
    pub account: String,
    /// Whose budget it is; `None` for what a rule of the policy counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
    pub unit: Unit,
    pub window: Window,
    /// Settled in this window so far.
    pub spent: i64,
    /// Held for actions that have not settled.
    pub reserved: i64,
    pub asked: i64,
    pub limit: i64,
}

impl Exceeded {
    /// The Agents API's code (`SessionTurnError`) for a turn that ends by it. The API knows sessions, projects and an
    /// organisation: what is neither a session's nor the whole organisation's is told as a project's.
    pub fn turn_error_code(&self) -> &'static str {
        match self.payer {
            Some(Payer::Session { .. }) => "session_budget_exceeded",
            Some(Payer::Tenant) => "organization_spend_limit_exceeded",
            Some(Payer::Team { .. } | Payer::User { .. } | Payer::Agent { .. }) => "project_spend_limit_exceeded",
            None => "usage_limit_exceeded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, ModelAnswer, Stop};

    fn money(micros: i64) -> Money {
        Money::from_micros(micros)
    }

    fn prices() -> Prices {
        Prices { version: 3, input: money(2_500_000), cached_input: Some(money(250_000)), output: money(10_000_000) }
    }

    fn at(text: &str) -> Timestamp {
        // Times of these tests, from `date -u +%s`.
        let seconds = match text {
            "2024-02-29T23:59:59.999Z" => 1_709_251_199_999,
            "2024-02-01T00:00:00.000Z" => 1_706_745_600_000,
            "2024-03-01T00:00:00.000Z" => 1_709_251_200_000,
            "1969-12-31T23:00:00.000Z" => -3_600_000,
            _ => unreachable!("{text}"),
        };
        let at = Timestamp::from_millis(seconds);
        assert_eq!(at.to_string(), text);
        at
    }

    #[test]
    fn windows_are_of_the_calendar_in_utc() {
        let leap = at("2024-02-29T23:59:59.999Z");
        assert_eq!(Window::Hour.start(leap).to_string(), "2024-02-29T23:00:00.000Z");
        assert_eq!(Window::Day.start(leap).to_string(), "2024-02-29T00:00:00.000Z");
        assert_eq!(Window::Month.start(leap), at("2024-02-01T00:00:00.000Z"));
        assert_eq!(Window::Month.end(leap), Some(at("2024-03-01T00:00:00.000Z")));
        assert_eq!(Window::Total.start(leap), Timestamp::from_millis(0));
        assert_eq!(Window::Total.end(leap), None);
        let before = at("1969-12-31T23:00:00.000Z");
        assert_eq!(Window::Month.start(before).to_string(), "1969-12-01T00:00:00.000Z");
        let mut month = at("2024-02-01T00:00:00.000Z");
        for _ in 0..48 {
            let next = Window::Month.end(month).unwrap();
            let last = Timestamp::from_millis(next.as_millis() - 1);
            assert_eq!((Window::Month.start(last), Window::Month.start(next)), (month, next));
            month = next;
        }
        assert_eq!(month.to_string(), "2028-02-01T00:00:00.000Z");
    }

    #[test]
    fn a_cost_is_exact_and_never_rounded_down() {
        let usage = TokenUsage { input: 1001, cached_input: 1000, output: 1, reasoning_output: 0 };
        // 1 × 2.5 + 1000 × 0.25 + 1 × 10 micro-units.
        assert_eq!(prices().cost(&usage), money(263));
        assert!(prices().bound(1001, 1) >= prices().cost(&usage));
        let odd = TokenUsage { cached_input: 5000, ..usage };
        assert_eq!(prices().cost(&odd), money(261), "cached input is part of the input");
        let most = Prices { version: 1, input: MAX_PRICE, cached_input: None, output: MAX_PRICE };
        assert_eq!(most.bound(u64::MAX, u64::MAX), money(i64::MAX));
    }

    #[test]
    fn what_may_have_been_paid_for_stays_booked() {
        let quote = Quote { bound: money(500), ..Quote::of_call(prices(), 0, 0, 1) };
        let cost = |outcome: &Outcome| {
            let cost = quote.cost(outcome);
            assert_eq!(cost.price_version, 3);
            (cost.amount.as_micros(), cost.estimated)
        };
        let failed = |code| Outcome::Failed { failure: Failure::new(code, "") };
        let answer = |usage| {
            let (entries, provider_model) = (Vec::new(), String::new());
            let answer = ModelAnswer {
                entries,
                usage,
                stop: Stop::Completed,
                provider_model,
                response_id: None,
                scripted: false,
            };
            Outcome::Confirmed { result: ActionResult::Model(answer) }
        };
        assert_eq!(cost(&answer(TokenUsage { output: 1, ..TokenUsage::default() })), (10, false));
        assert_eq!(cost(&answer(TokenUsage::default())), (500, true), "a provider that reports nothing is not free");
        assert_eq!(cost(&failed(FailureCode::StreamCut)), (500, true));
        assert_eq!(cost(&failed(FailureCode::Cancelled)), (500, true));
        assert_eq!(cost(&failed(FailureCode::RateLimited)), (0, false));
        assert_eq!(cost(&Outcome::Unknown { reason: String::new() }), (500, true));
        assert_eq!(cost(&Outcome::NotSent { reason: String::new() }), (0, false));
    }

    #[test]
    fn an_attempt_that_broke_is_booked_as_far_as_it_is_known_and_never_above_what_is_held() {
        // 100 × 2.5 + 50 × 10 = 750 for one attempt, twice.
        let quote = Quote::of_call(prices(), 100, 50, 2);
        assert_eq!((quote.bound, quote.of_one()), (money(1500), money(750)));
        let usage = TokenUsage { input: 80, cached_input: 0, output: 10, reasoning_output: 0 };
        let answer = ModelAnswer {
            entries: Vec::new(),
            usage,
            stop: Stop::Completed,
            provider_model: String::new(),
            response_id: None,
            scripted: false,
        };
        let answered = Outcome::Confirmed { result: ActionResult::Model(answer) };
        let failed = Outcome::Failed { failure: Failure::new(FailureCode::ConnectionFailed, "") };
        let cost = |outcome: &Outcome, heard, output_tokens, unheard| {
            let cost = quote.cost_after(outcome, Some(Lost { heard, output_tokens, unheard }));
            (cost.amount.as_micros(), cost.estimated, cost.lost_attempts)
        };
        assert_eq!(cost(&answered, 0, 0, 0), (300, false, 0));
        assert_eq!(cost(&answered, 1, 4, 0), (300 + 250 + 40, true, 1), "its prompt, and as far as it came");
        assert_eq!(cost(&answered, 1, 4000, 0), (300 + 750, true, 1), "no more than an attempt can cost");
        assert_eq!(cost(&failed, 0, 0, 0), (0, false, 0), "nothing was sent");
        assert_eq!(cost(&failed, 0, 0, 1), (750, true, 1), "closed after it was sent, whatever the code is called");
        assert_eq!(cost(&failed, 1, 0, 1), (250 + 750, true, 2));
        let unknown = Outcome::Unknown { reason: String::new() };
        assert_eq!(quote.cost(&unknown).amount, quote.bound, "a crash tells nothing");
        // What was written before attempts were counted.
        let old: Quote = serde_json::from_value(
            serde_json::json!({"bound": 500, "prices": serde_json::to_value(prices()).unwrap()}),
        )
        .unwrap();
        assert_eq!((old.attempts, old.of_one()), (1, money(500)));
        let cut = old.cost_after(&answered, Some(Lost { heard: 1, output_tokens: 1, unheard: 0 }));
        assert_eq!(cut.amount, money(800));
    }

    #[test]
    fn counts_are_given_back_unless_it_may_have_happened() {
        let meter = |unit| Meter {
            account: "mails".into(),
            unit,
            window: Window::Hour,
            amount: 7,
            limit: 10,
            warn_only: false,
        };
        let meters = [meter(Unit::Count), meter(Unit::Money)];
        let cost = Cost { amount: money(3), estimated: false, price_version: 1, lost_attempts: 0 };
        assert_eq!(taken(&meters, Ending::Happened, Some(cost)), [7, 3]);
        assert_eq!(taken(&meters, Ending::DidNot, Some(cost)), [0, 3]);
        assert_eq!(taken(&meters, Ending::DidNot, None), [0, 0]);
        assert_eq!(taken(&meters, Ending::Unknown, None), [7, 7]);
    }

    #[test]
    fn a_budget_that_is_set_again_is_the_same() {
        let tenant = TenantId::from_u128(1);
        let budget = Budget { payer: Payer::Tenant, window: Window::Day, limit: money(5), warn_only: false };
        assert_eq!(budget.id(tenant), Budget { limit: money(6), ..budget.clone() }.id(tenant));
        let others = [
            Budget { payer: Payer::Team { id: TeamId::from_u128(1) }, ..budget.clone() },
            Budget { window: Window::Month, ..budget.clone() },
            Budget { warn_only: true, ..budget.clone() },
        ];
        assert!(others.iter().all(|other| other.id(tenant) != budget.id(tenant)));
        assert_ne!(budget.id(tenant), budget.id(TenantId::from_u128(2)));
    }
}
