//! The receipt log in memory.

use super::memory::MemoryStore;
use async_trait::async_trait;
use bailiwick_ports::{
    LogStore, StoreError,
    log::{
        Advance, Behind, BehindPage, LogHead, LoggedCheckpoint, MAX_PAGE, ReceiptFilter, ReceiptQuery, ReceiptRow, Run,
        Tally,
    },
    store::SealedRecord,
};
use bailiwick_types::{ActionId, AgentId, SessionId, StreamId, TenantId};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

#[derive(Default)]
pub(super) struct Logs {
    logs: BTreeMap<TenantId, Log>,
    sequenced: HashMap<StreamId, u64>,
}

struct Log {
    size: u64,
    signing_key: Bytes,
    runs: Vec<Run>,
    tiles: HashMap<(u8, u64), Bytes>,
    receipts: BTreeMap<u64, ReceiptRow>,
    checkpoints: BTreeMap<u64, LoggedCheckpoint>,
}

impl Logs {
    fn sequenced(&self, stream: StreamId) -> u64 {
        self.sequenced.get(&stream).copied().unwrap_or_default()
    }

    /// Whether every run begins where its stream was sequenced to.
    fn follows(&self, advance: &Advance) -> Result<HashMap<StreamId, u64>, StoreError> {
        let mut ends: HashMap<StreamId, u64> = HashMap::new();
        for run in &advance.runs {
            let known = ends.get(&run.stream).copied();
            match known.unwrap_or_else(|| self.sequenced(run.stream)) + 1 == run.position {
                true => ends.insert(run.stream, run.position + run.count - 1),
                false if known.is_some() => return Err(StoreError::Malformed("`runs` have a gap".into())),
                false => return Err(StoreError::Conflict),
            };
        }
        Ok(ends)
    }
}

fn may_have_left(row: &ReceiptRow) -> bool {
    row.decision == "allowed" && row.outcome.as_ref().is_none_or(|outcome| outcome.effect != "not_sent")
}

fn matches(filter: &ReceiptFilter, row: &ReceiptRow) -> bool {
    fn is<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
        wanted.as_ref().is_none_or(|wanted| Some(wanted) == found)
    }
    is(&filter.kind, Some(&row.kind))
        && is(&filter.orderer, row.orderer.as_ref())
        && is(&filter.person, row.person.as_ref())
        && is(&filter.agent, row.agent.as_ref())
        && is(&filter.session, Some(&SessionId::from(row.stream)))
        && is(&filter.operation, Some(&row.operation))
        && is(&filter.decision, Some(&row.decision))
        && is(&filter.effect, row.outcome.as_ref().map(|outcome| &outcome.effect))
        && (!(filter.leaves || filter.left) || row.leaves)
        && (!filter.left || may_have_left(row))
        && filter.credential.is_none_or(|wanted| row.credentials.contains(&wanted))
        && filter.from.is_none_or(|from| row.time >= from)
        && filter.until.is_none_or(|until| row.time < until)
}

#[async_trait]
impl LogStore for MemoryStore {
    async fn behind(&self, after: u64, limit: u32) -> Result<BehindPage, StoreError> {
        let (state, logs) = (self.state(), self.logs());
        let mut page = BehindPage::default();
        for (place, (stream, tenant, position)) in (1..).zip(state.heads()) {
            let sequenced = logs.sequenced(stream);
            if place > after && position > sequenced {
                page.streams.push(Behind { tenant, stream, sequenced, position });
                if page.streams.len() == limit as usize {
                    page.next = Some(place);
                    break;
                }
            }
        }
        Ok(page)
    }

    async fn log(&self, tenant: TenantId) -> Result<Option<LogHead>, StoreError> {
        let head = |log: &Log| LogHead { size: log.size, signing_key: log.signing_key.clone() };
        Ok(self.logs().logs.get(&tenant).map(head))
    }

    async fn create_log(&self, tenant: TenantId, signing_key: Bytes) -> Result<(), StoreError> {
        let mut logs = self.logs();
        if logs.logs.contains_key(&tenant) {
            return Err(StoreError::Conflict);
        }
        let (runs, tiles, receipts, checkpoints) = Default::default();
        logs.logs.insert(tenant, Log { size: 0, signing_key, runs, tiles, receipts, checkpoints });
        Ok(())
    }

