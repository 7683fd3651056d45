//! Only an opened permit makes the right to a secret.
use bailiwick_gate::{Scope, Use};
use bailiwick_types::{ActionId, CredentialId};

fn forge(scope: &Scope, action: ActionId, credential: CredentialId) -> Use<'_> {
    Use { scope, action, credential }
}

fn main() {}
