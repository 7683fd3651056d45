//! What a model is told, as a function of the stream.

use bailiwick_core::{
    ModelCall, Purpose,
    record::{Body, Record},
    session::{State, request},
};
use bailiwick_types::{SessionId, TenantId, Timestamp};
use std::sync::Arc;

const AT: Timestamp = Timestamp::from_millis(1_793_000_000_000);

fn golden(kind: &str, text: &str) -> Body {
    Body::decode(kind, 1, text.as_bytes()).expect("a golden record")
}

#[test]
fn tools_are_the_same_allocation_until_they_change() {
    let Body::SessionCreated(created) =
        golden("session.created", include_str!("golden/records/session.created.v1.json"))
    else {
        panic!("it is the beginning of a session")
    };
    let (mut state, _) = State::begin(TenantId::from_u128(1), SessionId::from_u128(2), AT, &created);
    let call = ModelCall { model: "main".into(), purpose: Purpose::Step, skipped_entries: 0, extract: None };
    let before = request(&state, &call).tools;
    assert!(Arc::ptr_eq(&before, &request(&state, &call).tools));

    let update = golden("input.received", include_str!("golden/records/input.received.v1.update.json"));
    let Body::InputReceived(mut received) = update else { panic!("it is an input") };
    let bailiwick_core::record::Input::Update(patch) = &mut received.envelope.input else { panic!("it is a change") };
    patch.tools = Some(Vec::new());
    state.apply(&Record { position: 2, time: AT, body: Body::InputReceived(received) });
    let after = request(&state, &call).tools;
    assert_ne!(before, after, "the model is told of the tools that there are now");
}
