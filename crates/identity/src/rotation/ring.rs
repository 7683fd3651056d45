//! The key-encryption keys of a running server, which may be replaced while they are used.

use super::RotationError;
use crate::{
    key_file::FileKek,
    sealing::{KEY_LEN, KeyEncryption},
};
use bailiwick_ports::{KeysError, Random, WrappedKey};
use bailiwick_types::{StreamId, TenantId};
use std::sync::{PoisonError, RwLock};
use zeroize::Zeroizing;

/// Keys of which one wraps. Whoever wraps under the one before meanwhile is refused by the store.
pub struct KeyRing(RwLock<FileKek>);

impl KeyRing {
    pub fn new(keys: FileKek) -> Self {
        Self(RwLock::new(keys))
    }

    /// The keys as they are now.
    pub(super) fn now(&self) -> FileKek {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key of `next` wraps from now on. It must open what the one before has wrapped, else nothing changes.
    pub(super) fn replace(&self, next: FileKek, random: &dyn Random) -> Result<FileKek, RotationError> {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (tenant, stream) = (TenantId::from_u128(0), StreamId::from_u128(0));
        let before = now.wrap(tenant, stream, &[0; KEY_LEN], random);
        if next.unwrap(tenant, stream, &before).is_err() {
            let problem = format!(
                "key-encryption key {} wraps now and is not among the keys that were given: give it as an old one",
                now.newest()
            );
            return Err(RotationError::Given(problem));
        }
        *now = next.after(&now);
        Ok(now.clone())
    }
}

impl KeyEncryption for KeyRing {
    fn wrap(&self, tenant: TenantId, stream: StreamId, data_key: &[u8; KEY_LEN], random: &dyn Random) -> WrappedKey {
        self.0.read().unwrap_or_else(PoisonError::into_inner).wrap(tenant, stream, data_key, random)
    }

    fn unwrap(
        &self,
        tenant: TenantId,
        stream: StreamId,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; KEY_LEN]>, KeysError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).unwrap(tenant, stream, wrapped)
    }
}
