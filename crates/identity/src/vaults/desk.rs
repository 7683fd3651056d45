//! Making, changing and deleting vaults and credentials.

use super::{
    Strongroom,
    bodies::{CredentialBody, Place, VaultBody},
    checks,
};
use crate::documents::Entry;
use async_trait::async_trait;
use bailiwick_ports::{
    Change, DocumentWrite, VaultDesk,
    people::Author,
    store::{Document, DocumentKind},
    vault::{Credential, CredentialPatch, NewCredential, NewVault, Secrets, Vault, VaultError, VaultOwner, VaultPatch},
};
use bailiwick_types::{CredentialId, TenantId, VaultId};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Vaults of one tenant, and of one owner in it.
const MAX_VAULTS: usize = 10_000;
const MAX_OWNED: usize = 100;
/// Credentials of one tenant, and of one vault in it.
const MAX_CREDENTIALS: usize = 50_000;
const MAX_INSIDE: usize = 100;

/// What a receipt says of a change. Never a secret.
struct Said {
    kind: &'static str,
    target: String,
    details: Value,
}

impl Strongroom {
    /// One document as the change writes it.
    async fn put<B: Serialize>(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        entry: &Entry<B>,
    ) -> Result<DocumentWrite, VaultError> {
        let sealed = self.documents.seal(tenant, (kind, entry.id, entry.version), &entry.body).await?;
        let Entry { id, version, created, updated, .. } = *entry;
        Ok(DocumentWrite::Put(Document { kind, id, version, created, updated, handle: None, sealed }))
    }

    /// Writes a change down. When that may have failed half-way, the store is asked what it has.
    async fn commit(&self, author: Author, said: Said, documents: Vec<DocumentWrite>) -> Result<(), VaultError> {
        let places: Vec<(DocumentKind, u128)> = documents
            .iter()
            .filter_map(|write| match write {
                DocumentWrite::Put(document) => Some((document.kind, document.id)),
                DocumentWrite::Remove { kind, id } => Some((*kind, *id)),
                _ => None,
            })
            .collect();
        let Author { tenant, by, reason } = author;
        let Said { kind, target, details } = said;
        let change = Change { tenant, by, kind: kind.to_owned(), target, reason, details, documents };
        match self.documents.administration.change(change).await {
            Ok(()) => Ok(()),
            Err(error) => {
                for (kind, id) in places {
                    if let Err(error) = self.read_again(tenant, kind, id).await {
                        tracing::error!(%error, "a vault could not be read again after a failed change");
                    }
                }
                Err(VaultError::Store(error))
            }
        }
    }

    async fn read_again(&self, tenant: TenantId, kind: DocumentKind, id: u128) -> Result<(), VaultError> {
        match self.documents.store.document(tenant, kind, id, None).await? {
            Some(document) => self.take_in(tenant, &document).await,
            None if kind == DocumentKind::Vault => {
                self.write(tenant, |shelf| shelf.remove_vault(VaultId::from_u128(id)));
                Ok(())
            }
            None => {
                self.write(tenant, |shelf| shelf.remove_credential(CredentialId::from_u128(id)));
                Ok(())
            }
        }
    }

    fn vault_entry(&self, tenant: TenantId, id: VaultId) -> Result<Entry<VaultBody>, VaultError> {
        self.read(tenant, |shelf| shelf.vault_entry(id).cloned()).ok_or(VaultError::UnknownVault(id))
    }

    /// Seals a credential, writes it and gives it as it is known from now on.
    pub(super) async fn keep(
        &self,
        author: Author,
        kind: &'static str,
        owner: VaultOwner,
        entry: Entry<CredentialBody>,
    ) -> Result<Arc<Credential>, VaultError> {
        let tenant = author.tenant;
        let id = CredentialId::from_u128(entry.id);
        let shown = entry.body.shown(id, owner, entry.created, entry.updated);
        let details = json!({
            "vault": shown.vault, "name": shown.name, "type": shown.auth.kind(), "hosts": shown.hosts(),
            "owner": owner,
        });
        let write = self.put(tenant, DocumentKind::Credential, &entry).await?;
        self.commit(author, Said { kind, target: id.to_string(), details }, vec![write]).await?;
        self.write(tenant, |shelf| shelf.put_credential(entry));
        Ok(Arc::new(shown))
    }
}

