//! Budgets in a simulation, and what must hold of them whatever crashed: the streams, the balances and the book say the
//! same, no limit is passed, and nothing that was really done is missing.

use crate::{check::Violation, world::World};
use bailiwick_core::{
    Booking, Budget, Payer, Prices, Unit, Window,
    item::Change,
    record::{Body, Ruling},
};
use bailiwick_gate::budgets::seal;
use bailiwick_ports::{AccountKey, Balance, Keys, Meter, SpendQuery, Store, StoreError, store::Tenant};
use bailiwick_types::{ActionId, Money, TenantId, Timestamp};
use std::collections::{BTreeMap, HashMap};

/// A micro-unit a token, so that costs are easy to read.
pub const PRICES: Prices = Prices {
    version: 1,
    input: Money::from_micros(1_000_000),
    cached_input: None,
    output: Money::from_micros(2_000_000),
};

/// What a session of this seed may spend.
pub fn budgets(seed: u64) -> Vec<Budget> {
    if !seed.is_multiple_of(3) {
        return Vec::new();
    }
    // A first call takes some five thousand at most, and less than a hundred in the end.
    let scaled = |scale: i64| scale * i64::from(attempts(seed));
    let step = i64::try_from(seed % 40).unwrap_or_default() * 150;
    let limit = |scale: i64| Money::from_micros(scaled(scale) * (4_000 + step));
    let budget = |payer, window, limit, warn_only| Budget { payer, window, limit, warn_only };
    vec![
        budget(Payer::Tenant, Window::Day, limit(2), false),
        budget(Payer::Agent { id: bailiwick_types::AgentId::from_u128(1) }, Window::Total, limit(1), false),
        budget(Payer::Tenant, Window::Month, limit(1), true),
    ]
}

/// What a session of this seed may spend by its own limit.
pub fn session_limit(seed: u64) -> Option<Money> {
    let step = i64::try_from(seed % 11).unwrap_or_default() * 400;
    seed.is_multiple_of(7).then(|| Money::from_micros(i64::from(attempts(seed)) * (5_000 + step)))
}

/// How many attempts of one call may have to be paid for. In every second seed one may break.
pub fn attempts(seed: u64) -> u32 {
    if seed % 2 == 1 { 2 } else { 1 }
}

/// In some seeds the application's function costs something.
pub fn price_of_asking(seed: u64) -> Option<Money> {
    seed.is_multiple_of(5).then(|| Money::from_micros(300))
}

/// Puts the budgets of a seed where the gate finds them.
pub async fn prepare(store: &dyn Store, keys: &dyn Keys, tenant: &Tenant, seed: u64) -> Result<(), StoreError> {
    let Ok(key) = tenant.open_key(keys) else { return Ok(()) };
    let at = Timestamp::from_millis(0);
    for budget in budgets(seed) {
        store.put_document(tenant.id, seal(&*key, budget.id(tenant.id), 1, at, at, &budget)).await?;
    }
    Ok(())
}

/// What the records say of balances, and of calls with what they cost.
#[derive(Default)]
struct Books {
    balances: HashMap<AccountKey, Balance>,
    limits: HashMap<AccountKey, i64>,
    calls: u64,
    cost: i64,
}

impl Books {
    fn of(changes: &[Change]) -> Self {
        let mut books = Self::default();
        for change in changes {
            let Change::Booked(bookings) = change else { continue };
            bookings.iter().for_each(|booking| books.take(booking));
        }
        books
    }

    fn take(&mut self, booking: &Booking) {
        match booking {
            Booking::Reserved(reservation) => {
                for meter in &reservation.meters {
                    self.balance(meter, reservation.at).reserved += meter.amount;
                }
            }
            Booking::Settled { reservation, taken } => {
                for (meter, taken) in reservation.meters.iter().zip(taken) {
                    let balance = self.balance(meter, reservation.at);
                    balance.reserved -= meter.amount;
                    balance.spent += taken;
                }
            }
            Booking::Spent(call) => {
                self.calls += 1;
                self.cost += call.cost.map_or(0, |cost| cost.amount.as_micros());
            }
            Booking::TurnEnded { .. } => {}
        }
    }

    fn balance(&mut self, meter: &Meter, at: Timestamp) -> &mut Balance {
        let key = AccountKey::of(meter, at);
        if !meter.warn_only && meter.unit == Unit::Money {
            self.limits.insert(key.clone(), meter.limit);
        }
        self.balances.entry(key).or_default()
    }
}

pub async fn check(
    store: &dyn Store,
    tenant: TenantId,
    changes: &[Change],
    bodies: &[Body],
    world: &World,
    wrong: &mut Vec<Violation>,
) {
    let books = Books::of(changes);
    for (key, said) in &books.balances {
        if said.reserved != 0 {
            wrong.push(format!("{key:?} still holds {}", said.reserved));
        }
        if books.limits.get(key).is_some_and(|limit| said.spent > *limit) {
            wrong.push(format!("{key:?} spent {} of {:?}", said.spent, books.limits.get(key)));
        }
        let own = key.account == bailiwick_core::budget::SESSION_ACCOUNT;
        let kept = store.balance(tenant, key).await.unwrap_or_default();
        if kept != if own { Balance::default() } else { *said } {
            wrong.push(format!("{key:?} is kept as {kept:?}, and the records say {said:?}"));
        }
    }
    let (from, until) = (Timestamp::from_millis(0), Timestamp::from_millis(i64::MAX));
    let query = SpendQuery { tenant, from, until, only: Vec::new(), by: Vec::new(), limit: 1 };
    let sum = store.spend(query).await.unwrap_or_default().pop().unwrap_or_default();
    if (sum.calls, sum.cost.as_micros()) != (books.calls, books.cost) {
        let (calls, cost) = (books.calls, books.cost);
        wrong.push(format!("the book has {} calls for {}, the records {calls} for {cost}", sum.calls, sum.cost));
    }
    let made = world.lock().model_calls;
    if made > books.calls {
        wrong.push(format!("{made} model calls were made, and {} are in the book", books.calls));
    }
    bounds(bodies, wrong);
    world.lock().refused = bodies.iter().filter(|body| is_refused(body)).count() as u64;
}

fn is_refused(body: &Body) -> bool {
    match body {
        Body::ActionDecided(decided) => decided.spending.exceeded.is_some(),
        Body::ActionResumed(resumed) => resumed.spending.exceeded.is_some(),
        _ => false,
    }
}

/// What a provider reported is never above what was held for the call.
fn bounds(bodies: &[Body], wrong: &mut Vec<Violation>) {
    let mut held: BTreeMap<ActionId, Money> = BTreeMap::new();
    for body in bodies {
        let (action, spending) = match body {
            Body::ActionDecided(decided) if matches!(decided.decision, Ruling::Allowed { .. }) => {
                (decided.action, &decided.spending)
            }
            Body::ActionResumed(resumed) => (resumed.action, &resumed.spending),
            Body::ActionSettled(settled) => {
                let cost = settled.cost.map_or(Money::ZERO, |cost| cost.amount);
                let held = held.get(&settled.action).copied().unwrap_or_default();
                if cost > held {
                    wrong.push(format!("{} cost {cost}, and {held} was held for it", settled.action));
                }
                continue;
            }
            _ => continue,
        };
        if let Some(quote) = spending.quote {
            held.insert(action, quote.bound);
        }
    }
}
