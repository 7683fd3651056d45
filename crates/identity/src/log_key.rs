//! Ed25519 keys that sign the heads of receipt logs, sealed at rest like every other secret.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bailiwick_ports::{KeysError, Random, Signer, Signers, StreamKey};
use bytes::Bytes;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a sealed key is bound to.
const CONTEXT: &[u8] = b"bailiwick.log-key.v1";
const SEED: usize = 32;

/// Makes and opens keys of logs.
pub struct LogKeys {
    random: Arc<dyn Random>,
}

impl LogKeys {
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random }
    }
}

impl Signers for LogKeys {
    fn create(&self, key: &dyn StreamKey) -> Bytes {
        let mut seed = Zeroizing::new([0; SEED]);
        self.random.fill(seed.as_mut());
        key.seal(CONTEXT, seed.as_ref()).into()
    }

    fn open(&self, key: &dyn StreamKey, sealed: &[u8]) -> Result<Arc<dyn Signer>, KeysError> {
        let seed = Zeroizing::new(key.unseal(CONTEXT, sealed)?);
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeysError::DoesNotOpen)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(|_| KeysError::DoesNotOpen)?;
        Ok(Arc::new(LogKey { pair, public_key }))
    }
}

struct LogKey {
    pair: Ed25519KeyPair,
    public_key: [u8; 32],
}

impl Signer for LogKey {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}
