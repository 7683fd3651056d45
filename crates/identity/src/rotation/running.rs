//! A rotation in a server that works meanwhile: one at a time, in the background, with a record in every organisation's
//! administration before it begins and after it is done.

use super::{KeyRing, KeySource, RotationError};
use crate::key_file::FileKek;
use async_trait::async_trait;
use bailiwick_ports::{
    Administration, Change, Clock, Random, Store, StoreError, Tasks,
    rewrap::{EncryptionKeys, KeyRotation, RotationProgress, RotationRefused, RotationState, WrappedKeys},
};
use bailiwick_types::Principal;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that a rotation works with.
pub struct RotationOptions {
    pub ring: Arc<KeyRing>,
    pub source: Arc<dyn KeySource>,
    pub kept: Arc<dyn WrappedKeys>,
    pub store: Arc<dyn Store>,
    pub administration: Arc<dyn Administration>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
}

impl RotationOptions {
    pub fn build(self) -> Rotation {
        let now = self.ring.now();
        let known = EncryptionKeys { current: now.newest(), older: now.len() - 1, rotation: None };
        let beginning = tokio::sync::Mutex::default();
        Rotation(Arc::new(Parts { options: self, known: Mutex::new(known), beginning }))
    }
}

/// Replaces the key-encryption key of this process. Clones share it.
#[derive(Clone)]
pub struct Rotation(Arc<Parts>);

struct Parts {
    options: RotationOptions,
    known: Mutex<EncryptionKeys>,
    /// Held while one is begun, so that there is never a second.
    beginning: tokio::sync::Mutex<()>,
}

impl Parts {
    fn known(&self) -> MutexGuard<'_, EncryptionKeys> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> bool {
        self.known().rotation.as_ref().is_some_and(|rotation| rotation.state == RotationState::Running)
    }

    fn set(&self, change: impl FnOnce(&mut RotationProgress)) {
        if let Some(rotation) = &mut self.known().rotation {
            change(rotation);
        }
    }

    /// In every organisation: the key is around all of their data.
    async fn record(
        &self,
        by: &Principal,
        kind: &str,
        reason: Option<&str>,
        details: &Value,
    ) -> Result<(), StoreError> {
        for tenant in self.options.store.tenants().await? {
            let change = Change {
                tenant: tenant.id,
                by: by.clone(),
                kind: kind.to_owned(),
                target: tenant.id.to_string(),
                reason: reason.map(str::to_owned),
                details: details.clone(),
                documents: Vec::new(),
            };
            self.options.administration.change(change).await?;
        }
        Ok(())
    }

    /// Looks at the keys, writes down that it begins, and lets the new one wrap. Gives all of them, and the one before.
    async fn set_out(&self, by: &Principal, reason: Option<&str>) -> Result<(FileKek, u32), RotationError> {
        let RotationOptions { ring, source, kept, random, clock, .. } = &self.options;
        let before = ring.now();
        // What the keys are is looked at first: a mistake there is no rotation that began.
        let next = source.next(&before).await?;
        // Where a start gave the new key already, or a rotation broke off, the one before is among the older ones.
        let from = match next.newest() == before.newest() {
            true => next.before_newest().unwrap_or(next.newest()),
            false => before.newest(),
        };
        let older = next.len() - 1;
        self.record(by, "encryption_key.rotation_begun", reason, &json!({"from": from})).await?;
        // The last rotation may have left the store with only its own key.
        kept.keep_only(None).await?;
        let kek = ring.replace(next, &**random)?;
        let (to, begun) = (kek.newest(), clock.now());
        let rotation = RotationProgress { from, to, rewrapped: 0, begun, state: RotationState::Running };
        *self.known() = EncryptionKeys { current: to, older, rotation: Some(rotation) };
        Ok((kek, from))
    }

    async fn finish(&self, kek: &FileKek, from: u32, by: &Principal) -> Result<u64, RotationError> {
        let RotationOptions { kept, random, source, .. } = &self.options;
        let told = |done: u64| self.set(|rotation| rotation.rewrapped = done);
        let done = kek.rewrap(&**kept, &**random, &told).await?;
        source.forget_older().await?;
        self.known().older = 0;
        let details = json!({"from": from, "to": kek.newest(), "rewrapped": done});
        self.record(by, "encryption_key.rotated", None, &details).await?;
        Ok(done)
    }
}

impl Rotation {
    /// All of it at once, for a folder that no server uses. Gives how many keys were wrapped anew.
    pub async fn perform(&self, by: &Principal, reason: Option<&str>) -> Result<u64, RotationError> {
        let (kek, from) = self.0.set_out(by, reason).await?;
        self.0.finish(&kek, from, by).await
    }
}

#[async_trait]
impl KeyRotation for Rotation {
    async fn begin(&self, by: Principal, reason: Option<String>) -> Result<EncryptionKeys, RotationRefused> {
        let parts = Arc::clone(&self.0);
        let _beginning = parts.beginning.lock().await;
        if parts.is_running() {
            return Ok(self.encryption_keys());
        }
        let (kek, from) = parts.set_out(&by, reason.as_deref()).await.map_err(|error| match error {
            RotationError::Store(error) => RotationRefused::Store(error),
            other => RotationRefused::Keys(other.to_string()),
        })?;
        let work = Arc::clone(&parts);
        let task = async move {
            let done = work.finish(&kek, from, &by).await;
            let now = work.options.clock.now();
            let state = match done {
                Ok(_) => RotationState::Done(now),
                Err(error) => {
                    tracing::error!(%error, "the key-encryption key was not replaced everywhere yet");
                    RotationState::Failed(now, error.to_string())
                }
            };
            work.set(|rotation| rotation.state = state);
        };
        parts.options.tasks.spawn("key rotation", Box::pin(task));
        Ok(self.encryption_keys())
    }

    fn encryption_keys(&self) -> EncryptionKeys {
        self.0.known().clone()
    }
}
