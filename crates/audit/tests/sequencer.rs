//! The sequencer over a store in memory: what is written becomes leaves, whatever happens in between, and what was
//! signed is never contradicted.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use bailiwick_audit::{Audit, Options};
use bailiwick_core::tree::{
    Edge,
    note::{Checkpoint, Note},
    verify_consistency, verify_inclusion,
};
use bailiwick_gate::Administrator;
use bailiwick_identity::{LogKeys, OsRandom};
use bailiwick_ports::{
    Administration, AuditError, Auditor, Change, Clock as _, Keys, KeysError, LogStore, ModelCard, ModelCards, Store,
    StreamKey, SubjectKey, WrappedKey,
    log::{Advance, ExportOf, LoggedCheckpoint, ReceiptQuery, TileWrite},
    store::{NewStream, SealedRecord, Tenant},
};
use bailiwick_testkit::{clock::ManualClock, keys::PlainKeys, store::MemoryStore};
use bailiwick_types::{Millis, Principal, StreamId, TenantId, Timestamp, UserId};
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

struct NoCards;

impl ModelCards for NoCards {
    fn card(&self, _: &str) -> Option<ModelCard> {
        None
    }

    fn cards(&self) -> Vec<ModelCard> {
        Vec::new()
    }
}

struct House {
    store: MemoryStore,
    clock: ManualClock,
    tenant: TenantId,
    administrator: Arc<Administrator>,
}

impl House {
    async fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(1_795_260_645_000));
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let tenant = TenantId::from_u128(7);
        let (key, _) = PlainKeys.create(tenant, tenant.into());
        store.put_tenant(Tenant { id: tenant, name: "t".into(), key }).await.unwrap();
        let administrator = Administrator::new(Arc::new(store.clone()), Arc::new(PlainKeys), Arc::new(clock.clone()));
        Self { store, clock, tenant, administrator: Arc::new(administrator) }
    }

    /// The log as a process opens it.
    fn audit(&self) -> Audit {
        self.audit_with(Arc::new(PlainKeys))
    }

    fn audit_with(&self, keys: Arc<dyn Keys>) -> Audit {
        Options {
            store: Arc::new(self.store.clone()),
            log: Arc::new(self.store.clone()),
            keys,
            signers: Arc::new(LogKeys::new(Arc::new(OsRandom))),
            cards: Arc::new(NoCards),
            clock: Arc::new(self.clock.clone()),
            second_place: None,
        }
        .build()
    }

    async fn change(&self, target: &str) {
        self.administrator.change(change(self.tenant, target)).await.unwrap();
    }

    async fn leaves(&self) -> Vec<[u8; 32]> {
        let records = self.store.records(self.tenant.into(), 0, 10_000).await.unwrap();
        records.iter().map(|record| record.leaf).collect()
    }
}

fn change(tenant: TenantId, target: &str) -> Change {
    Change {
        tenant,
        by: Principal::Operator,
        kind: "thing.changed".into(),
        target: target.into(),
        reason: None,
        details: json!({}),
        documents: Vec::new(),
    }
}

fn said(checkpoint: &LoggedCheckpoint) -> Checkpoint {
    Checkpoint::parse(Note::parse(&checkpoint.note).unwrap().text).unwrap()
}

/// Somebody adds a record whenever the sequencer takes up a stream.
struct Busy(Arc<Administrator>);

impl Keys for Busy {
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>) {
        PlainKeys.create(tenant, stream)
    }

    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        // The store is in memory, so that this is done at once.
        self.0.change(change(tenant, "meanwhile")).now_or_never().unwrap().unwrap();
        PlainKeys.open(tenant, stream, wrapped)
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey {
        PlainKeys.create_subject(tenant, person)
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError> {
        PlainKeys.create_under(tenant, stream, subject)
    }

    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        PlainKeys.open_subject(tenant, subject)
    }
}

/// Each go is a sync of its own: following a stream for as long as somebody writes to it would double their cost.
#[tokio::test]
async fn a_pass_does_not_run_after_what_comes_while_it_works() {
    let house = House::new().await;
    house.change("first").await;
    let audit = house.audit_with(Arc::new(Busy(Arc::clone(&house.administrator))));
    for _ in 0..3 {
        let before = house.leaves().await.len();
        audit.work(Millis::from_secs(3600)).await;
        let after = house.leaves().await.len();
        assert!((1..=3).contains(&(after - before)), "{} records came meanwhile", after - before);
    }
    let (all, status) = (house.leaves().await.len(), house.audit().status(house.tenant).await.unwrap());
    assert_eq!(status.size, all as u64, "and nothing is left out");
}

/// A record that was damaged does not open under its key.
struct Damaged;

impl Keys for Damaged {
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>) {
        PlainKeys.create(tenant, stream)
    }

    fn open(&self, tenant: TenantId, _: StreamId, _: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        Ok(PlainKeys.create(tenant, StreamId::from_u128(99)).1)
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey {
        PlainKeys.create_subject(tenant, person)
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError> {
        PlainKeys.create_under(tenant, stream, subject)
    }

    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        PlainKeys.open_subject(tenant, subject)
    }
}

