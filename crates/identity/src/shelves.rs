//! What is known of each tenant in memory, because decisions ask inside a commit.

use bailiwick_types::TenantId;
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// One shelf for each tenant; a tenant without one has an empty one. Nothing may be awaited while one is looked at.
pub(crate) struct Shelves<S>(RwLock<HashMap<TenantId, S>>);

impl<S> Default for Shelves<S> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<S: Default> Shelves<S> {
    pub fn read<T>(&self, tenant: TenantId, look: impl FnOnce(&S) -> T) -> T {
        let shelves = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match shelves.get(&tenant) {
            Some(shelf) => look(shelf),
            None => look(&S::default()),
        }
    }

    pub fn write<T>(&self, tenant: TenantId, change: impl FnOnce(&mut S) -> T) -> T {
        let mut shelves = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(shelves.entry(tenant).or_default())
    }
}
