//! Leases: one writer, judged by the store's clock.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError,
    store::{Due, RowKind},
};
use bailiwick_types::Millis;
use futures_util::future::join_all;

pub const CHECKS: &[Check] = checks![
    one_node_holds_a_lease_until_it_expires,
    the_holder_gets_a_new_grant_and_its_old_epoch_is_stale,
    a_stale_epoch_writes_nothing,
    an_append_that_does_not_follow_is_refused,
    an_expired_lease_is_stale_though_nobody_took_it,
    an_append_renews_for_the_span_of_the_grant,
    a_renewal_sets_the_span,
    a_release_gives_the_lease_back,
    a_release_waits_for_inputs,
    a_node_that_starts_again_drops_its_leases,
    of_many_nodes_one_gets_the_lease,
    of_many_appends_at_one_position_one_is_written,
    appends_to_many_streams_are_each_written,
];

async fn one_node_holds_a_lease_until_it_expires(kit: Kit) {
    let (_, stream) = kit.stream().await;
    let first = kit.leased(stream, LONG).await;
    assert_eq!(first.expires, first.now + LONG);
    assert_eq!(kit.lease(stream, kit.node(), LONG).await, Ok(None));
    let (_, brief) = kit.stream().await;
    let held = kit.leased(brief, SHORT).await;
    kit.past(held.expires).await;
    assert!(kit.leased(brief, LONG).await.epoch > held.epoch);
}

async fn the_holder_gets_a_new_grant_and_its_old_epoch_is_stale(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let node = kit.node();
    let first = kit.lease(stream, node, LONG).await.unwrap().unwrap();
    let second = kit.lease(stream, node, LONG).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(kit.append(append(tenant, stream, first.epoch, 0, 1)).await, stale(stream, first.epoch));
    kit.append(append(tenant, stream, second.epoch, 0, 1)).await.unwrap();
    assert_eq!(kit.head(stream).await.unwrap().unwrap().epoch, second.epoch);
}

async fn a_stale_epoch_writes_nothing(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    kit.give(tenant, stream, &["one"]).await;
    let old = kit.leased(stream, SHORT).await;
    kit.past(old.expires).await;
    let new = kit.leased(stream, LONG).await;
    let mut late = append(tenant, stream, old.epoch, 0, 2);
    late.rows = vec![row(RowKind::Turn, 1, stream.to_u128(), 1)];
    late.inbox_through = 1;
    late.due = Due::OnInput;
    late.snapshot = snapshot(2);
    assert_eq!(kit.append(late.clone()).await, stale(stream, old.epoch));
    assert_eq!(kit.renew(stream, old.epoch, LONG).await, Err(StoreError::StaleEpoch { stream, epoch: old.epoch }));
    assert!(kit.positions(stream).await.is_empty());
    assert_eq!(kit.waiting(stream).await, [1]);
    assert_eq!(kit.row(tenant, RowKind::Turn, 1).await, Ok(None));
    assert_eq!(kit.snapshot(stream).await, Ok(None));
    late.epoch = new.epoch;
    late.records.iter_mut().for_each(|record| record.epoch = new.epoch);
    kit.append(late).await.unwrap();
}

async fn an_append_that_does_not_follow_is_refused(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    assert_eq!(kit.append(append(tenant, stream, epoch, 1, 1)).await, stale(stream, epoch));
    kit.append(append(tenant, stream, epoch, 0, 1)).await.unwrap();
    assert_eq!(kit.append(append(tenant, stream, epoch, 0, 1)).await, stale(stream, epoch));
    assert_eq!(kit.positions(stream).await, [1]);
}

async fn an_expired_lease_is_stale_though_nobody_took_it(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let lease = kit.leased(stream, SHORT).await;
    kit.past(lease.expires).await;
    assert_eq!(kit.append(append(tenant, stream, lease.epoch, 0, 1)).await, stale(stream, lease.epoch));
    let error = StoreError::StaleEpoch { stream, epoch: lease.epoch };
    assert_eq!(kit.renew(stream, lease.epoch, LONG).await, Err(error));
    assert!(kit.positions(stream).await.is_empty());
}

async fn an_append_renews_for_the_span_of_the_grant(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let lease = kit.leased(stream, LONG).await;
    kit.past(lease.now).await;
    let appended = kit.append(append(tenant, stream, lease.epoch, 0, 1)).await.unwrap();
    assert!(appended.now > lease.now);
    assert_eq!(appended.expires, appended.now + LONG);
    assert!(!appended.released);
    assert_eq!(kit.lease(stream, kit.node(), LONG).await, Ok(None));
}

async fn a_renewal_sets_the_span(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let lease = kit.leased(stream, LONG).await;
    let longer = Millis(LONG.0 * 2);
    let renewed = kit.renew(stream, lease.epoch, longer).await.unwrap();
    assert_eq!((renewed.tenant, renewed.epoch, renewed.expires), (tenant, lease.epoch, renewed.now + longer));
    let appended = kit.append(append(tenant, stream, lease.epoch, 0, 1)).await.unwrap();
    assert_eq!(appended.expires, appended.now + longer);
    let brief = kit.renew(stream, lease.epoch, SHORT).await.unwrap();
    kit.past(brief.expires).await;
    assert!(kit.leased(stream, LONG).await.epoch > lease.epoch);
}

