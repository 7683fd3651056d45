//! A permit that was not opened reveals nothing.
use bailiwick_gate::{Permit, Vault};
use bailiwick_types::CredentialId;

async fn early(mut permit: Permit, vault: &dyn Vault, credential: CredentialId) {
    let _ = permit.reveal(vault, credential).await;
}

fn main() {}
