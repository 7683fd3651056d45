//! Replacing the key-encryption key, cut off at every step, and while others go on wrapping.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod common;

use async_trait::async_trait;
use bailiwick_identity::{
    FileKek, GivenKeys, KeyEncryption as _, KeyFile, KeyRing, KeySource, OsRandom, Rotation, RotationError,
    RotationOptions,
};
use bailiwick_ports::{
    BoxFuture, StoreError, TaskHandle, Tasks, WrappedKey,
    rewrap::{
        KeyRotation as _, RotationRefused, RotationState, WrapBatch, WrapCursor, WrapPlace, Wrapped, WrappedKeys,
    },
    store::Tenant,
};
use bailiwick_types::{Secret, StreamId, TenantId};
use common::{Documents, ManualClock, OPERATOR, START};
use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

const TENANT: TenantId = TenantId::from_u128(1);

/// Keys of streams, three of them in a batch, and a plug that is pulled after some calls.
struct Kept {
    keys: Mutex<Vec<Wrapped>>,
    /// One that is written down after the first look at all of them.
    late: Mutex<Option<Wrapped>>,
    only: Mutex<Vec<Option<u32>>>,
    calls: AtomicUsize,
}

fn wrapped(ring: &dyn bailiwick_identity::KeyEncryption, number: u8) -> Wrapped {
    let bound_to = StreamId::from_u128(u128::from(number));
    let key = ring.wrap(TENANT, bound_to, &[number; 32], &OsRandom);
    Wrapped { place: WrapPlace::Stream, tenant: TENANT, bound_to, key }
}