#[tokio::test]
async fn a_damaged_record_is_not_passed_on_as_an_erased_one() {
    let house = House::new().await;
    house.change("first").await;
    house.audit().work(Millis(0)).await;
    for (keys, readable) in [(Arc::new(PlainKeys) as Arc<dyn Keys>, true), (Arc::new(Damaged), false)] {
        let fed = house.audit_with(keys).feed(house.tenant, 0, 10).await.unwrap();
        let line: Value = serde_json::from_slice(&fed.lines).unwrap();
        assert_eq!((fed.count, fed.next, &line["index"]), (1, 1, &json!(0)));
        assert_eq!((line["receipt"].is_string(), line["unreadable"] == true), (readable, !readable), "{line}");
        assert!(line.get("erased").is_none(), "{line}");
    }
}

#[tokio::test]
async fn every_record_becomes_a_leaf_and_every_tree_is_the_beginning_of_the_next() {
    let house = House::new().await;
    let mut before: Option<Checkpoint> = None;
    // Across the edges of tiles, and by another process each time.
    for count in [1, 1, 254, 1, 300, 700] {
        for at in 0..count {
            house.change(&format!("{at}")).await;
        }
        let audit = house.audit();
        let status = audit.status(house.tenant).await.unwrap();
        let leaves = house.leaves().await;
        let now = said(&status.checkpoint);
        assert_eq!((status.size, now.size), (leaves.len() as u64, leaves.len() as u64));
        let mut edge = Edge::default();
        leaves.iter().for_each(|leaf| edge.push(*leaf, &mut BTreeMap::new()));
        assert_eq!(now.root, edge.root());
        for position in [1, leaves.len() as u64 / 2 + 1, leaves.len() as u64] {
            let included = audit.inclusion(house.tenant, house.tenant.into(), position).await.unwrap().unwrap();
            let leaf = &leaves[position as usize - 1];
            assert_eq!(verify_inclusion(leaf, included.index, now.size, &now.root, &included.proof), Ok(()));
        }
        if let Some(before) = before {
            let proof = audit.consistency(house.tenant, before.size, now.size).await.unwrap();
            assert_eq!(verify_consistency(before.size, now.size, &before.root, &now.root, &proof), Ok(()));
        }
        before = Some(now);
    }
    let found = house.store.receipts(house.tenant, &ReceiptQuery { limit: 1000, ..ReceiptQuery::default() }).await;
    let (receipts, more) = found.unwrap().unwrap();
    assert!(more && receipts.iter().all(|row| row.orderer.as_deref() == Some("operator")));
}

/// Two processes at one log: one of them wins, the other finds out, and no leaf is lost or doubled.
#[tokio::test]
async fn two_sequencers_do_not_harm_each_other() {
    let house = House::new().await;
    let (one, two) = (house.audit(), house.audit());
    for round in 0..20 {
        house.change(&format!("{round}")).await;
        let audit = if round % 3 == 0 { &two } else { &one };
        audit.work(Millis(0)).await;
        audit.work(Millis(0)).await;
    }
    let status = house.audit().status(house.tenant).await.unwrap();
    assert_eq!(status.size, 20);
    let checkpoints = house.store.checkpoints(house.tenant, 0, 100).await.unwrap();
    assert!(checkpoints.windows(2).all(|pair| pair[0].size < pair[1].size));
}

#[tokio::test]
async fn a_tree_is_signed_at_least_every_minute_and_only_when_it_grew() {
    let house = House::new().await;
    let audit = house.audit();
    let every = Millis::from_secs(30);
    let signed = async || house.store.checkpoints(house.tenant, 0, 100).await.unwrap().len();
    house.change("a").await;
    audit.work(every).await;
    assert_eq!(signed().await, 1);
    house.change("b").await;
    audit.work(every).await;
    assert_eq!(signed().await, 1, "it was signed a moment ago");
    house.clock.advance(Millis::from_secs(59));
    audit.work(every).await;
    assert_eq!(signed().await, 2);
    house.clock.advance(Millis::from_secs(600));
    audit.work(every).await;
    assert_eq!(signed().await, 2, "nothing is new");
    let now = house.clock.now();
    assert_eq!(
        house.store.newest_checkpoint(house.tenant).await.unwrap().unwrap().time,
        Timestamp::from_millis(now.as_millis() - 600_000)
    );
}

