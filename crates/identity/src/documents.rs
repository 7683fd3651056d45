//! Credentials as sealed documents in the store.

use crate::credentials::CredentialError;
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StreamKey, TenantKeys,
    store::{Document, DocumentKind, Page},
};
use bailiwick_types::{KeyId, Principal, TenantId, Timestamp};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Documents of one page of a list.
const PAGE: u32 = 200;

/// Reads and writes sealed documents under their tenants' keys.
pub(crate) struct Documents {
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub administration: Arc<dyn Administration>,
    tenant_keys: TenantKeys,
}

/// A document with its body in the clear.
pub(crate) struct Opened<B> {
    pub id: KeyId,
    pub tenant: TenantId,
    pub version: u32,
    pub created: Timestamp,
    pub handle: String,
    pub body: B,
}

/// A document in the clear, as it was last read or written.
#[derive(Debug, Clone)]
pub(crate) struct Entry<B> {
    pub id: u128,
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub handle: Option<String>,
    pub body: B,
}

impl<B> Entry<B> {
    pub fn first(id: u128, now: Timestamp, handle: Option<String>, body: B) -> Self {
        Self { id, version: 1, created: now, updated: now, handle, body }
    }

    /// The next version, with another body.
    pub fn next(&self, now: Timestamp, body: B) -> Self {
        Self {
            id: self.id,
            version: self.version + 1,
            created: self.created,
            updated: now,
            handle: self.handle.clone(),
            body,
        }
    }
}

impl Documents {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>, administration: Arc<dyn Administration>) -> Self {
        let tenant_keys = TenantKeys::new(Arc::clone(&store), Arc::clone(&keys));
        Self { store, keys, administration, tenant_keys }
    }

    /// A stored document in the clear.
    pub async fn entry<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        document: &Document,
    ) -> Result<Entry<B>, CredentialError> {
        let body = self.unseal(tenant, document).await?;
        let Document { id, version, created, updated, handle, .. } = document.clone();
        Ok(Entry { id, version, created, updated, handle, body })
    }

    /// Writes a document's next version as the change `what` that `by` makes.
    pub async fn put<B: Serialize>(
        &self,
        by: &Principal,
        what: &str,
        details: serde_json::Value,
        kind: DocumentKind,
        document: &Opened<B>,
        updated: Timestamp,
    ) -> Result<(), CredentialError> {
        let Opened { id, tenant, version, created, handle, body } = document;
        let sealed = self.seal(*tenant, (kind, id.to_u128(), *version), body).await?;
        let document = Document {
            kind,
            id: id.to_u128(),
            version: *version,
            created: *created,
            updated,
            handle: Some(handle.clone()),
            sealed,
        };
        let change = Change {
            tenant: *tenant,
            by: by.clone(),
            kind: what.to_owned(),
            target: id.to_string(),
            reason: None,
            details,
            documents: vec![DocumentWrite::Put(document)],
        };
        Ok(self.administration.change(change).await?)
    }

    pub async fn by_handle<B: DeserializeOwned>(
        &self,
        kind: DocumentKind,
        handle: &str,
    ) -> Result<Option<Opened<B>>, CredentialError> {
        match self.store.document_by_handle(kind, handle).await? {
            Some((tenant, document)) => Ok(Some(self.open(tenant, document).await?)),
            None => Ok(None),
        }
    }

    pub async fn by_id<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
        id: KeyId,
    ) -> Result<Option<Opened<B>>, CredentialError> {
        match self.store.document(tenant, kind, id.to_u128(), None).await? {
            Some(document) => Ok(Some(self.open(tenant, document).await?)),
            None => Ok(None),
        }
    }

    /// All of a kind, oldest first.
    pub async fn all<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        kind: DocumentKind,
    ) -> Result<Vec<Opened<B>>, CredentialError> {
        let mut all = Vec::new();
        for document in self.sealed(tenant, kind).await? {
            all.push(self.open(tenant, document).await?);
        }
        Ok(all)
    }

    /// A body as it lies in a version of a document.
    pub async fn seal<B: Serialize>(
        &self,
        tenant: TenantId,
        (kind, id, version): (DocumentKind, u128, u32),
        body: &B,
    ) -> Result<Bytes, CredentialError> {
        // INVARIANT: bodies are structs of strings, numbers and lists of them.
        let plain = Zeroizing::new(serde_json::to_vec(body).expect("a body is JSON"));
        Ok(self.tenant_key(tenant).await?.seal(&kind.context(id, version), &plain).into())
    }

    pub async fn unseal<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        document: &Document,
    ) -> Result<B, CredentialError> {
        let context = document.kind.context(document.id, document.version);
        let plain = Zeroizing::new(self.tenant_key(tenant).await?.unseal(&context, &document.sealed)?);
        serde_json::from_slice(&plain).map_err(|_| CredentialError::Unreadable)
    }

    /// Every document of a kind as it lies in the store, oldest first.
    pub async fn sealed(&self, tenant: TenantId, kind: DocumentKind) -> Result<Vec<Document>, CredentialError> {
        let mut all = Vec::new();
        let mut page = Page { limit: PAGE, ..Page::default() };
        while let Some((documents, more)) = self.store.documents(tenant, kind, page.clone()).await? {
            let Some(last) = documents.last().map(|document| document.id) else { break };
            page.after = Some(last);
            all.extend(documents);
            if !more {
                break;
            }
        }
        Ok(all)
    }

    async fn open<B: DeserializeOwned>(
        &self,
        tenant: TenantId,
        document: Document,
    ) -> Result<Opened<B>, CredentialError> {
        let body = self.unseal(tenant, &document).await?;
        Ok(Opened {
            id: KeyId::from_u128(document.id),
            tenant,
            version: document.version,
            created: document.created,
            handle: document.handle.unwrap_or_default(),
            body,
        })
    }

    pub async fn tenant_key(&self, tenant: TenantId) -> Result<Arc<dyn StreamKey>, CredentialError> {
        Ok(self.tenant_keys.get(tenant).await?)
    }
}
