//! `ports::LogStore`: the receipt log's tables.
//!
//! A log's number and a leaf's index make one integer, `log << 40 | index`, as `place` does elsewhere. Leaves are not
//! rows: their hashes are in tiles, and which records they are is in `runs`, one for every stretch of a stream that was
//! sequenced at once. So a million receipts are some thousand tiles, and the index rows that questions need.

use super::{
    SqliteStore,
    columns::{bytes_at, id_at, number_at, optional_id_at, time_at},
    error::{Error, damaged},
    read::Reader,
    statement::{Statement, integer},
    transaction::Transaction,
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    LogStore, StoreError,
    log::{
        Advance, Behind, BehindPage, LogHead, LoggedCheckpoint, MAX_PAGE, ReceiptFilter, ReceiptKind, ReceiptOutcome,
        ReceiptQuery, ReceiptRow, Run, Settlement, Tally, TileWrite,
    },
    store::{MAX_POSITION, SealedRecord},
};
use bailiwick_types::{ActionId, AgentId, CredentialId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use rusqlite::Row;
use std::collections::HashSet;

/// The step of the schema that makes the log's tables.
pub const TABLES: &str = r"
-- Records up to here are leaves of the tenant's log.
ALTER TABLE streams ADD COLUMN sequenced INTEGER NOT NULL DEFAULT 0;

CREATE TABLE logs(
    no INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    signing_key BLOB NOT NULL
);

CREATE TABLE tiles(
    place INTEGER PRIMARY KEY, -- log << 48, level << 40, index
    hashes BLOB NOT NULL
);

CREATE TABLE runs(
    place INTEGER PRIMARY KEY, -- stream, position of the first record
    leaf INTEGER NOT NULL, -- log, index of the first record
    count INTEGER NOT NULL
);
CREATE UNIQUE INDEX runs_leaf ON runs(leaf);

CREATE TABLE checkpoints(
    place INTEGER PRIMARY KEY, -- log, size
    time INTEGER NOT NULL,
    note TEXT NOT NULL
);

CREATE TABLE receipts(
    leaf INTEGER PRIMARY KEY, -- log, index
    place INTEGER NOT NULL, -- stream, position
    kind INTEGER NOT NULL,
    action BLOB,
    operation TEXT NOT NULL,
    decision TEXT NOT NULL,
    orderer TEXT,
    person BLOB,
    agent BLOB,
    time INTEGER NOT NULL,
    leaves INTEGER NOT NULL,
    settled INTEGER, -- position of the outcome
    effect TEXT,
    cost INTEGER
);
CREATE INDEX receipts_time ON receipts(leaf >> 40, time, leaf);
CREATE INDEX receipts_action ON receipts(action) WHERE action IS NOT NULL;
CREATE INDEX receipts_orderer ON receipts(orderer, time, leaf) WHERE orderer IS NOT NULL;
CREATE INDEX receipts_person ON receipts(person, time, leaf) WHERE person IS NOT NULL;
CREATE INDEX receipts_agent ON receipts(agent, time, leaf, operation, decision) WHERE agent IS NOT NULL;
CREATE INDEX receipts_leaves ON receipts(leaf >> 40, time, leaf) WHERE leaves;
";

/// By which secrets a receipt is found.
pub const USES: &str = r"
CREATE TABLE receipt_credentials(
    credential BLOB NOT NULL,
    leaf INTEGER NOT NULL, -- log, index
    PRIMARY KEY (credential, leaf)
) WITHOUT ROWID;
";

/// Bits of a leaf's index.
const INDEX_BITS: u32 = 40;
const MAX_INDEX: u64 = (1 << INDEX_BITS) - 1;
/// Rows of one `VALUES`.
const CHUNK: usize = 32;
/// Streams that are looked at in one step of the scan.
const SCAN_STEP: i64 = 10_000;
const RECEIPT: &str = "SELECT r.leaf, s.id, r.place, r.kind, r.action, r.operation, r.decision, r.orderer, r.person, \
                       r.agent, r.time, r.leaves, r.settled, r.effect, r.cost FROM ";

fn leaf(log: i64, index: u64) -> i64 {
    log << INDEX_BITS | integer(index.min(MAX_INDEX))
}

fn tile_place(log: i64, level: u8, index: u64) -> i64 {
    log << 48 | i64::from(level) << INDEX_BITS | integer(index.min(MAX_INDEX))
}

const fn kind_number(kind: ReceiptKind) -> i64 {
    match kind {
        ReceiptKind::Action => 1,
        ReceiptKind::Refusal => 2,
        ReceiptKind::Administration => 3,
    }
}

struct CreateLog {
    tenant: TenantId,
    signing_key: Bytes,
}

impl Operation for CreateLog {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let mut statement = Statement::new("INSERT INTO logs(tenant, size, signing_key) VALUES (?, 0, ?) ");
        statement.add("ON CONFLICT DO NOTHING").bind(self.tenant.to_u128()).bind(&self.signing_key[..]);
        match transaction.run(&statement)? {
            0 => Err(StoreError::Conflict.into()),
            _ => Ok(()),
        }
    }
}

