//! Streams and their records.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError, WrappedKey,
    store::{Accepted, Due, MAX_POSITION, NewStream, RowKind, SNAPSHOT_SPAN, Snapshot, StreamHead, keeps_snapshot},
};
use bailiwick_types::StreamId;
use bytes::Bytes;

pub const CHECKS: &[Check] = checks![
    a_new_stream_has_everything_it_was_made_with,
    a_stream_is_created_once,
    a_repeated_creation_answers_with_the_first_stream,
    two_tenants_do_not_share_idempotency_keys,
    an_unknown_stream_is_an_error,
    another_tenants_stream_is_unknown,
    records_come_back_as_they_were_and_in_pages,
    a_malformed_append_writes_nothing,
    a_large_append_fits,
    an_append_without_records_is_one,
    the_last_snapshot_of_a_span_is_kept,
    few_snapshots_are_kept_and_one_is_always_near,
    a_snapshot_is_of_what_is_there,
];

async fn a_new_stream_has_everything_it_was_made_with(kit: Kit) {
    let tenant = kit.tenant();
    let mut new = kit.new_stream(tenant);
    let id = new.stream.to_u128();
    new.records = vec![record(1, 0), record(2, 0)];
    new.rows = vec![row(RowKind::Session, id, tenant.to_u128(), 5)];
    new.inputs = vec![Bytes::from_static(b"one"), Bytes::new()];
    assert_eq!(kit.create_stream(new.clone()).await, Ok(Accepted::New { sequence: 2 }));
    let head = StreamHead {
        tenant,
        key: WrappedKey::new(7, vec![1, 2, 3]),
        position: 2,
        chain: record(2, 0).chain,
        epoch: 0,
        inbox_through: 0,
    };
    assert_eq!(kit.head(new.stream).await, Ok(Some(head)));
    assert_eq!(kit.records(new.stream, 0, 10).await, Ok(new.records));
    let inbox = kit.inbox(new.stream, 0, 10).await.unwrap();
    assert_eq!(
        inbox.iter().map(|entry| (entry.sequence, entry.sealed.clone())).collect::<Vec<_>>(),
        vec![(1, Bytes::from_static(b"one")), (2, Bytes::new())]
    );
    let found = kit.row(tenant, RowKind::Session, id).await.unwrap().unwrap();
    assert_eq!((found.id, found.stream, found.ordinal), (id, new.stream, 5));
    assert!(kit.is_ready(new.stream).await);

    let (_, empty) = kit.stream().await;
    assert_eq!(kit.head(empty).await.unwrap().unwrap().chain, [0; 32]);
    assert!(!kit.is_ready(empty).await);
}

async fn a_stream_is_created_once(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let again = NewStream {
        stream,
        records: vec![record(1, 0)],
        rows: vec![row(RowKind::Turn, kit.fresh(), stream.to_u128(), 1)],
        inputs: vec![Bytes::from_static(b"x")],
        ..kit.new_stream(tenant)
    };
    let (turn, scope) = (again.rows[0].id, stream.to_u128());
    assert_eq!(kit.create_stream(again.clone()).await, Err(StoreError::Conflict));
    assert_eq!(kit.create_stream(NewStream { tenant: kit.tenant(), ..again }).await, Err(StoreError::Conflict));
    assert!(kit.positions(stream).await.is_empty());
    assert!(kit.waiting(stream).await.is_empty());
    assert_eq!(kit.row(tenant, RowKind::Turn, turn).await, Ok(None));
    assert_eq!(kit.ids(&query(tenant, RowKind::Turn, scope)).await, Some((vec![], false)));
}

async fn a_repeated_creation_answers_with_the_first_stream(kit: Kit) {
    let tenant = kit.tenant();
    let new = |inputs: usize, body| NewStream {
        idempotency: promise("key", body),
        inputs: vec![Bytes::from_static(b"x"); inputs],
        ..kit.new_stream(tenant)
    };
    let first = new(3, 1);
    let stream = first.stream;
    assert_eq!(kit.create_stream(first).await, Ok(Accepted::New { sequence: 3 }));
    let second = new(3, 1);
    let never = second.stream;
    assert_eq!(kit.create_stream(second).await, Ok(Accepted::Repeated { stream, sequence: 3 }));
    assert_eq!(kit.head(never).await, Ok(None));
    assert_eq!(kit.create_stream(new(3, 2)).await, Ok(Accepted::KeyReused));
    let other = NewStream { idempotency: promise("another key", 2), ..kit.new_stream(tenant) };
    assert_eq!(kit.create_stream(other).await, Ok(Accepted::New { sequence: 0 }));
}

async fn two_tenants_do_not_share_idempotency_keys(kit: Kit) {
    for _ in 0..2 {
        let new = NewStream { idempotency: promise("key", 1), ..kit.new_stream(kit.tenant()) };
        assert_eq!(kit.create_stream(new).await, Ok(Accepted::New { sequence: 0 }));
    }
}

