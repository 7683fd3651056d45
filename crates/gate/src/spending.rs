//! What an allowed action may take, who pays for it, and whether that fits.

use crate::{
    budgets::{Budgets, KnownBudget},
    judge::Judge,
    ledger::{Entries, Ledger, Refusal},
};
use bailiwick_core::{
    Action, Exceeded, Meter, ModelCall, Payer, Purpose, Quote, Unit, Window,
    budget::SESSION_ACCOUNT,
    record::{Ruling, Spending},
    session::{MAX_CONSOLIDATION_TOKENS, State, input_bound},
};
use bailiwick_ports::{Balance, StoreError};
use bailiwick_types::{Money, Principal, TeamId, Timestamp};
use std::{collections::BTreeMap, sync::Arc};

/// The money of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyRules {
    /// ISO 4217, for people to read: everything is in this one currency.
    pub currency: String,
    pub unpriced: Unpriced,
    /// What one call of a function costs, by the function's name.
    pub tools: BTreeMap<String, Money>,
}

impl Default for MoneyRules {
    fn default() -> Self {
        Self { currency: "USD".into(), unpriced: Unpriced::default(), tools: BTreeMap::new() }
    }
}

/// What becomes of a call of a model without a price where a hard limit on money applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unpriced {
    #[default]
    Refuse,
    /// It is made, and the receipt says that nobody knows what it cost.
    Warn,
}

/// What was said and went on, in the receipt of a call whose cost nobody knows.
pub const UNPRICED_WARNING: &str = "unpriced-model";

/// Where what actions may take is held, and by which rules.
pub(crate) struct Purse {
    pub ledger: Arc<Ledger>,
    pub budgets: Arc<Budgets>,
    pub rules: MoneyRules,
}

/// An action that may be done, if it fits.
pub(crate) struct Wanted<'a> {
    pub action: &'a Action,
    pub principal: &'a Principal,
    pub at: Timestamp,
    /// What allowed it.
    pub allowed: Ruling,
    /// What the rules count.
    pub meters: Vec<Meter>,
}

impl Purse {
    /// Reserves what an action may take, its price and what rules count, or refuses it. The entries must have taken in
    /// everything that this commit has settled.
    pub async fn afford(
        &self,
        judge: &Judge,
        state: &State,
        entries: &mut Entries,
        wanted: Wanted<'_>,
    ) -> Result<(Ruling, Spending), StoreError> {
        let Wanted { action, principal, at, allowed, mut meters } = wanted;
        let known = self.budgets.of(state.tenant).unwrap_or_default();
        let mut spending = Spending::default();
        let mut limits = None;
        let price = match action {
            Action::FunctionCall { name, .. } => {
                // What the operator says counts; an agent's author speaks of what the operator does not name.
                let own = || state.agent.tools.iter().find(|tool| tool.name == *name)?.price;
                self.rules.tools.get(name).copied().or_else(own)
            }
            _ => None,
        };
        if price.is_some() || matches!(action, Action::ModelCall(_)) {
            spending.team = team(judge, state, principal);
            let limits = limits.insert(Limits::new(&known, state, principal, spending.team));
            spending.quote = match action {
                Action::ModelCall(call) => quote(judge, state, call),
                _ => price.map(Quote::flat),
            };
            if let Some(denied) = beyond_own(state, action, spending.quote, &self.rules.currency) {
                return Ok((denied, spending));
            }
            match spending.quote {
                Some(quote) => {
                    for meter in meters.iter_mut().filter(|meter| meter.unit == Unit::Money) {
                        meter.amount = quote.bound.as_micros();
                    }
                    meters.extend(limits.meters(quote.bound));
                }
                None if !limits.are_hard() => {}
                None if self.rules.unpriced == Unpriced::Warn => spending.warnings.push(UNPRICED_WARNING.into()),
                None => return Ok((unpriced(action), spending)),
            }
        }
        if meters.is_empty() {
            return Ok((allowed, spending));
        }
        let refused = match within_session(state, spending.quote) {
            Err(balance) => meters.iter().find(|meter| meter.account == SESSION_ACCOUNT).map(|meter| (meter, balance)),
            Ok(()) => match entries.reserve(at, &meters).await? {
                Ok(warnings) => {
                    spending.warnings.extend(warnings);
                    None
                }
                Err(Refusal { meter, balance }) => meters.get(meter).map(|meter| (meter, balance)),
            },
        };
        let Some((meter, balance)) = refused else {
            spending.meters = meters;
            return Ok((allowed, spending));
        };
        let payer = limits.and_then(|limits| limits.payer(&meter.account, state));
        let exceeded = exceeded(meter, payer, balance);
        let ruling = refusal(&exceeded, &self.rules.currency, at);
        spending.exceeded = Some(exceeded);
        Ok((ruling, spending))
    }
}

