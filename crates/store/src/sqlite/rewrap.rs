//! Wrapped keys, for whoever rotates key-encryption keys.

use super::{
    SqliteStore,
    script::Script,
    transaction::Transaction,
    write::{id_at, number_at},
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError, WrappedKey,
    rewrap::{MAX_REWRAPPED, WrapPlace, Wrapped, WrappedKeys},
};
use bailiwick_types::{StreamId, TenantId};
use sqlx::{Row as _, sqlite::SqliteRow};

const FOUND: &str = "SELECT 0, id, id, key_id, key_bytes FROM tenants WHERE key_id <> ?1 \
    AND key_bytes <> zeroblob(length(key_bytes)) \
    UNION ALL SELECT 1, tenant, id, key_id, key_bytes FROM streams WHERE key_id <> ?1 AND subject IS NULL \
    AND key_bytes <> zeroblob(length(key_bytes)) \
    UNION ALL SELECT 2, tenant, person, key_id, key_bytes FROM subject_keys WHERE key_id <> ?1 AND erased IS NULL \
    LIMIT ?2";

struct Rewrap(Vec<(Wrapped, WrappedKey)>);

#[async_trait]
impl Operation for Rewrap {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        for (old, new) in &self.0 {
            let mut script = Script::new(match old.place {
                WrapPlace::Tenant => "UPDATE tenants SET key_id = ?, key_bytes = ? WHERE id = ? AND id = ?",
                WrapPlace::Stream => "UPDATE streams SET key_id = ?, key_bytes = ? WHERE tenant = ? AND id = ?",
                WrapPlace::Person => {
                    "UPDATE subject_keys SET key_id = ?, key_bytes = ? WHERE tenant = ? AND person = ? AND erased IS NULL"
                }
            });
            script.bind(new.key_id).bind(&new.bytes[..]);
            script.bind_id(old.tenant.to_u128()).bind_id(old.bound_to.to_u128());
            script.add(" AND key_bytes = ?").bind(&old.key.bytes[..]);
            transaction.run(script).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl WrappedKeys for SqliteStore {
    async fn wrapped_otherwise(&self, current: u32) -> Result<Vec<Wrapped>, StoreError> {
        let mut script = Script::new(FOUND);
        script.bind(current).bind(MAX_REWRAPPED as i64);
        let read = |row: &SqliteRow| {
            Ok(Wrapped {
                place: match row.try_get::<i64, _>(0)? {
                    0 => WrapPlace::Tenant,
                    1 => WrapPlace::Stream,
                    _ => WrapPlace::Person,
                },
                tenant: TenantId::from_u128(id_at(row, 1)?),
                bound_to: StreamId::from_u128(id_at(row, 2)?),
                key: WrappedKey::new(number_at(row, 3)?, row.try_get(4)?),
            })
        };
        self.read().all(script, read).await
    }

    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError> {
        if keys.len() > MAX_REWRAPPED {
            return Err(StoreError::Malformed(format!("more than {MAX_REWRAPPED} keys at once")));
        }
        self.write(Rewrap(keys)).await
    }
}
