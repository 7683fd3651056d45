//! Wrapped keys, for whoever rotates key-encryption keys.

use super::{
    SqliteStore,
    columns::{id_at, number_at},
    statement::{Statement, integer},
    transaction::Transaction,
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError, WrappedKey,
    rewrap::{MAX_REWRAPPED, WrapBatch, WrapCursor, WrapPlace, Wrapped, WrappedKeys},
};
use bailiwick_types::{StreamId, TenantId};
use rusqlite::Row;
use std::sync::atomic::{AtomicU32, Ordering};

/// Each of the three places with its own numbers, in their order.
const TENANTS: &str = "SELECT 0, id, id, key_id, key_bytes FROM tenants WHERE key_id <> ? \
    AND key_bytes <> zeroblob(length(key_bytes)) LIMIT ?";
const STREAMS: &str = "SELECT no, tenant, id, key_id, key_bytes FROM streams WHERE key_id <> ? AND no > ? \
    AND subject IS NULL AND key_bytes <> zeroblob(length(key_bytes)) ORDER BY no LIMIT ?";
const PERSONS: &str = "SELECT no, tenant, person, key_id, key_bytes FROM subject_keys WHERE key_id <> ? AND no > ? \
    AND erased IS NULL ORDER BY no LIMIT ?";

/// The one key-encryption key under which new keys may lie, where that was said. 0 is none of them.
#[derive(Default)]
pub struct OnlyKey(AtomicU32);

impl OnlyKey {
    /// Refuses a key that was wrapped before the key-encryption key was replaced.
    pub fn admit(&self, key: &WrappedKey) -> Result<(), StoreError> {
        // Those below a person's key are not touched by a rotation.
        if key.subject.is_some() { Ok(()) } else { self.admit_id(key.key_id) }
    }

    pub fn admit_id(&self, key_id: u32) -> Result<(), StoreError> {
        let only = self.0.load(Ordering::Acquire);
        if only == 0 || only == key_id { Ok(()) } else { Err(StoreError::KeyReplaced) }
    }
}

/// It runs in the writer's own order: what was asked for before it is on disk when it is answered, and what is asked for
/// after it is checked.
struct KeepOnly(Option<u32>);

impl Operation for KeepOnly {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        transaction.only_key.0.store(self.0.unwrap_or(0), Ordering::Release);
        Ok(())
    }
}

struct Rewrap(Vec<(Wrapped, WrappedKey)>);

impl Operation for Rewrap {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        for (old, new) in &self.0 {
            let mut statement = Statement::new(match old.place {
                WrapPlace::Tenant => "UPDATE tenants SET key_id = ?, key_bytes = ? WHERE id = ? AND id = ?",
                WrapPlace::Stream => "UPDATE streams SET key_id = ?, key_bytes = ? WHERE tenant = ? AND id = ?",
                WrapPlace::Person => {
                    "UPDATE subject_keys SET key_id = ?, key_bytes = ? WHERE tenant = ? AND person = ? AND erased IS NULL"
                }
            });
            statement.bind(new.key_id).bind(&new.bytes[..]);
            statement.bind(old.tenant.to_u128()).bind(old.bound_to.to_u128());
            statement.add(" AND key_bytes = ?").bind(&old.key.bytes[..]);
            transaction.run(&statement)?;
        }
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[async_trait]
impl WrappedKeys for SqliteStore {
    async fn wrapped_otherwise(&self, current: u32, from: WrapCursor) -> Result<WrapBatch, StoreError> {
        let WrapCursor { place, after } = from;
        let text = match place {
            WrapPlace::Tenant => TENANTS,
            WrapPlace::Stream => STREAMS,
            WrapPlace::Person => PERSONS,
        };
        let mut statement = Statement::new(text);
        statement.bind(current);
        if place != WrapPlace::Tenant {
            statement.bind(integer(after));
        }
        statement.bind(MAX_REWRAPPED as i64);
        let read = |row: &Row<'_>| {
            let bound_to = StreamId::from_u128(id_at(row, 2)?);
            let key = WrappedKey::new(number_at(row, 3)?, row.get(4)?);
            let tenant = TenantId::from_u128(id_at(row, 1)?);
            Ok((number_at::<u64>(row, 0)?, Wrapped { place, tenant, bound_to, key }))
        };
        let found = self.read().all_of_many(&statement, read).await?;
        let last = found.last().map_or(after, |(number, _)| *number);
        let next = match place {
            _ if found.len() >= MAX_REWRAPPED => Some(WrapCursor { place, after: last }),
            WrapPlace::Tenant => Some(WrapCursor { place: WrapPlace::Stream, after: 0 }),
            WrapPlace::Stream => Some(WrapCursor { place: WrapPlace::Person, after: 0 }),
            WrapPlace::Person => None,
        };
        Ok(WrapBatch { keys: found.into_iter().map(|(_, key)| key).collect(), next })
    }

    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError> {
        if keys.len() > MAX_REWRAPPED {
            return Err(StoreError::Malformed(format!("more than {MAX_REWRAPPED} keys at once")));
        }
        self.write(Rewrap(keys)).await
    }

    async fn keep_only(&self, only: Option<u32>) -> Result<(), StoreError> {
        self.write(KeepOnly(only)).await
    }
}
