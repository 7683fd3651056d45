//! Changes to what a tenant's administration keeps: agents, people, policies, budgets, keys.
//!
//! Every change is a record of the tenant's own stream, written in one transaction with the documents that it
//! changes, so that "who changed this, when and why" has one answer.

use crate::{StoreError, store::Document, store::DocumentKind};
use async_trait::async_trait;
use bailiwick_types::{Principal, StreamId, TenantId, Timestamp, UserId};
use serde_json::Value;

/// One administrative change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub tenant: TenantId,
    /// Who made it.
    pub by: Principal,
    /// What happened, as `thing.happened`: `agent.published`, `user.disabled`, `policy.applied`.
    pub kind: String,
    /// The id of what changed, with its prefix.
    pub target: String,
    /// In the words of whoever made it.
    pub reason: Option<String>,
    /// What a reader of the receipt needs beyond that. Never a secret.
    pub details: Value,
    /// What the change writes, all or nothing.
    pub documents: Vec<DocumentWrite>,
}

/// What a change does to what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentWrite {
    /// As `Store::put_document`: the version must follow the stored one, else nothing is written.
    Put(Document),
    /// As `Store::remove_document`: nothing to remove is not an error.
    Remove { kind: DocumentKind, id: u128 },
    /// Destroys the key of a person that was made up to `until`: nothing below it opens again. None is not an error.
    DestroyKey { person: UserId, until: Timestamp },
    /// Destroys the key of one stream, which must not be the tenant's own. None is not an error.
    DestroyStreamKey { stream: StreamId },
}

/// Writes changes down.
#[async_trait]
pub trait Administration: Send + Sync {
    /// Writes the record and the documents in one transaction. [`StoreError::Conflict`] when a document was changed
    /// meanwhile: read it again and decide anew.
    async fn change(&self, change: Change) -> Result<(), StoreError>;
}
