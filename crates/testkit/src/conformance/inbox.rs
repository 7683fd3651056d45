//! Inputs: all or none, numbered without gaps, bounded, and accepted once.

use super::{Check, checks, kit::*};
use bailiwick_ports::{
    StoreError,
    store::{Accepted, MAX_INBOX, NewStream, Submission},
};
use bytes::Bytes;
use futures_util::future::join_all;

pub const CHECKS: &[Check] = checks![
    inputs_are_numbered_without_gaps,
    many_submissions_at_once_lose_nothing,
    inputs_leave_when_a_record_accounts_for_them,
    a_full_inbox_takes_nothing_until_there_is_room,
    a_repeated_submission_is_accepted_once,
    a_key_is_for_one_body_and_one_stream,
    many_repetitions_at_once_are_accepted_once,
];

async fn inputs_are_numbered_without_gaps(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let before = kit.now().await;
    assert_eq!(kit.give(tenant, stream, &["a", "b"]).await, 2);
    assert_eq!(kit.give(tenant, stream, &[]).await, 0);
    assert_eq!(kit.give(tenant, stream, &["c"]).await, 3);
    let inbox = kit.inbox(stream, 0, 10).await.unwrap();
    let bodies: Vec<_> = inbox.iter().map(|entry| (entry.sequence, &entry.sealed[..])).collect();
    assert_eq!(bodies, [(1, &b"a"[..]), (2, b"b"), (3, b"c")]);
    assert!(inbox.iter().all(|entry| entry.received >= before));
    assert_eq!(kit.inbox(stream, 1, 1).await.unwrap(), inbox[1..2]);
    assert_eq!(kit.inbox(stream, u64::MAX, 1).await.unwrap(), []);
}

async fn many_submissions_at_once_lose_nothing(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let answers = join_all((0..50).map(|_| kit.give(tenant, stream, &["a", "b"]))).await;
    let mut last = answers.clone();
    last.sort_unstable();
    assert_eq!(last, (1..=50).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(kit.waiting(stream).await, (1..=100).collect::<Vec<_>>());
}

async fn inputs_leave_when_a_record_accounts_for_them(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let (other_tenant, other) = kit.stream().await;
    kit.give(tenant, stream, &["a", "b", "c"]).await;
    kit.give(other_tenant, other, &["a"]).await;
    let epoch = kit.leased(stream, LONG).await.epoch;
    let mut taken = append(tenant, stream, epoch, 0, 1);
    taken.inbox_through = 2;
    kit.append(taken).await.unwrap();
    assert_eq!(kit.waiting(stream).await, [3]);
    assert_eq!(kit.waiting(other).await, [1]);
    assert_eq!(kit.head(stream).await.unwrap().unwrap().inbox_through, 2);
    let mut back = append(tenant, stream, epoch, 1, 1);
    back.inbox_through = 1;
    is_malformed(kit.append(back).await, "`inbox_through`");
    let mut all = append(tenant, stream, epoch, 1, 1);
    all.inbox_through = 3;
    kit.append(all).await.unwrap();
    assert_eq!(kit.give(tenant, stream, &["d"]).await, 4);
    assert_eq!(kit.waiting(stream).await, [4]);
}

async fn a_full_inbox_takes_nothing_until_there_is_room(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let full = Err(StoreError::InboxFull(stream));
    let inputs = |count: u64| Submission {
        inputs: vec![Bytes::from_static(b"x"); count as usize],
        ..submission(tenant, stream, &[])
    };
    assert_eq!(kit.submit(inputs(MAX_INBOX + 1)).await, full);
    assert_eq!(kit.submit(inputs(MAX_INBOX - 1)).await, Ok(Accepted::New { sequence: MAX_INBOX - 1 }));
    let promised = Submission { idempotency: promise("late", 1), ..inputs(2) };
    assert_eq!(kit.submit(promised.clone()).await, full);
    assert_eq!(kit.waiting(stream).await.len() as u64, MAX_INBOX - 1);
    assert_eq!(kit.submit(inputs(1)).await, Ok(Accepted::New { sequence: MAX_INBOX }));
    let epoch = kit.leased(stream, LONG).await.epoch;
    let mut work = append(tenant, stream, epoch, 0, 1);
    work.inbox_through = 2;
    kit.append(work).await.unwrap();
    assert_eq!(kit.submit(promised).await, Ok(Accepted::New { sequence: MAX_INBOX + 2 }));
    let too_many = NewStream { inputs: inputs(MAX_INBOX + 1).inputs, ..kit.new_stream(tenant) };
    let id = too_many.stream;
    assert_eq!(kit.create_stream(too_many).await, Err(StoreError::InboxFull(id)));
    assert_eq!(kit.head(id).await, Ok(None));
}

async fn a_repeated_submission_is_accepted_once(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    kit.give(tenant, stream, &["before"]).await;
    let request = Submission { idempotency: promise("key", 1), ..submission(tenant, stream, &["a", "b"]) };
    assert_eq!(kit.submit(request.clone()).await, Ok(Accepted::New { sequence: 3 }));
    kit.give(tenant, stream, &["after"]).await;
    for _ in 0..2 {
        assert_eq!(kit.submit(request.clone()).await, Ok(Accepted::Repeated { stream, sequence: 3 }));
    }
    let asked = |body| promise("key", body).unwrap();
    assert_eq!(kit.accepted(tenant, &asked(1)).await, Ok(Some(Accepted::Repeated { stream, sequence: 3 })));
    assert_eq!(kit.accepted(tenant, &asked(2)).await, Ok(Some(Accepted::KeyReused)));
    assert_eq!(kit.accepted(kit.tenant(), &asked(1)).await, Ok(None));
    assert_eq!(kit.waiting(stream).await, [1, 2, 3, 4]);
}

async fn a_key_is_for_one_body_and_one_stream(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let other = kit.stream_of(tenant).await;
    let request = |stream, body| Submission { idempotency: promise("key", body), ..submission(tenant, stream, &["a"]) };
    assert_eq!(kit.submit(request(stream, 1)).await, Ok(Accepted::New { sequence: 1 }));
    assert_eq!(kit.submit(request(stream, 2)).await, Ok(Accepted::KeyReused));
    assert_eq!(kit.submit(request(other, 1)).await, Ok(Accepted::KeyReused));
    let mut elsewhere = request(other, 1);
    elsewhere.idempotency.as_mut().unwrap().scope = "another route".into();
    assert_eq!(kit.submit(elsewhere).await, Ok(Accepted::New { sequence: 1 }));
    assert_eq!((kit.waiting(stream).await, kit.waiting(other).await), (vec![1], vec![1]));
}

async fn many_repetitions_at_once_are_accepted_once(kit: Kit) {
    let (tenant, stream) = kit.stream().await;
    let request = Submission { idempotency: promise("key", 1), ..submission(tenant, stream, &["a"]) };
    let answers = join_all((0..20).map(|_| kit.submit(request.clone()))).await;
    let new = answers.iter().filter(|answer| **answer == Ok(Accepted::New { sequence: 1 })).count();
    let repeated = answers.iter().filter(|answer| **answer == Ok(Accepted::Repeated { stream, sequence: 1 })).count();
    assert_eq!((new, repeated), (1, 19));
    assert_eq!(kit.waiting(stream).await, [1]);
}
