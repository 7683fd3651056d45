//! The grants of each tenant, as the gate asks them.
//!
//! What ended stays readable for a while, so that a receipt that names a grant can be understood; the record of the
//! tenant's administration that made it stays for good.

use crate::{GateError, shelf::Shelf};
use bailiwick_core::{Grant, What, grant::Revocation};
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{GrantId, Principal, TenantId, Timestamp};
use serde_json::json;
use std::sync::Arc;

/// Grants of one tenant that hold at the same time.
pub const MAX_GRANTS: usize = 1000;
/// Of these, given by one person.
pub const MAX_GRANTS_OF_ONE: usize = 200;
/// With those that have ended, of which the oldest go first.
const MAX_KEPT: usize = 2000;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// The grants of each tenant.
pub struct Grants(Shelf<Grant>);

#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("there are {MAX_GRANTS} grants already; revoke one first")]
    TooMany,
    #[error("you have given {MAX_GRANTS_OF_ONE} grants already; revoke one first")]
    TooManyOfOne,
    #[error("there is no such grant")]
    Unknown,
    /// It was revoked, or its time is over.
    #[error("this grant has ended already")]
    Ended,
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for GrantError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

impl Grants {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::Grant, MAX_KEPT, open))
    }

    /// Those of a tenant that were read already: of every tenant whose session is being driven.
    pub(crate) fn known(&self, tenant: TenantId) -> Option<Arc<[Grant]>> {
        self.0.known(tenant)
    }

    /// All grants of a tenant that are kept, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[Grant]>, GateError> {
        self.0.list(tenant).await
    }

    /// One grant, whether it holds or not.
    pub async fn find(&self, tenant: TenantId, id: GrantId) -> Result<Option<Grant>, GateError> {
        Ok(self.list(tenant).await?.iter().find(|grant| grant.id == id).cloned())
    }

    /// Holds from here on. The caller has checked who gives it and what; the same given twice is one grant.
    pub async fn give(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        grant: Grant,
    ) -> Result<Grant, GrantError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            let now = grant.since;
            let same = |one: &&Grant| (&one.what, &one.by, one.until) == (&grant.what, &grant.by, grant.until);
            if let Some(there) = known.iter().filter(|one| one.is_live(now)).find(same) {
                return Ok(there.clone());
            }
            check_room(&known, &grant, now)?;
            let key = self.0.key(tenant).await?;
            let mut documents = vec![DocumentWrite::Put(seal(&*key, &grant, 1, now))];
            let ended = known.iter().filter(|one| !one.is_live(now));
            let gone = ended.take((known.len() + 1).saturating_sub(MAX_KEPT));
            documents.extend(gone.map(|one| DocumentWrite::Remove { kind: DocumentKind::Grant, id: one.id.to_u128() }));
            let change = change(tenant, &grant.by, "grant.given", &grant, grant.reason.clone(), documents);
            match administration.change(change).await {
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    self.0.refresh(tenant).await?;
                    return Ok(grant);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// It holds no longer: for nothing that is decided after this returns.
    pub async fn revoke(
        &self,
        administration: &dyn Administration,
        tenant: TenantId,
        id: GrantId,
        revocation: Revocation,
    ) -> Result<Grant, GrantError> {
        for _ in 0..MAX_CONFLICTS {
            let known = self.0.refresh(tenant).await?;
            let grant = known.iter().find(|known| known.id == id).ok_or(GrantError::Unknown)?;
            if !grant.is_live(revocation.at) {
                return Err(GrantError::Ended);
            }
            let (by, at, reason) = (revocation.by.clone(), revocation.at, revocation.reason.clone());
            let grant = Grant { revoked: Some(revocation.clone()), ..grant.clone() };
            let document = seal(&*self.0.key(tenant).await?, &grant, 2, at);
            let change = change(tenant, &by, "grant.revoked", &grant, reason, vec![DocumentWrite::Put(document)]);
            match administration.change(change).await {
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    self.0.refresh(tenant).await?;
                    return Ok(grant);
                }
            }
        }
        Err(StoreError::Conflict.into())
    }
}

fn check_room(known: &[Grant], grant: &Grant, now: Timestamp) -> Result<(), GrantError> {
    let live = known.iter().filter(|one| one.is_live(now));
    if live.clone().count() >= MAX_GRANTS {
        return Err(GrantError::TooMany);
    }
    let personal = matches!(grant.by, Principal::User { .. });
    if personal && live.filter(|one| one.by == grant.by).count() >= MAX_GRANTS_OF_ONE {
        return Err(GrantError::TooManyOfOne);
    }
    Ok(())
}

fn change(
    tenant: TenantId,
    by: &Principal,
    kind: &str,
    grant: &Grant,
    reason: Option<String>,
    documents: Vec<DocumentWrite>,
) -> Change {
    let what = match &grant.what {
        What::Subject { .. } => "subject",
        What::Relay { .. } => "relay",
        What::Standing(_) => "standing",
    };
    let details = json!({"kind": what, "grant": grant});
    let (kind, target) = (kind.to_owned(), grant.id.to_string());
    Change { tenant, by: by.clone(), kind, target, reason, details, documents }
}

fn seal(key: &dyn StreamKey, grant: &Grant, version: u32, updated: Timestamp) -> Document {
    let (kind, id) = (DocumentKind::Grant, grant.id.to_u128());
    let plain = json!(grant).to_string();
    let sealed = key.seal(&kind.context(id, version), plain.as_bytes()).into();
    Document { kind, id, version, created: grant.since, updated, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<Grant, GateError> {
    let Document { kind, id, version, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
}
