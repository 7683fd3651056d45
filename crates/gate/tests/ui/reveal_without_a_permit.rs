//! A vault reveals nothing to whoever has no opened permit that names the secret.
use bailiwick_gate::Vault;
use bailiwick_types::CredentialId;

async fn peek(vault: &dyn Vault, credential: CredentialId) {
    let _ = vault.reveal(credential).await;
}

fn main() {}
