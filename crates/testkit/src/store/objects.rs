//! Objects in memory.

use async_trait::async_trait;
use bailiwick_ports::{ObjectError, Objects, objects::check_name};
use bailiwick_types::TenantId;
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Kept = BTreeMap<(TenantId, String), Bytes>;

/// Clones share their objects.
#[derive(Debug, Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<Kept>>);

impl MemoryObjects {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many objects are kept, all tenants together.
    pub fn count(&self) -> usize {
        self.kept().len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put(&self, tenant: TenantId, name: &str, sealed: Bytes) -> Result<(), ObjectError> {
        check_name(name)?;
        self.kept().entry((tenant, name.to_owned())).or_insert(sealed);
        Ok(())
    }

    async fn get(&self, tenant: TenantId, name: &str) -> Result<Bytes, ObjectError> {
        check_name(name)?;
        let found = self.kept().get(&(tenant, name.to_owned())).cloned();
        found.ok_or_else(|| ObjectError::Missing(name.to_owned()))
    }

    async fn names(&self, tenant: TenantId, after: Option<&str>, limit: u32) -> Result<Vec<String>, ObjectError> {
        let from = (tenant, after.unwrap_or_default().to_owned());
        let kept = self.kept();
        let names = kept.range((Excluded(from), Unbounded)).map(|(key, _)| key).take_while(|(of, _)| *of == tenant);
        Ok(names.take(limit as usize).map(|(_, name)| name.clone()).collect())
    }

    async fn remove(&self, tenant: TenantId, name: &str) -> Result<(), ObjectError> {
        check_name(name)?;
        self.kept().remove(&(tenant, name.to_owned()));
        Ok(())
    }
}
