//! Rotating the key-encryption key, cut off at every step.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use async_trait::async_trait;
use bailiwick_identity::{FileKek, KeyEncryption as _, OsRandom, RotationError};
use bailiwick_ports::{
    StoreError, WrappedKey,
    rewrap::{WrapPlace, Wrapped, WrappedKeys},
};
use bailiwick_types::{StreamId, TenantId};
use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

const TENANT: TenantId = TenantId::from_u128(1);

/// Keys of streams, three of them in a batch, and a plug that is pulled after some calls.
struct Kept {
    keys: Mutex<Vec<Wrapped>>,
    calls: AtomicUsize,
}

impl Kept {
    fn of(kek: &FileKek) -> Self {
        let wrapped = |number: u8| {
            let bound_to = StreamId::from_u128(u128::from(number));
            let key = kek.wrap(TENANT, bound_to, &[number; 32], &OsRandom);
            Wrapped { place: WrapPlace::Stream, tenant: TENANT, bound_to, key }
        };
        Self { keys: Mutex::new((0..10).map(wrapped).collect()), calls: AtomicUsize::new(usize::MAX) }
    }

    fn call(&self) -> Result<(), StoreError> {
        match self.calls.fetch_sub(1, Ordering::Relaxed) {
            0 => Err(StoreError::Unavailable("the plug is out".into())),
            _ => Ok(()),
        }
    }

    /// Everything opens with the keys that the file has now.
    fn all_open(&self, path: &Path) {
        let kek = FileKek::open(path).unwrap();
        for (number, one) in (0_u8..).zip(self.keys.lock().unwrap().iter()) {
            assert_eq!(*kek.unwrap(one.tenant, one.bound_to, &one.key).unwrap(), [number; 32]);
        }
    }
}

#[async_trait]
impl WrappedKeys for Kept {
    async fn wrapped_otherwise(&self, current: u32) -> Result<Vec<Wrapped>, StoreError> {
        self.call()?;
        let keys = self.keys.lock().unwrap();
        Ok(keys.iter().filter(|one| one.key.key_id != current).take(3).cloned().collect())
    }

    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError> {
        self.call()?;
        let mut kept = self.keys.lock().unwrap();
        for (old, new) in keys {
            kept.iter_mut().find(|one| **one == old).unwrap().key = new;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_loses_nothing_and_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    // Four batches, each found and written, and the look that finds none.
    for cut in 0..=9 {
        let path = folder.path().join(format!("keys-{cut}"));
        let kept = Kept::of(&FileKek::open_or_create(&path, &OsRandom).unwrap());
        let old = fs::read_to_string(&path).unwrap();
        kept.calls.store(cut, Ordering::Relaxed);
        let done = FileKek::rotate_file(&path, &kept, &OsRandom).await;
        assert_eq!(matches!(done, Err(RotationError::Store(_))), cut < 9, "{cut}");
        kept.all_open(&path);
        kept.calls.store(usize::MAX, Ordering::Relaxed);
        if cut < 9 {
            FileKek::rotate_file(&path, &kept, &OsRandom).await.unwrap();
        }
        kept.all_open(&path);
        let now = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = now.lines().filter(|line| line.starts_with("key ")).collect();
        assert!(lines.len() == 1 && lines[0].starts_with("key 2 "), "one new key, however often it was begun");
        assert!(old.lines().filter(|line| line.starts_with("key ")).all(|line| !now.contains(line)));
        assert!(kept.keys.lock().unwrap().iter().all(|one| one.key.key_id == 2));
    }
}

#[tokio::test]
async fn a_key_that_is_missing_stops_a_rotation_and_the_file_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("keys"), folder.path().join("other"));
    let kept = Kept::of(&FileKek::open_or_create(&other, &OsRandom).unwrap());
    kept.keys.lock().unwrap().iter_mut().for_each(|one| one.key.key_id = 77);
    FileKek::open_or_create(&path, &OsRandom).unwrap();
    let failed = FileKek::rotate_file(&path, &kept, &OsRandom).await;
    assert!(matches!(failed, Err(RotationError::Keys(_))));
    assert_eq!(fs::read_to_string(&path).unwrap().lines().filter(|line| line.starts_with("key ")).count(), 2);
}