/// A tree that somebody changed on disk is not signed under our name.
#[tokio::test]
async fn a_tree_that_contradicts_what_was_signed_is_not_signed() {
    let house = House::new().await;
    house.change("a").await;
    house.change("b").await;
    house.audit().status(house.tenant).await.unwrap();
    let forged = TileWrite { level: 0, index: 0, hashes: vec![7; 64].into() };
    let (runs, receipts, outcomes) = Default::default();
    let advance = Advance { tenant: house.tenant, size: 2, runs, tiles: vec![forged], receipts, outcomes };
    house.store.advance(advance).await.unwrap();
    house.change("c").await;
    let refused = house.audit().status(house.tenant).await;
    assert!(
        matches!(&refused, Err(AuditError::Damaged(text)) if text.contains("checkpoint of 2 leaves")),
        "{refused:?}"
    );
    let export = house.audit().export(house.tenant, ExportOf::Everything, false).await;
    assert!(export.is_err(), "nothing is proven with it");
    assert_eq!(house.store.checkpoints(house.tenant, 0, 10).await.unwrap().len(), 1);
}

/// The keys of these streams were written over.
struct Overwritten(Vec<StreamId>);

impl Keys for Overwritten {
    fn create(&self, tenant: TenantId, stream: StreamId) -> (WrappedKey, Arc<dyn StreamKey>) {
        PlainKeys.create(tenant, stream)
    }

    fn open(&self, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        match self.0.contains(&stream) {
            true => Err(KeysError::DoesNotOpen),
            false => PlainKeys.open(tenant, stream, wrapped),
        }
    }

    fn create_subject(&self, tenant: TenantId, person: UserId) -> SubjectKey {
        PlainKeys.create_subject(tenant, person)
    }

    fn create_under(
        &self,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(WrappedKey, Arc<dyn StreamKey>), KeysError> {
        PlainKeys.create_under(tenant, stream, subject)
    }

    fn open_subject(&self, tenant: TenantId, subject: &SubjectKey) -> Result<Arc<dyn StreamKey>, KeysError> {
        PlainKeys.open_subject(tenant, subject)
    }
}

/// A stream of this tenant's with one record.
async fn written(house: &House, tenant: TenantId, number: u128) -> StreamId {
    let stream = StreamId::from_u128(number);
    let (key, opened) = PlainKeys.create(tenant, stream);
    let sealed = opened.seal(b"a record", b"of somebody");
    let record = SealedRecord {
        position: 1,
        epoch: 0,
        kind: "action.decided".into(),
        version: 1,
        time: house.clock.now(),
        cause: None,
        key_id: 1,
        checksum: 0,
        sealed: sealed.into(),
        leaf: [number as u8; 32],
        chain: [0; 32],
    };
    let (rows, inputs) = Default::default();
    let new = NewStream { tenant, stream, key, records: vec![record], rows, inputs, idempotency: None };
    house.store.create_stream(new).await.unwrap();
    stream
}

async fn signed(house: &House, tenant: TenantId) -> Option<u64> {
    house.store.newest_checkpoint(tenant).await.unwrap().map(|checkpoint| checkpoint.size)
}

/// The damage is in an organisation that comes before another one in every order that there is.
#[tokio::test]
async fn what_is_damaged_in_one_organisation_stops_nobody_elses_log() {
    let house = House::new().await;
    let second = TenantId::from_u128(8);
    let (key, _) = PlainKeys.create(second, second.into());
    house.store.put_tenant(Tenant { id: second, name: "second".into(), key }).await.unwrap();
    // More than one page of streams, all of the log that is damaged.
    for number in 100..900 {
        written(&house, house.tenant, number).await;
    }
    house.change("first").await;
    house.administrator.change(change(second, "second")).await.unwrap();

    let audit = house.audit_with(Arc::new(Overwritten(vec![house.tenant.into()])));
    assert!(matches!(audit.status(house.tenant).await, Err(AuditError::Damaged(_))));
    assert_eq!(audit.status(second).await.unwrap().size, 1);
    house.administrator.change(change(second, "third")).await.unwrap();
    audit.work(Millis(0)).await;
    assert_eq!((signed(&house, house.tenant).await, signed(&house, second).await), (None, Some(2)));
    audit.export(second, ExportOf::Everything, false).await.map(drop).unwrap();
    assert!(audit.inclusion(second, second.into(), 2).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_whose_key_does_not_open_is_proven_and_not_read() {
    let house = House::new().await;
    let (broken, whole) = (written(&house, house.tenant, 100).await, written(&house, house.tenant, 101).await);
    house.change("first").await;
    let audit = house.audit_with(Arc::new(Overwritten(vec![broken])));
    let status = audit.status(house.tenant).await.unwrap();
    assert_eq!(status.size, 3);
    for stream in [broken, whole] {
        assert!(audit.inclusion(house.tenant, stream, 1).await.unwrap().is_some(), "{stream}");
    }
    let fed = audit.feed(house.tenant, 0, 10).await.unwrap();
    let lines = std::str::from_utf8(&fed.lines).unwrap().lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let of_broken = lines.iter().find(|line| line["stream"] == json!(broken)).unwrap();
    assert!(of_broken["unreadable"] == true && of_broken.get("erased").is_none(), "{of_broken}");
    assert_eq!(fed.next, 3, "whoever collects is not held up either");
}
