//! One tenant's vaults in memory, without any secret. It decides nothing.

use super::bodies::{CredentialBody, VaultBody};
use crate::documents::Entry;
use bailiwick_ports::vault::{Credential, Vault, VaultOwner};
use bailiwick_types::{CredentialId, VaultId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Default)]
pub(super) struct Shelf {
    /// Ids sort by the time they were made.
    vaults: BTreeMap<VaultId, Entry<VaultBody>>,
    credentials: BTreeMap<CredentialId, Kept>,
    /// In the order of their making.
    inside: BTreeMap<VaultId, BTreeSet<CredentialId>>,
    shared: BTreeSet<VaultId>,
}

#[derive(Clone)]
struct Kept {
    entry: Entry<CredentialBody>,
    shown: Arc<Credential>,
}

impl Shelf {
    pub fn put_vault(&mut self, entry: Entry<VaultBody>) {
        let id = VaultId::from_u128(entry.id);
        if entry.body.owner == VaultOwner::Shared {
            self.shared.insert(id);
        }
        self.vaults.insert(id, entry);
    }

    /// A credential whose vault is not there is nobody's, and is left out.
    pub fn put_credential(&mut self, entry: Entry<CredentialBody>) {
        let id = CredentialId::from_u128(entry.id);
        let Some(vault) = self.vaults.get(&entry.body.vault) else { return };
        let shown = Arc::new(entry.body.shown(id, vault.body.owner, entry.created, entry.updated));
        self.inside.entry(entry.body.vault).or_default().insert(id);
        self.credentials.insert(id, Kept { entry, shown });
    }

    pub fn remove_vault(&mut self, id: VaultId) {
        for credential in self.inside.remove(&id).into_iter().flatten() {
            self.credentials.remove(&credential);
        }
        self.vaults.remove(&id);
        self.shared.remove(&id);
    }

    pub fn remove_credential(&mut self, id: CredentialId) {
        if let Some(kept) = self.credentials.remove(&id)
            && let Some(inside) = self.inside.get_mut(&kept.entry.body.vault)
        {
            inside.remove(&id);
        }
    }

    pub fn vault_entry(&self, id: VaultId) -> Option<&Entry<VaultBody>> {
        self.vaults.get(&id)
    }

    pub fn credential_entry(&self, vault: VaultId, id: CredentialId) -> Option<Entry<CredentialBody>> {
        let kept = self.credentials.get(&id).filter(|kept| kept.entry.body.vault == vault)?;
        Some(kept.entry.clone())
    }

    pub fn vault(&self, id: VaultId) -> Option<Vault> {
        self.vaults.get(&id).map(|entry| entry.body.shown(id, entry.created, entry.updated))
    }

    pub fn vaults(&self) -> Vec<Vault> {
        self.vaults.iter().map(|(id, entry)| entry.body.shown(*id, entry.created, entry.updated)).collect()
    }

    pub fn vault_count(&self) -> usize {
        self.vaults.len()
    }

    pub fn owned_by(&self, owner: VaultOwner) -> usize {
        self.vaults.values().filter(|entry| entry.body.owner == owner).count()
    }

    pub fn ids_owned_by(&self, owner: VaultOwner) -> Vec<VaultId> {
        self.vaults.iter().filter(|(_, entry)| entry.body.owner == owner).map(|(id, _)| *id).collect()
    }

    pub fn credential_count(&self) -> usize {
        self.credentials.len()
    }

    pub fn inside(&self, vault: VaultId) -> impl Iterator<Item = &Arc<Credential>> {
        let ids = self.inside.get(&vault).into_iter().flatten();
        ids.filter_map(|id| self.credentials.get(id)).map(|kept| &kept.shown)
    }

    pub fn credential(&self, id: CredentialId) -> Option<Arc<Credential>> {
        self.credentials.get(&id).map(|kept| Arc::clone(&kept.shown))
    }

    pub fn named(&self, vault: VaultId, name: &str) -> Option<Arc<Credential>> {
        self.inside(vault).find(|credential| credential.name == name).cloned()
    }

    /// In the oldest shared vault that has one.
    pub fn shared_named(&self, name: &str) -> Option<Arc<Credential>> {
        self.shared.iter().find_map(|vault| self.named(*vault, name))
    }
}
