//! Credentials as the API's key desk sees them: both kinds in one list.

use crate::{
    access_key::{AccessKey, NewAccessKey},
    api_key::{ApiKey, NewApiKey},
    credentials::{CredentialError, Credentials},
};
use async_trait::async_trait;
use bailiwick_ports::{KeyDesk, KeyDeskError, KeyInfo, KeyKind, NewKey};
use bailiwick_types::{KeyId, Principal, Secret, TenantId};

#[async_trait]
impl KeyDesk for Credentials {
    async fn create_key(
        &self,
        by: &Principal,
        tenant: TenantId,
        new: NewKey,
    ) -> Result<(KeyInfo, Secret), KeyDeskError> {
        let NewKey { kind, name, scopes, expires, environment } = new;
        match kind {
            KeyKind::ApiKey if environment.is_some() => Err(KeyDeskError::Invalid(
                "`environment` binds access keys only: leave it out, or set `kind` to `access_key`".into(),
            )),
            KeyKind::ApiKey => {
                let (key, secret) = self.create_api_key(by, tenant, NewApiKey { name, scopes, expires }).await?;
                Ok((of_api_key(key), secret))
            }
            KeyKind::AccessKey => {
                let new = NewAccessKey { name, scopes, expires, environment };
                let (key, secret) = self.create_access_key(by, tenant, new).await?;
                Ok((of_access_key(key), secret))
            }
        }
    }

    async fn list_keys(&self, tenant: TenantId) -> Result<Vec<KeyInfo>, KeyDeskError> {
        let api_keys = self.api_keys(tenant).await?.into_iter().map(of_api_key);
        let access_keys = self.access_keys(tenant).await?.into_iter().map(of_access_key);
        let mut all: Vec<KeyInfo> = api_keys.chain(access_keys).collect();
        all.sort_by_key(|key| (key.created, key.id));
        Ok(all)
    }

    async fn revoke_key(&self, by: &Principal, tenant: TenantId, id: KeyId) -> Result<(), KeyDeskError> {
        Ok(self.revoke(by, tenant, id).await?)
    }
}

impl From<CredentialError> for KeyDeskError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::UnknownKey(id) => Self::UnknownKey(id),
            CredentialError::Keys(_)
            | CredentialError::Store(_)
            | CredentialError::Unreadable
            | CredentialError::ForeignKeyFile
            | CredentialError::UnknownTenant(_) => Self::Unavailable(error.to_string()),
            told => Self::Invalid(told.to_string()),
        }
    }
}

fn of_api_key(key: ApiKey) -> KeyInfo {
    let ApiKey { id, name, scopes, created, expires, revoked, last4, .. } = key;
    let (kind, last4) = (KeyKind::ApiKey, Some(last4));
    KeyInfo { id, kind, name, scopes, access_key_id: None, last4, environment: None, created, expires, revoked }
}

fn of_access_key(key: AccessKey) -> KeyInfo {
    let AccessKey { id, name, access_key_id, scopes, environment, created, expires, revoked, .. } = key;
    let (kind, access_key_id) = (KeyKind::AccessKey, Some(access_key_id));
    KeyInfo { id, kind, name, scopes, access_key_id, last4: None, environment, created, expires, revoked }
}
