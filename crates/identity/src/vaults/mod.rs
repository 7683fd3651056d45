//! Vaults: secrets that agents may use and nobody may read.
//!
//! What is known of credentials is held in memory, because the gate asks inside a commit; the secrets themselves are read
//! from the store for the one call that needs them, and only against the gate's [`Use`]. Every change is a record of the
//! tenant's administration before memory says it too, as in the directory.

mod bodies;
mod checks;
mod desk;
mod renewal;
mod shelf;

use crate::{
    assertion_grant::{AccessError, AccessRequest, AssertionGrants, ResourceClient},
    credentials::CredentialError,
    documents::{Documents, Entry},
    dpop::{ProofKey, ProofKeys},
    shelves::Shelves,
    web::Web,
};
use async_trait::async_trait;
use bailiwick_gate::{RevealError, Use, Vault as Reveals};
use bailiwick_ports::{
    Administration, Clock, Keys, Random, Store, Tasks, Vaults,
    store::{Document, DocumentKind},
    vault::{Auth, Credential, EnterpriseManaged, McpOauth, Secrets, VaultError, VaultOwner},
};
use bailiwick_types::{CredentialId, Secret, TenantId, UserId, VaultId};
use bodies::{CredentialBody, Place};
use renewal::{Asking, Renewals};
use shelf::Shelf;
use std::sync::Arc;

/// Keeps the vaults of every tenant. One for each process.
pub struct Strongroom {
    documents: Documents,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    shelves: Shelves<Shelf>,
    /// Changes are made one after the other, each on what the last one left.
    writing: tokio::sync::Mutex<()>,
    /// How authorization servers are asked for another access token; without it, one that has ended has ended.
    asking: Option<Asking>,
    /// Where tokens that are bound to a key are made known before they are given away.
    proofs: Option<Arc<ProofKeys>>,
    /// Who gets access in a person's name.
    grants: Option<AssertionGrants>,
    renewals: Renewals,
}

impl Strongroom {
    /// Reads what is known of all vaults.
    pub async fn load(
        store: Arc<dyn Store>,
        keys: Arc<dyn Keys>,
        administration: Arc<dyn Administration>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, VaultError> {
        let room = Self {
            documents: Documents::new(store, keys, administration),
            clock,
            random,
            shelves: Shelves::default(),
            writing: tokio::sync::Mutex::default(),
            asking: None,
            proofs: None,
            grants: None,
            renewals: Renewals::default(),
        };
        for tenant in room.documents.store.tenants().await.map_err(VaultError::Store)? {
            // Vaults first: a credential is whose its vault is.
            for kind in [DocumentKind::Vault, DocumentKind::Credential] {
                for document in room.documents.sealed(tenant.id, kind).await? {
                    room.take_in(tenant.id, &document).await?;
                }
            }
        }
        Ok(room)
    }

    /// Renews access tokens of OAuth at the servers that their credentials name. What may be connected to is `web`'s
    /// business.
    #[must_use]
    pub fn with_web(mut self, web: Arc<dyn Web>, tasks: Arc<dyn Tasks>) -> Arc<Self> {
        Arc::new_cyclic(|room| {
            self.asking = Some(Asking { web, tasks, room: room.clone() });
            self
        })
    }

    /// Has tokens bound to keys where their servers do that (RFC 9449). Whoever sends them has to ask the same.
    #[must_use]
    pub fn with_proofs(mut self, proofs: Arc<ProofKeys>) -> Self {
        self.proofs = Some(proofs);
        self
    }

    /// Gets access in the name of the person who is worked for, where a credential says so.
    #[must_use]
    pub fn with_grants(mut self, grants: AssertionGrants) -> Self {
        self.grants = Some(grants);
        self
    }

    fn read<T>(&self, tenant: TenantId, look: impl FnOnce(&Shelf) -> T) -> T {
        self.shelves.read(tenant, look)
    }

    fn write<T>(&self, tenant: TenantId, change: impl FnOnce(&mut Shelf) -> T) -> T {
        self.shelves.write(tenant, change)
    }

    async fn take_in(&self, tenant: TenantId, document: &Document) -> Result<(), VaultError> {
        if document.kind == DocumentKind::Vault {
            let entry = self.documents.entry(tenant, document).await?;
            self.write(tenant, |shelf| shelf.put_vault(entry));
        } else {
            let entry = self.documents.entry(tenant, document).await?;
            self.write(tenant, |shelf| shelf.put_credential(entry));
        }
        Ok(())
    }

    /// The document as it is stored now: what memory holds has no secret.
    async fn stored(&self, tenant: TenantId, id: CredentialId) -> Result<Option<Entry<CredentialBody>>, RevealError> {
        let unavailable = |error: CredentialError| RevealError::Unavailable(error.to_string());
        let found = self.documents.store.document(tenant, DocumentKind::Credential, id.to_u128(), None).await;
        match found.map_err(|error| unavailable(error.into()))? {
            Some(document) => Ok(Some(self.documents.entry(tenant, &document).await.map_err(unavailable)?)),
            None => Ok(None),
        }
    }
}

impl Strongroom {
    async fn secrets(
        &self,
        tenant: TenantId,
        id: CredentialId,
        entry: &Entry<CredentialBody>,
    ) -> Result<Secrets, RevealError> {
        let unavailable = |error: CredentialError| RevealError::Unavailable(error.to_string());
        let key = self.documents.tenant_key(tenant).await.map_err(unavailable)?;
        let place = Place { tenant, vault: entry.body.vault, credential: id };
        place.open(&*key, &entry.body.sealed).map_err(unavailable)
    }
}

impl Vaults for Strongroom {
    fn credential(&self, tenant: TenantId, id: CredentialId) -> Option<Arc<Credential>> {
        self.read(tenant, |shelf| shelf.credential(id))
    }

