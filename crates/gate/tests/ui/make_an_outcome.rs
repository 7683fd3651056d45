//! Only settling an opened permit makes an outcome.
use bailiwick_core::Outcome;
use bailiwick_gate::Settled;
use bailiwick_types::ActionId;

fn main() {
    let _ = Settled { id: ActionId::from_u128(1), outcome: Outcome::NotSent { reason: String::new() } };
}
