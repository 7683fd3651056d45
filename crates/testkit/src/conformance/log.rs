//! The receipt log: leaves, tiles, checkpoints, and the index that questions are asked of.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError, WrappedKey,
    log::{
        Advance, Behind, LoggedCheckpoint, ReceiptFilter, ReceiptKind, ReceiptOutcome, ReceiptQuery, ReceiptRow, Run,
        Settlement, Tally, TileWrite,
    },
    store::Administer,
};
use bailiwick_types::{ActionId, AgentId, CredentialId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;

pub const CHECKS: &[Check] = checks![
    a_log_is_begun_once,
    streams_that_were_appended_to_are_behind_until_they_are_sequenced,
    a_pass_in_pages_finds_each_stream_that_is_behind_once,
    leaves_follow_each_other_and_lead_back_to_their_records,
    whoever_is_not_up_to_date_cannot_advance,
    a_malformed_advance_writes_nothing,
    tiles_are_written_over,
    checkpoints_are_kept_in_order,
    receipts_are_found_by_every_part_of_the_filter,
    receipts_are_listed_in_pages,
    an_outcome_is_of_its_own_stream,
    an_outcome_is_of_its_actions_last_receipt,
    another_tenants_log_is_not_seen,
];

fn run(stream: StreamId, position: u64, index: u64, count: u64) -> Run {
    Run { stream, position, index, count }
}

fn advance(tenant: TenantId, size: u64, runs: Vec<Run>) -> Advance {
    Advance { tenant, size, runs, tiles: Vec::new(), receipts: Vec::new(), outcomes: Vec::new() }
}

/// A stream with `count` records.
async fn filled(kit: &Kit, tenant: TenantId, count: u64) -> StreamId {
    let stream = kit.stream_of(tenant).await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    kit.append(append(tenant, stream, epoch, 0, count)).await.unwrap();
    stream
}

/// All streams of a tenant that are behind, in order.
async fn behind(kit: &Kit, tenant: TenantId) -> Vec<Behind> {
    let page = kit.log().behind(0, 10_000).await.unwrap();
    assert_eq!(page.next, None);
    let mut found: Vec<Behind> = page.streams.into_iter().filter(|one| one.tenant == tenant).collect();
    found.sort_by_key(|one| one.stream);
    found
}

async fn a_log_is_begun_once(kit: Kit) {
    let tenant = kit.tenant();
    assert_eq!(kit.log().log(tenant).await, Ok(None));
    kit.log().create_log(tenant, Bytes::from_static(b"key")).await.unwrap();
    assert_eq!(kit.log().create_log(tenant, Bytes::from_static(b"other")).await, Err(StoreError::Conflict));
    let head = kit.log().log(tenant).await.unwrap().unwrap();
    assert_eq!((head.size, &head.signing_key[..]), (0, &b"key"[..]));
}

async fn streams_that_were_appended_to_are_behind_until_they_are_sequenced(kit: Kit) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    let _empty = kit.stream_of(tenant).await;
    let created = bailiwick_ports::store::NewStream { records: vec![record(1, 0)], ..kit.new_stream(tenant) };
    let first = created.stream;
    kit.create_stream(created).await.unwrap();
    let second = filled(&kit, tenant, 3).await;
    let change = Administer { tenant, key: WrappedKey::new(1, vec![1]), record: record(1, 0), documents: Vec::new() };
    kit.administer(change).await.unwrap();
    let own = StreamId::from(tenant);
    let of = |stream, sequenced, position| Behind { tenant, stream, sequenced, position };
    let mut all = vec![of(first, 0, 1), of(second, 0, 3), of(own, 0, 1)];
    all.sort_by_key(|one| one.stream);
    assert_eq!(behind(&kit, tenant).await, all);
    // Asking changes nothing.
    assert_eq!(behind(&kit, tenant).await, all);
    let runs = vec![run(second, 1, 0, 2), run(own, 1, 2, 1)];
    kit.log().advance(advance(tenant, 0, runs)).await.unwrap();
    let mut rest = vec![of(first, 0, 1), of(second, 2, 3)];
    rest.sort_by_key(|one| one.stream);
    assert_eq!(behind(&kit, tenant).await, rest);
    let runs = vec![run(first, 1, 3, 1), run(second, 3, 4, 1)];
    kit.log().advance(advance(tenant, 3, runs)).await.unwrap();
    assert_eq!(behind(&kit, tenant).await, vec![]);
    assert_eq!(kit.log().log(tenant).await.unwrap().unwrap().size, 5);
}