    fn find(&self, tenant: TenantId, name: &str, vaults: &[VaultId]) -> Option<Arc<Credential>> {
        self.read(tenant, |shelf| {
            vaults.iter().find_map(|vault| shelf.named(*vault, name)).or_else(|| shelf.shared_named(name))
        })
    }

    fn vaults_of(&self, tenant: TenantId, person: UserId) -> Vec<VaultId> {
        self.read(tenant, |shelf| shelf.ids_owned_by(VaultOwner::User { id: person }))
    }

    fn reaching(&self, tenant: TenantId, host: &str, vaults: &[VaultId]) -> Vec<Arc<Credential>> {
        let names = |one: &&Arc<Credential>| one.hosts().is_some() && one.reaches(host);
        self.read(tenant, |shelf| {
            let all = vaults.iter().flat_map(|vault| shelf.inside(*vault));
            all.filter(names).cloned().collect()
        })
    }
}

#[async_trait]
impl Reveals for Strongroom {
    async fn reveal(&self, right: Use<'_>) -> Result<Secret, RevealError> {
        let (tenant, id) = (right.scope().tenant, right.credential());
        let gone = || RevealError::Gone(id);
        let entry = self.stored(tenant, id).await?.ok_or_else(gone)?;
        if let Auth::EnterpriseManaged(managed) = &entry.body.auth {
            let secret = self.secrets(tenant, id, &entry).await?.client_secret;
            return self.in_name_of(&right, managed, secret).await;
        }
        let entry = self.fresh(tenant, id, entry).await?;
        let secrets = self.secrets(tenant, id, &entry).await?;
        let value = secrets.value.ok_or_else(gone)?;
        if let Auth::McpOauth(McpOauth { bound: true, .. }) = &entry.body.auth {
            let unbound = || RevealError::Unavailable("the key that its token is bound to is not there".into());
            let (keys, kept) = self.proofs.as_ref().zip(secrets.proof_key.as_ref()).ok_or_else(unbound)?;
            keys.bind(&value, Arc::new(ProofKey::open(kept).map_err(RevealError::Unavailable)?));
        }
        Ok(value)
    }
}

impl Strongroom {
    /// A token for the person who is worked for, and for nobody else.
    async fn in_name_of(
        &self,
        right: &Use<'_>,
        managed: &EnterpriseManaged,
        secret: Option<Secret>,
    ) -> Result<Secret, RevealError> {
        let id = right.credential();
        let refused = |why: String| RevealError::NoAccess(id, why);
        let grants = self.grants.as_ref().ok_or_else(|| refused("this server gets none in a person's name".into()))?;
        let person = right.scope().principal.person();
        let subject =
            person.ok_or_else(|| refused("it is used in a person's name, and nobody is worked for".into()))?;
        let EnterpriseManaged { authorization_server, resource, client_id, scope, .. } = managed;
        let client = ResourceClient { id: client_id.clone(), secret };
        let request = AccessRequest {
            tenant: right.scope().tenant,
            subject,
            audience: authorization_server,
            resource,
            scope: scope.as_deref(),
            client: &client,
        };
        grants.access_token(request).await.map_err(|error| match error {
            AccessError::Unavailable(why) => RevealError::Unavailable(why),
            other => refused(other.to_string()),
        })
    }
}

impl From<CredentialError> for VaultError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Store(error) => Self::Store(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}
