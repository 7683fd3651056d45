//! A permit cannot be copied.
use bailiwick_gate::Permit;

fn copy(permit: &Permit) -> Permit {
    Permit::clone(permit)
}

fn main() {}