async fn a_pass_in_pages_finds_each_stream_that_is_behind_once(kit: Kit) {
    let tenant = kit.tenant();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(filled(&kit, tenant, 1).await);
    }
    streams.sort();
    for limit in [1, 2, 3] {
        let (mut found, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let page = kit.log().behind(from, limit).await.unwrap();
            assert!(page.streams.len() <= limit as usize);
            found.extend(page.streams.iter().filter(|one| one.tenant == tenant).map(|one| one.stream));
            after = page.next;
        }
        found.sort();
        assert_eq!(found, streams, "{limit}");
    }
}

async fn leaves_follow_each_other_and_lead_back_to_their_records(kit: Kit) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    let (one, two) = (filled(&kit, tenant, 5).await, filled(&kit, tenant, 4).await);
    let first = vec![run(one, 1, 0, 2), run(two, 1, 2, 3), run(one, 3, 5, 1)];
    kit.log().advance(advance(tenant, 0, first)).await.unwrap();
    kit.log().advance(advance(tenant, 6, vec![run(one, 4, 6, 2), run(two, 4, 8, 1)])).await.unwrap();
    let order = [(one, 1), (one, 2), (two, 1), (two, 2), (two, 3), (one, 3), (one, 4), (one, 5), (two, 4)];
    for (index, (stream, position)) in order.into_iter().enumerate() {
        assert_eq!(kit.log().leaf_of(tenant, stream, position).await, Ok(Some(index as u64)));
    }
    for (stream, position) in [(one, 0), (one, 6), (two, 5), (StreamId::from_u128(kit.fresh()), 1)] {
        assert_eq!(kit.log().leaf_of(tenant, stream, position).await, Ok(None));
    }
    for from in 0..=order.len() {
        for limit in [1, 3, 100] {
            let found = kit.log().sequenced(tenant, from as u64, limit).await.unwrap();
            let places: Vec<_> = found.iter().map(|(_, stream, record)| (*stream, record.position)).collect();
            let wanted = &order[from..];
            assert_eq!(places, wanted[..wanted.len().min(limit as usize)], "from {from}");
            assert!(found.iter().zip(from as u64..).all(|((index, ..), expected)| *index == expected));
        }
    }
    let (_, _, found) = &kit.log().sequenced(tenant, 4, 1).await.unwrap()[0];
    assert_eq!(*found, kit.records(two, 2, 1).await.unwrap()[0]);
}

async fn whoever_is_not_up_to_date_cannot_advance(kit: Kit) {
    let tenant = kit.tenant();
    let stream = filled(&kit, tenant, 3).await;
    let try_it = async |size, run| kit.log().advance(advance(tenant, size, vec![run])).await;
    assert_eq!(try_it(0, run(stream, 1, 0, 1)).await, Err(StoreError::Conflict), "there is no log");
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    try_it(0, run(stream, 1, 0, 1)).await.unwrap();
    for (size, run) in [
        (0, run(stream, 1, 0, 1)),
        (2, run(stream, 2, 2, 1)),
        (1, run(stream, 1, 1, 1)),
        (1, run(stream, 3, 1, 1)),
        (1, run(stream, 2, 1, 3)),
        (1, run(StreamId::from_u128(kit.fresh()), 1, 1, 1)),
    ] {
        assert_eq!(try_it(size, run).await, Err(StoreError::Conflict), "{run:?}");
    }
    assert_eq!(kit.log().log(tenant).await.unwrap().unwrap().size, 1);
    assert_eq!(kit.log().leaf_of(tenant, stream, 2).await, Ok(None));
    try_it(1, run(stream, 2, 1, 2)).await.unwrap();
}

async fn a_malformed_advance_writes_nothing(kit: Kit) {
    let tenant = kit.tenant();
    let stream = filled(&kit, tenant, 6).await;
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    for runs in [
        vec![run(stream, 1, 1, 1)],
        vec![run(stream, 1, 0, 0)],
        vec![run(stream, 0, 0, 1)],
        vec![run(stream, 1, 0, 2), run(stream, 3, 3, 1)],
        vec![run(stream, 1, 0, 2), run(stream, 4, 2, 1)],
        vec![run(stream, 1, 0, 10_000)],
    ] {
        is_malformed(kit.log().advance(advance(tenant, 0, runs)).await, "runs");
    }
    assert_eq!(kit.log().log(tenant).await.unwrap().unwrap().size, 0);
}

