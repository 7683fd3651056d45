//! A hand gets the prompt of a model call only by opening the permit.
use bailiwick_gate::Permit;

fn peek(permit: &Permit) {
    let _ = permit.request();
}

fn main() {}
