//! Only the gate makes a permit.
use bailiwick_gate::Permit;

fn main() {
    let _ = Permit(None);
}
