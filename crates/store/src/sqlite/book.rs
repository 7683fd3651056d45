//! Balances, and the book of what was spent: both are written with the records that say so and never alone.
//!
//! One writer is the only one who adds, so an account is no hot row here. A store with several writers must not do as
//! this one does: a row that every transaction writes costs most of its throughput. There, each node draws bounded
//! slices from an account, spends from those, and gives back what is left of them.

use super::{
    columns::{number_at, optional_id_at},
    error::Error,
    read::Reader,
    statement::{Statement, integer},
    transaction::Transaction,
};
use bailiwick_ports::{
    AccountKey, Balance, BalanceChange, MAX_SPEND_SUMS, Spend, SpendBy, SpendEntry, SpendQuery, SpendSum, StoreError,
    TurnOutcome, Window, store::Append,
};
use bailiwick_types::{AgentId, Money, SessionId, TeamId, TenantId, Timestamp};
use rusqlite::Row;

const DAY_MS: i64 = 24 * 3_600_000;

const fn window(window: Window) -> i64 {
    match window {
        Window::Hour => 1,
        Window::Day => 2,
        Window::Month => 3,
        Window::Total => 4,
    }
}

const fn outcome(outcome: TurnOutcome) -> i64 {
    match outcome {
        TurnOutcome::Completed => 1,
        TurnOutcome::Failed => 2,
        TurnOutcome::Cancelled => 3,
    }
}

const OUTCOMES: [&str; 4] =
    ["running", TurnOutcome::Completed.name(), TurnOutcome::Failed.name(), TurnOutcome::Cancelled.name()];

/// Adds to balances.
pub fn put_balances(transaction: &mut Transaction, tenant: TenantId, changes: &[BalanceChange]) -> Result<(), Error> {
    for BalanceChange { key, spent, reserved } in changes {
        let mut statement = Statement::new(
            "INSERT INTO accounts(tenant, account, window, start, spent, reserved) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, reserved = reserved + excluded.reserved",
        );
        statement.bind(tenant.to_u128()).bind(&key.account[..]).bind(window(key.window));
        statement.bind(key.start.as_millis()).bind(*spent).bind(*reserved);
        transaction.run(&statement)?;
    }
    Ok(())
}

/// Writes what the records of an append to stream `no` add to the book.
pub fn put_spend(transaction: &mut Transaction, no: i64, append: &Append) -> Result<(), Error> {
    for entry in &append.spend {
        match entry {
            SpendEntry::Call(call) => put_call(transaction, no, append, call)?,
            SpendEntry::TurnEnded { turn, outcome: how } => {
                let mut statement = Statement::new("INSERT OR REPLACE INTO turn_ends(turn, outcome) VALUES (?, ?)");
                statement.bind(turn.to_u128()).bind(outcome(*how));
                transaction.run(&statement)?;
            }
        }
    }
    Ok(())
}

fn put_call(transaction: &mut Transaction, no: i64, append: &Append, call: &Spend) -> Result<(), Error> {
    let mut statement = Statement::new(
        "INSERT INTO spend(tenant, time, place, session, turn, person, team, agent, model, input, cached_input, \
         output, cost, estimated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    statement.bind(append.tenant.to_u128()).bind(call.time.as_millis());
    statement.bind(no << 32 | integer(call.position)).bind(append.stream.to_u128()).bind(call.turn.to_u128());
    statement.bind(&call.person[..]).bind(call.team.map(TeamId::to_u128)).bind(call.agent.to_u128());
    statement.bind(&call.model[..]).bind(integer(call.usage.input)).bind(integer(call.usage.cached_input));
    statement.bind(integer(call.usage.output)).bind(call.cost.map(|cost| cost.amount.as_micros()));
    statement.bind(call.cost.is_some_and(|cost| cost.estimated));
    transaction.run(&statement).map(drop)
}

/// What a dimension is in the database.
const fn column(by: SpendBy) -> &'static str {
    match by {
        SpendBy::Day => "s.time / 86400000",
        SpendBy::Person => "s.person",
        SpendBy::Team => "s.team",
        SpendBy::Agent => "s.agent",
        SpendBy::Session => "s.session",
        SpendBy::Model => "s.model",
        SpendBy::Outcome => "coalesce(e.outcome, 0)",
    }
}

