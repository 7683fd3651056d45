//! Random sessions, killed at every step. A failure prints the plan that replays it.

#![allow(clippy::disallowed_methods, reason = "how far to go is said in the environment")]

use bailiwick_sim::{Plan, run};

/// Seeds of each share; the shares run side by side.
const SEEDS: u64 = 250;

fn must_hold(plan: &Plan) -> u64 {
    let outcome = run(plan);
    assert!(outcome.violations.is_empty(), "{plan:?}: {:#?}", outcome.violations);
    outcome.steps
}

/// `BAILIWICK_SIM_STRIDE=1` dies at every step of every session; otherwise each seed takes every sixteenth step, each
/// seed beginning at another, so that a thousand seeds still meet every kind of step.
fn stride() -> u64 {
    std::env::var("BAILIWICK_SIM_STRIDE").ok().and_then(|text| text.parse().ok()).filter(|n| *n > 0).unwrap_or(16)
}

/// For each seed: once without a death; then dying at step after step; then dying again and again, each life a little
/// longer; and the same with the sandbox dying too.
fn share(index: u64) {
    let stride = stride();
    for seed in index * SEEDS..(index + 1) * SEEDS {
        let calm = Plan { seed, ..Plan::default() };
        let steps = must_hold(&calm);
        for step in (1 + seed % stride..=steps).step_by(usize::try_from(stride).unwrap_or(1)) {
            must_hold(&Plan { deaths: vec![step], ..calm.clone() });
        }
        let often: Vec<u64> = (0..40).map(|life| 3 + (seed + life) % 11).collect();
        must_hold(&Plan { deaths: often.clone(), ..calm.clone() });
        must_hold(&Plan { deaths: often, sandbox_dies_at: Some(0), ..calm });
    }
}

#[test]
fn a_plan_replays_to_the_letter() {
    for seed in 0..40 {
        let plan = Plan { seed, deaths: vec![7, 19, 31], sandbox_dies_at: Some(1), ..Plan::default() };
        let (first, second) = (run(&plan), run(&plan));
        assert_eq!((first.steps, first.records, first.chain), (second.steps, second.records, second.chain), "{plan:?}");
    }
}

#[test]
fn budgets_are_met_by_some_sessions_and_not_by_others() {
    let refused = |seed| run(&Plan { seed, ..Plan::default() }).refused > 0;
    let met = (0..84).filter(|seed| refused(*seed)).count();
    assert!((5..60).contains(&met), "{met} of 84 sessions met a limit");
    assert!((0..84).filter(|seed| seed % 3 != 0 && seed % 7 != 0).all(|seed| !refused(seed)));
}

#[test]
fn some_sessions_are_looked_into_and_some_model_calls_break() {
    let outcomes: Vec<_> = (0..84).map(|seed| run(&Plan { seed, ..Plan::default() })).collect();
    let (looks, lost): (u64, u64) =
        outcomes.iter().fold((0, 0), |(looks, lost), one| (looks + one.looks, lost + one.lost));
    assert!(looks >= 20 && lost >= 20, "{looks} looks, {lost} broken attempts");
}

#[test]
fn sessions_survive_a_crash_at_every_step_first_share() {
    share(0);
}

#[test]
fn sessions_survive_a_crash_at_every_step_second_share() {
    share(1);
}

#[test]
fn sessions_survive_a_crash_at_every_step_third_share() {
    share(2);
}

#[test]
fn sessions_survive_a_crash_at_every_step_fourth_share() {
    share(3);
}

#[test]
fn answers_stand_in_some_seeds_and_are_taken_back() {
    let stood = |seed| run(&Plan { seed, ..Plan::default() });
    let seeds: Vec<u64> = (0..480).filter(|seed| seed % 6 == 4).collect();
    let stood: Vec<u64> = seeds.iter().filter(|seed| stood(**seed).stood > 0).copied().collect();
    assert!(stood.len() >= 4, "only {stood:?} of {seeds:?}");
}
