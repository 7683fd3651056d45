//! What the hands of connectors have in common: the arguments of a call, and the one secret that it may use.

use crate::{Opened, Vault};
use bailiwick_core::{Failure, FailureCode};
use bailiwick_types::{CredentialId, Secret};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The arguments of a call, as its tool takes them.
pub fn arguments<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| invalid(format!("the arguments do not fit: {error}")))
}

/// A call that cannot be made as it stands.
pub fn invalid(text: impl Into<String>) -> Failure {
    Failure::new(FailureCode::InvalidRequest, text)
}

impl Opened {
    /// The one secret of a connector, for the one call that needs it; `None` where it has none.
    pub async fn reveal_first(&mut self, vault: &dyn Vault) -> Result<Option<(CredentialId, Secret)>, Failure> {
        let Some(credential) = self.credentials().first().copied() else { return Ok(None) };
        let revealed = self.reveal(vault, credential).await;
        let secret = revealed.map_err(|error| Failure::new(FailureCode::AuthenticationFailed, error.to_string()))?;
        Ok(Some((credential, secret)))
    }
}
