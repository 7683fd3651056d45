//! Another key-encryption key in the place of the one before.
//!
//! For a file of keys, in this order, so that a crash at any moment loses nothing:
//!
//! 1. the file gets another key beside the old ones, in one rename: from here on the new one wraps and all unwrap;
//! 2. every wrapped key is wrapped anew, a batch at a time, each batch in one transaction;
//! 3. the store takes no new key any more that lies under another one, and what came in until then is wrapped anew too;
//! 4. only when the store has none left under another key, the file is written with the new one alone.
//!
//! Until 4 the file has every key that anything lies under. A rotation that was cut off is finished by the next: a file
//! with several keys gets no other one. What comes from the environment or a program begins at 2: whoever gives the keys
//! gives both.
//!
//! `running` does this in a server that works meanwhile. It never forgets a key that it once had: somebody may hold what
//! was wrapped under it.

mod ring;
mod running;

pub use ring::KeyRing;
pub use running::{Rotation, RotationOptions};

use crate::{
    key_file::{FileKek, KeyFileError},
    sealing::KeyEncryption as _,
};
use async_trait::async_trait;
use bailiwick_ports::{
    KeysError, Random, StoreError,
    rewrap::{WrapCursor, WrappedKeys},
};
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The text says which keys were given and which are needed.
    #[error("{0}")]
    Given(String),
    #[error("{0}; nothing was lost: give the old keys too and try again")]
    Keys(#[from] KeysError),
    #[error("{0}; nothing was lost: try again")]
    Store(#[from] StoreError),
}

/// Where the keys come from, as far as a rotation changes that.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The keys from now on: another one that wraps, and all that are needed to unwrap. `now` are those in use.
    async fn next(&self, now: &FileKek) -> Result<FileKek, RotationError>;

    /// Nothing lies under the older ones any more.
    async fn forget_older(&self) -> Result<(), RotationError>;
}

/// Keys in a file, which a rotation writes itself.
pub struct KeyFile {
    path: PathBuf,
    random: Arc<dyn Random>,
}

impl KeyFile {
    pub fn new(path: PathBuf, random: Arc<dyn Random>) -> Self {
        Self { path, random }
    }
}

#[async_trait]
impl KeySource for KeyFile {
    async fn next(&self, _: &FileKek) -> Result<FileKek, RotationError> {
        if FileKek::open(&self.path)?.len() == 1 {
            FileKek::add_key(&self.path, &*self.random)?;
        }
        Ok(FileKek::open(&self.path)?)
    }

    async fn forget_older(&self) -> Result<(), RotationError> {
        Ok(FileKek::keep_newest(&self.path, &*self.random)?)
    }
}

/// Keys that whoever starts the server gives: the new one with the old ones.
pub struct GivenKeys;

#[async_trait]
impl KeySource for GivenKeys {
    async fn next(&self, now: &FileKek) -> Result<FileKek, RotationError> {
        Ok(now.clone())
    }

    async fn forget_older(&self) -> Result<(), RotationError> {
        Ok(())
    }
}

impl FileKek {
    /// Wraps everything under the newest key, tells after each batch how many were, and gives how many were in all.
    /// When it returns, nothing lies under another key, and nothing will.
    async fn rewrap(
        &self,
        kept: &dyn WrappedKeys,
        random: &dyn Random,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, RotationError> {
        let mut done = self.pass(kept, random, 0, told).await?;
        kept.keep_only(Some(self.newest())).await?;
        loop {
            // What came in until the store was told, and until nothing is left.
            let before = done;
            done = self.pass(kept, random, done, told).await?;
            if done == before {
                return Ok(done);
            }
        }
    }

    async fn pass(
        &self,
        kept: &dyn WrappedKeys,
        random: &dyn Random,
        mut done: u64,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, RotationError> {
        let mut place = Some(WrapCursor::START);
        while let Some(from) = place {
            let found = kept.wrapped_otherwise(self.newest(), from).await?;
            place = found.next;
            let mut anew = Vec::with_capacity(found.keys.len());
            for old in found.keys {
                let data_key = self.unwrap(old.tenant, old.bound_to, &old.key)?;
                let new = self.wrap(old.tenant, old.bound_to, &data_key, random);
                anew.push((old, new));
            }
            if !anew.is_empty() {
                done += anew.len() as u64;
                kept.rewrap(anew).await?;
                told(done);
            }
        }
        Ok(done)
    }
}
