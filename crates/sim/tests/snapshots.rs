//! Snapshots are only ever a shorter way: whatever becomes of them, nothing else does.

#![allow(clippy::disallowed_methods, reason = "a test prints the plan that replays its failure")]

use bailiwick_sim::{Plan, run};

#[test]
fn a_snapshot_of_any_position_and_the_rest_are_the_whole() {
    for seed in 0..40 {
        let calm = Plan { seed, tries_snapshots: true, ..Plan::default() };
        let outcome = run(&calm);
        assert!(outcome.violations.is_empty(), "{calm:?}: {:#?}", outcome.violations);
        let crashed = Plan { deaths: vec![9 + seed, 21 + seed % 7], sandbox_dies_at: Some(1), ..calm };
        let outcome = run(&crashed);
        assert!(outcome.violations.is_empty(), "{crashed:?}: {:#?}", outcome.violations);
    }
}

#[test]
fn losing_all_snapshots_at_every_death_changes_no_byte_of_the_history() {
    let (mut kept_read, mut lost_read) = (0, 0);
    for seed in 0..60 {
        let deaths = (0..6).map(|life| 60 + (seed * 7 + life * 13) % 90).collect();
        let keeps = Plan { seed, deaths, more_messages: 6, ..Plan::default() };
        let loses = Plan { loses_snapshots: true, ..keeps.clone() };
        let (kept, lost) = (run(&keeps), run(&loses));
        assert!(lost.violations.is_empty(), "{loses:?}: {:#?}", lost.violations);
        assert_eq!((kept.records, kept.chain), (lost.records, lost.chain), "{loses:?}");
        kept_read += kept.records_read;
        lost_read += lost.records_read;
    }
    assert!(kept_read < lost_read, "no life began with a snapshot: {kept_read} records were read, and {lost_read}");
}