struct PutCheckpoint {
    tenant: TenantId,
    checkpoint: LoggedCheckpoint,
}

impl Operation for PutCheckpoint {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let LoggedCheckpoint { size, time, note } = &self.checkpoint;
        let mut statement = Statement::new("INSERT INTO checkpoints(place, time, note) SELECT (no << 40) | ?, ?, ? ");
        statement.add("FROM logs WHERE tenant = ? ON CONFLICT DO NOTHING");
        statement.bind(integer((*size).min(MAX_INDEX))).bind(time.as_millis()).bind(&note[..]);
        statement.bind(self.tenant.to_u128());
        transaction.run(&statement)?;
        Ok(())
    }
}

struct Sequence {
    advance: Advance,
    /// The size after it.
    size: u64,
}

impl Operation for Sequence {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let Advance { tenant, size, runs, tiles, receipts, outcomes } = &self.advance;
        let mut statement = Statement::new("SELECT no FROM logs WHERE tenant = ? AND size = ?");
        statement.bind(tenant.to_u128()).bind(integer(*size));
        let log: i64 = transaction.first(&statement, |row| Ok(row.get(0)?))?.ok_or(StoreError::Conflict)?;
        let streams = find_streams(transaction, *tenant, runs)?;
        write_runs(transaction, log, runs, &streams)?;
        for chunk in tiles.chunks(CHUNK) {
            let mut statement = Statement::new("INSERT OR REPLACE INTO tiles(place, hashes) VALUES ");
            statement.tuples(2, chunk.len());
            for TileWrite { level, index, hashes } in chunk {
                statement.bind(tile_place(log, *level, *index)).bind(&hashes[..]);
            }
            transaction.run(&statement)?;
        }
        write_receipts(transaction, log, receipts, &streams)?;
        for chunk in outcomes.chunks(CHUNK) {
            transaction.run(&outcomes_statement(chunk, &streams))?;
        }
        let mut statement = Statement::new("UPDATE logs SET size = ? WHERE no = ?");
        statement.bind(integer(self.size)).bind(log);
        transaction.run(&statement)?;
        Ok(())
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// Streams' numbers.
type Streams = std::collections::HashMap<StreamId, i64>;

/// Finds the streams of `runs`, each sequenced up to where its first run begins.
fn find_streams(transaction: &mut Transaction, tenant: TenantId, runs: &[Run]) -> Result<Streams, Failure> {
    let mut ends = std::collections::HashMap::<StreamId, (u64, u64)>::new();
    for run in runs {
        let end = run.position + run.count - 1;
        let (_, last) = ends.entry(run.stream).or_insert((run.position, run.position - 1));
        if *last + 1 != run.position {
            return Err(StoreError::Malformed(format!("`runs`: {} has a gap", run.stream)).into());
        }
        *last = end;
    }
    let mut streams = Streams::new();
    let wanted: Vec<StreamId> = ends.keys().copied().collect();
    for chunk in wanted.chunks(CHUNK) {
        let mut statement =
            Statement::new("SELECT no, id, position, sequenced FROM streams WHERE tenant = ? AND id IN ");
        statement.add("(").bind(tenant.to_u128());
        for (at, stream) in chunk.iter().enumerate() {
            statement.add(if at == 0 { "?" } else { ", ?" }).bind(stream.to_u128());
        }
        statement.add(")");
        let read = |row: &Row<'_>| {
            let stream = StreamId::from_u128(id_at(row, 1)?);
            let (position, sequenced): (u64, u64) = (number_at(row, 2)?, number_at(row, 3)?);
            if ends.get(&stream).is_some_and(|(first, last)| *first == sequenced + 1 && *last <= position) {
                streams.insert(stream, row.get(0)?);
            }
            Ok(())
        };
        transaction.rows(&statement, read)?;
    }
    match streams.len() == ends.len() {
        true => Ok(streams),
        false => Err(StoreError::Conflict.into()),
    }
}

