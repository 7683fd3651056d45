//! Objects with crash points: the process may die right before one is written or removed, or right after.

use crate::world::World;
use async_trait::async_trait;
use bailiwick_ports::{ObjectError, Objects};
use bailiwick_testkit::store::MemoryObjects;
use bailiwick_types::TenantId;
use bytes::Bytes;

pub struct CrashingObjects {
    pub inner: MemoryObjects,
    pub world: World,
}

#[async_trait]
impl Objects for CrashingObjects {
    async fn put(&self, tenant: TenantId, name: &str, sealed: Bytes) -> Result<(), ObjectError> {
        self.world.step().await;
        let done = self.inner.put(tenant, name, sealed).await;
        self.world.step().await;
        done
    }

    async fn get(&self, tenant: TenantId, name: &str) -> Result<Bytes, ObjectError> {
        self.inner.get(tenant, name).await
    }

    async fn names(&self, tenant: TenantId, after: Option<&str>, limit: u32) -> Result<Vec<String>, ObjectError> {
        self.inner.names(tenant, after, limit).await
    }

    async fn remove(&self, tenant: TenantId, name: &str) -> Result<(), ObjectError> {
        self.world.step().await;
        let done = self.inner.remove(tenant, name).await;
        self.world.step().await;
        done
    }
}
