//! Another key-encryption key in the place of the one before.
//!
//! For a file of keys, in this order, so that a crash at any moment loses nothing:
//!
//! 1. the file gets another key beside the old ones, in one rename: from here on the new one wraps and all unwrap;
//! 2. every wrapped key is wrapped anew, a batch at a time, each batch in one transaction;
//! 3. only when the store has none left under another key, the file is written with the new one alone.
//!
//! Until 3 the file has every key that anything lies under. A rotation that was cut off is finished by the next: a file
//! with several keys gets no other one. What comes from the environment or a program begins at 2: whoever gives the keys
//! gives both.

use crate::{
    key_file::{FileKek, KeyFileError},
    sealing::KeyEncryption as _,
};
use bailiwick_ports::{KeysError, Random, StoreError, rewrap::WrappedKeys};
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error("{0}; nothing was lost: give the old keys too and try again")]
    Keys(#[from] KeysError),
    #[error("{0}; nothing was lost: try again")]
    Store(#[from] StoreError),
}

impl FileKek {
    /// Wraps everything under the newest key, and gives how many were wrapped anew.
    pub async fn rewrap(&self, kept: &dyn WrappedKeys, random: &dyn Random) -> Result<u64, RotationError> {
        let mut done = 0;
        loop {
            let found = kept.wrapped_otherwise(self.newest()).await?;
            if found.is_empty() {
                return Ok(done);
            }
            let mut anew = Vec::with_capacity(found.len());
            for old in found {
                let data_key = self.unwrap(old.tenant, old.bound_to, &old.key)?;
                let new = self.wrap(old.tenant, old.bound_to, &data_key, random);
                anew.push((old, new));
            }
            done += anew.len() as u64;
            kept.rewrap(anew).await?;
        }
    }

    /// Makes another key for a file and wraps everything under it. Only while nobody else uses the file or the store.
    pub async fn rotate_file(path: &Path, kept: &dyn WrappedKeys, random: &dyn Random) -> Result<u64, RotationError> {
        if Self::open(path)?.len() == 1 {
            Self::add_key(path, random)?;
        }
        let done = Self::open(path)?.rewrap(kept, random).await?;
        Self::keep_newest(path, random)?;
        Ok(done)
    }
}