fn write_runs(transaction: &mut Transaction, log: i64, runs: &[Run], streams: &Streams) -> Result<(), Failure> {
    for chunk in runs.chunks(CHUNK) {
        let mut statement = Statement::new("INSERT INTO runs(place, leaf, count) VALUES ");
        statement.tuples(3, chunk.len());
        let mut update = Statement::new("UPDATE streams SET sequenced = r.column2 FROM (VALUES ");
        update.tuples(2, chunk.len()).add(") r WHERE no = r.column1 AND sequenced < r.column2");
        for run in chunk {
            let no = streams.get(&run.stream).copied().unwrap_or_default();
            statement.bind(no << 32 | integer(run.position)).bind(leaf(log, run.index)).bind(integer(run.count));
            update.bind(no).bind(integer(run.position + run.count - 1));
        }
        transaction.run(&statement)?;
        transaction.run(&update)?;
    }
    Ok(())
}

fn write_receipts(
    transaction: &mut Transaction,
    log: i64,
    receipts: &[ReceiptRow],
    streams: &Streams,
) -> Result<(), Failure> {
    for chunk in receipts.chunks(CHUNK) {
        let mut statement =
            Statement::new("INSERT INTO receipts(leaf, place, kind, action, operation, decision, orderer, ");
        statement.add("person, agent, time, leaves, settled, effect, cost) VALUES ").tuples(14, chunk.len());
        for row in chunk {
            let no = streams.get(&row.stream).copied().unwrap_or_default();
            statement.bind(leaf(log, row.index)).bind(no << 32 | integer(row.position)).bind(kind_number(row.kind));
            statement.bind(row.action.map(|id| id.to_u128())).bind(&row.operation[..]).bind(&row.decision[..]);
            statement.bind(row.orderer.as_deref()).bind(row.person.map(|id| id.to_u128()));
            statement.bind(row.agent.map(|id| id.to_u128())).bind(row.time.as_millis()).bind(row.leaves);
            let outcome = row.outcome.as_ref();
            statement.bind(outcome.map(|outcome| integer(outcome.position)));
            statement.bind(outcome.map(|outcome| &outcome.effect[..])).bind(outcome.and_then(|outcome| outcome.cost));
        }
        transaction.run(&statement)?;
    }
    let uses: Vec<(CredentialId, u64)> =
        receipts.iter().flat_map(|row| row.credentials.iter().map(|id| (*id, row.index))).collect();
    for chunk in uses.chunks(CHUNK) {
        let mut statement = Statement::new("INSERT OR IGNORE INTO receipt_credentials(credential, leaf) VALUES ");
        statement.tuples(2, chunk.len());
        for (credential, index) in chunk {
            statement.bind(credential.to_u128()).bind(leaf(log, *index));
        }
        transaction.run(&statement)?;
    }
    Ok(())
}