async fn tiles_are_written_over(kit: Kit) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    let write = async |tiles: &[(u8, u64, u8)]| {
        let tile = |(level, index, byte): &(u8, u64, u8)| {
            let hashes = Bytes::from(vec![*byte; 32 * usize::from(*byte)]);
            TileWrite { level: *level, index: *index, hashes }
        };
        let tiles = tiles.iter().map(tile).collect();
        kit.log().advance(Advance { tiles, ..advance(tenant, 0, vec![]) }).await.unwrap();
    };
    write(&[(0, 0, 1), (0, 1, 2), (1, 0, 3)]).await;
    write(&[(0, 1, 4), (0, 7, 5)]).await;
    let found = kit.log().tiles(tenant, &[(1, 0), (0, 0), (0, 1), (0, 2), (0, 7), (2, 0)]).await.unwrap();
    let lengths: Vec<usize> = found.iter().map(|tile| tile.len() / 32).collect();
    assert_eq!(lengths, [3, 1, 4, 0, 5, 0]);
}

async fn checkpoints_are_kept_in_order(kit: Kit) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    assert_eq!(kit.log().newest_checkpoint(tenant).await, Ok(None));
    let checkpoint = |size: u64, note: &str| LoggedCheckpoint {
        size,
        time: Timestamp::from_millis(size as i64),
        note: note.to_owned(),
    };
    for size in [3, 9, 5] {
        kit.log().put_checkpoint(tenant, checkpoint(size, "note")).await.unwrap();
    }
    kit.log().put_checkpoint(tenant, checkpoint(5, "another")).await.unwrap();
    let sizes = async |after, limit| {
        let found = kit.log().checkpoints(tenant, after, limit).await.unwrap();
        assert!(found.iter().all(|one| one.note == "note"), "the first of a size stays");
        found.into_iter().map(|one| one.size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(0, 9).await, [3, 5, 9]);
    assert_eq!(sizes(3, 1).await, [5]);
    assert_eq!(kit.log().newest_checkpoint(tenant).await, Ok(Some(checkpoint(9, "note"))));
}

/// Receipt `index` of a stream whose records have the same numbers.
fn receipt(stream: StreamId, index: u64) -> ReceiptRow {
    ReceiptRow {
        index,
        stream,
        position: index + 1,
        kind: if index == 5 { ReceiptKind::Administration } else { ReceiptKind::Action },
        action: (index != 5).then(|| ActionId::from_u128(u128::from(index) + 100)),
        operation: if index.is_multiple_of(2) { "model.call" } else { "file.read" }.into(),
        decision: if index == 3 { "denied" } else { "allowed" }.into(),
        orderer: (index < 4).then(|| format!("user {}", index % 2)),
        person: (index < 4).then(|| UserId::from_u128(u128::from(index) % 2)),
        agent: (index != 5).then(|| AgentId::from_u128(u128::from(index) / 3)),
        time: Timestamp::from_millis(1000 + index as i64),
        // One that was for outside, and was denied.
        leaves: index.is_multiple_of(2) || index == 3,
        credentials: Vec::new(),
        outcome: None,
    }
}

/// The third and the fifth use two secrets each, one of them the same.
fn used(index: u64) -> Vec<CredentialId> {
    let two = [1, u128::from(index)].map(CredentialId::from_u128).to_vec();
    if [2, 4].contains(&index) { two } else { Vec::new() }
}

async fn with_receipts(kit: &Kit) -> (TenantId, StreamId) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    let stream = filled(kit, tenant, 8).await;
    let settlement = |effect: &str, cost| Settlement { position: 7, effect: effect.into(), cost };
    let outcome = |index: u64, effect, cost| ReceiptOutcome {
        action: ActionId::from_u128(u128::from(index) + 100),
        stream,
        settlement: settlement(effect, cost),
    };
    let next = Advance {
        receipts: (0..6).map(|index| ReceiptRow { credentials: used(index), ..receipt(stream, index) }).collect(),
        outcomes: vec![outcome(0, "confirmed", Some(17)), outcome(1, "unknown", None), outcome(2, "not_sent", None)],
        ..advance(tenant, 0, vec![run(stream, 1, 0, 7)])
    };
    kit.log().advance(next).await.unwrap();
    let late = Advance {
        outcomes: vec![outcome(1, "confirmed", Some(-1)), outcome(77, "confirmed", None)],
        ..advance(tenant, 7, vec![run(stream, 8, 7, 1)])
    };
    kit.log().advance(late).await.unwrap();
    (tenant, stream)
}

