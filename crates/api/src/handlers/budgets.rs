//! Budgets: set, listed with what is left of them, removed.

use super::ok;
use crate::{
    app::{App, Call},
    error::ApiError,
    query::{Query, bits, unknown_cursor},
    routes::Answer,
    types::{
        money::{Budget, BudgetKind, BudgetParam, BudgetRemoved, PayerParam},
        page::Page,
    },
};
use bailiwick_gate::{BudgetError, KnownBudget, budgets::check_limit};
use bailiwick_ports::{AccountKey, Budget as Limit, Payer, Window, store::DocumentKind};
use bailiwick_types::{BudgetId, Money, TenantId};

pub(crate) async fn set(mut call: Call) -> Answer {
    call.query()?.finish()?;
    let (param, _): (BudgetParam, _) = call.json().await?;
    let (app, caller) = (&*call.app, &call.caller);
    let wrong = |field: &str, problem: String| ApiError::invalid(field, format!("`{field}`: {problem}."));
    let payer = param.payer.read().map_err(|problem| wrong("payer", problem))?;
    let limit = param.limit.parse::<Money>().map_err(|error| wrong("limit", error.to_string()))?;
    let limit = check_limit(limit).map_err(|problem| wrong("limit", problem))?;
    let warn_only = param.kind == Some(BudgetKind::Warning);
    check_payer(app, caller.tenant, &payer).await?;
    let budget = Limit { payer, window: param.per.into(), limit, warn_only };
    let gate = app.options.handle.gate();
    let administration = &*app.options.administration;
    let known = gate.budgets().set(administration, &caller.principal, caller.tenant, budget, app.now()).await?;
    ok(show(app, caller.tenant, &known).await?)
}

/// A limit on somebody who is not there would look like one and limit nobody.
async fn check_payer(app: &App, tenant: TenantId, payer: &Payer) -> Result<(), ApiError> {
    let store = &app.options.store;
    let (kind, id) = match payer {
        Payer::Tenant => return Ok(()),
        Payer::Team { id } => (DocumentKind::Team, id.to_u128()),
        Payer::User { id } => (DocumentKind::User, id.to_u128()),
        Payer::Agent { id } => (DocumentKind::Agent, id.to_u128()),
        Payer::Session { id } => {
            let head = store.head((*id).into()).await?.filter(|head| head.tenant == tenant);
            return head.map(drop).ok_or_else(|| unknown(payer));
        }
    };
    store.document(tenant, kind, id, None).await?.map(drop).ok_or_else(|| unknown(payer))
}

fn unknown(payer: &Payer) -> ApiError {
    ApiError::invalid("payer.id", format!("`payer.id`: there is no {payer}."))
}

pub(crate) async fn list(call: Call) -> Answer {
    let mut query: Query = call.query()?;
    let page = query.page(bits!(BudgetId))?;
    query.finish()?;
    let (app, tenant) = (&*call.app, call.caller.tenant);
    let known = app.options.handle.gate().budgets().list(tenant).await?;
    let mut known: Vec<&KnownBudget> = known.iter().collect();
    if page.descending {
        known.reverse();
    }
    let place = |cursor: Option<u128>| match cursor {
        None => Ok(None),
        Some(bits) => match known.iter().position(|known| known.id.to_u128() == bits) {
            Some(at) => Ok(Some(at)),
            None => Err(unknown_cursor(&page)),
        },
    };
    let (from, to) = (place(page.after)?.map_or(0, |at| at + 1), place(page.before)?.unwrap_or(known.len()));
    let within = known.get(from..to).unwrap_or_default();
    let more = within.len() > page.limit as usize;
    let mut shown = Vec::new();
    for known in within.iter().take(page.limit as usize) {
        shown.push(show(app, tenant, known).await?);
    }
    ok(Page::new(shown, more, |budget: &Budget| budget.id.clone()))
}

pub(crate) async fn remove(call: Call) -> Answer {
    call.query()?.finish()?;
    let id: BudgetId = call.id("budget_id", "budget")?;
    let (app, caller) = (&*call.app, &call.caller);
    let budgets = app.options.handle.gate().budgets();
    budgets.remove(&*app.options.administration, &caller.principal, caller.tenant, id).await?;
    ok(BudgetRemoved { id: id.to_string(), object: "bailiwick.budget.deleted", deleted: true })
}

impl From<BudgetError> for ApiError {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::TooMany => Self::conflict("too_many_budgets", format!("{error}.")),
            BudgetError::Unknown(id) => Self::not_found("budget", &id.to_string()),
            BudgetError::Gate(error) => error.into(),
        }
    }
}

/// A budget with the numbers that the next call is judged by.
async fn show(app: &App, tenant: TenantId, known: &KnownBudget) -> Result<Budget, ApiError> {
    let gate = app.options.handle.gate();
    let Limit { payer, window, limit, warn_only } = &known.budget;
    let now = app.now();
    let key = AccountKey { account: known.account.clone(), window: *window, start: window.start(now) };
    let balance = gate.ledger().balance(tenant, &key).await?;
    let remaining = limit.as_micros().saturating_sub(balance.spent).saturating_sub(balance.reserved).max(0);
    let amount = |micros| Money::from_micros(micros).to_string();
    let bounded = *window != Window::Total;
    Ok(Budget {
        id: known.id.to_string(),
        object: "bailiwick.budget",
        payer: PayerParam::of(payer),
        per: (*window).into(),
        kind: if *warn_only { BudgetKind::Warning } else { BudgetKind::Hard },
        currency: gate.money().currency.clone(),
        limit: limit.to_string(),
        spent: amount(balance.spent),
        reserved: amount(balance.reserved),
        remaining: amount(remaining),
        window_start: bounded.then(|| key.start.as_seconds()),
        window_end: window.end(now).map(|end| end.as_seconds()),
        created_at: known.created.as_seconds(),
        updated_at: known.updated.as_seconds(),
    })
}
