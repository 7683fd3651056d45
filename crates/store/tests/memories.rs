//! Memory in SQLite: whose it is, what a search can find, and that what is gone is gone from the disk.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "it looks at files and measures"
)]

use bailiwick_ports::{
    StoreError,
    memory::{
        Changed, Holder, MAX_MEMORIES, MemoryBody, MemoryKind, MemoryQuery, MemoryState, MemoryStore, NewMemory,
        Precondition, Within, Written,
    },
};
use bailiwick_store::{DataFolder, SqliteMemories};
use bailiwick_types::{ActionId, AgentId, MemoryId, Principal, TeamId, TenantId, Timestamp, UserId};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

const TENANT: TenantId = TenantId::from_u128(1);
const ANNA: Holder = Holder::Person(UserId::from_u128(10));
const BORIS: Holder = Holder::Person(UserId::from_u128(11));
/// The same bits as Anna, of another scope.
const TEAM: Holder = Holder::Team(TeamId::from_u128(10));
const SHARED: Holder = Holder::Agent(AgentId::from_u128(12));

async fn open(folder: &Path) -> SqliteMemories {
    SqliteMemories::open(DataFolder::open(folder).unwrap()).await.unwrap()
}

fn body(state: MemoryState, text: &str) -> MemoryBody {
    let mut digest = [0; 32];
    digest[..text.len().min(32)].copy_from_slice(&text.as_bytes()[..text.len().min(32)]);
    MemoryBody {
        state,
        kind: MemoryKind::Fact,
        at: Timestamp::from_millis(5),
        action: None,
        digest,
        sealed: text.to_owned().into(),
        terms: text.split(' ').map(str::to_owned).collect(),
    }
}

fn new(id: u128, holder: Holder, text: &str) -> NewMemory {
    NewMemory { tenant: TENANT, id: MemoryId::from_u128(id), holder, body: body(MemoryState::Confirmed, text) }
}

fn within(holders: &[Holder]) -> Within {
    Within { tenant: TENANT, holders: holders.to_vec() }
}

