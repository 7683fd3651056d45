//! Encryption at rest: a data key per stream, wrapped under a key-encryption key.
//!
//! # Layouts
//!
//! Sealed data: version byte `1` ‖ 12-byte random nonce ‖ AES-256-GCM ciphertext and 16-byte tag. The associated data
//! is the version byte followed by the caller's context.
//!
//! A wrapped key is the same layout over the 32-byte data key, under the key-encryption key, with
//! `bailiwick.wrap.v1`, the key-encryption key's id, tenant and stream as associated data.
//!
//! A person's key is wrapped like a stream's, with the person's id in the place of the stream's. The keys of that
//! person's streams are sealed under it, with `bailiwick.wrap-under.v1`, tenant and stream as context. So whoever
//! rotates key-encryption keys wraps the keys of tenants and persons anew, and those below them stay as they are.
//!
//! The data key itself encrypts nothing: HKDF-SHA-256 derives one key for sealing and one for digests from it.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use bailiwick_ports::{Keys, KeysError, Random, StreamKey, SubjectKey, WrappedKey};
use bailiwick_types::{StreamId, TenantId, UserId};
use std::sync::Arc;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
/// Bytes that sealing adds: version, nonce and tag.
const OVERHEAD: usize = 1 + NONCE_LEN + 16;
/// Bytes of a data key or key-encryption key.
pub(crate) const KEY_LEN: usize = 32;

/// A provider of key-encryption keys: a file today, a key management service tomorrow.
pub trait KeyEncryption: Send + Sync {
    /// Wraps a data key under the newest key.
    fn wrap(&self, tenant: TenantId, stream: StreamId, data_key: &[u8; KEY_LEN], random: &dyn Random) -> WrappedKey;

    /// Unwraps a data key that any of the known keys wrapped.
    fn unwrap(
        &self,
        tenant: TenantId,
        stream: StreamId,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; KEY_LEN]>, KeysError>;
}

/// The `Keys` port over a provider of key-encryption keys.
pub struct Sealing {
    kek: Arc<dyn KeyEncryption>,
    random: Arc<dyn Random>,
}

impl Sealing {
    pub fn new(kek: Arc<dyn KeyEncryption>, random: Arc<dyn Random>) -> Self {
        Self { kek, random }
    }

    fn stream_key(&self, key_id: u32, data_key: &[u8; KEY_LEN]) -> Arc<dyn StreamKey> {
        Arc::new(DataKey::new(key_id, data_key, self.random.clone()))
    }
}

impl Keys for Sealing {
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>) {
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        self.random.fill(data_key.as_mut());
        let wrapped = self.kek.wrap(tenant, stream, &data_key, &*self.random);
        let key = self.stream_key(wrapped.key_id, &data_key);
        (wrapped, key)
    }

    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        if wrapped.is_destroyed() {
            return Err(KeysError::Erased);
        }
        let Some(subject) = &wrapped.subject else {
            let data_key = self.kek.unwrap(tenant, stream, wrapped)?;
            return Ok(self.stream_key(wrapped.key_id, &data_key));
        };
        let around = self.open_subject(tenant, subject)?;
        let plain = Zeroizing::new(around.unseal(&under_context(tenant, stream), &wrapped.bytes)?);
        let data_key: &[u8; KEY_LEN] = plain.as_slice().try_into().map_err(|_| KeysError::DoesNotOpen)?;
        Ok(self.stream_key(subject.key_id, data_key))
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey {
        let WrappedKey { key_id, bytes, .. } = self.create(tenant, place_of(person)).0;
        SubjectKey { person, key_id, bytes }
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError> {
        let around = self.open_subject(tenant, subject)?;
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        self.random.fill(data_key.as_mut());
        let bytes = around.seal(&under_context(tenant, stream), data_key.as_ref());
        let wrapped = WrappedKey { key_id: subject.key_id, bytes, subject: Some(Box::new(subject.clone())) };
        Ok((wrapped, self.stream_key(subject.key_id, &data_key)))
    }

    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        self.open(tenant, place_of(subject.person), &WrappedKey::new(subject.key_id, subject.bytes.clone()))
    }
}

/// A person's key is wrapped as if the person were a stream.
fn place_of(person: UserId) -> StreamId {
    StreamId::from_u128(person.to_u128())
}

/// What a stream's key is bound to when it lies under a person's.
fn under_context(tenant: TenantId, stream: StreamId) -> Vec<u8> {
    let ids = [tenant.to_u128().to_be_bytes(), stream.to_u128().to_be_bytes()].concat();
    [&b"bailiwick.wrap-under.v1"[..], &ids].concat()
}

/// One stream's key. The library wipes both derived keys when they are dropped.
struct DataKey {
    key_id: u32,
    seal: Sealer,
    digest: hmac::Key,
    random: Arc<dyn Random>,
}

impl DataKey {
    fn new(key_id: u32, data_key: &[u8; KEY_LEN], random: Arc<dyn Random>) -> Self {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(data_key);
        let derive = |purpose: &[u8]| {
            let mut key = Zeroizing::new([0; KEY_LEN]);
            extracted
                .expand(&[purpose], Thirty2)
                .and_then(|okm| okm.fill(key.as_mut()))
                // INVARIANT: 32 bytes are far below HKDF's limit of 255 blocks.
                .expect("HKDF gives 32 bytes");
            key
        };
        let seal = Sealer::new(&derive(b"bailiwick.seal.v1"));
        let digest = hmac::Key::new(hmac::HMAC_SHA256, derive(b"bailiwick.digest.v1").as_ref());
        Self { key_id, seal, digest, random }
    }
}

impl StreamKey for DataKey {
    fn key_id(&self) -> u32 {
        self.key_id
    }

    fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        self.seal.seal(context, plain, &*self.random)
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeysError> {
        self.seal.unseal(context, sealed)
    }

    fn digest(&self, data: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.digest, data).as_ref());
        digest
    }
}

/// How many bytes HKDF is asked for.
struct Thirty2;

impl hkdf::KeyType for Thirty2 {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

/// AES-256-GCM in the layout of this module.
pub(crate) struct Sealer(LessSafeKey);

impl Sealer {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        // INVARIANT: the array has exactly the length that AES-256 wants.
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key")))
    }

    pub(crate) fn seal(&self, context: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(associated(context)),
                &mut sealed[1 + NONCE_LEN..],
            )
            // INVARIANT: sealing fails only above 64 GiB, and every payload is bounded far below.
            .expect("AES-GCM seals what fits in memory");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    pub(crate) fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeysError> {
        if sealed.len() < OVERHEAD || sealed[0] != VERSION {
            return Err(KeysError::DoesNotOpen);
        }
        let (nonce, ciphertext) = sealed[1..].split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeysError::DoesNotOpen)?;
        let mut plain = ciphertext.to_vec();
        let length = self
            .0
            .open_in_place(nonce, Aad::from(associated(context)), &mut plain)
            .map_err(|_| KeysError::DoesNotOpen)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

fn associated(context: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(1 + context.len());
    data.push(VERSION);
    data.extend_from_slice(context);
    data
}

/// What a wrapped data key is bound to.
pub(crate) fn wrap_context(key_id: u32, tenant: TenantId, stream: StreamId) -> Vec<u8> {
    [&b"bailiwick.wrap.v1"[..], &key_id.to_be_bytes(), &tenant.to_u128().to_be_bytes(), &stream.to_u128().to_be_bytes()]
        .concat()
}