#[async_trait]
impl VaultDesk for Strongroom {
    fn vault(&self, tenant: TenantId, id: VaultId) -> Option<Vault> {
        self.read(tenant, |shelf| shelf.vault(id))
    }

    fn vaults(&self, tenant: TenantId) -> Vec<Vault> {
        self.read(tenant, super::Shelf::vaults)
    }

    fn credentials(&self, tenant: TenantId, vault: VaultId) -> Vec<Arc<Credential>> {
        self.read(tenant, |shelf| shelf.inside(vault).cloned().collect())
    }

    async fn create_vault(&self, author: Author, new: NewVault) -> Result<Vault, VaultError> {
        let _writing = self.writing.lock().await;
        let NewVault { owner, name, metadata } = new;
        let name = name.as_deref().map(checks::name).transpose()?;
        checks::metadata(&metadata)?;
        let tenant = author.tenant;
        let (all, owned) = self.read(tenant, |shelf| (shelf.vault_count(), shelf.owned_by(owner)));
        if all >= MAX_VAULTS || owned >= MAX_OWNED {
            let text = format!(
                "there are {owned} vaults of this owner and {all} in all; at most {MAX_OWNED} and \
                                {MAX_VAULTS} are kept: delete one first"
            );
            return Err(VaultError::TooMany(text));
        }
        let now = self.clock.now();
        let id = VaultId::new(now, self.random.id_bytes());
        let details = json!({"owner": owner, "name": name});
        let entry = Entry {
            id: id.to_u128(),
            version: 1,
            created: now,
            updated: now,
            handle: None,
            body: VaultBody { owner, name, metadata },
        };
        let write = self.put(tenant, DocumentKind::Vault, &entry).await?;
        let said = Said { kind: "vault.created", target: id.to_string(), details };
        self.commit(author, said, vec![write]).await?;
        let vault = entry.body.shown(id, now, now);
        self.write(tenant, |shelf| shelf.put_vault(entry));
        Ok(vault)
    }

