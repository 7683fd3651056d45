//! Sessions that are deleted, with the process dying at any step of it, and what must not stay behind.

#![allow(clippy::disallowed_methods, reason = "a test prints the plan that replays its failure")]

use bailiwick_sim::{Plan, run};

fn must_hold(plan: &Plan) -> u64 {
    let outcome = run(plan);
    assert!(outcome.violations.is_empty(), "{plan:?}: {:#?}", outcome.violations);
    outcome.steps
}

/// The last steps of a session are those of its deletion; they are all tried, and twice in a row.
#[test]
fn a_deletion_is_finished_by_itself_whenever_the_process_dies() {
    for seed in 0..60 {
        let calm = Plan { seed, deletes: true, ..Plan::default() };
        let steps = must_hold(&calm);
        let kept = must_hold(&Plan { deletes: false, ..calm.clone() });
        assert!(steps > kept, "seed {seed}: a deletion takes steps of its own");
        for step in kept.saturating_sub(2)..=steps {
            must_hold(&Plan { deaths: vec![step], ..calm.clone() });
            must_hold(&Plan { deaths: vec![step, 3 + step % 17], ..calm.clone() });
        }
        let often: Vec<u64> = (0..60).map(|life| 3 + (seed + life) % 11).collect();
        must_hold(&Plan { deaths: often, ..calm });
    }
}