async fn an_unknown_stream_is_an_error(kit: Kit) {
    let (tenant, _) = kit.stream().await;
    let stream = StreamId::from_u128(kit.fresh());
    let unknown = StoreError::UnknownStream(stream);
    assert_eq!(kit.head(stream).await, Ok(None));
    assert_eq!(kit.records(stream, 0, 1).await, Err(unknown.clone()));
    assert_eq!(kit.inbox(stream, 0, 1).await, Err(unknown.clone()));
    assert_eq!(kit.snapshot(stream).await, Err(unknown.clone()));
    assert_eq!(kit.lease(stream, kit.node(), LONG).await, Err(unknown.clone()));
    assert_eq!(kit.renew(stream, 1, LONG).await, Err(unknown.clone()));
    assert_eq!(kit.append(append(tenant, stream, 1, 0, 1)).await, Err(unknown.clone()));
    assert_eq!(kit.submit(submission(tenant, stream, &["x"])).await, Err(unknown));
}

async fn another_tenants_stream_is_unknown(kit: Kit) {
    let (_, stream) = kit.stream().await;
    let foreign = kit.tenant();
    let unknown = StoreError::UnknownStream(stream);
    let epoch = kit.leased(stream, LONG).await.epoch;
    assert_eq!(kit.submit(submission(foreign, stream, &["x"])).await, Err(unknown.clone()));
    assert_eq!(kit.append(append(foreign, stream, epoch, 0, 1)).await, Err(unknown));
    assert!(kit.positions(stream).await.is_empty());
    assert!(kit.waiting(stream).await.is_empty());
}

async fn records_come_back_as_they_were_and_in_pages(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let (_, neighbour) = kit.stream().await;
    let lease = kit.leased(stream, LONG).await;
    assert_eq!(lease.tenant, tenant);
    for after in [0, 3, 4] {
        let count = if after == 0 { 3 } else { 1 };
        kit.append(append(tenant, stream, lease.epoch, after, count)).await.unwrap();
    }
    let all: Vec<_> = (1..=5).map(|position| record(position, lease.epoch)).collect();
    assert_eq!(kit.records(stream, 0, 100).await, Ok(all.clone()));
    assert_eq!(kit.records(stream, 1, 2).await, Ok(all[1..3].to_vec()));
    assert_eq!(kit.records(stream, 5, 2).await, Ok(vec![]));
    assert_eq!(kit.records(stream, u64::MAX, 2).await, Ok(vec![]));
    assert_eq!(kit.records(stream, 0, 0).await, Ok(vec![]));
    assert!(kit.positions(neighbour).await.is_empty());
    let head = kit.head(stream).await.unwrap().unwrap();
    assert_eq!((head.position, head.chain, head.epoch), (5, all[4].chain, lease.epoch));
}

async fn a_malformed_append_writes_nothing(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let good = || append(tenant, stream, epoch, 0, 2);
    let mut gap = good();
    gap.records[1].position = 3;
    is_malformed(kit.append(gap).await, "`position`");
    let mut foreign_epoch = good();
    foreign_epoch.records[1].epoch += 1;
    is_malformed(kit.append(foreign_epoch).await, "epoch");
    is_malformed(kit.append(append(tenant, stream, epoch, MAX_POSITION, 1)).await, "begin another");
    is_malformed(kit.append(append(tenant, stream, epoch, u64::MAX - 1, 1)).await, "begin another");
    let mut beyond = good();
    beyond.inbox_through = 1;
    is_malformed(kit.append(beyond).await, "`inbox_through`");
    let mut elsewhere = good();
    elsewhere.snapshot = snapshot(1);
    is_malformed(kit.append(elsewhere).await, "snapshot");
    let mut labelled = good();
    labelled.rows = vec![row(RowKind::Item, kit.fresh(), stream.to_u128(), 1)];
    labelled.rows[0].labels = labels(&[("a", "b")]);
    is_malformed(kit.append(labelled).await, "`labels`");
    let mut twice = good();
    twice.rows = vec![row(RowKind::Session, stream.to_u128(), tenant.to_u128(), 1)];
    twice.rows[0].labels = labels(&[("a", "b"), ("c", "d"), ("a", "e")]);
    is_malformed(kit.append(twice).await, "twice");
    let mut many = kit.new_stream(tenant);
    many.records = vec![record(2, 0)];
    is_malformed(kit.create_stream(many).await, "`position`");
    assert!(kit.positions(stream).await.is_empty());
    kit.append(good()).await.unwrap();
}