async fn receipts_are_found_by_every_part_of_the_filter(kit: Kit) {
    let (tenant, stream) = with_receipts(&kit).await;
    let list = async |filter: ReceiptFilter| {
        let query = ReceiptQuery { filter, limit: 100, ..ReceiptQuery::default() };
        let (found, more) = kit.log().receipts(tenant, &query).await.unwrap().unwrap();
        assert!(!more);
        found.iter().map(|row| row.index).collect::<Vec<_>>()
    };
    let all = ReceiptFilter::default;
    let at = |millis| Some(Timestamp::from_millis(millis));
    let words = |word: &str| Some(word.to_owned());
    assert_eq!(list(all()).await, [0, 1, 2, 3, 4, 5]);
    assert_eq!(list(ReceiptFilter { kind: Some(ReceiptKind::Administration), ..all() }).await, [5]);
    assert_eq!(list(ReceiptFilter { orderer: words("user 1"), ..all() }).await, [1, 3]);
    let person = Some(UserId::from_u128(0));
    assert_eq!(list(ReceiptFilter { person, ..all() }).await, [0, 2]);
    let agent = Some(AgentId::from_u128(1));
    assert_eq!(list(ReceiptFilter { agent, ..all() }).await, [3, 4]);
    assert_eq!(list(ReceiptFilter { agent, orderer: words("user 1"), ..all() }).await, [3]);
    assert_eq!(list(ReceiptFilter { agent, person, ..all() }).await, Vec::<u64>::new());
    assert_eq!(list(ReceiptFilter { agent, leaves: true, ..all() }).await, [3, 4]);
    assert_eq!(list(ReceiptFilter { agent, left: true, ..all() }).await, [4]);
    assert_eq!(list(ReceiptFilter { session: Some(stream.into()), ..all() }).await, [0, 1, 2, 3, 4, 5]);
    let other = Some(StreamId::from_u128(kit.fresh()).into());
    assert_eq!(list(ReceiptFilter { session: other, ..all() }).await, Vec::<u64>::new());
    assert_eq!(list(ReceiptFilter { operation: words("file.read"), ..all() }).await, [1, 3, 5]);
    assert_eq!(list(ReceiptFilter { decision: words("denied"), ..all() }).await, [3]);
    assert_eq!(list(ReceiptFilter { effect: words("confirmed"), ..all() }).await, [0, 1]);
    assert_eq!(list(ReceiptFilter { leaves: true, ..all() }).await, [0, 2, 3, 4]);
    assert_eq!(list(ReceiptFilter { left: true, ..all() }).await, [0, 4], "neither denied nor kept back");
    let credential = |number| Some(CredentialId::from_u128(number));
    assert_eq!(list(ReceiptFilter { credential: credential(1), ..all() }).await, [2, 4]);
    assert_eq!(list(ReceiptFilter { credential: credential(4), ..all() }).await, [4]);
    assert_eq!(list(ReceiptFilter { credential: credential(1), person, ..all() }).await, [2]);
    assert_eq!(list(ReceiptFilter { credential: credential(9), ..all() }).await, Vec::<u64>::new());
    assert_eq!(list(ReceiptFilter { from: at(1002), until: at(1004), ..all() }).await, [2, 3]);
    assert_eq!(list(ReceiptFilter { person, from: at(1001), ..all() }).await, [2]);

    let found = kit.log().receipt(tenant, ActionId::from_u128(100)).await.unwrap().unwrap();
    let settled = Settlement { position: 7, effect: "confirmed".into(), cost: Some(17) };
    assert_eq!(found, ReceiptRow { outcome: Some(settled), ..receipt(stream, 0) });
    assert_eq!(kit.log().receipt(tenant, ActionId::from_u128(177)).await, Ok(None));
    let tally = |operation: &str, decision: &str, count, last| Tally {
        operation: operation.into(),
        decision: decision.into(),
        count,
        last: Timestamp::from_millis(last),
    };
    let reached = kit.log().tally(tenant, AgentId::from_u128(0)).await.unwrap();
    assert_eq!(reached, [tally("file.read", "allowed", 1, 1001), tally("model.call", "allowed", 2, 1002)]);
}

