//! What it costs to go on reading where a connection broke off.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests own the machine's clock and tasks")]

mod common;

use bailiwick_ports::{Store as _, store::SNAPSHOT_SPAN};
use bailiwick_types::SessionId;
use common::{Event, House, Say, assistant, call, calls};
use serde_json::json;
use std::sync::Arc;

/// Steps of one turn, below its limit.
const STEPS: usize = 190;

/// A session in the middle of a long turn, with its last place.
async fn long_turn(house: &Arc<House>) -> (String, u64) {
    let unknown = |step: usize, number: usize| call(&format!("c{step}_{number}"), "no_such_tool", json!({}));
    house.script((0..STEPS).map(|step| calls((0..8).map(|number| unknown(step, number)).collect())));
    let wait = Some(Arc::default());
    house.script([Say { entries: vec![assistant("Done.")], deltas: vec![(0, "almost")], wait, ..Say::default() }]);
    let mut events = house.begin("Try everything", json!({})).await;
    let session = events.next().await.unwrap().data["session"]["id"].as_str().unwrap().to_owned();
    let last = loop {
        let event = events.next().await.unwrap();
        if event.data["delta"] == "almost" {
            break event.id.unwrap();
        }
    };
    let position = last.split('.').next().unwrap().parse().unwrap();
    assert!(position > 3 * SNAPSHOT_SPAN, "{position}");
    (session, position)
}

/// Everything that is told after a place, up to the delta that has not become an item.
async fn told_after(house: &Arc<House>, session: &str, position: u64) -> Vec<Event> {
    let mut events = house.watch(session, Some(&format!("{position}.0"))).await;
    let mut told = Vec::new();
    loop {
        let mut event = events.next().await.unwrap();
        if event.data["delta"] == "almost" {
            return told;
        }
        // Noise, so that no length tells what is in it.
        event.data.as_object_mut().unwrap().remove("obfuscation");
        told.push(event);
    }
}

fn done(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.short() == "turn.item.done").collect()
}

#[tokio::test]
async fn whoever_was_cut_off_late_in_a_long_turn_does_not_cost_its_beginning() {
    let house = House::new().await;
    let (session, end) = long_turn(&house).await;
    let all = told_after(&house, &session, 0).await;
    for missed in [1, 20, 300, SNAPSHOT_SPAN] {
        let before = house.store.records_read();
        let told = told_after(&house, &session, end - missed).await;
        let read = house.store.records_read() - before;
        // Read in pages, so that a little more than what there is to fold and to tell.
        assert!(read <= missed + 2 * SNAPSHOT_SPAN, "{read} records were read to tell {missed} of {end}");
        let (told, all) = (done(&told), done(&all));
        assert!(missed < 20 || !told.is_empty());
        assert_eq!(told[..], all[all.len() - told.len()..], "the same events under the same ids");
    }
}

#[tokio::test]
async fn without_a_snapshot_that_can_be_read_the_whole_story_is_folded_and_told_the_same() {
    let house = House::new().await;
    let (session, end) = long_turn(&house).await;
    let told = told_after(&house, &session, end - 300).await;
    let stream = session.parse::<SessionId>().unwrap().into();
    let mut up_to = u64::MAX;
    while let Some(mut snapshot) = house.store.snapshot_up_to(stream, up_to).await.unwrap() {
        up_to = snapshot.position - 1;
        // Every other one is damaged, the rest are of a version that is not known here.
        match up_to / SNAPSHOT_SPAN % 2 {
            0 => snapshot.sealed = snapshot.sealed.slice(1..),
            _ => snapshot.version += 1,
        }
        house.store.put_snapshot(stream, snapshot).await.unwrap();
    }
    let before = house.store.records_read();
    let again = told_after(&house, &session, end - 300).await;
    assert!(house.store.records_read() - before >= end, "there was nothing to begin from");
    assert_eq!(told, again);
}
