//! Keys of people, and what is left of streams when keys are gone.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    DocumentWrite, StoreError, SubjectKey, WrappedKey,
    store::{Accepted, Administer, NewStream, ReadableQuery, RowKind, Subjects},
};
use bailiwick_types::{StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;

pub const CHECKS: &[Check] = checks![
    a_persons_key_is_made_once_and_told_with_every_stream_under_it,
    destroying_a_persons_key_ends_every_stream_under_it_and_nothing_else,
    a_key_that_was_made_later_is_not_destroyed,
    what_is_left_of_an_erased_stream_is_its_records,
    readable_streams_are_listed_by_person_and_age,
];

fn key(person: UserId, byte: u8) -> SubjectKey {
    SubjectKey { person, key_id: 3, bytes: vec![byte; 8] }
}

async fn begun(kit: &Kit, tenant: TenantId, subject: Option<&SubjectKey>) -> StreamId {
    let new = with_key(kit, tenant, subject);
    let stream = new.stream;
    assert_eq!(kit.create_stream(new).await, Ok(Accepted::New { sequence: 1 }));
    stream
}

fn with_key(kit: &Kit, tenant: TenantId, subject: Option<&SubjectKey>) -> NewStream {
    let new = kit.new_stream(tenant);
    let id = new.stream.to_u128();
    NewStream {
        key: WrappedKey { subject: subject.cloned().map(Box::new), ..new.key.clone() },
        records: vec![record(1, 0)],
        rows: vec![row(RowKind::Session, id, tenant.to_u128(), 1), row(RowKind::Item, kit.fresh(), id, 1)],
        inputs: vec![Bytes::from_static(b"said")],
        ..new
    }
}

async fn administer(kit: &Kit, tenant: TenantId, position: u64, documents: Vec<DocumentWrite>) {
    let change = Administer { tenant, key: WrappedKey::new(3, vec![9]), record: record(position, 0), documents };
    kit.administer(change).await.unwrap();
}

async fn is_destroyed(kit: &Kit, stream: StreamId) -> bool {
    kit.head(stream).await.unwrap().unwrap().key.is_destroyed()
}

async fn a_persons_key_is_made_once_and_told_with_every_stream_under_it(kit: Kit) {
    let (tenant, person) = (kit.tenant(), UserId::from_u128(kit.fresh()));
    assert_eq!(kit.subject_key(tenant, person).await, Ok(None));
    let first = kit.keep_subject_key(tenant, key(person, 1)).await.unwrap();
    assert_eq!(kit.keep_subject_key(tenant, key(person, 2)).await, Ok(key(person, 1)));
    assert_eq!(kit.subject_key(tenant, person).await.unwrap().unwrap().0, first);
    assert_eq!(kit.subject_key(kit.tenant(), person).await, Ok(None), "another tenant's person");
    let stream = begun(&kit, tenant, Some(&first)).await;
    assert_eq!(kit.head(stream).await.unwrap().unwrap().key.subject, Some(Box::new(first)));
    let foreign = with_key(&kit, tenant, Some(&key(person, 2)));
    assert_eq!(kit.create_stream(foreign).await, Err(StoreError::Conflict));
    let unknown = with_key(&kit, tenant, Some(&key(UserId::from_u128(kit.fresh()), 1)));
    assert_eq!(kit.create_stream(unknown).await, Err(StoreError::Conflict));
}

async fn destroying_a_persons_key_ends_every_stream_under_it_and_nothing_else(kit: Kit) {
    let (tenant, person, other) = (kit.tenant(), UserId::from_u128(kit.fresh()), UserId::from_u128(kit.fresh()));
    let kept = kit.keep_subject_key(tenant, key(person, 1)).await.unwrap();
    let others = kit.keep_subject_key(tenant, key(other, 1)).await.unwrap();
    let mine = [begun(&kit, tenant, Some(&kept)).await, begun(&kit, tenant, Some(&kept)).await];
    let spared = [begun(&kit, tenant, Some(&others)).await, begun(&kit, tenant, None).await];
    let until = kit.now().await;
    administer(&kit, tenant, 1, vec![DocumentWrite::DestroyKey { person, until }]).await;
    for stream in mine {
        assert!(is_destroyed(&kit, stream).await);
        assert_eq!(kit.positions(stream).await, [1], "its records stay");
    }
    for stream in spared {
        assert!(!is_destroyed(&kit, stream).await);
    }
    assert_eq!(kit.create_stream(with_key(&kit, tenant, Some(&kept))).await, Err(StoreError::Conflict));
    // Whoever comes again has a key of their own, and what was is not readable by it.
    let again = kit.keep_subject_key(tenant, key(person, 5)).await.unwrap();
    let new = begun(&kit, tenant, Some(&again)).await;
    assert!(!is_destroyed(&kit, new).await && is_destroyed(&kit, mine[0]).await);
    let stream = spared[1];
    let own = StreamId::from(tenant);
    let writes = [stream, own].map(|stream| DocumentWrite::DestroyStreamKey { stream });
    administer(&kit, tenant, 2, writes.to_vec()).await;
    assert!(is_destroyed(&kit, stream).await && !is_destroyed(&kit, own).await, "never the tenant's own");
}

async fn a_key_that_was_made_later_is_not_destroyed(kit: Kit) {
    let (tenant, person) = (kit.tenant(), UserId::from_u128(kit.fresh()));
    let kept = kit.keep_subject_key(tenant, key(person, 1)).await.unwrap();
    let stream = begun(&kit, tenant, Some(&kept)).await;
    let until = Timestamp::from_millis(1);
    administer(&kit, tenant, 1, vec![DocumentWrite::DestroyKey { person, until }]).await;
    assert!(!is_destroyed(&kit, stream).await);
}

async fn what_is_left_of_an_erased_stream_is_its_records(kit: Kit) {
    let tenant = kit.tenant();
    let (stream, other) = (begun(&kit, tenant, None).await, begun(&kit, tenant, None).await);
    let lease = kit.leased(stream, LONG).await;
    kit.append(bailiwick_ports::store::Append { snapshot: snapshot(2), ..append(tenant, stream, lease.epoch, 1, 1) })
        .await
        .unwrap();
    while kit.erase_stream(stream, 1).await.unwrap() {}
    assert!(is_destroyed(&kit, stream).await);
    assert_eq!(kit.positions(stream).await, [1, 2]);
    assert_eq!(kit.waiting(stream).await, Vec::<u64>::new());
    assert_eq!(kit.snapshot(stream).await, Ok(None));
    assert!(!kit.is_ready(stream).await && kit.is_ready(other).await);
    assert_eq!(kit.row(tenant, RowKind::Session, stream.to_u128()).await, Ok(None));
    assert_eq!(kit.ids(&query(tenant, RowKind::Item, stream.to_u128())).await, Some((vec![], false)));
    assert!(kit.row(tenant, RowKind::Session, other.to_u128()).await.unwrap().is_some());
    assert_eq!(kit.append(append(tenant, stream, lease.epoch, 2, 1)).await, stale(stream, lease.epoch));
    assert_eq!(kit.erase_stream(stream, 10).await, Ok(false), "twice is no error");
    assert_eq!(kit.scrub().await, Ok(true));
}

async fn readable_streams_are_listed_by_person_and_age(kit: Kit) {
    let (tenant, person) = (kit.tenant(), UserId::from_u128(kit.fresh()));
    let kept = kit.keep_subject_key(tenant, key(person, 1)).await.unwrap();
    let (mine, nobodys) = (begun(&kit, tenant, Some(&kept)).await, begun(&kit, tenant, None).await);
    begun(&kit, kit.tenant(), None).await;
    administer(&kit, tenant, 1, vec![]).await;
    let list = async |of, quiet_since| {
        let query = ReadableQuery { tenant, of, quiet_since, after: 0, limit: 10 };
        let found = kit.readable_streams(query).await.unwrap();
        found.into_iter().map(|one| (one.stream, one.subject, one.at_rest)).collect::<Vec<_>>()
    };
    assert_eq!(list(Subjects::Person(person), None).await, [(mine, Some(person), false)], "it has an input");
    assert_eq!(list(Subjects::Nobody, None).await, [(nobodys, None, false)]);
    assert_eq!(list(Subjects::Anybody, None).await.len(), 2);
    let written = record(1, 0).time;
    assert_eq!(list(Subjects::Anybody, Some(written)).await.len(), 0, "not older");
    assert_eq!(list(Subjects::Anybody, Some(Timestamp::from_millis(written.as_millis() + 1))).await.len(), 2);
    let query = |after| ReadableQuery { tenant, of: Subjects::Anybody, quiet_since: None, after, limit: 1 };
    let first = kit.readable_streams(query(0)).await.unwrap();
    let second = kit.readable_streams(query(first[0].cursor)).await.unwrap();
    assert_ne!(first[0].stream, second[0].stream);
    // A destroyed person's stream is listed until its own key is gone too.
    let until = kit.now().await;
    administer(&kit, tenant, 2, vec![DocumentWrite::DestroyKey { person, until }]).await;
    assert_eq!(list(Subjects::Person(person), None).await.len(), 1);
    while kit.erase_stream(mine, 10).await.unwrap() {}
    assert_eq!(list(Subjects::Person(person), None).await, []);
    assert_eq!(list(Subjects::Anybody, None).await, [(nobodys, None, false)]);
}