    async fn change_vault(&self, author: Author, id: VaultId, patch: VaultPatch) -> Result<Vault, VaultError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let mut entry = self.vault_entry(tenant, id)?;
        if let Some(name) = patch.name {
            entry.body.name = name.as_deref().map(checks::name).transpose()?;
        }
        if let Some(metadata) = patch.metadata {
            checks::metadata(&metadata)?;
            entry.body.metadata = metadata;
        }
        entry.version += 1;
        entry.updated = self.clock.now();
        let details = json!({"owner": entry.body.owner, "name": entry.body.name});
        let write = self.put(tenant, DocumentKind::Vault, &entry).await?;
        let said = Said { kind: "vault.changed", target: id.to_string(), details };
        self.commit(author, said, vec![write]).await?;
        let vault = entry.body.shown(id, entry.created, entry.updated);
        self.write(tenant, |shelf| shelf.put_vault(entry));
        Ok(vault)
    }

    async fn delete_vault(&self, author: Author, id: VaultId) -> Result<(), VaultError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let entry = self.vault_entry(tenant, id)?;
        let inside = self.credentials(tenant, id);
        let mut writes = vec![DocumentWrite::Remove { kind: DocumentKind::Vault, id: id.to_u128() }];
        let remove = |id: u128| DocumentWrite::Remove { kind: DocumentKind::Credential, id };
        writes.extend(inside.iter().map(|credential| remove(credential.id.to_u128())));
        let credentials: Vec<CredentialId> = inside.iter().map(|credential| credential.id).collect();
        let details = json!({"owner": entry.body.owner, "name": entry.body.name, "credentials": credentials});
        let said = Said { kind: "vault.deleted", target: id.to_string(), details };
        self.commit(author, said, writes).await?;
        self.write(tenant, |shelf| shelf.remove_vault(id));
        Ok(())
    }

    async fn create_credential(
        &self,
        author: Author,
        vault: VaultId,
        new: NewCredential,
    ) -> Result<Arc<Credential>, VaultError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let owner = self.vault_entry(tenant, vault)?.body.owner;
        let NewCredential { name, auth, secrets, metadata } = new;
        let name = checks::name(&name)?;
        checks::metadata(&metadata)?;
        checks::auth(&auth)?;
        checks::secrets(&auth, &secrets)?;
        let (all, inside, taken) = self
            .read(tenant, |shelf| (shelf.credential_count(), shelf.inside(vault).count(), shelf.named(vault, &name)));
        if all >= MAX_CREDENTIALS || inside >= MAX_INSIDE {
            let text = format!(
                "there are {inside} credentials in this vault and {all} in all; at most {MAX_INSIDE} and \
                                {MAX_CREDENTIALS} are kept: delete one first"
            );
            return Err(VaultError::TooMany(text));
        }
        if let Some(taken) = taken {
            let problem = format!("the credential {} of this vault has this name already", taken.id);
            return Err(VaultError::Invalid { field: "name", problem });
        }
        let now = self.clock.now();
        let id = CredentialId::new(now, self.random.id_bytes());
        let key = self.documents.tenant_key(tenant).await?;
        let sealed = Place { tenant, vault, credential: id }.seal(&*key, &secrets);
        let body = CredentialBody { vault, name, auth, metadata, sealed };
        let entry = Entry { id: id.to_u128(), version: 1, created: now, updated: now, handle: None, body };
        self.keep(author, "credential.created", owner, entry).await
    }

    async fn change_credential(
        &self,
        author: Author,
        vault: VaultId,
        id: CredentialId,
        patch: CredentialPatch,
    ) -> Result<Arc<Credential>, VaultError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let owner = self.vault_entry(tenant, vault)?.body.owner;
        let found = self.read(tenant, |shelf| shelf.credential_entry(vault, id));
        let mut entry = found.ok_or(VaultError::UnknownCredential(id))?;
        let CredentialPatch { auth, secrets, metadata } = patch;
        if let Some(metadata) = metadata {
            checks::metadata(&metadata)?;
            entry.body.metadata = metadata;
        }
        if let Some(auth) = auth {
            if auth.kind() != entry.body.auth.kind() {
                let problem = format!("must be `{}`, as it is: make another credential", entry.body.auth.kind());
                return Err(VaultError::Invalid { field: "auth.type", problem });
            }
            checks::auth(&auth)?;
            let key = self.documents.tenant_key(tenant).await?;
            let place = Place { tenant, vault, credential: id };
            let before = place.open(&*key, &entry.body.sealed)?;
            let after = Secrets {
                value: secrets.value.or(before.value),
                refresh_token: secrets.refresh_token.or(before.refresh_token),
                client_secret: secrets.client_secret.or(before.client_secret),
                proof_key: before.proof_key,
            };
            checks::secrets(&auth, &after)?;
            entry.body.sealed = place.seal(&*key, &after);
            entry.body.auth = auth;
        }
        entry.version += 1;
        entry.updated = self.clock.now();
        self.keep(author, "credential.changed", owner, entry).await
    }

    async fn revoke_credential(
        &self,
        author: Author,
        vault: VaultId,
        id: CredentialId,
        endpoint: Option<&str>,
    ) -> Result<bool, VaultError> {
        // What is told first: once it is deleted, nobody knows the token any more.
        let told = match endpoint {
            Some(endpoint) => self.tell_revoked(author.tenant, vault, id, endpoint).await,
            None => false,
        };
        self.delete_credential(author, vault, id).await.map(|()| told)
    }

    async fn delete_credential(&self, author: Author, vault: VaultId, id: CredentialId) -> Result<(), VaultError> {
        let _writing = self.writing.lock().await;
        let tenant = author.tenant;
        let owner = self.vault_entry(tenant, vault)?.body.owner;
        let found = self.read(tenant, |shelf| shelf.credential_entry(vault, id));
        let entry = found.ok_or(VaultError::UnknownCredential(id))?;
        let details = json!({"vault": vault, "name": entry.body.name, "owner": owner});
        let write = DocumentWrite::Remove { kind: DocumentKind::Credential, id: id.to_u128() };
        let said = Said { kind: "credential.deleted", target: id.to_string(), details };
        self.commit(author, said, vec![write]).await?;
        self.write(tenant, |shelf| shelf.remove_credential(id));
        Ok(())
    }
}