/// The team that pays: the agent's, else the first of the person's.
fn team(judge: &Judge, state: &State, principal: &Principal) -> Option<TeamId> {
    let colleague = judge.directory.colleague(state.tenant, state.agent.id);
    let person = || principal.person().and_then(|user| judge.directory.person(state.tenant, user));
    colleague.and_then(|colleague| colleague.team).or_else(|| person()?.teams.first().copied())
}

/// Limits on money that a call counts against.
struct Limits<'a> {
    budgets: Vec<&'a KnownBudget>,
    session: Option<Money>,
}

impl<'a> Limits<'a> {
    fn new(known: &'a [KnownBudget], state: &State, principal: &Principal, team: Option<TeamId>) -> Self {
        let user = principal.person();
        let pays = |payer: &Payer| match payer {
            Payer::Tenant => true,
            Payer::Team { id } => team == Some(*id),
            Payer::User { id } => user == Some(*id),
            Payer::Agent { id } => state.agent.id == *id,
            Payer::Session { id } => state.session == *id,
        };
        Self { budgets: known.iter().filter(|known| pays(&known.budget.payer)).collect(), session: state.spend_limit }
    }

    /// Whether one of them refuses.
    fn are_hard(&self) -> bool {
        self.session.is_some() || self.budgets.iter().any(|known| !known.budget.warn_only)
    }

    /// What a call with this bound counts against.
    fn meters(&self, bound: Money) -> Vec<Meter> {
        let amount = bound.as_micros();
        let budgets = self.budgets.iter().map(|known| Meter {
            account: known.account.clone(),
            unit: Unit::Money,
            window: known.budget.window,
            amount,
            limit: known.budget.limit.as_micros(),
            warn_only: known.budget.warn_only,
        });
        let session = self.session.map(|limit| Meter {
            account: SESSION_ACCOUNT.to_owned(),
            unit: Unit::Money,
            window: Window::Total,
            amount,
            limit: limit.as_micros(),
            warn_only: false,
        });
        budgets.chain(session).collect()
    }

    fn payer(&self, account: &str, state: &State) -> Option<Payer> {
        if account == SESSION_ACCOUNT {
            return Some(Payer::Session { id: state.session });
        }
        self.budgets.iter().find(|known| known.account == account).map(|known| known.budget.payer)
    }
}

/// The most that a model call costs now, all its attempts together; `None` where the model has no price.
fn quote(judge: &Judge, state: &State, call: &ModelCall) -> Option<Quote> {
    let cards = judge.cards.as_ref()?;
    let card = cards.card(&call.model)?;
    let output = card.max_output_tokens.unwrap_or(card.context_tokens);
    let output = if call.purpose == Purpose::Consolidation { output.min(MAX_CONSOLIDATION_TOKENS) } else { output };
    Some(Quote::of_call(card.prices?, input_bound(state, call), output, cards.paid_attempts(&call.model)))
}

