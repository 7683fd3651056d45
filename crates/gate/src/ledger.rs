//! Balances in memory, and the one place where reservations meet.
//!
//! In one process this is authoritative: every reservation is made under one lock, so that parallel drivers never
//! promise more than a limit between them. What the disk holds is written with the records of the same commit, and this
//! is never ahead of it but for what commits under way have promised.
//!
//! A store with several nodes must not share a row per account between them (measured: it costs most of PostgreSQL's
//! throughput). There, a node draws a bounded slice of what is left of every account that limits it, spends from its
//! slices here, and gives back what it does not need.

use bailiwick_core::budget::{Booking, Meter, Reservation, SESSION_ACCOUNT};
use bailiwick_ports::{AccountKey, Balance, BalanceChange, Store, StoreError};
use bailiwick_types::{StreamId, TenantId, Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Accounts that are kept in memory. When there are more, those that no commit touches are read again when they are
/// next needed.
const MAX_KEPT: usize = 65_536;

pub struct Ledger {
    store: Arc<dyn Store>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    accounts: HashMap<(TenantId, AccountKey), Account>,
    /// Grows whenever accounts are forgotten: what was read from the store before that may be old.
    forgotten: u64,
    /// Commits of which nobody knows whether they were written.
    doubtful: HashMap<StreamId, Vec<Doubtful>>,
}

struct Account {
    /// As it is on disk.
    balance: Balance,
    /// Reserved by commits that are not on disk yet.
    promised: i64,
    /// Commits under way that touch it. It is not forgotten before they are done.
    commits: u32,
}

struct Doubtful {
    tenant: TenantId,
    /// The stream's position if it was written.
    end: u64,
    touched: HashMap<AccountKey, Touched>,
}

/// What one commit does to one account.
#[derive(Debug, Clone, Copy, Default)]
struct Touched {
    promised: i64,
    spent: i64,
    reserved: i64,
}

/// A meter that did not fit, by its place among those asked for. Nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub meter: usize,
    pub balance: Balance,
}

/// What one commit does to balances. Dropped before it is sent, it has done nothing.
pub(crate) struct Entries {
    ledger: Arc<Ledger>,
    tenant: TenantId,
    stream: StreamId,
    touched: HashMap<AccountKey, Touched>,
    /// Where the stream ends once this is written, from the moment in which it may be.
    sent: Option<u64>,
}

impl Ledger {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is spent and what is held: the numbers that the next reservation is judged by.
    pub async fn balance(&self, tenant: TenantId, key: &AccountKey) -> Result<Balance, StoreError> {
        if let Some(account) = self.kept().accounts.get(&(tenant, key.clone())) {
            let Balance { spent, reserved } = account.balance;
            return Ok(Balance { spent, reserved: reserved.saturating_add(account.promised) });
        }
        self.store.balance(tenant, key).await
    }

    /// Says where a stream ends, under a new lease: now it is known which commits in doubt were written.
    pub(crate) fn resolve(&self, stream: StreamId, position: u64) {
        let mut kept = self.kept();
        for doubtful in kept.doubtful.remove(&stream).unwrap_or_default() {
            kept.finish(doubtful.tenant, &doubtful.touched, position >= doubtful.end);
        }
    }

    pub(crate) fn entries(self: &Arc<Self>, tenant: TenantId, stream: StreamId) -> Entries {
        Entries { ledger: Arc::clone(self), tenant, stream, touched: HashMap::new(), sent: None }
    }

    /// Keeps an account in memory until a commit is done.
    async fn hold(&self, tenant: TenantId, key: &AccountKey) -> Result<(), StoreError> {
        let full = (tenant, key.clone());
        loop {
            let forgotten = {
                let mut kept = self.kept();
                if let Some(account) = kept.accounts.get_mut(&full) {
                    account.commits += 1;
                    return Ok(());
                }
                kept.forgotten
            };
            let balance = self.store.balance(tenant, key).await?;
            let mut kept = self.kept();
            if kept.forgotten != forgotten && !kept.accounts.contains_key(&full) {
                // Somebody may have written to it meanwhile and been forgotten.
                continue;
            }
            kept.make_room();
            // Somebody else who read it first may have reserved: then theirs stands.
            let account = kept.accounts.entry(full).or_insert(Account { balance, promised: 0, commits: 0 });
            account.commits += 1;
            return Ok(());
        }
    }
}

impl Kept {
    fn make_room(&mut self) {
        if self.accounts.len() >= MAX_KEPT {
            self.accounts.retain(|_, account| account.commits > 0);
            self.forgotten += 1;
        }
    }

    fn finish(&mut self, tenant: TenantId, touched: &HashMap<AccountKey, Touched>, written: bool) {
        for (key, touched) in touched {
            // INVARIANT: `hold` keeps every account that a commit touches until here.
            let Some(account) = self.accounts.get_mut(&(tenant, key.clone())) else { continue };
            account.promised -= touched.promised;
            account.commits -= 1;
            if written {
                account.balance.spent = account.balance.spent.saturating_add(touched.spent);
                account.balance.reserved = account.balance.reserved.saturating_add(touched.reserved);
            }
        }
    }
}