impl Kept {
    fn of(kek: &FileKek) -> Arc<Self> {
        Arc::new(Self {
            keys: Mutex::new((0..10).map(|number| wrapped(kek, number)).collect()),
            late: Mutex::new(Some(wrapped(kek, 10))),
            only: Mutex::default(),
            calls: AtomicUsize::new(usize::MAX),
        })
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
    async fn wrapped_otherwise(&self, current: u32, from: WrapCursor) -> Result<WrapBatch, StoreError> {
        self.call()?;
        let keys = self.keys.lock().unwrap();
        let found = keys.iter().skip(from.after as usize).take(3);
        let next = WrapCursor { after: from.after + 3, ..from };
        let next = (next.after < keys.len() as u64).then_some(next);
        Ok(WrapBatch { keys: found.filter(|one| one.key.key_id != current).cloned().collect(), next })
    }

    async fn rewrap(&self, keys: Vec<(Wrapped, WrappedKey)>) -> Result<(), StoreError> {
        self.call()?;
        let mut kept = self.keys.lock().unwrap();
        for (old, new) in keys {
            kept.iter_mut().find(|one| **one == old).unwrap().key = new;
        }
        Ok(())
    }

    /// The last moment at which a key may come in that was wrapped before the change.
    async fn keep_only(&self, only: Option<u32>) -> Result<(), StoreError> {
        self.call()?;
        self.only.lock().unwrap().push(only);
        if only.is_some() {
            self.keys.lock().unwrap().extend(self.late.lock().unwrap().take());
        }
        Ok(())
    }
}

/// Keeps what was begun, until the test lets it run.
#[derive(Default)]
struct Held(Mutex<Vec<BoxFuture<'static, ()>>>);

impl Tasks for Held {
    fn spawn(&self, _: &'static str, work: BoxFuture<'static, ()>) -> TaskHandle {
        self.0.lock().unwrap().push(work);
        TaskHandle::new(|| ())
    }
}

impl Held {
    async fn run(&self) {
        let work = self.0.lock().unwrap().pop().expect("a rotation was begun");
        work.await;
    }
}

struct House {
    ring: Arc<KeyRing>,
    documents: Arc<Documents>,
    tasks: Arc<Held>,
    rotation: Rotation,
}

/// A server that has just read its keys.
fn house(keys: FileKek, source: Arc<dyn KeySource>, kept: &Arc<Kept>) -> House {
    let ring = Arc::new(KeyRing::new(keys));
    let documents = Arc::new(Documents::default());
    let tenant = Tenant { id: TENANT, name: "t".into(), key: WrappedKey::new(1, vec![1]) };
    documents.tenants.lock().unwrap().push(tenant);
    let tasks = Arc::new(Held::default());
    let rotation = RotationOptions {
        ring: ring.clone(),
        source,
        kept: kept.clone(),
        store: documents.clone(),
        administration: documents.clone(),
        clock: Arc::new(ManualClock(AtomicI64::new(START.as_millis()))),
        random: Arc::new(OsRandom),
        tasks: tasks.clone(),
    };
    House { ring, documents, tasks, rotation: rotation.build() }
}

fn of_file(path: &Path, kept: &Arc<Kept>) -> House {
    let source = KeyFile::new(path.to_owned(), Arc::new(OsRandom));
    house(FileKek::open(path).unwrap(), Arc::new(source), kept)
}

fn key_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().filter(|line| line.starts_with("key ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_anywhere_loses_nothing_and_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    // The store takes all keys; four batches, each found and written; it takes only new ones; the late one is found and
    // written; and a look at all of them that finds none.
    for cut in 0..=19 {
        let path = folder.path().join(format!("keys-{cut}"));
        let kept = Kept::of(&FileKek::open_or_create(&path, &OsRandom).unwrap());
        let old = key_lines(&path);
        kept.calls.store(cut, Ordering::Relaxed);
        let done = of_file(&path, &kept).rotation.perform(&OPERATOR, None).await;
        assert_eq!(matches!(done, Err(RotationError::Store(_))), cut < 19, "{cut}");
        kept.all_open(&path);
        kept.calls.store(usize::MAX, Ordering::Relaxed);
        if cut < 19 {
            of_file(&path, &kept).rotation.perform(&OPERATOR, None).await.unwrap();
        }
        kept.all_open(&path);
        let now = key_lines(&path);
        assert!(now.len() == 1 && now[0].starts_with("key 2 "), "one new key, however often it was begun: {now:?}");
        assert!(!now.contains(&old[0]));
        assert!(kept.keys.lock().unwrap().iter().all(|one| one.key.key_id == 2));
        assert_eq!(kept.keys.lock().unwrap().len(), 11);
    }
}

#[tokio::test]
async fn a_server_that_works_meanwhile_wraps_under_the_new_key_and_still_opens_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let kept = Kept::of(&FileKek::open_or_create(&path, &OsRandom).unwrap());
    let house = of_file(&path, &kept);
    let held = wrapped(&*house.ring, 77);
    for to in [2, 3] {
        let begun = house.rotation.begin(OPERATOR, Some("yearly".into())).await.unwrap();
        assert_eq!((begun.current, begun.older), (to, 1));
        assert_eq!(wrapped(&*house.ring, 1).key.key_id, to, "new keys are under it at once");
        assert_eq!(key_lines(&path).len(), 2, "both keys are there until it is done");
        kept.all_open(&path);
        // It is not begun twice.
        assert_eq!(house.rotation.begin(OPERATOR, None).await.unwrap(), begun);
        house.tasks.run().await;
        let done = house.rotation.encryption_keys();
        assert_eq!((done.current, done.older), (to, 0));
        let rotation = done.rotation.unwrap();
        assert_eq!((rotation.from, rotation.to, rotation.state), (to - 1, to, RotationState::Done(START)));
        assert_eq!(rotation.rewrapped, 11);
        kept.all_open(&path);
        // Whoever holds a key that was wrapped under one before still opens it.
        let opened = bailiwick_identity::KeyEncryption::unwrap(&*house.ring, TENANT, held.bound_to, &held.key);
        assert_eq!(*opened.unwrap(), [77; 32]);
    }
    // The store takes every key while a rotation runs, and only new ones from its end on.
    assert_eq!(*kept.only.lock().unwrap(), [None, Some(2), None, Some(3)]);
    // Every organisation's administration says so, before and after.
    let changes = house.documents.changes.lock().unwrap();
    let said: Vec<_> = changes.iter().map(|one| (one.tenant, &*one.kind, one.reason.as_deref())).collect();
    let (begun, done) = ("encryption_key.rotation_begun", "encryption_key.rotated");
    let once = [(TENANT, begun, Some("yearly")), (TENANT, done, None)];
    assert_eq!(said, [once, once].concat());
    assert_eq!(changes[1].details, serde_json::json!({"from": 1, "to": 2, "rewrapped": 11}));
}

#[tokio::test]
async fn nothing_is_rotated_that_cannot_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let kept = Kept::of(&FileKek::open_or_create(&path, &OsRandom).unwrap());
    let house = of_file(&path, &kept);
    house.documents.broken.store(true, Ordering::Relaxed);
    assert!(matches!(house.rotation.begin(OPERATOR, None).await, Err(RotationRefused::Store(_))));
    assert_eq!(wrapped(&*house.ring, 1).key.key_id, 1);
    assert!(kept.keys.lock().unwrap().iter().all(|one| one.key.key_id == 1));
}

#[tokio::test]
async fn a_failure_in_the_background_is_told_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let kept = Kept::of(&FileKek::open_or_create(&path, &OsRandom).unwrap());
    let house = of_file(&path, &kept);
    house.rotation.begin(OPERATOR, None).await.unwrap();
    kept.calls.store(3, Ordering::Relaxed);
    house.tasks.run().await;
    let failed = house.rotation.encryption_keys();
    let rotation = failed.rotation.unwrap();
    assert!(
        matches!(&rotation.state, RotationState::Failed(_, why) if why.contains("the plug is out")),
        "{rotation:?}"
    );
    assert_eq!((failed.older, rotation.rewrapped), (1, 3));
    kept.all_open(&path);
    kept.calls.store(usize::MAX, Ordering::Relaxed);
    house.rotation.begin(OPERATOR, None).await.unwrap();
    house.tasks.run().await;
    assert_eq!(house.rotation.encryption_keys().older, 0);
    assert_eq!(key_lines(&path).len(), 1);
    kept.all_open(&path);
}