/// What an agent does by itself has a limit of its own beside all others.
fn beyond_own(state: &State, action: &Action, quote: Option<Quote>, currency: &str) -> Option<Ruling> {
    let Action::ModelCall(ModelCall { purpose: Purpose::Consolidation, .. }) = action else { return None };
    let limit = state.agent.memory.as_ref()?.consolidate.as_ref()?.limit?;
    let reason = match quote {
        Some(quote) if quote.bound <= limit => return None,
        Some(quote) => format!("it may take up to {} {currency}, and remembering may cost {limit}", quote.bound),
        None => format!("nobody knows what it costs, and remembering may cost {limit} {currency}"),
    };
    let remedy = "Whoever writes the agent can raise `bailiwick.memory.consolidate.limit`.".to_owned();
    Some(Ruling::Denied { rule: "limit: consolidation".into(), reason, remedy })
}

/// The session's own limit, judged by its state: what its calls have cost, and what is held for those under way.
fn within_session(state: &State, quote: Option<Quote>) -> Result<(), Balance> {
    let (Some(limit), Some(quote)) = (state.spend_limit, quote) else { return Ok(()) };
    let (spent, reserved) = (state.spent, state.reserved());
    match spent.saturating_add(reserved).saturating_add(quote.bound) <= limit {
        true => Ok(()),
        false => Err(Balance { spent: spent.as_micros(), reserved: reserved.as_micros() }),
    }
}

fn exceeded(meter: &Meter, payer: Option<Payer>, balance: Balance) -> Exceeded {
    Exceeded {
        account: meter.account.clone(),
        payer,
        unit: meter.unit,
        window: meter.window,
        spent: balance.spent,
        reserved: balance.reserved,
        asked: meter.amount,
        limit: meter.limit,
    }
}

/// A denial that names the limit, its numbers, and who can raise it.
fn refusal(exceeded: &Exceeded, currency: &str, at: Timestamp) -> Ruling {
    let Exceeded { account, unit, window, spent, reserved, asked, limit, .. } = exceeded;
    let amount = |amount: i64| match unit {
        Unit::Money => format!("{} {currency}", Money::from_micros(amount)),
        Unit::Count | Unit::Sum => amount.to_string(),
    };
    let per = match window {
        Window::Total => "in all".to_owned(),
        other => format!("per {other}"),
    };
    let whose = match exceeded.payer {
        Some(payer) => format!("the {payer}"),
        None => "the rule that counts".to_owned(),
    };
    let reason = format!(
        "it may take up to {}, and the limit of {whose}, {} {per}, does not hold that: {} are spent and {} are held for \
         what is under way",
        amount(*asked),
        amount(*limit),
        amount(*spent),
        amount(*reserved),
    );
    let next = window.end(at).map(|end| format!(" The next {window} begins at {end}.")).unwrap_or_default();
    let remedy = match exceeded.payer {
        Some(Payer::Session { .. }) if account == SESSION_ACCOUNT => {
            "Whoever may write to the session can raise its `spend_control.limit`.".to_owned()
        }
        Some(payer) => {
            let option = payer.id().map_or_else(String::new, |id| format!(" {id}"));
            format!(
                "Whoever has the scope `budgets:write` can raise it: bailiwick budget set --{}{option} --per {window} \
                 --limit AMOUNT.{next}",
                payer.kind()
            )
        }
        None => format!("Whoever writes policies can raise it.{next}"),
    };
    Ruling::Denied { rule: format!("limit: {account}"), reason, remedy }
}

/// A denial of a call whose cost nobody knows.
fn unpriced(action: &Action) -> Ruling {
    let model = if let Action::ModelCall(call) = action { call.model.as_str() } else { "?" };
    Ruling::Denied {
        rule: UNPRICED_WARNING.into(),
        reason: format!("a budget applies, and model `{model}` has no price to hold it against"),
        remedy: format!(
            "Whoever runs the server can set `[models.{model}.prices]`, or `unpriced = \"warn\"` in `[money]`."
        ),
    }
}
