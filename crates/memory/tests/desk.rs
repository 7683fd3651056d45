//! The desk over what really lies on the disk: nothing of it in the clear, and no erasure without its receipt.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests look at files and may panic")]

use async_trait::async_trait;
use bailiwick_gate::Holds;
use bailiwick_memory::{Book, Desk};
use bailiwick_ports::{
    Administration, Change, Clock, Keys, Store, StoreError,
    memory::{Changed, Holder, MemoryDesk, MemoryError, MemoryKind, MemoryNote, MemoryQuery, MemoryStore as _, Within},
    store::Tenant,
};
use bailiwick_store::{DataFolder, SqliteMemories};
use bailiwick_testkit::{
    clock::ManualClock,
    keys::PlainKeys,
    random::SeededRandom,
    store::{MemoryStore, When},
};
use bailiwick_types::{MemoryId, Principal, TenantId, Timestamp, UserId};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};

const TENANT: TenantId = TenantId::from_u128(1);
const ANNA: UserId = UserId::from_u128(10);
const BORIS: UserId = UserId::from_u128(11);

/// Remembers what was written down, and fails when it is told to.
#[derive(Default)]
struct Records {
    changes: Mutex<Vec<Change>>,
    broken: Mutex<bool>,
}

#[async_trait]
impl Administration for Records {
    async fn change(&self, change: Change) -> Result<(), StoreError> {
        if *self.broken.lock().unwrap() {
            return Err(StoreError::Unavailable("the power is out".into()));
        }
        self.changes.lock().unwrap().push(change);
        Ok(())
    }
}

impl Records {
    fn kinds(&self) -> Vec<String> {
        self.changes.lock().unwrap().iter().map(|change| change.kind.clone()).collect()
    }
}

struct House {
    folder: tempfile::TempDir,
    entries: SqliteMemories,
    store: Arc<MemoryStore>,
    records: Arc<Records>,
    desk: Desk,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let entries = SqliteMemories::open(DataFolder::open(folder.path()).unwrap()).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_millis(1_793_000_000_000)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let (key, _) = PlainKeys.create(TENANT, TENANT.into());
        store.put_tenant(Tenant { id: TENANT, name: "house".into(), key }).await.unwrap();
        let records = Arc::new(Records::default());
        let holds = Arc::new(Holds::new(store.clone(), Arc::new(Hiding)));
        let book = Book::new(Arc::new(entries.clone()), store.clone(), Arc::new(Hiding), holds);
        let desk = Desk::new(book, records.clone(), clock, Arc::new(SeededRandom::new(3)));
        Self { folder, entries, store, records, desk }
    }

    async fn remember(&self, person: UserId, text: &str) -> MemoryId {
        let note = MemoryNote { holder: Holder::Person(person), kind: MemoryKind::Fact, text: text.into() };
        self.desk.write(TENANT, note, &Principal::User { id: person }).await.unwrap().id
    }
}

/// The keys of tests, but that what is sealed cannot be read.
struct Hiding;

struct HidingKey(Arc<dyn bailiwick_ports::StreamKey>);

fn hidden(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0xa5).collect()
}

impl bailiwick_ports::StreamKey for HidingKey {
    fn key_id(&self) -> u32 {
        self.0.key_id()
    }

    fn seal(&self, context: &[u8], plain: &[u8]) -> Vec<u8> {
        hidden(&self.0.seal(context, plain))
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, bailiwick_ports::KeysError> {
        self.0.unseal(context, &hidden(sealed))
    }

    fn digest(&self, data: &[u8]) -> [u8; 32] {
        self.0.digest(data)
    }
}

type Key = Result<Arc<dyn bailiwick_ports::StreamKey>, bailiwick_ports::KeysError>;

fn hiding(key: Key) -> Key {
    key.map(|key| Arc::new(HidingKey(key)) as Arc<dyn bailiwick_ports::StreamKey>)
}

impl Keys for Hiding {
    fn create(
        &self,
        tenant: TenantId,
        stream: bailiwick_types::StreamId,
    ) -> (bailiwick_ports::WrappedKey, Arc<dyn bailiwick_ports::StreamKey>) {
        let (wrapped, key) = PlainKeys.create(tenant, stream);
        (wrapped, Arc::new(HidingKey(key)))
    }