/// An action's outcome is in the stream of its decision, so that no other stream can change its receipt; an action that
/// a person was asked about has several, and the outcome is of the last.
fn outcomes_statement<'v>(chunk: &'v [ReceiptOutcome], streams: &Streams) -> Statement<'v> {
    let mut statement =
        Statement::new("UPDATE receipts SET settled = o.column3, effect = o.column4, cost = o.column5 FROM (VALUES ");
    statement
        .tuples(5, chunk.len())
        .add(") o WHERE action = o.column1 AND place = (SELECT max(last.place) FROM receipts last ");
    statement.add("WHERE last.action = o.column1 AND last.place >> 32 = o.column2)");
    for ReceiptOutcome { action, stream, settlement } in chunk {
        statement.bind(action.to_u128()).bind(streams.get(stream).copied().unwrap_or_default());
        statement.bind(integer(settlement.position)).bind(&settlement.effect[..]).bind(settlement.cost);
    }
    statement
}

#[async_trait]
impl LogStore for SqliteStore {
    async fn behind(&self, after: u64, limit: u32) -> Result<BehindPage, StoreError> {
        let (unsequenced, after, limit) = (&self.0.unsequenced, integer(after), limit as usize);
        // After a start: as far as it takes to find enough.
        while let Some(from) = unsequenced.scan().filter(|_| unsequenced.candidates(after, limit).len() < limit) {
            let (found, end) = self.read().unsequenced(from).await?;
            unsequenced.scanned(from, end, found);
        }
        let candidates = unsequenced.candidates(after, limit);
        let wanted: Vec<i64> = candidates.iter().map(|candidate| candidate.stream).collect();
        let found = self.read().streams_behind(&wanted).await?;
        let still: HashSet<i64> = found.iter().map(|(no, _)| *no).collect();
        unsequenced.settle(candidates.into_iter().filter(|candidate| !still.contains(&candidate.stream)));
        let next = wanted.last().filter(|_| wanted.len() == limit).map(|no| no.unsigned_abs());
        Ok(BehindPage { streams: found.into_iter().map(|(_, behind)| behind).collect(), next })
    }

    async fn log(&self, tenant: TenantId) -> Result<Option<LogHead>, StoreError> {
        let mut statement = Statement::new("SELECT size, signing_key FROM logs WHERE tenant = ?");
        statement.bind(tenant.to_u128());
        let read = |row: &Row<'_>| Ok(LogHead { size: number_at(row, 0)?, signing_key: bytes_at(row, 1)? });
        self.read().first(&statement, read).await
    }

    async fn create_log(&self, tenant: TenantId, signing_key: Bytes) -> Result<(), StoreError> {
        self.write(CreateLog { tenant, signing_key }).await
    }

    async fn advance(&self, advance: Advance) -> Result<(), StoreError> {
        let size = advance.check()?;
        self.write(Sequence { advance, size }).await
    }

    async fn tiles(&self, tenant: TenantId, wanted: &[(u8, u64)]) -> Result<Vec<Bytes>, StoreError> {
        let reader = self.read();
        let Some(log) = reader.log_number(tenant).await? else { return Ok(vec![Bytes::new(); wanted.len()]) };
        let mut tiles = Vec::with_capacity(wanted.len());
        for (level, index) in wanted {
            let mut statement = Statement::new("SELECT hashes FROM tiles WHERE place = ?");
            statement.bind(tile_place(log, *level, *index));
            let found = reader.first(&statement, |row| bytes_at(row, 0)).await?;
            tiles.push(found.unwrap_or_default());
        }
        Ok(tiles)
    }

