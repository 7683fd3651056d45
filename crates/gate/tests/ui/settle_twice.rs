//! Settling consumes what was opened.
use bailiwick_core::Outcome;
use bailiwick_gate::{Opened, Settled};

fn twice(opened: Opened, outcome: Outcome) -> (Settled, Settled) {
    (opened.settle(outcome.clone()), opened.settle(outcome))
}

fn main() {}