async fn receipts_are_listed_in_pages(kit: Kit) {
    let (tenant, stream) = with_receipts(&kit).await;
    for session in [None, Some(stream.into())] {
        for descending in [false, true] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let filter = ReceiptFilter { session, ..ReceiptFilter::default() };
                let query = ReceiptQuery { filter, descending, after, limit: 4 };
                let (page, more) = kit.log().receipts(tenant, &query).await.unwrap().unwrap();
                after = page.last().map(|row| row.index);
                seen.extend(page.iter().map(|row| row.index));
                if !more {
                    break;
                }
            }
            let mut wanted: Vec<u64> = (0..6).collect();
            if descending {
                wanted.reverse();
            }
            assert_eq!(seen, wanted);
        }
    }
    let unknown = ReceiptQuery { after: Some(6), limit: 4, ..ReceiptQuery::default() };
    assert_eq!(kit.log().receipts(tenant, &unknown).await, Ok(None));
}

async fn an_outcome_is_of_its_own_stream(kit: Kit) {
    let (tenant, _) = with_receipts(&kit).await;
    let other = filled(&kit, tenant, 1).await;
    let settlement = Settlement { position: 1, effect: "failed".into(), cost: None };
    let forged = ReceiptOutcome { action: ActionId::from_u128(100), stream: other, settlement };
    let next = Advance { outcomes: vec![forged], ..advance(tenant, 8, vec![run(other, 1, 8, 1)]) };
    kit.log().advance(next).await.unwrap();
    let found = kit.log().receipt(tenant, ActionId::from_u128(100)).await.unwrap().unwrap();
    assert_eq!(found.outcome.unwrap().effect, "confirmed");
}

async fn an_outcome_is_of_its_actions_last_receipt(kit: Kit) {
    let tenant = kit.tenant();
    kit.log().create_log(tenant, Bytes::new()).await.unwrap();
    let stream = filled(&kit, tenant, 2).await;
    let asked = ReceiptRow { decision: "asked".into(), ..receipt(stream, 0) };
    let allowed = ReceiptRow { action: asked.action, ..receipt(stream, 1) };
    let (action, settlement) =
        (asked.action.unwrap(), Settlement { position: 2, effect: "confirmed".into(), cost: None });
    let both = Advance {
        receipts: vec![asked, allowed],
        outcomes: vec![ReceiptOutcome { action, stream, settlement }],
        ..advance(tenant, 0, vec![run(stream, 1, 0, 2)])
    };
    kit.log().advance(both).await.unwrap();
    let query = ReceiptQuery { filter: ReceiptFilter::default(), descending: false, after: None, limit: 9 };
    let (found, _) = kit.log().receipts(tenant, &query).await.unwrap().unwrap();
    let told: Vec<(&str, bool)> = found.iter().map(|row| (&row.decision[..], row.outcome.is_some())).collect();
    assert_eq!(told, [("asked", false), ("allowed", true)]);
    assert_eq!(kit.log().receipt(tenant, action).await.unwrap().unwrap().decision, "allowed");
}

async fn another_tenants_log_is_not_seen(kit: Kit) {
    let (tenant, stream) = with_receipts(&kit).await;
    let other = kit.tenant();
    kit.log().create_log(other, Bytes::new()).await.unwrap();
    let query = ReceiptQuery { limit: 10, ..ReceiptQuery::default() };
    assert_eq!(kit.log().receipts(other, &query).await, Ok(Some((vec![], false))));
    assert_eq!(kit.log().receipt(other, ActionId::from_u128(100)).await, Ok(None));
    assert_eq!(kit.log().leaf_of(other, stream, 1).await, Ok(None));
    assert_eq!(kit.log().sequenced(other, 0, 10).await, Ok(vec![]));
    assert_eq!(kit.log().tally(other, AgentId::from_u128(0)).await, Ok(vec![]));
    let session = Some(stream.into());
    let filter = ReceiptFilter { session, ..ReceiptFilter::default() };
    let query = ReceiptQuery { filter, limit: 10, ..ReceiptQuery::default() };
    assert_eq!(kit.log().receipts(other, &query).await, Ok(Some((vec![], false))));
    let stolen = kit.log().advance(advance(other, 0, vec![run(stream, 9, 0, 1)])).await;
    assert_eq!(stolen, Err(StoreError::Conflict));
    assert_eq!(kit.log().log(tenant).await.unwrap().unwrap().size, 8);
}
