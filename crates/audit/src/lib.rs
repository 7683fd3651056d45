//! The receipt log: adds every record to its tenant's Merkle tree, signs what the tree is, and proves what is in it.
//!
//! It runs behind the commits, never in them, and writes nothing but the log. It opens sealed records to know what they
//! are about; what of that it keeps in clear are ids and words of ours.

mod export;
mod feed;
mod index;
mod sequencer;
mod tree;

pub use feed::Fed;

use async_trait::async_trait;
use bailiwick_core::tree as mathematics;
use bailiwick_gate::{GateError, Journal};
use bailiwick_ports::{
    AuditError, Auditor, Clock, Keys, KeysError, LogStore, ModelCards, SecondPlace, Signers, Store, StoreError,
    log::{Export, ExportOf, Inclusion, LogStatus},
};
use bailiwick_types::{StreamId, TenantId};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;

/// What the log is made of.
pub struct Options {
    pub store: Arc<dyn Store>,
    pub log: Arc<dyn LogStore>,
    pub keys: Arc<dyn Keys>,
    pub signers: Arc<dyn Signers>,
    /// Where models are: what is asked of one outside leaves the walls.
    pub cards: Arc<dyn ModelCards>,
    pub clock: Arc<dyn Clock>,
    /// Gets every checkpoint as well.
    pub second_place: Option<Arc<dyn SecondPlace>>,
}

impl Options {
    pub fn build(self) -> Audit {
        Audit(Arc::new(Parts { options: self, logs: Mutex::default() }))
    }
}

/// The receipt log of this server. Clones share it.
#[derive(Clone)]
pub struct Audit(Arc<Parts>);

pub(crate) struct Parts {
    options: Options,
    /// The logs that were opened. Whoever adds leaves or signs holds it.
    logs: Mutex<HashMap<TenantId, sequencer::Log>>,
}

impl Parts {
    /// What opens the records of a stream of this tenant.
    async fn seals(&self, tenant: TenantId, stream: StreamId) -> Result<Seals, AuditError> {
        let head = self.options.store.head(stream).await?.filter(|head| head.tenant == tenant);
        let head = head.ok_or(StoreError::UnknownStream(stream))?;
        match Journal::open(&*self.options.keys, tenant, stream, &head.key) {
            Ok(journal) => Ok(Seals::Open(journal)),
            Err(GateError::Keys(KeysError::Erased)) => Ok(Seals::Erased),
            Err(error) => {
                tracing::error!(%tenant, %stream, %error, "a stream's key does not open: its records can only be proven");
                Ok(Seals::Damaged)
            }
        }
    }
}

/// Whether a stream's records can be read. They are leaves all the same, and can be proven.
enum Seals {
    Open(Journal),
    /// Its key was destroyed.
    Erased,
    /// Its key is there and does not open: nobody should take this for an erasure.
    Damaged,
}

impl Seals {
    fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Open(journal) => Some(journal),
            Self::Erased | Self::Damaged => None,
        }
    }
}

#[async_trait]
impl Auditor for Audit {
    async fn status(&self, tenant: TenantId) -> Result<LogStatus, AuditError> {
        let mut logs = self.0.logs.lock().await;
        // What is wrong with another's log is told there.
        if let Some(error) = self.0.catch_up(&mut logs).await?.remove(&tenant) {
            return Err(error);
        }
        let log = self.0.open(&mut logs, tenant).await?;
        let checkpoint = self.0.sign(tenant, log).await?;
        Ok(LogStatus { origin: log.key.name.clone(), key: log.key.line(), size: checkpoint.size, checkpoint })
    }

    async fn inclusion(
        &self,
        tenant: TenantId,
        stream: StreamId,
        position: u64,
    ) -> Result<Option<Inclusion>, AuditError> {
        let checkpoint = self.status(tenant).await?.checkpoint;
        let Some(index) = self.0.options.log.leaf_of(tenant, stream, position).await? else { return Ok(None) };
        let proof = self.0.inclusion(tenant, index, checkpoint.size).await?;
        Ok(Some(Inclusion { index, checkpoint, proof }))
    }

    async fn consistency(&self, tenant: TenantId, from: u64, to: u64) -> Result<Vec<[u8; 32]>, AuditError> {
        let size = self.0.options.log.log(tenant).await?.map_or(0, |head| head.size);
        if from > to || to > size {
            return Err(AuditError::Invalid(format!("`from` and `to` must be sizes of the log, at most {size}")));
        }
        self.0.read(tenant, |read| mathematics::consistency(from, to, read)).await
    }

    async fn export(&self, tenant: TenantId, of: ExportOf, opened: bool) -> Result<Box<dyn Export>, AuditError> {
        let status = self.status(tenant).await?;
        let signer = {
            let mut logs = self.0.logs.lock().await;
            self.0.open(&mut logs, tenant).await?.signer()
        };
        Ok(Box::new(export::Lines::new(Arc::clone(&self.0), tenant, of, opened, status, signer)))
    }
}
