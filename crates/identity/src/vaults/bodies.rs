//! How vaults and credentials lie in the store.
//!
//! A credential's document holds its secrets once more sealed, under the tenant's key with tenant, vault and credential
//! as context. So what is read at a start, or for a list, never has a secret in the clear, and a secret that is copied to
//! another credential's place does not open there.

use crate::credentials::CredentialError;
use bailiwick_ports::{
    StreamKey,
    vault::{Auth, Credential, Metadata, Secrets, Vault, VaultOwner},
};
use bailiwick_types::{CredentialId, Secret, TenantId, Timestamp, VaultId};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct VaultBody {
    pub owner: VaultOwner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default)]
    pub metadata: Metadata,
}

impl VaultBody {
    pub fn shown(&self, id: VaultId, created: Timestamp, updated: Timestamp) -> Vault {
        let Self { owner, name, metadata } = self.clone();
        Vault { id, owner, name, metadata, created, updated }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CredentialBody {
    pub vault: VaultId,
    pub name: String,
    pub auth: Auth,
    #[serde(default)]
    pub metadata: Metadata,
    /// In base 64.
    pub sealed: String,
}

impl CredentialBody {
    pub fn shown(&self, id: CredentialId, owner: VaultOwner, created: Timestamp, updated: Timestamp) -> Credential {
        let Self { vault, name, auth, metadata, .. } = self.clone();
        Credential { id, vault, owner, name, auth, metadata, created, updated }
    }
}

/// Where a credential's secrets belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub tenant: TenantId,
    pub vault: VaultId,
    pub credential: CredentialId,
}

impl Place {
    fn context(self) -> Vec<u8> {
        let ids = [self.tenant.to_u128(), self.vault.to_u128(), self.credential.to_u128()];
        let ids: Vec<u8> = ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        [&b"bailiwick.vault-secret.v1/"[..], &ids].concat()
    }

    pub fn seal(self, key: &dyn StreamKey, secrets: &Secrets) -> String {
        let expose = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        let mut plain = Plain {
            value: expose(&secrets.value),
            refresh_token: expose(&secrets.refresh_token),
            client_secret: expose(&secrets.client_secret),
            proof_key: expose(&secrets.proof_key),
        };
        // INVARIANT: a few texts are JSON.
        let text = Zeroizing::new(serde_json::to_vec(&plain).expect("texts are JSON"));
        plain.wipe();
        BASE64_STANDARD_NO_PAD.encode(key.seal(&self.context(), &text))
    }

    pub fn open(self, key: &dyn StreamKey, sealed: &str) -> Result<Secrets, CredentialError> {
        let sealed = BASE64_STANDARD_NO_PAD.decode(sealed).map_err(|_| CredentialError::Unreadable)?;
        let text = Zeroizing::new(key.unseal(&self.context(), &sealed)?);
        let plain: Plain = serde_json::from_slice(&text).map_err(|_| CredentialError::Unreadable)?;
        let secret = |text: Option<String>| text.map(Secret::new);
        Ok(Secrets {
            value: secret(plain.value),
            refresh_token: secret(plain.refresh_token),
            client_secret: secret(plain.client_secret),
            proof_key: secret(plain.proof_key),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof_key: Option<String>,
}

impl Plain {
    fn wipe(&mut self) {
        self.value.zeroize();
        self.refresh_token.zeroize();
        self.client_secret.zeroize();
        self.proof_key.zeroize();
    }
}
