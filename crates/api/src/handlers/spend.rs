//! What was spent, summed by whatever is asked, and what a run is likely to cost.

use super::ok;
use crate::{
    app::{App, Call},
    error::ApiError,
    query::Query,
    routes::Answer,
    types::money::{SpendEstimate, SpendLine, SpendReport},
};
use bailiwick_ports::{MAX_SPEND_SUMS, SpendBy, SpendQuery, SpendSum};
use bailiwick_types::{AgentId, Money, TenantId, Timestamp};

/// Sums of one answer, unless the caller wants fewer.
const MAX_SUMS: u32 = 10_000;
/// Past runs that an estimate is made of.
const MAX_RUNS: u32 = 10_000;
/// How far back an estimate looks.
const ESTIMATE_DAYS: i64 = 90;
const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) async fn show(call: Call) -> Answer {
    let mut query = call.query()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let (from, until) = times(app, &mut query)?;
    let by = dimensions(query.take("by"))?;
    let limit = match query.take("limit").map(|text| text.parse::<u32>()) {
        None => MAX_SUMS,
        Some(Ok(limit)) if (1..=MAX_SUMS).contains(&limit) => limit,
        Some(_) => return Err(ApiError::invalid("limit", format!("`limit` must be a number from 1 to {MAX_SUMS}."))),
    };
    let mut only = Vec::new();
    for dimension in SpendBy::ALL.into_iter().filter(|dimension| *dimension != SpendBy::Day) {
        only.extend(query.take(dimension.name()).map(|value| (dimension, value)));
    }
    query.finish()?;
    let asked = SpendQuery { tenant, from, until, only, by: by.clone(), limit: limit + 1 };
    let mut sums = app.options.store.spend(asked.clone()).await?;
    let whole = app.options.store.spend(SpendQuery { by: Vec::new(), limit: 1, ..asked }).await?;
    let has_more = sums.len() > limit as usize;
    sums.truncate(limit as usize);
    ok(SpendReport {
        object: "bailiwick.spend",
        currency: app.options.handle.gate().money().currency.clone(),
        from: from.as_seconds(),
        until: until.as_seconds(),
        by: by.iter().map(|by| by.name()).collect(),
        data: sums.into_iter().map(SpendLine::from).collect(),
        total: whole.into_iter().next().unwrap_or_default().into(),
        has_more,
    })
}

/// `from` and `until` in seconds since 1970; this month until now when they are left out.
fn times(app: &App, query: &mut Query) -> Result<(Timestamp, Timestamp), ApiError> {
    let now = app.now();
    let mut time = |name: &str, default: Timestamp| match query.take(name) {
        None => Ok(default),
        Some(text) => match text.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000)) {
            Some(millis) if millis >= 0 => Ok(Timestamp::from_millis(millis)),
            _ => Err(ApiError::invalid(name, format!("`{name}` must be a time in seconds since 1970."))),
        },
    };
    let from = time("from", bailiwick_ports::Window::Month.start(now))?;
    // What happened in this millisecond has happened.
    let until = time("until", Timestamp::from_millis(now.as_millis() + 1))?;
    if until < from {
        return Err(ApiError::invalid("until", "`until` must not be before `from`."));
    }
    Ok((from, until))
}

fn dimensions(given: Option<String>) -> Result<Vec<SpendBy>, ApiError> {
    let mut by: Vec<SpendBy> = Vec::new();
    for name in given.iter().flat_map(|given| given.split(',')) {
        let found = SpendBy::ALL.into_iter().find(|by| by.name() == name).filter(|found| !by.contains(found));
        let Some(found) = found else {
            let names: Vec<&str> = SpendBy::ALL.iter().map(|by| by.name()).collect();
            return Err(ApiError::invalid("by", format!("`by` takes, each once: {}.", names.join(", "))));
        };
        by.push(found);
    }
    Ok(by)
}

pub(crate) async fn estimate(call: Call) -> Answer {
    let mut query = call.query()?;
    let agent: Option<AgentId> = query.id("agent_id")?;
    query.finish()?;
    let Some(agent) = agent else {
        return Err(ApiError::invalid("agent_id", "`agent_id` is needed: whose runs are meant?"));
    };
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let mut runs: Vec<Money> = past_runs(app, tenant, agent).await?.iter().map(|run| run.cost).collect();
    runs.sort_unstable();
    // The smallest cost that so many of a hundred runs did not pass.
    let percentile = |percent: usize| {
        let rank = (runs.len() * percent).div_ceil(100).max(1);
        runs.get(rank - 1).map(Money::to_string)
    };
    ok(SpendEstimate {
        object: "bailiwick.spend.estimate",
        agent_id: agent.to_string(),
        currency: app.options.handle.gate().money().currency.clone(),
        runs: runs.len(),
        median: percentile(50),
        percentile_90: percentile(90),
        dearest: percentile(100),
    })
}

/// One sum for each session of the agent.
async fn past_runs(app: &App, tenant: TenantId, agent: AgentId) -> Result<Vec<SpendSum>, ApiError> {
    let now = app.now();
    let asked = SpendQuery {
        tenant,
        from: Timestamp::from_millis(now.as_millis() - ESTIMATE_DAYS * DAY_MS),
        until: Timestamp::from_millis(now.as_millis() + 1),
        only: vec![(SpendBy::Agent, agent.to_string())],
        by: vec![SpendBy::Session],
        limit: MAX_RUNS.min(MAX_SPEND_SUMS),
    };
    Ok(app.options.store.spend(asked).await?)
}
