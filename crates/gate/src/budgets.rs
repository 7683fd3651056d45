//! The budgets of each tenant, as the gate asks them.

use crate::{GateError, shelf::Shelf};
use bailiwick_core::Budget;
use bailiwick_ports::{
    Administration, Change, DocumentWrite, Keys, Store, StoreError, StreamKey,
    store::{Document, DocumentKind},
};
use bailiwick_types::{BudgetId, Money, Principal, TenantId, Timestamp};
use serde_json::json;
use std::sync::Arc;

/// Budgets of one tenant.
pub const MAX_BUDGETS: usize = 1000;
/// Writers that meet each other try again this often.
const MAX_CONFLICTS: usize = 4;

/// The budgets of each tenant.
pub struct Budgets(Shelf<KnownBudget>);

/// A budget with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBudget {
    pub id: BudgetId,
    /// Its name in the ledger.
    pub account: String,
    pub budget: Budget,
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum BudgetError {
    #[error("there are {MAX_BUDGETS} budgets already; remove one first")]
    TooMany,
    #[error("there is no budget {0}")]
    Unknown(BudgetId),
    #[error(transparent)]
    Gate(#[from] GateError),
}

impl From<StoreError> for BudgetError {
    fn from(error: StoreError) -> Self {
        Self::Gate(error.into())
    }
}

impl Budgets {
    pub fn new(store: Arc<dyn Store>, keys: Arc<dyn Keys>) -> Self {
        Self(Shelf::new(store, keys, DocumentKind::Budget, MAX_BUDGETS, open))
    }

    /// The budgets of a tenant whose session is being driven.
    pub(crate) fn of(&self, tenant: TenantId) -> Option<Arc<[KnownBudget]>> {
        self.0.known(tenant)
    }

    /// All budgets of a tenant, oldest first.
    pub async fn list(&self, tenant: TenantId) -> Result<Arc<[KnownBudget]>, GateError> {
        self.0.list(tenant).await
    }

    /// Reads them again. To be called after every change, before it is answered.
    pub async fn refresh(&self, tenant: TenantId) -> Result<Arc<[KnownBudget]>, GateError> {
        self.0.refresh(tenant).await
    }

    /// Sets the limit of the budget of this payer, window and kind, which is made where there is none. It counts from the
    /// next decision on.
    pub async fn set(
        &self,
        administration: &dyn Administration,
        by: &Principal,
        tenant: TenantId,
        budget: Budget,
        at: Timestamp,
    ) -> Result<KnownBudget, BudgetError> {
        let id = budget.id(tenant);
        for _ in 0..MAX_CONFLICTS {
            let known = self.refresh(tenant).await?;
            let before = known.iter().find(|known| known.id == id);
            if before.is_none() && known.len() >= MAX_BUDGETS {
                return Err(BudgetError::TooMany);
            }
            let version = before.map_or(1, |before| before.version + 1);
            let created = before.map_or(at, |before| before.created);
            let document = seal(&*self.0.key(tenant).await?, id, version, created, at, &budget);
            let details = json!({"budget": budget, "limit_before": before.map(|before| before.budget.limit)});
            let change = Change {
                tenant,
                by: by.clone(),
                kind: "budget.set".into(),
                target: id.to_string(),
                reason: None,
                details,
                documents: vec![DocumentWrite::Put(document)],
            };
            match administration.change(change).await {
                Err(StoreError::Conflict) => {}
                done => {
                    done?;
                    self.refresh(tenant).await?;
                    let (account, updated) = (id.to_string(), at);
                    return Ok(KnownBudget { id, account, budget, version, created, updated });
                }
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Takes a limit away. What was counted for it stays, should it be set again.
    pub async fn remove(
        &self,
        administration: &dyn Administration,
        by: &Principal,
        tenant: TenantId,
        id: BudgetId,
    ) -> Result<(), BudgetError> {
        let known = self.refresh(tenant).await?;
        let known = known.iter().find(|known| known.id == id).ok_or(BudgetError::Unknown(id))?;
        let change = Change {
            tenant,
            by: by.clone(),
            kind: "budget.removed".into(),
            target: id.to_string(),
            reason: None,
            details: json!({"budget": known.budget}),
            documents: vec![DocumentWrite::Remove { kind: DocumentKind::Budget, id: id.to_u128() }],
        };
        administration.change(change).await?;
        self.refresh(tenant).await?;
        Ok(())
    }
}

/// One version of a budget as the store keeps it.
pub fn seal(
    key: &dyn StreamKey,
    id: BudgetId,
    version: u32,
    created: Timestamp,
    updated: Timestamp,
    budget: &Budget,
) -> Document {
    let kind = DocumentKind::Budget;
    let plain = json!(budget).to_string();
    let sealed = key.seal(&kind.context(id.to_u128(), version), plain.as_bytes()).into();
    Document { kind, id: id.to_u128(), version, created, updated, handle: None, sealed }
}

fn open(key: &dyn StreamKey, document: &Document) -> Result<KnownBudget, GateError> {
    let Document { kind, id, version, created, updated, ref sealed, .. } = *document;
    let plain = key.unseal(&kind.context(id, version), sealed)?;
    let budget: Budget = serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))?;
    let id = BudgetId::from_u128(id);
    Ok(KnownBudget { id, account: id.to_string(), budget, version, created, updated })
}

/// A limit that can be: above nothing, and not beyond what sums can hold.
pub fn check_limit(limit: Money) -> Result<Money, String> {
    match limit.as_micros() {
        1.. if limit <= bailiwick_core::budget::MAX_LIMIT => Ok(limit),
        _ => Err(format!("a limit is above 0 and at most {}", bailiwick_core::budget::MAX_LIMIT)),
    }
}