async fn found(store: &SqliteMemories, holders: &[Holder], terms: &[&str]) -> Vec<u128> {
    let terms: Vec<String> = terms.iter().map(|term| (*term).to_owned()).collect();
    let found = store.search(&within(holders), &terms, &BTreeSet::new(), 10).await.unwrap();
    found.iter().map(|entry| entry.id.to_u128()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reaches_what_another_one_keeps_by_id_by_search_or_by_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for (id, holder) in [(1, ANNA), (2, BORIS), (3, TEAM), (4, SHARED), (5, Holder::Tenant)] {
        assert_eq!(store.write(new(id, holder, "salary chart")).await.unwrap(), Written::New);
    }
    for (own, holder) in [(1, ANNA), (2, BORIS), (3, TEAM), (4, SHARED), (5, Holder::Tenant)] {
        let mine = within(&[holder]);
        assert_eq!(found(&store, &[holder], &["salary"]).await, [own], "a search gives only one's own");
        let (listed, more) = store.list(&mine, &MemoryQuery { limit: 10, ..MemoryQuery::default() }).await.unwrap();
        assert_eq!((listed.len(), listed[0].id.to_u128(), more), (1, own, false));
        for other in 1..=5 {
            let id = MemoryId::from_u128(other);
            assert_eq!(store.get(&mine, id).await.unwrap().is_some(), other == own, "{holder:?} reads {other}");
            if other != own {
                let before = Precondition { version: 1, action: None };
                let changed = store.change(&mine, id, before, body(MemoryState::Confirmed, "mine")).await;
                assert_eq!(changed.unwrap(), Changed::Unknown, "{holder:?} changes {other}");
                assert_eq!(store.forget(&mine, id, None, None).await.unwrap(), Changed::Unknown);
            }
        }
    }
    // A shared agent brings together what the person may reach, and no more.
    let together = found(&store, &[ANNA, SHARED, Holder::Tenant], &["salary"]).await;
    assert_eq!(together.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 4, 5]));
    let nobody = within(&[]);
    assert!(store.get(&nobody, MemoryId::from_u128(1)).await.unwrap().is_none());
    assert!(store.list(&nobody, &MemoryQuery { limit: 9, ..MemoryQuery::default() }).await.unwrap().0.is_empty());
    let elsewhere = Within { tenant: TenantId::from_u128(2), holders: vec![ANNA, Holder::Tenant] };
    assert!(store.get(&elsewhere, MemoryId::from_u128(1)).await.unwrap().is_none(), "another organisation");
    assert!(store.search(&elsewhere, &["salary".into()], &BTreeSet::new(), 10).await.unwrap().is_empty());
    assert!(store.counts(TenantId::from_u128(2)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_keyed_word_never_reaches_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.write(new(1, BORIS, "salary")).await.unwrap();
    for trick in ["salary OR", "sal*", "\"salary\"", "terms:salary", "NEAR(a b)", "^salary", "", "SALARY", "é", "a-b"]
    {
        let asked = store.search(&within(&[ANNA]), &[trick.to_owned()], &BTreeSet::new(), 10).await;
        assert!(matches!(asked, Err(StoreError::Malformed(_))), "{trick}");
        let mut written = new(9, ANNA, "x");
        written.body.terms = vec![trick.to_owned()];
        assert!(matches!(store.write(written).await, Err(StoreError::Malformed(_))), "{trick}");
    }
    let many: Vec<Holder> = (0..100).map(|id| Holder::Person(UserId::from_u128(id))).collect();
    assert!(matches!(store.get(&within(&many), MemoryId::from_u128(1)).await, Err(StoreError::Malformed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_found_by_no_search_until_it_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut proposal = new(1, ANNA, "send invoices elsewhere");
    proposal.body.state = MemoryState::Proposed;
    store.write(proposal).await.unwrap();
    assert!(found(&store, &[ANNA], &["invoices"]).await.is_empty());
    let query = MemoryQuery { state: Some(MemoryState::Proposed), limit: 10, ..MemoryQuery::default() };
    assert_eq!(store.list(&within(&[ANNA]), &query).await.unwrap().0.len(), 1);
    let (id, before) = (MemoryId::from_u128(1), Precondition { version: 1, action: None });
    let confirmed = body(MemoryState::Confirmed, "send invoices elsewhere");
    assert_eq!(store.change(&within(&[ANNA]), id, before, confirmed).await.unwrap(), Changed::Done);
    assert_eq!(found(&store, &[ANNA], &["invoices"]).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_the_version_that_it_saw_and_its_own_repetition_is_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (mine, id) = (within(&[ANNA]), MemoryId::from_u128(1));
    store.write(new(1, ANNA, "charts as png")).await.unwrap();
    store.write(new(2, ANNA, "tea")).await.unwrap();
    let action = Some(ActionId::from_u128(77));
    let svg = MemoryBody { action, ..body(MemoryState::Confirmed, "charts as svg") };
    let first = Precondition { version: 1, action };
    assert_eq!(store.change(&mine, id, first, svg.clone()).await.unwrap(), Changed::Done);
    assert_eq!(store.change(&mine, id, first, svg.clone()).await.unwrap(), Changed::Done, "the same action again");
    let other = Precondition { version: 1, action: Some(ActionId::from_u128(78)) };
    assert_eq!(store.change(&mine, id, other, svg.clone()).await.unwrap(), Changed::Version(2));
    assert_eq!(store.get(&mine, id).await.unwrap().unwrap().version, 2);
    assert_eq!(found(&store, &[ANNA], &["png"]).await, [0; 0], "the words before it find nothing any more");
    assert_eq!(found(&store, &[ANNA], &["svg"]).await, [1]);
    let tea = body(MemoryState::Confirmed, "tea");
    let second = Precondition { version: 2, action: None };
    assert_eq!(store.change(&mine, id, second, tea).await.unwrap(), Changed::Same(MemoryId::from_u128(2)));
    assert_eq!(store.forget(&mine, id, Some(1), None).await.unwrap(), Changed::Version(2));
    let Written::Same(same) = store.write(new(3, ANNA, "tea")).await.unwrap() else { panic!("it is there already") };
    assert_eq!(same.id, MemoryId::from_u128(2));
    assert!(matches!(store.write(new(3, BORIS, "tea")).await.unwrap(), Written::New), "for somebody else it is new");
}

/// Whether any file of the folder holds these bytes.
fn on_disk(folder: &Path, bytes: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_gone_from_the_table_the_index_and_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let (mine, id) = (within(&[ANNA]), MemoryId::from_u128(1));
    let secret = "quinceorchard marmaladeq";
    store.write(new(1, ANNA, secret)).await.unwrap();
    for other in 2..200 {
        store.write(new(other, ANNA, &format!("word{other} quincejam"))).await.unwrap();
    }
    // A reader stays around, as in real life.
    assert_eq!(found(&store, &[ANNA], &["quinceorchard"]).await, [1]);
    assert!(on_disk(folder.path(), "quinceorchard"));
    let by = (Principal::User { id: UserId::from_u128(10) }, Timestamp::from_millis(9));
    assert_eq!(store.forget(&mine, id, Some(1), Some(by.clone())).await.unwrap(), Changed::Done);
    for word in ["quinceorchard", "orchard", "marmaladeq"] {
        assert!(!on_disk(folder.path(), word), "`{word}` is still on the disk");
    }
    assert!(found(&store, &[ANNA], &["quinceorchard"]).await.is_empty());
    assert!(store.get(&mine, id).await.unwrap().is_none());
    let noted = store.unreceipted(10).await.unwrap();
    assert_eq!((noted.len(), noted[0].id, &noted[0].by, noted[0].version), (1, id, &by.0, 1));
    store.receipted(TENANT, id).await.unwrap();
    assert!(store.unreceipted(10).await.unwrap().is_empty());
    // A correction takes the text before it away as thoroughly, and so does the erasure of a person.
    let before = Precondition { version: 1, action: None };
    store.change(&mine, MemoryId::from_u128(7), before, body(MemoryState::Confirmed, "other")).await.unwrap();
    assert!(!on_disk(folder.path(), "word7 "));
    assert_eq!(store.forget_all(TENANT, ANNA, Timestamp::from_millis(5)).await.unwrap(), 198);
    assert!(!on_disk(folder.path(), "quincejam") && !on_disk(folder.path(), "word9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_survive_a_restart_and_one_holder_has_a_bounded_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.write(new(1, ANNA, "kept")).await.unwrap();
    drop(store);
    let store = open(folder.path()).await;
    assert_eq!(found(&store, &[ANNA], &["kept"]).await, [1]);
    drop(store);
    // Filled by hand: writing each durably would take minutes.
    let file = rusqlite::Connection::open(folder.path().join("memory.db")).unwrap();
    file.execute_batch(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO memories(tenant, id, \
         scope, holder, kind, state, version, created, updated, digest, sealed, terms) SELECT m.tenant, \
         CAST(printf('%016d', i) AS BLOB), m.scope, m.holder, 0, 1, 1, 0, 0, CAST(i AS BLOB), m.sealed, '' \
         FROM n, memories m WHERE m.terms = 'kept'",
        1000 + MAX_MEMORIES - 2
    ))
    .unwrap();
    drop(file);
    let store = open(folder.path()).await;
    assert_eq!(store.write(new(2, ANNA, "one too many")).await.unwrap(), Written::Full);
    assert_eq!(store.write(new(2, BORIS, "another one")).await.unwrap(), Written::New);
    let query = MemoryQuery { limit: 5, ..MemoryQuery::default() };
    let (page, more) = store.list(&within(&[ANNA]), &query).await.unwrap();
    assert_eq!((page.len(), more), (5, true));
}

/// Words that are written and asked for: the `n`-th is about `n` times as rare as the first.
const VOCABULARY: u64 = 50_000;
/// Entries of one person.
const OF_ONE: u64 = 1_000;

fn word(random: &mut SmallRng) -> u64 {
    let wide: f64 = random.random();
    (VOCABULARY as f64).powf(wide) as u64
}

/// As keyed words look: nothing in common between holders, and no order.
fn keyed(holder: u64, word: u64) -> String {
    let mut bits = (holder << 32 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (0..12).map(|at| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (at * 5) & 31) as usize])).collect()
}

/// Writes entries around the store, which would sync each of them.
fn fill(folder: &Path, entries: u64) {
    let mut file = rusqlite::Connection::open(folder.join("memory.db")).unwrap();
    file.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;").unwrap();
    let mut random = SmallRng::seed_from_u64(1);
    let mut written = 0;
    while written < entries {
        let transaction = file.transaction().unwrap();
        {
            let insert = "INSERT INTO memories(tenant, id, scope, holder, kind, state, version, created, updated, digest, \
                          sealed, terms) VALUES (?1, ?2, ?3, ?4, 0, 0, 1, 0, 0, ?2, zeroblob(400), ?5)";
            let mut insert = transaction.prepare(insert).unwrap();
            let index = "INSERT INTO memory_index(rowid, terms) VALUES (last_insert_rowid(), ?1)";
            let mut index = transaction.prepare(index).unwrap();
            for number in written..(written + 50_000).min(entries) {
                // The last tenth is the organisation's, as far as one holder goes, and the rest people's.
                let shared = number >= entries - (entries / 10).min(MAX_MEMORIES);
                let holder = if shared { 0 } else { 1 + number / OF_ONE };
                let words = 8 + random.random_range(0..32);
                let terms: BTreeSet<String> = (0..words).map(|_| keyed(holder, word(&mut random))).collect();
                let terms = terms.into_iter().collect::<Vec<_>>().join(" ");
                let scope = if shared { 3 } else { 0 };
                let (id, of) = (u128::from(number).to_be_bytes(), u128::from(holder).to_be_bytes());
                let of_all = (TENANT.to_u128().to_be_bytes(), id, scope, of, &terms);
                insert.execute(of_all).unwrap();
                index.execute([&terms]).unwrap();
            }
        }
        transaction.commit().unwrap();
        written += 50_000;
    }
}

/// With `BAILIWICK_MEMORIES=1000000` it says how long a search takes among a million (docs/performance.md).
#[tokio::test(flavor = "multi_thread")]
async fn a_search_takes_as_long_as_what_may_be_reached_is_large_however_much_there_is() {
    let entries = std::env::var("BAILIWICK_MEMORIES").ok().map_or(3_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    fill(folder.path(), entries);
    let store = open(folder.path()).await;
    let mut random = SmallRng::seed_from_u64(2);
    let people = (entries - (entries / 10).min(MAX_MEMORIES)) / OF_ONE;
    let mut taken: Vec<Duration> = Vec::new();
    let mut found = 0;
    for _ in 0..1_000 {
        let person = 1 + random.random_range(0..people);
        let reached = within(&[Holder::Person(UserId::from_u128(u128::from(person))), SHARED, Holder::Tenant]);
        let words: Vec<u64> = (0..3).map(|_| word(&mut random)).collect();
        let terms: Vec<String> = words.iter().flat_map(|word| [keyed(person, *word), keyed(0, *word)]).collect();
        let began = Instant::now();
        let answer = store.search(&reached, &terms, &BTreeSet::new(), 8).await.unwrap();
        taken.push(began.elapsed());
        assert!(answer.iter().all(|entry| reached.holds(entry.holder)));
        found += answer.len();
    }
    assert!(found > 1_000, "words of daily life are found: {found}");
    taken.sort();
    let size = std::fs::metadata(folder.path().join("memory.db")).unwrap().len() >> 20;
    eprintln!(
        "{entries} entries of {people} people and one organisation, {size} MiB: median {:?}, p99 {:?}, most {:?}",
        taken[500], taken[990], taken[999]
    );
}