/// Whether the ledger keeps it: a session's own limit is judged by the session's state.
fn is_kept(meter: &&Meter) -> bool {
    meter.account != SESSION_ACCOUNT
}

impl Entries {
    async fn touch(&mut self, key: AccountKey) -> Result<&mut Touched, StoreError> {
        if !self.touched.contains_key(&key) {
            self.ledger.hold(self.tenant, &key).await?;
        }
        Ok(self.touched.entry(key).or_default())
    }

    /// Reserves all or nothing, and gives the accounts whose warning limit that passes. The records must say so next.
    pub async fn reserve(
        &mut self,
        at: Timestamp,
        meters: &[Meter],
    ) -> Result<Result<Vec<String>, Refusal>, StoreError> {
        for meter in meters.iter().filter(is_kept) {
            self.touch(AccountKey::of(meter, at)).await?;
        }
        let mut kept = self.ledger.kept();
        let mut warnings = Vec::new();
        let mut asked: HashMap<AccountKey, i64> = HashMap::new();
        for (at_meter, meter) in meters.iter().enumerate().filter(|(_, meter)| is_kept(meter)) {
            let key = AccountKey::of(meter, at);
            let own = self.touched.get(&key).copied().unwrap_or_default();
            let balance = match kept.accounts.get(&(self.tenant, key.clone())) {
                Some(account) => Balance {
                    // What this very commit settles makes room for it, and for nobody else before it is on disk.
                    spent: account.balance.spent.saturating_add(own.spent),
                    reserved: sum([account.balance.reserved, account.promised, own.reserved, -own.promised]),
                },
                None => Balance::default(),
            };
            let asked = asked.entry(key).or_default();
            *asked = asked.saturating_add(meter.amount);
            if sum([balance.spent, balance.reserved, *asked]) <= meter.limit {
                continue;
            }
            if !meter.warn_only {
                return Ok(Err(Refusal { meter: at_meter, balance }));
            }
            warnings.push(meter.account.clone());
        }
        for (key, amount) in asked {
            if let Some(account) = kept.accounts.get_mut(&(self.tenant, key.clone())) {
                account.promised = account.promised.saturating_add(amount);
            }
            let own = self.touched.entry(key).or_default();
            own.promised = own.promised.saturating_add(amount);
        }
        Ok(Ok(warnings))
    }

    /// Takes in what records say.
    pub async fn book(&mut self, bookings: Vec<Booking>) -> Result<(), StoreError> {
        for booking in bookings {
            let (reservation, taken) = match booking {
                Booking::Reserved(reservation) => (reservation, None),
                Booking::Settled { reservation, taken } => (reservation, Some(taken)),
                Booking::Spent(_) | Booking::TurnEnded { .. } => continue,
            };
            let Reservation { at, meters } = reservation;
            for (index, meter) in meters.iter().enumerate().filter(|(_, meter)| is_kept(meter)) {
                let touched = self.touch(AccountKey::of(meter, at)).await?;
                match &taken {
                    None => touched.reserved = touched.reserved.saturating_add(meter.amount),
                    Some(taken) => {
                        touched.reserved = touched.reserved.saturating_sub(meter.amount);
                        touched.spent = touched.spent.saturating_add(taken.get(index).copied().unwrap_or_default());
                    }
                }
            }
        }
        Ok(())
    }

    /// What the commit adds to what is kept on disk.
    pub fn changes(&self) -> Vec<BalanceChange> {
        let changed = self.touched.iter().filter(|(_, touched)| touched.spent != 0 || touched.reserved != 0);
        changed
            .map(|(key, touched)| BalanceChange { key: key.clone(), spent: touched.spent, reserved: touched.reserved })
            .collect()
    }

    /// From here on it may be on disk, whatever is heard of it.
    pub fn sending(&mut self, end: u64) {
        self.sent = Some(end);
    }

    /// By what became of the write. When that is not known, the reservations are held until the stream tells.
    pub fn sent<T>(mut self, outcome: &Result<T, StoreError>) {
        let written = match outcome {
            Ok(_) => true,
            Err(StoreError::Unavailable(_)) => return,
            Err(_) => false,
        };
        self.sent = None;
        let touched = std::mem::take(&mut self.touched);
        self.ledger.kept().finish(self.tenant, &touched, written);
    }
}

fn sum<const N: usize>(parts: [i64; N]) -> i64 {
    parts.into_iter().fold(0, i64::saturating_add)
}

impl Drop for Entries {
    fn drop(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        let touched = std::mem::take(&mut self.touched);
        let mut kept = self.ledger.kept();
        match self.sent {
            Some(end) => {
                let doubtful = Doubtful { tenant: self.tenant, end, touched };
                kept.doubtful.entry(self.stream).or_default().push(doubtful);
            }
            None => kept.finish(self.tenant, &touched, false),
        }
    }
}
