//! Balances, and the book of what was spent: both are written with the records that say so and never alone.
//!
//! One writer is the only one who adds, so an account is no hot row here. A store with several writers must not do as
//! this one does: a row that every transaction writes costs most of its throughput. There, each node draws bounded
//! slices from an account, spends from those, and gives back what is left of them.

use super::{
    ops::Ops,
    read::Reader,
    script::{Script, integer},
    write::{id_at, number_at},
};
use bailiwick_ports::{
    AccountKey, Balance, BalanceChange, MAX_SPEND_SUMS, SpendBy, SpendEntry, SpendQuery, SpendSum, StoreError,
    TurnOutcome, Window,
};
use bailiwick_types::{AgentId, Money, SessionId, TeamId, TenantId, Timestamp};
use sqlx::{Row as _, sqlite::SqliteRow};

const BALANCE: i64 = 8;
const SPEND: i64 = 9;
const TURN_END: i64 = 10;

const DAY_MS: i64 = 24 * 3_600_000;

/// The triggers of these parts (see `ops`).
pub const PROCEDURES: &str = r"
-- tenant, account, window, start, spent, reserved
CREATE TEMP TRIGGER op_balance INSTEAD OF INSERT ON op WHEN NEW.op = 8 BEGIN
    INSERT INTO accounts(tenant, account, window, start, spent, reserved)
        VALUES (NEW.a, NEW.b, NEW.c, NEW.d, NEW.e, NEW.f)
        ON CONFLICT DO UPDATE SET spent = spent + excluded.spent, reserved = reserved + excluded.reserved;
END;

-- place, time, turn, person, team, agent, model, input, cached input, output, cost: an estimated one as -1 - cost
CREATE TEMP TRIGGER op_spend INSTEAD OF INSERT ON op WHEN NEW.op = 9 BEGIN
    INSERT INTO spend(tenant, time, place, session, turn, person, team, agent, model, input, cached_input, output,
                      cost, estimated)
        SELECT tenant, NEW.b, NEW.a, id, NEW.c, NEW.d, NEW.e, NEW.f, NEW.g, NEW.h, NEW.i, NEW.j,
               iif(NEW.k < 0, -1 - NEW.k, NEW.k), NEW.k IS NOT NULL AND NEW.k < 0
        FROM streams WHERE no = NEW.a >> 32;
END;

-- turn, outcome
CREATE TEMP TRIGGER op_turn_end INSTEAD OF INSERT ON op WHEN NEW.op = 10 BEGIN
    INSERT OR REPLACE INTO turn_ends(turn, outcome) VALUES (NEW.a, NEW.b);
END;
";

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

impl Ops {
    pub fn balances(&mut self, tenant: TenantId, changes: &[BalanceChange]) {
        for BalanceChange { key, spent, reserved } in changes {
            self.part(BALANCE, 6, |part| {
                part.bind_id(tenant.to_u128()).bind(&key.account[..]).bind(window(key.window));
                part.bind(key.start.as_millis()).bind(*spent).bind(*reserved);
            });
        }
    }