    async fn leaf_of(&self, tenant: TenantId, stream: StreamId, position: u64) -> Result<Option<u64>, StoreError> {
        let mut statement = Statement::new("SELECT r.leaf, (s.no << 32 | ?) - r.place, r.count FROM streams s ");
        statement.add("CROSS JOIN runs r ON r.place <= (s.no << 32 | ?) AND r.place > s.no << 32 ");
        statement.add("WHERE s.id = ? AND s.tenant = ? ORDER BY r.place DESC LIMIT 1");
        let position = integer(position.min(MAX_POSITION));
        statement.bind(position).bind(position).bind(stream.to_u128()).bind(tenant.to_u128());
        let read = |row: &Row<'_>| {
            let (leaf, back, count): (u64, u64, u64) = (number_at(row, 0)?, number_at(row, 1)?, number_at(row, 2)?);
            Ok((back < count).then_some((leaf & MAX_INDEX) + back))
        };
        Ok(self.read().first(&statement, read).await?.flatten())
    }

    async fn sequenced(
        &self,
        tenant: TenantId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StreamId, SealedRecord)>, StoreError> {
        let reader = self.read();
        match reader.log_number(tenant).await? {
            Some(log) => reader.sequenced(leaf(log, from), leaf(log, MAX_INDEX), limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn put_checkpoint(&self, tenant: TenantId, checkpoint: LoggedCheckpoint) -> Result<(), StoreError> {
        self.write(PutCheckpoint { tenant, checkpoint }).await
    }

    async fn checkpoints(&self, tenant: TenantId, after: u64, limit: u32) -> Result<Vec<LoggedCheckpoint>, StoreError> {
        let mut statement = Statement::new("SELECT c.place, c.time, c.note FROM logs l CROSS JOIN checkpoints c ");
        statement.add("ON c.place > (l.no << 40 | ?) AND c.place < (l.no + 1) << 40 WHERE l.tenant = ? ");
        statement.add("ORDER BY c.place LIMIT ?");
        statement.bind(integer(after.min(MAX_INDEX))).bind(tenant.to_u128()).bind(limit);
        self.read().all(&statement, checkpoint).await
    }

    async fn newest_checkpoint(&self, tenant: TenantId) -> Result<Option<LoggedCheckpoint>, StoreError> {
        let mut statement = Statement::new("SELECT c.place, c.time, c.note FROM logs l CROSS JOIN checkpoints c ");
        statement.add("ON c.place > l.no << 40 AND c.place < (l.no + 1) << 40 WHERE l.tenant = ? ");
        statement.add("ORDER BY c.place DESC LIMIT 1").bind(tenant.to_u128());
        self.read().first(&statement, checkpoint).await
    }

    async fn receipt(&self, tenant: TenantId, action: ActionId) -> Result<Option<ReceiptRow>, StoreError> {
        let mut statement = Statement::new(RECEIPT);
        statement
            .add("receipts r CROSS JOIN streams s ON s.no = r.place >> 32 AND s.tenant = ? WHERE r.action = ? ORDER BY r.place DESC LIMIT 1");
        statement.bind(tenant.to_u128()).bind(action.to_u128());
        self.read().first(&statement, receipt_row).await
    }

    async fn receipts(
        &self,
        tenant: TenantId,
        query: &ReceiptQuery,
    ) -> Result<Option<(Vec<ReceiptRow>, bool)>, StoreError> {
        let reader = self.read();
        let Some(log) = reader.log_number(tenant).await? else { return Ok(Some((Vec::new(), false))) };
        let after = match query.after {
            None => None,
            Some(index) => {
                let mut statement = Statement::new("SELECT time FROM receipts WHERE leaf = ?");
                statement.bind(leaf(log, index));
                match reader.first(&statement, |row| Ok(row.get(0)?)).await? {
                    Some(time) => Some((time, leaf(log, index))),
                    None => return Ok(None),
                }
            }
        };
        let limit = query.limit.min(MAX_PAGE);
        let mut found = reader.all_of_many(&receipt_list(log, tenant, query, after, limit), receipt_row).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        Ok(Some((found, more)))
    }

    async fn tally(&self, tenant: TenantId, agent: AgentId) -> Result<Vec<Tally>, StoreError> {
        let reader = self.read();
        let Some(log) = reader.log_number(tenant).await? else { return Ok(Vec::new()) };
        let mut statement = Statement::new("SELECT operation, decision, count(*), max(time) FROM receipts ");
        statement.add("WHERE agent = ? AND leaf >> 40 = ? GROUP BY operation, decision ORDER BY operation, decision");
        statement.bind(agent.to_u128()).bind(log);
        let read = |row: &Row<'_>| {
            Ok(Tally {
                operation: row.get(0)?,
                decision: row.get(1)?,
                count: number_at(row, 2)?,
                last: time_at(row, 3)?,
            })
        };
        reader.all_of_many(&statement, read).await
    }
}

impl Reader<'_> {
    async fn log_number(&self, tenant: TenantId) -> Result<Option<i64>, StoreError> {
        let mut statement = Statement::new("SELECT no FROM logs WHERE tenant = ?");
        statement.bind(tenant.to_u128());
        self.first(&statement, |row| Ok(row.get(0)?)).await
    }

    /// Streams behind among the next few after number `from`, and where to go on; `None` at the end.
    async fn unsequenced(&self, from: i64) -> Result<(Vec<i64>, Option<i64>), StoreError> {
        let last = Statement::new("SELECT max(no) FROM streams");
        let last: Option<Option<i64>> = self.first(&last, |row| Ok(row.get(0)?)).await?;
        let end = from.saturating_add(SCAN_STEP);
        let mut statement = Statement::new("SELECT no FROM streams WHERE no > ? AND no <= ? AND position > sequenced");
        statement.bind(from).bind(end);
        let found = self.all_of_many(&statement, |row| Ok(row.get(0)?)).await?;
        Ok((found, last.flatten().is_some_and(|last| last > end).then_some(end)))
    }

    async fn streams_behind(&self, wanted: &[i64]) -> Result<Vec<(i64, Behind)>, StoreError> {
        let mut found = Vec::with_capacity(wanted.len());
        for chunk in wanted.chunks(CHUNK) {
            let mut statement = Statement::new("SELECT no, tenant, id, sequenced, position FROM streams ");
            statement.add("WHERE position > sequenced AND no IN (");
            for (at, no) in chunk.iter().enumerate() {
                statement.add(if at == 0 { "?" } else { ", ?" }).bind(*no);
            }
            statement.add(")");
            let read = |row: &Row<'_>| {
                let behind = Behind {
                    tenant: TenantId::from_u128(id_at(row, 1)?),
                    stream: StreamId::from_u128(id_at(row, 2)?),
                    sequenced: number_at(row, 3)?,
                    position: number_at(row, 4)?,
                };
                Ok((row.get(0)?, behind))
            };
            found.extend(self.all(&statement, read).await?);
        }
        Ok(found)
    }

    async fn sequenced(
        &self,
        from: i64,
        end: i64,
        limit: u32,
    ) -> Result<Vec<(u64, StreamId, SealedRecord)>, StoreError> {
        let mut statement = Statement::new("SELECT r.place, r.epoch, r.kind, r.version, r.time, r.cause, r.key_id, ");
        statement.add("r.checksum, r.leaf, r.chain, r.sealed, u.leaf + r.place - u.place, s.id FROM runs u ");
        statement
            .add("CROSS JOIN records r ON r.place >= u.place + max(0, ? - u.leaf) AND r.place < u.place + u.count ");
        statement.add("CROSS JOIN streams s ON s.no = u.place >> 32 ");
        statement.add("WHERE u.leaf >= (SELECT max(leaf) FROM runs WHERE leaf <= ?) AND u.leaf <= ? ");
        statement.add("ORDER BY u.leaf, r.place LIMIT ?").bind(from).bind(from).bind(end).bind(limit);
        let read = |row: &Row<'_>| {
            let index = number_at::<u64>(row, 11)? & MAX_INDEX;
            Ok((index, StreamId::from_u128(id_at(row, 12)?), super::read::record_at(row)?))
        };
        self.all_of_many(&statement, read).await
    }
}

