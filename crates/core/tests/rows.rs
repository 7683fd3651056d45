//! Which rows a session writes, and where in its lists they stand.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests may")]

use bailiwick_core::{
    item::Change,
    record::{Body, SessionCreated},
    session::{State, rows},
};
use bailiwick_types::{Millis, SessionId, TenantId, Timestamp};

/// A session's id is made before its first record. Under load a millisecond passes in between for the one and not for
/// the other, and then the list was in another order than the ids.
#[test]
fn sessions_are_listed_in_the_order_of_their_ids() {
    let at = Timestamp::from_millis(1_793_000_000_000);
    let (first, second) = (SessionId::new(at, [1; 10]), SessionId::new(at, [2; 10]));
    let place = |session, recorded| {
        let (_, changes) = State::begin(TenantId::from_u128(1), session, recorded, &created());
        assert!(matches!(changes[..], [Change::SessionCreated(_)]));
        rows(TenantId::from_u128(1), session, &changes).into_iter().map(|row| (row.ordinal, row.id)).next().unwrap()
    };
    // The second is recorded first.
    assert!(place(first, at + Millis(3)) < place(second, at));
}

fn created() -> SessionCreated {
    let record = include_bytes!("golden/records/session.created.v1.json");
    match Body::decode("session.created", 1, record).unwrap() {
        Body::SessionCreated(created) => created,
        other => panic!("not a creation: {other:?}"),
    }
}
