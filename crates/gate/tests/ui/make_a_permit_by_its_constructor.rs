//! The constructor is the gate's own.
use bailiwick_gate::Permit;

fn forge() -> Permit {
    Permit::new(unreachable!())
}

fn main() {
    let _ = forge();
}