fn checkpoint(row: &Row<'_>) -> Result<LoggedCheckpoint, Error> {
    let size = number_at::<u64>(row, 0)? & MAX_INDEX;
    Ok(LoggedCheckpoint { size, time: time_at(row, 1)?, note: row.get(2)? })
}

fn receipt_row(row: &Row<'_>) -> Result<ReceiptRow, Error> {
    let id = |column| optional_id_at(row, column);
    let kind: i64 = row.get(3)?;
    let kind = ReceiptKind::ALL.into_iter().find(|one| kind_number(*one) == kind);
    let outcome = match (row.get::<_, Option<i64>>(12)?, row.get(13)?) {
        (Some(position), Some(effect)) => {
            Some(Settlement { position: position.unsigned_abs(), effect, cost: row.get(14)? })
        }
        _ => None,
    };
    Ok(ReceiptRow {
        index: number_at::<u64>(row, 0)? & MAX_INDEX,
        stream: StreamId::from_u128(id_at(row, 1)?),
        position: number_at::<u64>(row, 2)? & MAX_POSITION,
        kind: kind.ok_or_else(|| damaged("a receipt's kind"))?,
        action: id(4)?.map(ActionId::from_u128),
        operation: row.get(5)?,
        decision: row.get(6)?,
        orderer: row.get(7)?,
        person: id(8)?.map(UserId::from_u128),
        agent: id(9)?.map(AgentId::from_u128),
        time: time_at(row, 10)?,
        leaves: row.get(11)?,
        credentials: Vec::new(),
        outcome,
    })
}