    pub fn spend(&mut self, no: i64, entries: &[SpendEntry]) {
        for entry in entries {
            match entry {
                SpendEntry::Call(call) => self.part(SPEND, 11, |part| {
                    let team = call.team.map(|team| team.to_u128().to_be_bytes().to_vec());
                    let cost = call.cost.map(|cost| match cost.estimated {
                        true => -1 - cost.amount.as_micros(),
                        false => cost.amount.as_micros(),
                    });
                    part.bind(no << 32 | integer(call.position)).bind(call.time.as_millis());
                    part.bind_id(call.turn.to_u128()).bind(&call.person[..]).bind(team);
                    part.bind_id(call.agent.to_u128()).bind(&call.model[..]);
                    part.bind(integer(call.usage.input)).bind(integer(call.usage.cached_input));
                    part.bind(integer(call.usage.output)).bind(cost);
                }),
                SpendEntry::TurnEnded { turn, outcome: how } => self.part(TURN_END, 2, |part| {
                    part.bind_id(turn.to_u128()).bind(outcome(*how));
                }),
            }
        }
    }
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
fn value_at(row: &SqliteRow, at: usize, by: SpendBy) -> Result<String, sqlx::Error> {
    let id = || row.try_get::<Option<&[u8]>, _>(at)?.map(|_| id_at(row, at)).transpose();
    Ok(match by {
        SpendBy::Day => {
            let day: i64 = row.try_get(at)?;
            let text = Timestamp::from_millis(day.saturating_mul(DAY_MS)).to_string();
            text.split('T').next().unwrap_or_default().to_owned()
        }
        SpendBy::Person | SpendBy::Model => row.try_get(at)?,
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
fn push_filter(script: &mut Script, by: SpendBy, value: &str) -> Result<(), StoreError> {
    let id = match by {
        SpendBy::Day => return Err(StoreError::Malformed("`only` takes no day: give the times".into())),
        SpendBy::Person | SpendBy::Model => {
            script.add(&format!(" AND {} = ?", column(by))).bind(value);
            return Ok(());
        }
        SpendBy::Outcome => {
            let outcome = OUTCOMES.iter().position(|name| *name == value);
            script.add(&format!(" AND {} = ?", column(by))).bind(outcome.map_or(-1, |at| at as i64));
            return Ok(());
        }
        SpendBy::Team if value.is_empty() => {
            script.add(" AND s.team IS NULL");
            return Ok(());
        }
        SpendBy::Team => value.parse::<TeamId>().ok().map(TeamId::to_u128),
        SpendBy::Agent => value.parse::<AgentId>().ok().map(AgentId::to_u128),
        SpendBy::Session => value.parse::<SessionId>().ok().map(SessionId::to_u128),
    };
    match id {
        Some(id) => script.add(&format!(" AND {} = ?", column(by))).bind_id(id),
        None => script.add(" AND 0"),
    };
    Ok(())
}

impl Reader<'_> {
    pub async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        let mut script = Script::new("SELECT spent, reserved FROM accounts ");
        script.add("WHERE tenant = ? AND account = ? AND window = ? AND start = ?");
        script.bind_id(tenant.to_u128()).bind(&key.account[..]).bind(window(key.window)).bind(key.start.as_millis());
        let read = |row: &SqliteRow| Ok(Balance { spent: row.try_get(0)?, reserved: row.try_get(1)? });
        Ok(self.first(script, read).await?.unwrap_or_default())
    }

    pub async fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        let by = &query.by[..];
        let ends = by.iter().chain(query.only.iter().map(|(by, _)| by)).any(|by| *by == SpendBy::Outcome);
        let columns: Vec<&str> = by.iter().map(|by| column(*by)).collect();
        let mut script = Script::new("SELECT ");
        script.add("count(*), sum(s.cost IS NULL), sum(s.input), sum(s.cached_input), sum(s.output), ");
        script.add("coalesce(sum(s.cost), 0), coalesce(sum(iif(s.estimated, s.cost, 0)), 0)");
        for column in &columns {
            script.add(", ").add(column);
        }
        script.add(" FROM spend s");
        if ends {
            script.add(" LEFT JOIN turn_ends e ON e.turn = s.turn");
        }
        script.add(" WHERE s.tenant = ? AND s.time >= ? AND s.time < ?");
        script.bind_id(query.tenant.to_u128()).bind(query.from.as_millis()).bind(query.until.as_millis());
        for (by, value) in &query.only {
            push_filter(&mut script, *by, value)?;
        }
        // Columns by their number: an expression again would be an expression, a number is what it says.
        let first = 8;
        if columns.is_empty() {
            script.add(" HAVING count(*) > 0");
        } else {
            script.add(" GROUP BY ");
            for at in 0..columns.len() {
                script.add(&format!("{}{}", if at == 0 { "" } else { ", " }, first + at));
            }
        }
        script.add(" ORDER BY 6 DESC, 1 DESC");
        for at in 0..columns.len() {
            script.add(&format!(", {}", first + at));
        }
        script.add(" LIMIT ?").bind(query.limit.min(MAX_SPEND_SUMS));
        self.all(script, |row| {
            Ok(SpendSum {
                values: by
                    .iter()
                    .zip(first - 1..)
                    .map(|(by, at)| value_at(row, at, *by))
                    .collect::<Result<_, sqlx::Error>>()?,
                calls: number_at(row, 0)?,
                unpriced: number_at(row, 1)?,
                input: number_at(row, 2)?,
                cached_input: number_at(row, 3)?,
                output: number_at(row, 4)?,
                cost: Money::from_micros(row.try_get(5)?),
                estimated: Money::from_micros(row.try_get(6)?),
            })
        })
        .await
    }
}