async fn a_release_gives_the_lease_back(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    kit.give(tenant, stream, &["one"]).await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let mut last = append(tenant, stream, epoch, 0, 1);
    (last.inbox_through, last.due, last.release) = (1, Due::OnInput, true);
    let appended = kit.append(last).await.unwrap();
    assert!(appended.released);
    assert_eq!(appended.expires, appended.now);
    assert!(!kit.is_ready(stream).await);
    assert_eq!(kit.append(append(tenant, stream, epoch, 1, 1)).await, stale(stream, epoch));
    assert!(kit.leased(stream, LONG).await.epoch > epoch);
}

async fn a_release_waits_for_inputs(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    kit.give(tenant, stream, &["one"]).await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    kit.give(tenant, stream, &["two"]).await;
    let mut early = append(tenant, stream, epoch, 0, 1);
    (early.inbox_through, early.due, early.release) = (1, Due::OnInput, true);
    let appended = kit.append(early).await.unwrap();
    assert!(!appended.released);
    assert_eq!(appended.expires, appended.now + LONG);
    assert_eq!(kit.lease(stream, kit.node(), LONG).await, Ok(None));
    assert_eq!(kit.waiting(stream).await, [2]);
    let brief = kit.renew(stream, epoch, SHORT).await.unwrap();
    kit.past(brief.expires).await;
    assert!(kit.is_ready(stream).await, "it stays due");
}

async fn a_node_that_starts_again_drops_its_leases(kit: Kit) {
    let (node, other) = (kit.node(), kit.node());
    let (tenant, stream) = kit.stream().await;
    let (_, kept) = kit.stream().await;
    kit.give(tenant, stream, &["one"]).await;
    let lease = kit.lease(stream, node, LONG).await.unwrap().unwrap();
    kit.lease(kept, other, LONG).await.unwrap().unwrap();
    assert!(!kit.is_ready(stream).await);
    kit.release_node(node).await.unwrap();
    assert!(kit.is_ready(stream).await);
    assert_eq!(kit.append(append(tenant, stream, lease.epoch, 0, 1)).await, stale(stream, lease.epoch));
    assert_eq!(kit.lease(kept, node, LONG).await, Ok(None));
}

async fn of_many_nodes_one_gets_the_lease(kit: Kit) {
    let (_, stream) = kit.stream().await;
    let grants = join_all((0..20).map(|_| kit.lease(stream, kit.node(), LONG))).await;
    assert_eq!(grants.into_iter().filter(|grant| grant.as_ref().unwrap().is_some()).count(), 1);
}

async fn of_many_appends_at_one_position_one_is_written(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let answers = join_all((0..20).map(|_| kit.append(append(tenant, stream, epoch, 0, 2)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.into_iter().filter(|answer| answer.is_err()).all(|answer| answer == stale(stream, epoch)));
    assert_eq!(kit.positions(stream).await, [1, 2]);
}

/// The members of one group of writes stand and fall alone.
async fn appends_to_many_streams_are_each_written(kit: Kit) {
    let (foreign_tenant, foreign) = kit.stream().await;
    let epoch = kit.leased(foreign, LONG).await.epoch;
    let mut owner = append(foreign_tenant, foreign, epoch, 0, 1);
    let taken = kit.fresh();
    owner.rows = vec![row(RowKind::Item, taken, foreign.to_u128(), 1)];
    kit.append(owner).await.unwrap();
    let mut appends = Vec::new();
    for number in 0..40 {
        let (tenant, stream) = kit.stream().await;
        let epoch = kit.leased(stream, LONG).await.epoch;
        let mut append = append(tenant, stream, epoch, 0, 1);
        match number % 4 {
            1 => append.epoch += 1,
            2 => append.inbox_through = 9,
            3 => append.rows = vec![row(RowKind::Item, taken, stream.to_u128(), 1)],
            _ => append.rows = vec![row(RowKind::Item, kit.fresh(), stream.to_u128(), 1)],
        }
        append.records[0].epoch = append.epoch;
        appends.push(append);
    }
    let answers = join_all(appends.iter().map(|append| kit.append(append.clone()))).await;
    for (number, (answer, append)) in answers.into_iter().zip(&appends).enumerate() {
        match number % 4 {
            0 => assert!(answer.is_ok(), "{answer:?}"),
            1 => assert_eq!(answer, stale(append.stream, append.epoch)),
            2 => is_malformed(answer, "`inbox_through`"),
            _ => assert_eq!(answer, Err(StoreError::Conflict)),
        }
        let expected: &[u64] = if number % 4 == 0 { &[1] } else { &[] };
        assert_eq!(kit.positions(append.stream).await, expected, "append {number}");
    }
    assert_eq!(kit.row(foreign_tenant, RowKind::Item, taken).await.unwrap().unwrap().stream, foreign);
}
