//! An outcome cannot be copied.
use bailiwick_gate::Settled;

fn copy(settled: &Settled) -> Settled {
    Settled::clone(settled)
}

fn main() {}