    async fn advance(&self, advance: Advance) -> Result<(), StoreError> {
        let size = advance.check()?;
        let state = self.state();
        let mut logs = self.logs();
        if logs.logs.get(&advance.tenant).is_none_or(|log| log.size != advance.size) {
            return Err(StoreError::Conflict);
        }
        let ends = logs.follows(&advance)?;
        let ours = |stream: &StreamId, end: u64| {
            state.stream(*stream).is_ok_and(|stream| {
                let head = stream.head();
                head.tenant == advance.tenant && head.position >= end
            })
        };
        if !ends.iter().all(|(stream, end)| ours(stream, *end)) {
            return Err(StoreError::Conflict);
        }
        logs.sequenced.extend(ends);
        let Some(log) = logs.logs.get_mut(&advance.tenant) else { return Err(StoreError::Conflict) };
        log.size = size;
        log.runs.extend(advance.runs);
        log.tiles.extend(advance.tiles.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)));
        log.receipts.extend(advance.receipts.into_iter().map(|row| (row.index, row)));
        for outcome in advance.outcomes {
            let of = |row: &&mut ReceiptRow| row.action == Some(outcome.action) && row.stream == outcome.stream;
            if let Some(row) = log.receipts.values_mut().filter(of).max_by_key(|row| row.position) {
                row.outcome = Some(outcome.settlement.clone());
            }
        }
        Ok(())
    }

    async fn tiles(&self, tenant: TenantId, wanted: &[(u8, u64)]) -> Result<Vec<Bytes>, StoreError> {
        let logs = self.logs();
        let log = logs.logs.get(&tenant);
        let tile = |id| log.and_then(|log| log.tiles.get(id)).cloned().unwrap_or_default();
        Ok(wanted.iter().map(tile).collect())
    }

    async fn leaf_of(&self, tenant: TenantId, stream: StreamId, position: u64) -> Result<Option<u64>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.logs.get(&tenant) else { return Ok(None) };
        let holds = |run: &&Run| run.stream == stream && (run.position..run.position + run.count).contains(&position);
        Ok(log.runs.iter().find(holds).map(|run| run.index + position - run.position))
    }

    async fn sequenced(
        &self,
        tenant: TenantId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StreamId, SealedRecord)>, StoreError> {
        let (state, logs) = (self.state(), self.logs());
        let Some(log) = logs.logs.get(&tenant) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for run in log.runs.iter().filter(|run| run.index + run.count > from) {
            for at in from.saturating_sub(run.index)..run.count {
                if found.len() < limit as usize {
                    let record = &state.stream(run.stream)?.records[(run.position + at - 1) as usize];
                    found.push((run.index + at, run.stream, record.clone()));
                }
            }
        }
        Ok(found)
    }

    async fn put_checkpoint(&self, tenant: TenantId, checkpoint: LoggedCheckpoint) -> Result<(), StoreError> {
        if let Some(log) = self.logs().logs.get_mut(&tenant) {
            log.checkpoints.entry(checkpoint.size).or_insert(checkpoint);
        }
        Ok(())
    }

    async fn checkpoints(&self, tenant: TenantId, after: u64, limit: u32) -> Result<Vec<LoggedCheckpoint>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.logs.get(&tenant) else { return Ok(Vec::new()) };
        Ok(log.checkpoints.range(after + 1..).take(limit as usize).map(|(_, one)| one.clone()).collect())
    }

    async fn newest_checkpoint(&self, tenant: TenantId) -> Result<Option<LoggedCheckpoint>, StoreError> {
        Ok(self.logs().logs.get(&tenant).and_then(|log| log.checkpoints.values().last().cloned()))
    }

    async fn receipt(&self, tenant: TenantId, action: ActionId) -> Result<Option<ReceiptRow>, StoreError> {
        let logs = self.logs();
        let rows = logs.logs.get(&tenant).into_iter().flat_map(|log| log.receipts.values());
        let of = |row: &&ReceiptRow| row.action == Some(action);
        Ok(rows.into_iter().filter(of).max_by_key(|row| row.position).cloned())
    }

    async fn receipts(
        &self,
        tenant: TenantId,
        query: &ReceiptQuery,
    ) -> Result<Option<(Vec<ReceiptRow>, bool)>, StoreError> {
        let logs = self.logs();
        let Some(log) = logs.logs.get(&tenant) else { return Ok(Some((Vec::new(), false))) };
        let mut found: Vec<&ReceiptRow> = log.receipts.values().collect();
        found.sort_by_key(|row| (row.time, row.index));
        if query.descending {
            found.reverse();
        }
        if let Some(after) = query.after {
            let Some(at) = found.iter().position(|row| row.index == after) else { return Ok(None) };
            found.drain(..=at);
        }
        found.retain(|row| matches(&query.filter, row));
        let limit = query.limit.min(MAX_PAGE) as usize;
        let more = found.len() > limit;
        Ok(Some((found.into_iter().take(limit).cloned().collect(), more)))
    }

    async fn tally(&self, tenant: TenantId, agent: AgentId) -> Result<Vec<Tally>, StoreError> {
        let logs = self.logs();
        let mut tallies: BTreeMap<(String, String), Tally> = BTreeMap::new();
        let rows = logs.logs.get(&tenant).into_iter().flat_map(|log| log.receipts.values());
        for row in rows.filter(|row| row.agent == Some(agent)) {
            let key = (row.operation.clone(), row.decision.clone());
            let (operation, decision) = key.clone();
            let tally = tallies.entry(key).or_insert(Tally { operation, decision, count: 0, last: row.time });
            tally.count += 1;
            tally.last = tally.last.max(row.time);
        }
        Ok(tallies.into_values().collect())
    }
}
