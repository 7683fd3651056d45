//! Where people see what is remembered, correct it, confirm it and have it erased.
//!
//! Each change has a record in the tenant's administration. For a new text it is written first, so that nothing is
//! changed without one; for an erasure afterwards, with a note that outlives a crash, so that nothing is said to be gone
//! that is not.

use crate::book::{Book, Note};
use async_trait::async_trait;
use bailiwick_core::{
    Integrity, Label, MemoryEntry, MemorySource, MemoryState,
    memory::{query, text},
};
use bailiwick_ports::{
    Administration, Change, Clock, Random,
    memory::{Forgotten, Holder, MemoryCount, MemoryDesk, MemoryError, MemoryNote, MemoryQuery, Precondition, Within},
};
use bailiwick_types::{MemoryId, Principal, TenantId, Timestamp, UserId};
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Receipts of erasures that are written together after a start.
const CATCH_UP: u32 = 500;

/// The desk. Clones share it.
#[derive(Clone)]
pub struct Desk {
    book: Book,
    administration: Arc<dyn Administration>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Desk {
    pub fn new(
        book: Book,
        administration: Arc<dyn Administration>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { book, administration, clock, random }
    }

    /// Writes the receipts of erasures that a crash left without. To be called after a start.
    pub async fn catch_up(&self) -> Result<(), MemoryError> {
        loop {
            let left = self.book.unreceipted(CATCH_UP).await?;
            if left.is_empty() {
                return Ok(());
            }
            for forgotten in left {
                self.receipt(forgotten).await?;
            }
        }
    }

    async fn receipt(&self, forgotten: Forgotten) -> Result<(), MemoryError> {
        let Forgotten { tenant, id, holder, version, at, by } = forgotten;
        let details = json!({"scope": holder.scope(), "holder": shown(holder), "version": version, "at": at});
        self.record(tenant, &by, "memory.forgotten", id, details).await?;
        self.book.receipted(tenant, id).await
    }

    async fn record(
        &self,
        tenant: TenantId,
        by: &Principal,
        kind: &str,
        id: MemoryId,
        details: Value,
    ) -> Result<(), MemoryError> {
        let (by, kind, target) = (by.clone(), kind.to_owned(), id.to_string());
        let change = Change { tenant, by, kind, target, reason: None, details, documents: Vec::new() };
        Ok(self.administration.change(change).await?)
    }

    /// The entry, if it is still the version that somebody saw.
    async fn seen(&self, within: &Within, id: MemoryId, version: u32) -> Result<MemoryEntry, MemoryError> {
        let entry = self.book.get(within, id).await?;
        if entry.version == version { Ok(entry) } else { Err(MemoryError::Version(entry.version)) }
    }
}

/// The id of whose it is, with its prefix.
fn shown(holder: Holder) -> Option<String> {
    match holder {
        Holder::Person(id) => Some(id.to_string()),
        Holder::Team(id) => Some(id.to_string()),
        Holder::Agent(id) => Some(id.to_string()),
        Holder::Tenant => None,
    }
}

fn invalid(field: &'static str) -> impl Fn(String) -> MemoryError {
    move |problem| MemoryError::Invalid { field, problem }
}

#[async_trait]
impl MemoryDesk for Desk {
    async fn list(&self, within: &Within, query: &MemoryQuery) -> Result<(Vec<MemoryEntry>, bool), MemoryError> {
        self.book.list(within, query).await
    }

    async fn search(&self, within: &Within, asked: &str, limit: u32) -> Result<Vec<MemoryEntry>, MemoryError> {
        let asked = query(asked).map_err(invalid("query"))?;
        self.book.search(within, &asked, &BTreeSet::new(), limit).await
    }

    async fn get(&self, within: &Within, id: MemoryId) -> Result<MemoryEntry, MemoryError> {
        self.book.get(within, id).await
    }

    async fn write(&self, tenant: TenantId, note: MemoryNote, by: &Principal) -> Result<MemoryEntry, MemoryError> {
        let MemoryNote { holder, kind, text: given } = note;
        let text = text(&given).map_err(invalid("text"))?;
        let at = self.clock.now();
        let id = MemoryId::new(at, self.random.id_bytes());
        let details = json!({"scope": holder.scope(), "holder": shown(holder), "kind": kind});
        self.record(tenant, by, "memory.written", id, details).await?;
        let note = Note { kind, text, label: Label::default(), source: source(by), at };
        Ok(self.book.remember(tenant, id, holder, note).await?.into_entry())
    }

    async fn correct(
        &self,
        within: &Within,
        id: MemoryId,
        version: u32,
        given: &str,
        by: &Principal,
    ) -> Result<MemoryEntry, MemoryError> {
        let text = text(given).map_err(invalid("text"))?;
        let before = self.seen(within, id, version).await?;
        // The words are the person's now; who may see them does not change with them.
        let label = Label { integrity: Integrity::Trusted, ..before.label.clone() };
        let details = json!({"scope": before.scope, "version": version + 1, "before": before.state, "label": label});
        self.record(within.tenant, by, "memory.corrected", id, details).await?;
        let note = Note { kind: before.kind, text, label, source: source(by), at: self.clock.now() };
        let wanted = Precondition { version, action: None };
        self.book.rewrite(within, id, wanted, MemoryState::Confirmed, note).await
    }

    async fn confirm(
        &self,
        within: &Within,
        id: MemoryId,
        version: u32,
        by: &Principal,
    ) -> Result<MemoryEntry, MemoryError> {
        let before = self.seen(within, id, version).await?;
        if before.state == MemoryState::Confirmed {
            return Ok(before);
        }
        let label = Label { integrity: Integrity::Trusted, ..before.label.clone() };
        let details = json!({
            "scope": before.scope, "version": version + 1, "label_before": before.label, "label": label,
        });
        self.record(within.tenant, by, "memory.confirmed", id, details).await?;
        let source = MemorySource { confirmed_by: Some(by.clone()), ..before.source };
        let note = Note { kind: before.kind, text: before.text, label, source, at: self.clock.now() };
        let wanted = Precondition { version, action: None };
        self.book.rewrite(within, id, wanted, MemoryState::Confirmed, note).await
    }

    async fn forget(
        &self,
        within: &Within,
        id: MemoryId,
        version: Option<u32>,
        by: &Principal,
    ) -> Result<(), MemoryError> {
        let (holder, at) = (self.book.holder(within, id).await?, self.clock.now());
        let found = match version {
            Some(version) => version,
            None => self.book.get(within, id).await.map(|entry| entry.version).unwrap_or_default(),
        };
        self.book.forget(within, id, version, Some((by.clone(), at))).await?;
        let (tenant, by) = (within.tenant, by.clone());
        self.receipt(Forgotten { tenant, id, holder, version: found, at, by }).await
    }

    async fn counts(&self, tenant: TenantId) -> Result<Vec<MemoryCount>, MemoryError> {
        self.book.counts(tenant).await
    }

    async fn erase_person(&self, tenant: TenantId, person: UserId, until: Timestamp) -> Result<u64, MemoryError> {
        self.book.forget_all(tenant, Holder::Person(person), until).await
    }
}

fn source(by: &Principal) -> MemorySource {
    MemorySource { by: by.clone(), session: None, action: None, consolidated_by: None, confirmed_by: None }
}
