//! Adds records to their tenants' trees and signs the trees' heads.

use crate::{
    Audit, Parts, Seals,
    index::{self, Entry},
};
use bailiwick_core::tree::{
    Edge, Tile, TileId,
    note::{Checkpoint, Note, VerifierKey, origin},
};
use bailiwick_ports::{
    AuditError, Signer, StoreError, TenantKeyError,
    log::{Advance, Behind, LoggedCheckpoint, MAX_ADVANCE, Run, TileWrite},
    store::SealedRecord,
    tenant_key,
};
use bailiwick_types::{Millis, TenantId, Timestamp};
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How far the tree may be behind the records.
const PACE: Millis = Millis(500);
/// A tree that grew is signed at least this often.
const SIGN_EVERY: Millis = Millis::from_secs(30);
/// Streams that are looked at in one go.
const STREAMS: u32 = 256;
/// Goes of one pass that add leaves, so that a request that wants the newest waits for a bounded time.
const MAX_GOES: usize = 64;
/// Tenants whose logs are kept open.
const MAX_LOGS: usize = 1024;

/// A tenant's log, open.
pub(crate) struct Log {
    pub key: VerifierKey,
    signer: Arc<dyn Signer>,
    edge: Edge,
    newest: Option<LoggedCheckpoint>,
}

impl Log {
    pub fn signer(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.signer)
    }
}

impl Audit {
    /// Keeps the logs up to date until `stop`, and signs them once more at the end.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = Box::pin(stop);
        loop {
            self.work(SIGN_EVERY).await;
            let until = self.0.options.clock.now() + PACE;
            let pause = self.0.options.clock.sleep_until(until);
            if let Either::Right(_) = select(pause, &mut stop).await {
                break;
            }
        }
        self.work(Millis(0)).await;
    }

    /// Adds what is not in the trees, and signs every tree that grew and was not signed for `after`.
    pub async fn work(&self, after: Millis) {
        let mut logs = self.0.logs.lock().await;
        if let Err(error) = self.0.catch_up(&mut logs).await {
            // Nothing is lost: the streams stay behind and are found again.
            tracing::warn!(%error, "the receipt logs could not be extended");
        }
        let now = self.0.options.clock.now();
        for (tenant, log) in logs.iter_mut() {
            if log.is_due(now, after)
                && let Err(error) = self.0.sign(*tenant, log).await
            {
                tracing::error!(%tenant, %error, "the receipt log could not be signed");
            }
        }
    }
}

impl Log {
    fn is_due(&self, now: Timestamp, after: Millis) -> bool {
        let signed = self.newest.as_ref().map_or(0, |newest| newest.size);
        let long_ago = self.newest.as_ref().is_none_or(|newest| now >= newest.time + after);
        self.edge.size() > signed && long_ago
    }
}

impl Parts {
    /// Adds all records that are no leaves when it begins. Whose log could not be extended, and why, is the answer:
    /// nobody else's waits for it.
    pub(crate) async fn catch_up(
        &self,
        logs: &mut HashMap<TenantId, Log>,
    ) -> Result<HashMap<TenantId, AuditError>, AuditError> {
        let (mut failed, mut after, mut goes) = (HashMap::new(), Some(0), 0);
        // Each stream is come to once: what comes meanwhile is of the next pass. Going on for as long as somebody writes
        // would sync once for each of their commits.
        while let Some(from) = after.filter(|_| goes < MAX_GOES) {
            let page = self.options.log.behind(from, STREAMS).await?;
            after = page.next;
            let mut tenants: BTreeMap<TenantId, Vec<Behind>> = BTreeMap::new();
            for one in page.streams.into_iter().filter(|one| !failed.contains_key(&one.tenant)) {
                tenants.entry(one.tenant).or_default().push(one);
            }
            // One that adds nothing is no go, or the streams of a damaged log would keep the others from their turn.
            let mut added = false;
            for (tenant, streams) in tenants {
                match self.extend(logs, tenant, streams).await {
                    Ok(()) => added = true,
                    Err(error) => {
                        tracing::error!(%tenant, %error, "a receipt log could not be extended");
                        // What is known of it may not be what is stored.
                        logs.remove(&tenant);
                        failed.insert(tenant, error);
                    }
                }
            }
            goes += usize::from(added);
        }
        Ok(failed)
    }

    async fn extend(
        &self,
        logs: &mut HashMap<TenantId, Log>,
        tenant: TenantId,
        streams: Vec<Behind>,
    ) -> Result<(), AuditError> {
        let log = self.open(logs, tenant).await?;
        self.sequence(tenant, log, streams).await
    }

