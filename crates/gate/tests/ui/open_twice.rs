//! Opening a permit consumes it.
use bailiwick_gate::Permit;
use bailiwick_ports::Clock;

fn twice(permit: Permit, clock: &dyn Clock) {
    let _first = permit.open(clock);
    let _second = permit.open(clock);
}

fn main() {}