    fn open(&self, tenant: TenantId, stream: bailiwick_types::StreamId, wrapped: &bailiwick_ports::WrappedKey) -> Key {
        hiding(PlainKeys.open(tenant, stream, wrapped))
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> bailiwick_ports::SubjectKey {
        PlainKeys.create_subject(tenant, person)
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: bailiwick_types::StreamId,
        subject: &bailiwick_ports::SubjectKey,
    ) -> Result<(bailiwick_ports::WrappedKey, Arc<dyn bailiwick_ports::StreamKey>), bailiwick_ports::KeysError> {
        PlainKeys.create_under(tenant, stream, subject)
    }

    fn open_subject(&self, tenant: TenantId, subject: &bailiwick_ports::SubjectKey) -> Key {
        hiding(PlainKeys.open_subject(tenant, subject))
    }
}

fn own(person: UserId) -> Within {
    Within { tenant: TENANT, holders: vec![Holder::Person(person)] }
}

fn on_disk(folder: &Path, bytes: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
}

/// The keyed words of all entries, as the file has them.
fn terms(folder: &Path) -> Vec<String> {
    let file = rusqlite::Connection::open(folder.join("memory.db")).unwrap();
    let mut all = file.prepare("SELECT terms FROM memories").unwrap();
    let all: Vec<String> = all.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    all.iter().flat_map(|terms| terms.split(' ')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_word_lies_on_the_disk_and_one_word_of_two_people_is_two() {
    let house = House::new().await;
    house.remember(ANNA, "Quinceorchards bloom").await;
    let first: Vec<String> = terms(house.folder.path());
    house.remember(BORIS, "Quinceorchards bloom").await;
    for word in ["uinceorchards", "bloom", "quinc"] {
        assert!(!on_disk(house.folder.path(), word), "`{word}` is on the disk");
    }
    let both: std::collections::BTreeSet<String> = terms(house.folder.path()).into_iter().collect();
    let once: std::collections::BTreeSet<String> = first.into_iter().collect();
    assert!(once.len() >= 4, "two words and their beginnings: {once:?}");
    assert_eq!(both.len(), 2 * once.len(), "nothing in common");
    let found = house.desk.search(&own(BORIS), "quinceorchard", 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].source.by, Principal::User { id: BORIS });
    let error = house.desk.search(&own(BORIS), "…", 10).await.unwrap_err();
    assert!(matches!(error, MemoryError::Invalid { field: "query", .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_whose_receipt_a_crash_took_gets_it_at_the_next_start() {
    let house = House::new().await;
    let id = house.remember(ANNA, "Quinceorchards bloom").await;
    let by = Principal::User { id: ANNA };
    *house.records.broken.lock().unwrap() = true;
    assert!(house.desk.forget(&own(ANNA), id, Some(1), &by).await.is_err());
    assert!(matches!(house.desk.get(&own(ANNA), id).await, Err(MemoryError::Unknown)), "it is gone all the same");
    *house.records.broken.lock().unwrap() = false;
    house.desk.catch_up().await.unwrap();
    assert_eq!(house.records.kinds(), ["memory.written", "memory.forgotten"]);
    let receipt = house.records.changes.lock().unwrap()[1].clone();
    assert_eq!((receipt.target, receipt.by), (id.to_string(), by));
    house.desk.catch_up().await.unwrap();
    assert_eq!(house.records.kinds().len(), 2, "once");

    // Nothing is changed of which nothing could be written down.
    let id = house.remember(ANNA, "Tea at four").await;
    *house.records.broken.lock().unwrap() = true;
    let by = Principal::User { id: ANNA };
    assert!(house.desk.correct(&own(ANNA), id, 1, "Tea at five", &by).await.is_err());
    assert_eq!(house.desk.get(&own(ANNA), id).await.unwrap().text, "Tea at four");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_first_words_are_kept_also_while_the_key_above_all_is_replaced() {
    let house = House::new().await;
    house.store.faults().fail(1, When::Before, StoreError::KeyReplaced);
    let id = house.remember(ANNA, "Tea at four").await;
    assert_eq!(house.desk.get(&own(ANNA), id).await.unwrap().text, "Tea at four");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_under_a_destroyed_key_is_nobodys_any_more() {
    let house = House::new().await;
    house.remember(ANNA, "Quinceorchards bloom").await;
    let kept = house.store.subject_key(TENANT, ANNA).await.unwrap();
    assert!(kept.is_some(), "a person's memory has the person's key");
    let all = MemoryQuery { limit: 10, ..MemoryQuery::default() };
    assert_eq!(house.desk.list(&own(ANNA), &all).await.unwrap().0.len(), 1);
    let until = Timestamp::from_millis(i64::MAX);
    assert_eq!(house.desk.erase_person(TENANT, ANNA, until).await.unwrap(), 1);
    assert!(house.desk.list(&own(ANNA), &all).await.unwrap().0.is_empty());
    let gone = house.entries.forget(&own(ANNA), MemoryId::from_u128(1), None, None).await.unwrap();
    assert_eq!(gone, Changed::Unknown);
}
