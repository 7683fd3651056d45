//! Balances and the book of what was spent, in memory.

use bailiwick_ports::{
    AccountKey, Balance, BalanceChange, MAX_SPEND_SUMS, Spend, SpendBy, SpendEntry, SpendQuery, SpendSum, StoreError,
    TurnOutcome,
};
use bailiwick_types::{Money, TenantId, TurnId};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

#[derive(Default)]
pub struct Book {
    accounts: HashMap<(TenantId, AccountKey), Balance>,
    calls: Vec<(TenantId, Spend)>,
    ends: HashMap<TurnId, TurnOutcome>,
}

impl Book {
    pub fn write(&mut self, tenant: TenantId, balances: Vec<BalanceChange>, spend: Vec<SpendEntry>) {
        for BalanceChange { key, spent, reserved } in balances {
            let balance = self.accounts.entry((tenant, key)).or_default();
            balance.spent += spent;
            balance.reserved += reserved;
        }
        for entry in spend {
            match entry {
                SpendEntry::Call(call) => self.calls.push((tenant, *call)),
                SpendEntry::TurnEnded { turn, outcome } => drop(self.ends.insert(turn, outcome)),
            }
        }
    }

    pub fn balance(&self, tenant: TenantId, key: &AccountKey) -> Balance {
        self.accounts.get(&(tenant, key.clone())).copied().unwrap_or_default()
    }

    pub fn balances(&self) -> Vec<(AccountKey, Balance)> {
        self.accounts.iter().map(|((_, key), balance)| (key.clone(), *balance)).collect()
    }

    pub fn sums(&self, query: &SpendQuery) -> Result<Vec<SpendSum>, StoreError> {
        if query.only.iter().any(|(by, _)| *by == SpendBy::Day) {
            return Err(StoreError::Malformed("`only` takes no day: give the times".into()));
        }
        let mut sums: BTreeMap<Vec<String>, SpendSum> = BTreeMap::new();
        for (tenant, call) in &self.calls {
            let within = call.time >= query.from && call.time < query.until;
            let wanted = query.only.iter().all(|(by, value)| self.value(call, *by) == *value);
            if *tenant != query.tenant || !within || !wanted {
                continue;
            }
            let values: Vec<String> = query.by.iter().map(|by| self.value(call, *by)).collect();
            let sum = sums.entry(values.clone()).or_insert_with(|| SpendSum { values, ..SpendSum::default() });
            sum.calls += 1;
            sum.unpriced += u64::from(call.cost.is_none());
            sum.input += call.usage.input;
            sum.cached_input += call.usage.cached_input;
            sum.output += call.usage.output;
            if let Some(cost) = call.cost {
                sum.cost = sum.cost.saturating_add(cost.amount);
                let estimated = if cost.estimated { cost.amount } else { Money::ZERO };
                sum.estimated = sum.estimated.saturating_add(estimated);
            }
        }
        let mut sums: Vec<SpendSum> = sums.into_values().collect();
        sums.sort_by_key(|sum| Reverse((sum.cost, sum.calls)));
        sums.truncate(query.limit.min(MAX_SPEND_SUMS) as usize);
        Ok(sums)
    }

    fn value(&self, call: &Spend, by: SpendBy) -> String {
        match by {
            SpendBy::Day => call.time.to_string().split('T').next().unwrap_or_default().to_owned(),
            SpendBy::Person => call.person.clone(),
            SpendBy::Team => call.team.map(|team| team.to_string()).unwrap_or_default(),
            SpendBy::Agent => call.agent.to_string(),
            SpendBy::Session => call.session.to_string(),
            SpendBy::Model => call.model.clone(),
            SpendBy::Outcome => self.ends.get(&call.turn).map_or("running", |end| end.name()).to_owned(),
        }
    }
}