async fn a_large_append_fits(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let mut large = append(tenant, stream, epoch, 0, 1000);
    let scope = stream.to_u128();
    large.rows = (0..700).map(|ordinal| row(RowKind::Item, kit.fresh(), scope, ordinal)).collect();
    kit.append(large.clone()).await.unwrap();
    assert_eq!(kit.records(stream, 0, 2000).await, Ok(large.records));
    let mut all = query(tenant, RowKind::Item, scope);
    all.page = page(700);
    assert_eq!(kit.ids(&all).await, Some((large.rows.iter().map(|row| row.id).collect(), false)));
}

async fn an_append_without_records_is_one(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    kit.append(append(tenant, stream, epoch, 0, 1)).await.unwrap();
    let mut rows_only = append(tenant, stream, epoch, 1, 0);
    rows_only.rows = vec![row(RowKind::Turn, 77, stream.to_u128(), 1)];
    rows_only.due = Due::OnInput;
    kit.append(rows_only.clone()).await.unwrap();
    assert!(kit.row(tenant, RowKind::Turn, 77).await.unwrap().is_some());
    assert_eq!(kit.positions(stream).await, [1]);
    rows_only.rows[0].id = 78;
    rows_only.epoch += 1;
    assert_eq!(kit.append(rows_only).await, stale(stream, epoch + 1));
    assert_eq!(kit.row(tenant, RowKind::Turn, 78).await, Ok(None));
}

async fn the_last_snapshot_of_a_span_is_kept(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    assert_eq!(kit.snapshot(stream).await, Ok(None));
    for position in [1, 2] {
        let mut append = append(tenant, stream, epoch, position - 1, 1);
        append.snapshot = snapshot(position);
        kit.append(append).await.unwrap();
        assert_eq!(kit.snapshot(stream).await, Ok(snapshot(position)));
    }
    kit.append(append(tenant, stream, epoch, 2, 1)).await.unwrap();
    assert_eq!(kit.snapshot(stream).await, Ok(snapshot(2)));
}

async fn few_snapshots_are_kept_and_one_is_always_near(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let (other_tenant, other) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let other_epoch = kit.leased(other, LONG).await.epoch;
    kit.append(append(other_tenant, other, other_epoch, 0, 1)).await.unwrap();
    kit.put_snapshot(other, taken_at(1)).await.unwrap();
    let spans = 40;
    for span in 0..spans {
        let end = span * SNAPSHOT_SPAN + 7;
        let after = end.saturating_sub(SNAPSHOT_SPAN);
        let after = if span == 0 { 0 } else { after };
        let mut next = append(tenant, stream, epoch, after, end - after);
        // Either way of keeping one thins the others.
        next.snapshot = (span % 2 == 0).then(|| taken_at(end));
        kit.append(next).await.unwrap();
        if span % 2 == 1 {
            kit.put_snapshot(stream, taken_at(end)).await.unwrap();
        }
    }
    let newest = spans - 1;
    let kept: Vec<u64> = (0..spans).filter(|span| keeps_snapshot(*span, newest)).collect();
    let mut found = Vec::new();
    let mut position = u64::MAX;
    while let Some(snapshot) = kit.snapshot_up_to(stream, position).await.unwrap() {
        assert_eq!(snapshot, taken_at(snapshot.position));
        found.push(snapshot.position / SNAPSHOT_SPAN);
        position = snapshot.position - 1;
    }
    found.reverse();
    assert_eq!(found, kept);
    assert!(kept.len() <= 16, "{kept:?}");
    let end = newest * SNAPSHOT_SPAN + 7;
    for position in (0..=end).step_by(97) {
        let near = kit.snapshot_up_to(stream, position).await.unwrap().map_or(0, |snapshot| snapshot.position);
        let (folded, told) = (position - near, end - position);
        assert!(folded <= told + 2 * SNAPSHOT_SPAN, "{position}: folds {folded} to tell {told}");
    }
    assert_eq!(kit.snapshot_up_to(stream, 0).await, Ok(None));
    assert_eq!(kit.snapshot(other).await, Ok(Some(taken_at(1))));
}

async fn a_snapshot_is_of_what_is_there(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    kit.append(append(tenant, stream, epoch, 0, 3)).await.unwrap();
    is_malformed(kit.put_snapshot(stream, taken_at(4)).await, "snapshot");
    kit.put_snapshot(stream, taken_at(2)).await.unwrap();
    assert_eq!(kit.snapshot(stream).await, Ok(Some(taken_at(2))));
    assert_eq!(kit.snapshot_up_to(stream, 1).await, Ok(None));
    let nobody = StreamId::from_u128(kit.fresh());
    assert_eq!(kit.put_snapshot(nobody, taken_at(1)).await, Err(StoreError::UnknownStream(nobody)));
    assert_eq!(kit.snapshot_up_to(nobody, 1).await, Err(StoreError::UnknownStream(nobody)));
}

fn taken_at(position: u64) -> Snapshot {
    Snapshot { position, version: 2, sealed: Bytes::from(position.to_be_bytes().to_vec()) }
}