    /// A tenant's log, begun where there is none.
    pub(crate) async fn open<'a>(
        &self,
        logs: &'a mut HashMap<TenantId, Log>,
        tenant: TenantId,
    ) -> Result<&'a mut Log, AuditError> {
        if logs.len() >= MAX_LOGS && !logs.contains_key(&tenant) {
            logs.clear();
        }
        match logs.entry(tenant) {
            std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => Ok(place.insert(self.load(tenant).await?)),
        }
    }

    async fn load(&self, tenant: TenantId) -> Result<Log, AuditError> {
        let damaged = |error: String| AuditError::Damaged(error);
        let key = tenant_key(&*self.options.store, &*self.options.keys, tenant).await;
        let key = key.map_err(|error| match error {
            TenantKeyError::Store(error) => error.into(),
            other => damaged(other.to_string()),
        })?;
        let log = &self.options.log;
        let head = match log.log(tenant).await? {
            Some(head) => head,
            None => {
                match log.create_log(tenant, self.options.signers.create(&*key)).await {
                    // Another node was faster.
                    Ok(()) | Err(StoreError::Conflict) => {}
                    Err(error) => return Err(error.into()),
                }
                log.log(tenant).await?.ok_or_else(|| damaged("it was begun and is not there".into()))?
            }
        };
        let signer = self.options.signers.open(&*key, &head.signing_key).map_err(|error| damaged(error.to_string()))?;
        let key = VerifierKey { name: origin(tenant), public_key: signer.public_key() };
        let newest = log.newest_checkpoint(tenant).await?;
        if let Some(newest) = &newest {
            self.check(tenant, head.size, newest).await?;
        }
        Ok(Log { key, signer, edge: self.edge(tenant, head.size).await?, newest })
    }

    /// A tree that is not what was signed before is never signed: that would be a fork under our own name.
    async fn check(&self, tenant: TenantId, size: u64, newest: &LoggedCheckpoint) -> Result<(), AuditError> {
        let said = Note::parse(&newest.note).and_then(|note| Checkpoint::parse(note.text));
        let said = said.map_err(|error| AuditError::Damaged(error.to_string()))?;
        let root = match said.size <= size {
            true => Some(self.root(tenant, said.size).await?),
            false => None,
        };
        match root == Some(said.root) {
            true => Ok(()),
            false => Err(AuditError::Damaged(format!(
                "the tree of {size} leaves does not lead on from the checkpoint of {} leaves; compare the data folder \
                 with a backup",
                said.size
            ))),
        }
    }

    async fn sequence(&self, tenant: TenantId, log: &mut Log, streams: Vec<Behind>) -> Result<(), AuditError> {
        let mut batch = Batch::new(tenant, log.edge.clone());
        for behind in streams {
            let seals = self.seals(tenant, behind.stream).await?;
            let mut after = behind.sequenced;
            while after < behind.position {
                let limit = batch.room().min((behind.position - after) as usize) as u32;
                let records = self.options.store.records(behind.stream, after, limit).await?;
                let Some(last) = records.last() else { break };
                after = last.position;
                self.add(&mut batch, &behind, &seals, &records);
                if batch.room() == 0 {
                    self.write(log, &mut batch).await?;
                }
            }
        }
        self.write(log, &mut batch).await
    }

    fn add(&self, batch: &mut Batch, behind: &Behind, seals: &Seals, records: &[SealedRecord]) {
        let Some(first) = records.first() else { return };
        let (stream, index) = (behind.stream, batch.edge.size());
        batch.advance.runs.push(Run { stream, position: first.position, index, count: records.len() as u64 });
        for sealed in records {
            let index = batch.edge.size();
            batch.edge.push(sealed.leaf, &mut batch.full);
            // It is a leaf all the same: what cannot be read can still be proven.
            let Some(journal) = seals.journal().filter(|_| index::is_receipt(&sealed.kind)) else { continue };
            match journal.open_record(sealed) {
                Ok(record) => match index::entry(stream, index, &record, &*self.options.cards) {
                    Some(Entry::Receipt(row)) => batch.advance.receipts.push(*row),
                    Some(Entry::Outcome(outcome)) => batch.advance.outcomes.push(outcome),
                    None => {}
                },
                Err(error) => {
                    tracing::warn!(%stream, position = sealed.position, %error, "a record could not be indexed");
                }
            }
        }
    }

    async fn write(&self, log: &mut Log, batch: &mut Batch) -> Result<(), AuditError> {
        if batch.advance.runs.is_empty() {
            return Ok(());
        }
        let (tenant, edge) = (batch.advance.tenant, batch.edge.clone());
        let done = std::mem::replace(batch, Batch::new(tenant, edge));
        self.options.log.advance(done.into_advance()).await?;
        log.edge = batch.edge.clone();
        Ok(())
    }

    /// A checkpoint over the tree as it is; the newest one where nothing came since.
    pub(crate) async fn sign(&self, tenant: TenantId, log: &mut Log) -> Result<LoggedCheckpoint, AuditError> {
        let size = log.edge.size();
        if let Some(newest) = log.newest.as_ref().filter(|newest| newest.size == size) {
            return Ok(newest.clone());
        }
        let checkpoint = Checkpoint { origin: log.key.name.clone(), size, root: log.edge.root() };
        let text = checkpoint.text();
        let note = log.key.note(&text, &log.signer.sign(text.as_bytes()));
        let checkpoint = LoggedCheckpoint { size, time: self.options.clock.now(), note };
        self.options.log.put_checkpoint(tenant, checkpoint.clone()).await?;
        log.newest = Some(checkpoint.clone());
        if let Some(second) = &self.options.second_place
            && let Err(error) = second.keep(tenant, checkpoint.clone()).await
        {
            tracing::error!(%tenant, %error, "a checkpoint could not be written to its second place");
        }
        Ok(checkpoint)
    }
}

/// The next leaves in the making.
struct Batch {
    advance: Advance,
    edge: Edge,
    full: BTreeMap<TileId, Tile>,
}

impl Batch {
    fn new(tenant: TenantId, edge: Edge) -> Self {
        let (runs, tiles, receipts, outcomes) = Default::default();
        let advance = Advance { tenant, size: edge.size(), runs, tiles, receipts, outcomes };
        Self { advance, edge, full: BTreeMap::new() }
    }

    /// Leaves that still fit.
    fn room(&self) -> usize {
        MAX_ADVANCE - (self.edge.size() - self.advance.size) as usize
    }

    fn into_advance(self) -> Advance {
        let write = |(id, tile): (TileId, &Tile)| TileWrite {
            level: id.level,
            index: id.index,
            hashes: Bytes::from(tile.concat()),
        };
        let full = self.full.iter().map(|(id, tile)| (*id, tile));
        let tiles = full.chain(self.edge.partial()).map(write).collect();
        Advance { tiles, ..self.advance }
    }
}