/// A value of a dimension as it is shown.
fn value_at(row: &Row<'_>, at: usize, by: SpendBy) -> Result<String, Error> {
    let id = || optional_id_at(row, at);
    Ok(match by {
        SpendBy::Day => {
            let day: i64 = row.get(at)?;
            let text = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
            text.split('T').next().unwrap_or_default().to_owned()
        }
        SpendBy::Person | SpendBy::Model => row.get(at)?,
        SpendBy::Team => id()?.map(|id| TeamId::from_u128(id).to_string()).unwrap_or_default(),
        SpendBy::Agent => id()?.map(|id| AgentId::from_u128(id).to_string()).unwrap_or_default(),
        SpendBy::Session => id()?.map(|id| SessionId::from_u128(id).to_string()).unwrap_or_default(),
        SpendBy::Outcome => {
            let outcome: usize = number_at(row, at)?;
            OUTCOMES.get(outcome).copied().unwrap_or_default().to_owned()
        }
    })
}

/// Adds `AND column = value`; a value that no row can have matches none.
fn push_filter<'v>(statement: &mut Statement<'v>, by: SpendBy, value: &'v str) -> Result<(), StoreError> {
    let id = match by {
        SpendBy::Day => return Err(StoreError::Malformed("`only` takes no day: give the times".into())),
        SpendBy::Person | SpendBy::Model => {
            statement.add(&format!(" AND {} = ?", column(by))).bind(value);
            return Ok(());
        }
        SpendBy::Outcome => {
            let outcome = OUTCOMES.iter().position(|name| *name == value);
            statement.add(&format!(" AND {} = ?", column(by))).bind(outcome.map_or(-1, |at| at as i64));
            return Ok(());
        }
        SpendBy::Team if value.is_empty() => {
            statement.add(" AND s.team IS NULL");
            return Ok(());
        }
        SpendBy::Team => value.parse::<TeamId>().ok().map(TeamId::to_u128),
        SpendBy::Agent => value.parse::<AgentId>().ok().map(AgentId::to_u128),
        SpendBy::Session => value.parse::<SessionId>().ok().map(SessionId::to_u128),
    };
    match id {
        Some(id) => statement.add(&format!(" AND {} = ?", column(by))).bind(id),
        None => statement.add(" AND 0"),
    };
    Ok(())
}

impl Reader<'_> {
    pub async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        let mut statement = Statement::new("SELECT spent, reserved FROM accounts ");
        statement.add("WHERE tenant = ? AND account = ? AND window = ? AND start = ?");
        statement.bind(tenant.to_u128()).bind(&key.account[..]).bind(window(key.window)).bind(key.start.as_millis());
        let read = |row: &Row<'_>| Ok(Balance { spent: row.get(0)?, reserved: row.get(1)? });
        Ok(self.first(&statement, read).await?.unwrap_or_default())
    }

    pub async fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        let by = &query.by[..];
        let ends = by.iter().chain(query.only.iter().map(|(by, _)| by)).any(|by| *by == SpendBy::Outcome);
        let columns: Vec<&str> = by.iter().map(|by| column(*by)).collect();
        let mut statement = Statement::new("SELECT ");
        statement.add("count(*), sum(s.cost IS NULL), sum(s.input), sum(s.cached_input), sum(s.output), ");
        statement.add("coalesce(sum(s.cost), 0), coalesce(sum(iif(s.estimated, s.cost, 0)), 0)");
        for column in &columns {
            statement.add(", ").add(column);
        }
        statement.add(" FROM spend s");
        if ends {
            statement.add(" LEFT JOIN turn_ends e ON e.turn = s.turn");
        }
        statement.add(" WHERE s.tenant = ? AND s.time >= ? AND s.time < ?");
        statement.bind(query.tenant.to_u128()).bind(query.from.as_millis()).bind(query.until.as_millis());
        for (by, value) in &query.only {
            push_filter(&mut statement, *by, value)?;
        }
        // Columns by their number: an expression again would be an expression, a number is what it says.
        let first = 8;
        if columns.is_empty() {
            statement.add(" HAVING count(*) > 0");
        } else {
            statement.add(" GROUP BY ");
            for at in 0..columns.len() {
                statement.add(&format!("{}{}", if at == 0 { "" } else { ", " }, first + at));
            }
        }
        statement.add(" ORDER BY 6 DESC, 1 DESC");
        for at in 0..columns.len() {
            statement.add(&format!(", {}", first + at));
        }
        statement.add(" LIMIT ?").bind(query.limit.min(MAX_SPEND_SUMS));
        self.all_of_many(&statement, |row| {
            Ok(SpendSum {
                values: by
                    .iter()
                    .zip(first - 1..)
                    .map(|(by, at)| value_at(row, at, *by))
                    .collect::<Result<_, Error>>()?,
                calls: number_at(row, 0)?,
                unpriced: number_at(row, 1)?,
                input: number_at(row, 2)?,
                cached_input: number_at(row, 3)?,
                output: number_at(row, 4)?,
                cost: Money::from_micros(row.get(5)?),
                estimated: Money::from_micros(row.get(6)?),
            })
        })
        .await
    }
}
