//! Changes to what a tenant's administration keeps: agents, people, policies, budgets, keys.
//!
//! Every change is a record of the tenant's own stream, written in one transaction with the documents that it
//! changes, so that "who changed this, when and why" has one answer.

use crate::{StoreError, store::Document, store::DocumentKind};
use async_trait::async_trait;
use bailiwick_types::{Principal, TenantId};
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentWrite {
    /// As `Store::put_document`: the version must follow the stored one, else nothing is written.
    Put(Document),
    /// As `Store::remove_document`: nothing to remove is not an error.
    Remove { kind: DocumentKind, id: u128 },
}

/// Writes changes down.
#[async_trait]
pub trait Administration: Send + Sync {
    /// Writes the record and the documents in one transaction. [`StoreError::Conflict`] when a document was changed
    /// meanwhile: read it again and decide anew.
    async fn change(&self, change: Change) -> Result<(), StoreError>;
}