/// A program that prints these.
struct Printed(FileKek);

#[async_trait]
impl KeySource for Printed {
    async fn next(&self, _: &FileKek) -> Result<FileKek, RotationError> {
        Ok(self.0.clone())
    }

    async fn forget_older(&self) -> Result<(), RotationError> {
        Ok(())
    }
}

#[tokio::test]
async fn keys_that_are_given_must_hold_the_one_in_use_and_a_missing_one_stops_a_rotation() {
    let (first, second) = (Secret::new("11".repeat(32)), Secret::new("22".repeat(32)));
    let now = FileKek::of_words(&first, None).unwrap();
    let kept = Kept::of(&now);
    let alone = FileKek::of_words(&second, None).unwrap();
    let other = house(now.clone(), Arc::new(Printed(alone)), &kept);
    let refused = other.rotation.begin(OPERATOR, None).await;
    assert!(
        matches!(&refused, Err(RotationRefused::Keys(why)) if why.contains("give it as an old one")),
        "{refused:?}"
    );
    let both = FileKek::of_words(&second, Some(&first)).unwrap();
    let given = house(now.clone(), Arc::new(Printed(both.clone())), &kept);
    assert_eq!(given.rotation.perform(&OPERATOR, None).await.unwrap(), 11);
    // With what a start gave, a rotation only wraps anew, and its receipt says from which key to which.
    let (from, to) = (wrapped(&now, 1).key.key_id, wrapped(&both, 1).key.key_id);
    let again = house(both, Arc::new(GivenKeys), &kept);
    assert_eq!(again.rotation.perform(&OPERATOR, None).await.unwrap(), 0);
    let said = again.documents.changes.lock().unwrap().last().unwrap().details.clone();
    assert_eq!(said, serde_json::json!({"from": from, "to": to, "rewrapped": 0}));
    // A single one that is given is followed by none, and follows none.
    let single = house(now.clone(), Arc::new(GivenKeys), &Kept::of(&now));
    assert_eq!(single.rotation.begin(OPERATOR, None).await.unwrap().older, 0);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    FileKek::open_or_create(&path, &OsRandom).unwrap();
    kept.keys.lock().unwrap().iter_mut().for_each(|one| one.key.key_id = 77);
    let failed = of_file(&path, &kept).rotation.perform(&OPERATOR, None).await;
    assert!(matches!(failed, Err(RotationError::Keys(_))));
    assert_eq!(key_lines(&path).len(), 2, "the file keeps what it has");
}