/// Follows the index of the narrowest part of the filter; all of them are in the list's order.
fn receipt_list(
    log: i64,
    tenant: TenantId,
    query: &ReceiptQuery,
    after: Option<(i64, i64)>,
    limit: u32,
) -> Statement<'_> {
    let ReceiptFilter { kind, orderer, person, agent, session, operation, decision, effect, leaves, left, .. } =
        &query.filter;
    let ReceiptFilter { credential, from, until, .. } = &query.filter;
    let mut statement = Statement::new(RECEIPT);
    match session {
        // A session's receipts are few, and found through its runs.
        Some(session) => {
            statement.add("streams s CROSS JOIN runs u ON u.place > s.no << 32 AND u.place < (s.no + 1) << 32 ");
            statement.add("CROSS JOIN receipts r ON r.leaf >= u.leaf AND r.leaf < u.leaf + u.count ");
            statement.add("WHERE s.id = ? AND s.tenant = ?").bind(session.to_u128()).bind(tenant.to_u128());
        }
        None => {
            statement.add("receipts r CROSS JOIN streams s ON s.no = r.place >> 32 WHERE ");
            // A plus keeps a column from being looked up by an index.
            let plain = person.is_none() && agent.is_none() && orderer.is_none();
            statement.add(if plain { "r.leaf >> 40 = ?" } else { "+r.leaf >> 40 = ?" }).bind(log);
        }
    }
    if let Some(person) = person {
        statement.add(" AND r.person = ?").bind(person.to_u128());
    }
    if let Some(orderer) = orderer {
        statement.add(if person.is_some() { " AND +r.orderer = ?" } else { " AND r.orderer = ?" }).bind(&orderer[..]);
    }
    if let Some(agent) = agent {
        let first = person.is_none() && orderer.is_none();
        statement.add(if first { " AND r.agent = ?" } else { " AND +r.agent = ?" }).bind(agent.to_u128());
    }
    if *leaves || *left {
        statement.add(" AND r.leaves");
    }
    if let Some(credential) = credential {
        statement.add(" AND r.leaf IN (SELECT leaf FROM receipt_credentials WHERE credential = ?)");
        statement.bind(credential.to_u128());
    }
    if *left {
        // What has no outcome yet, or an unknown one, may have been sent.
        statement.add(" AND r.decision = 'allowed' AND r.effect IS NOT 'not_sent'");
    }
    if let Some(kind) = kind {
        statement.add(" AND r.kind = ?").bind(kind_number(*kind));
    }
    for (column, wanted) in [("operation", operation), ("decision", decision), ("effect", effect)] {
        if let Some(wanted) = wanted {
            statement.add(&format!(" AND r.{column} = ?")).bind(&wanted[..]);
        }
    }
    let millis = |time: &Option<Timestamp>| time.map(Timestamp::as_millis);
    if let Some(from) = millis(from) {
        statement.add(" AND r.time >= ?").bind(from);
    }
    if let Some(until) = millis(until) {
        statement.add(" AND r.time < ?").bind(until);
    }
    let (than, order) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
    if let Some((time, leaf)) = after {
        statement.add(&format!(" AND (r.time, r.leaf) {than} (?, ?)")).bind(time).bind(leaf);
    }
    statement.add(&format!(" ORDER BY r.time {order}, r.leaf {order} LIMIT ?")).bind(i64::from(limit) + 1);
    statement
}
