//! Keys for tests: nothing is hidden, but a seal still opens only under its own stream and context.

use bailiwick_ports::{Keys, KeysError, StreamKey, SubjectKey, WrappedKey};
use bailiwick_types::{StreamId, TenantId, UserId};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const TAG: usize = 16;

/// Seals by appending a checksum over key, context and text.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainKeys;

struct PlainKey([u8; 32]);

impl Keys for PlainKeys {
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>) {
        let key = key_of(tenant, stream);
        (WrappedKey::new(1, key.to_vec()), Arc::new(PlainKey(key)))
    }

    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        let key = key_of(tenant, stream);
        if wrapped.key_id != 1 {
            return Err(KeysError::UnknownKey(wrapped.key_id));
        }
        if wrapped.is_destroyed() {
            return Err(KeysError::Erased);
        }
        if wrapped.bytes != key {
            return Err(KeysError::DoesNotOpen);
        }
        Ok(Arc::new(PlainKey(key)))
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey {
        SubjectKey { person, key_id: 1, bytes: key_of(tenant, StreamId::from_u128(person.to_u128())).to_vec() }
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError> {
        self.open_subject(tenant, subject)?;
        let (wrapped, key) = self.create(tenant, stream);
        Ok((WrappedKey { subject: Some(Box::new(subject.clone())), ..wrapped }, key))
    }

    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        let stream = StreamId::from_u128(subject.person.to_u128());
        self.open(tenant, stream, &WrappedKey::new(subject.key_id, subject.bytes.clone()))
    }
}

impl StreamKey for PlainKey {
    fn key_id(&self) -> u32 {
        1
    }

    fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        sealed.extend_from_slice(&self.tag(context, plain));
        sealed
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeysError> {
        let at = sealed.len().checked_sub(TAG).ok_or(KeysError::DoesNotOpen)?;
        let (plain, tag) = sealed.split_at(at);
        if tag == self.tag(context, plain) { Ok(plain.to_vec()) } else { Err(KeysError::DoesNotOpen) }
    }

    fn digest(&self, data: &[u8]) -> [u8; 32] {
        hash(&[b"digest", &self.0, data])
    }
}

impl PlainKey {
    fn tag(&self, context: &[u8], plain: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&hash(&[b"seal", &self.0, context, plain])[..TAG]);
        tag
    }
}

fn key_of(tenant: TenantId, stream: StreamId) -> [u8; 32] {
    hash(&[b"key", &tenant.to_u128().to_be_bytes(), &stream.to_u128().to_be_bytes()])
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
