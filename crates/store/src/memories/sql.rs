//! All SQL of memory.
//!
//! The index holds keyed words beside the entry that they were made of (`terms`), because FTS5 removes an entry from an
//! index of outside content only when it is told again what the entry said.

use bailiwick_ports::memory::{
    Changed, Forgotten, Holder, MAX_MEMORIES, MemoryBody, MemoryCount, MemoryKind, MemoryQuery, MemoryScope,
    MemoryState, NewMemory, Precondition, SealedMemory, Within, Written,
};
use bailiwick_types::{ActionId, MemoryId, Principal, TenantId, Timestamp};
use rusqlite::{
    Connection, Error, OpenFlags, OptionalExtension as _, Params, Row, Transaction, TransactionBehavior, params,
    params_from_iter,
    types::{Type, Value},
};
use std::{collections::BTreeSet, path::Path, time::Duration};

pub const VERSION: i64 = 1;
/// Only our own connections use the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE memories (
    no INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    id BLOB NOT NULL,
    scope INTEGER NOT NULL,
    holder BLOB NOT NULL,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    action BLOB,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    terms TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX memories_id ON memories(tenant, id);
CREATE UNIQUE INDEX memories_digest ON memories(tenant, scope, holder, digest);
CREATE INDEX memories_holder ON memories(tenant, scope, holder, id);

-- Confirmed entries only.
CREATE VIRTUAL TABLE memory_index USING fts5(terms, content='memories', content_rowid='no', tokenize='ascii');
INSERT INTO memory_index(memory_index, rank) VALUES ('secure-delete', 1);

-- Entries that are gone and whose receipts are not written yet.
CREATE TABLE forgotten (
    tenant BLOB NOT NULL,
    id BLOB NOT NULL,
    scope INTEGER NOT NULL,
    holder BLOB NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
";

const COLUMNS: &str = "m.id, m.scope, m.holder, m.kind, m.state, m.version, m.created, m.updated, m.action, m.sealed";

pub fn open_writer(file: &Path) -> Result<Connection, Error> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(connection)
}

pub fn open_reader(file: &Path) -> Result<Connection, Error> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", "ON")?;
    Ok(connection)
}

fn open(file: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // KiB, negative as SQLite wants it.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

pub fn version(connection: &Connection) -> Result<i64, Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub fn migrate(connection: &Connection, found: i64) -> Result<(), Error> {
    if found < VERSION {
        connection.execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"))?;
    }
    Ok(())
}

/// Carries the write-ahead log over into the file and cuts it; `false` while somebody reads.
pub fn cut_log(connection: &Connection) -> Result<bool, Error> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

pub fn write(connection: &mut Connection, new: &NewMemory) -> Result<Written, Error> {
    let NewMemory { tenant, id, holder, body } = new;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let same = format!(
        "SELECT {COLUMNS} FROM memories m WHERE m.tenant = ?1 AND m.scope = ?2 AND m.holder = ?3 \
         AND (m.digest = ?4 OR m.id = ?5) LIMIT 1"
    );
    let of = params![blob(tenant.to_u128()), scope(*holder), holder_id(*holder), &body.digest[..], blob(id.to_u128())];
    if let Some(same) = first(&transaction, &same, of)? {
        return Ok(Written::Same(same));
    }
    let count = "SELECT count(*) FROM memories WHERE tenant = ?1 AND scope = ?2 AND holder = ?3";
    let count: u64 = transaction
        .prepare(count)?
        .query_row(params![blob(tenant.to_u128()), scope(*holder), holder_id(*holder)], |row| {
            row.get::<_, i64>(0).map(i64::unsigned_abs)
        })?;
    if count >= MAX_MEMORIES {
        return Ok(Written::Full);
    }
    let insert = "INSERT INTO memories(tenant, id, scope, holder, kind, state, version, created, updated, action, digest, \
                  sealed, terms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7, ?8, ?9, ?10, ?11)";
    let terms = body.terms.join(" ");
    transaction.prepare(insert)?.execute(params![
        blob(tenant.to_u128()),
        blob(id.to_u128()),
        scope(*holder),
        holder_id(*holder),
        kind(body.kind),
        state(body.state),
        body.at.as_millis(),
        body.action.map(|action| blob(action.to_u128())),
        &body.digest[..],
        &body.sealed[..],
        terms,
    ])?;
    if body.state == MemoryState::Confirmed {
        index(&transaction, transaction.last_insert_rowid(), &terms)?;
    }
    transaction.commit()?;
    Ok(Written::New)
}

/// What a change must know of the row that it replaces.
struct Before {
    no: i64,
    state: MemoryState,
    version: u32,
    action: Option<ActionId>,
    holder: Holder,
    terms: String,
}

fn before(transaction: &Transaction<'_>, within: &Within, id: MemoryId) -> Result<Option<Before>, Error> {
    let (holders, mut values) = reach(within);
    values.push(Value::Blob(blob(id.to_u128()).to_vec()));
    let text = format!(
        "SELECT m.no, m.state, m.version, m.action, m.scope, m.holder, m.terms FROM memories m \
         WHERE {holders} AND m.id = ?{}",
        values.len()
    );
    let read = |row: &Row<'_>| {
        Ok(Before {
            no: row.get(0)?,
            state: state_at(row, 1)?,
            version: row.get(2)?,
            action: row.get::<_, Option<Vec<u8>>>(3)?.map(|_| id_at(row, 3)).transpose()?.map(ActionId::from_u128),
            holder: Holder::new(scope_at(row, 4)?, id_at(row, 5)?),
            terms: row.get(6)?,
        })
    };
    transaction.prepare(&text)?.query_row(params_from_iter(values), read).optional()
}

pub fn change(
    connection: &mut Connection,
    within: &Within,
    id: MemoryId,
    wanted: Precondition,
    body: &MemoryBody,
) -> Result<Changed, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(found) = before(&transaction, within, id)? else { return Ok(Changed::Unknown) };
    if found.version != wanted.version {
        let mine = found.version == wanted.version + 1 && wanted.action.is_some() && wanted.action == found.action;
        return Ok(if mine { Changed::Done } else { Changed::Version(found.version) });
    }
    let other = "SELECT id FROM memories WHERE tenant = ?1 AND scope = ?2 AND holder = ?3 AND digest = ?4 AND no <> ?5";
    let of = params![
        blob(within.tenant.to_u128()),
        scope(found.holder),
        holder_id(found.holder),
        &body.digest[..],
        found.no
    ];
    let other = transaction.prepare(other)?.query_row(of, |row| id_at(row, 0)).optional()?;
    if let Some(other) = other {
        return Ok(Changed::Same(MemoryId::from_u128(other)));
    }
    if found.state == MemoryState::Confirmed {
        unindex(&transaction, found.no, &found.terms)?;
    }
    let terms = body.terms.join(" ");
    let update = "UPDATE memories SET kind = ?2, state = ?3, version = version + 1, updated = ?4, action = ?5, \
                  digest = ?6, sealed = ?7, terms = ?8 WHERE no = ?1";
    transaction.prepare(update)?.execute(params![
        found.no,
        kind(body.kind),
        state(body.state),
        body.at.as_millis(),
        body.action.map(|action| blob(action.to_u128())),
        &body.digest[..],
        &body.sealed[..],
        terms,
    ])?;
    if body.state == MemoryState::Confirmed {
        index(&transaction, found.no, &terms)?;
    }
    transaction.commit()?;
    Ok(Changed::Done)
}

pub fn forget(
    connection: &mut Connection,
    within: &Within,
    id: MemoryId,
    version: Option<u32>,
    by: Option<&(Principal, Timestamp)>,
) -> Result<Changed, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(found) = before(&transaction, within, id)? else { return Ok(Changed::Unknown) };
    if version.is_some_and(|version| version != found.version) {
        return Ok(Changed::Version(found.version));
    }
    remove(&transaction, &found)?;
    if let Some((by, at)) = by {
        let by = serde_json::to_string(by).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))?;
        let note = "INSERT OR REPLACE INTO forgotten(tenant, id, scope, holder, version, at, by) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        transaction.prepare(note)?.execute(params![
            blob(within.tenant.to_u128()),
            blob(id.to_u128()),
            scope(found.holder),
            holder_id(found.holder),
            found.version,
            at.as_millis(),
            by,
        ])?;
    }
    transaction.commit()?;
    Ok(Changed::Done)
}

pub fn forget_all(
    connection: &mut Connection,
    tenant: TenantId,
    holder: Holder,
    until: Timestamp,
) -> Result<u64, Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let text = "SELECT no, state, version, terms FROM memories WHERE tenant = ?1 AND scope = ?2 AND holder = ?3 \
                AND created <= ?4";
    let of = params![blob(tenant.to_u128()), scope(holder), holder_id(holder), until.as_millis()];
    let read = |row: &Row<'_>| {
        let (state, version, terms) = (state_at(row, 1)?, row.get(2)?, row.get(3)?);
        Ok(Before { no: row.get(0)?, state, version, action: None, holder, terms })
    };
    // At most `MAX_MEMORIES`.
    let all: Vec<Before> = transaction.prepare(text)?.query_map(of, read)?.collect::<Result<_, _>>()?;
    for found in &all {
        remove(&transaction, found)?;
    }
    transaction.commit()?;
    Ok(all.len() as u64)
}

fn remove(transaction: &Transaction<'_>, found: &Before) -> Result<(), Error> {
    if found.state == MemoryState::Confirmed {
        unindex(transaction, found.no, &found.terms)?;
    }
    transaction.prepare("DELETE FROM memories WHERE no = ?1")?.execute([found.no])?;
    Ok(())
}

fn index(transaction: &Transaction<'_>, no: i64, terms: &str) -> Result<(), Error> {
    let text = "INSERT INTO memory_index(rowid, terms) VALUES (?1, ?2)";
    transaction.prepare(text)?.execute(params![no, terms])?;
    Ok(())
}

fn unindex(transaction: &Transaction<'_>, no: i64, terms: &str) -> Result<(), Error> {
    let text = "INSERT INTO memory_index(memory_index, rowid, terms) VALUES ('delete', ?1, ?2)";
    transaction.prepare(text)?.execute(params![no, terms])?;
    Ok(())
}

pub fn get(connection: &Connection, within: &Within, id: MemoryId) -> Result<Option<SealedMemory>, Error> {
    let (holders, mut values) = reach(within);
    values.push(Value::Blob(blob(id.to_u128()).to_vec()));
    let text = format!("SELECT {COLUMNS} FROM memories m WHERE {holders} AND m.id = ?{}", values.len());
    first(connection, &text, params_from_iter(values))
}

pub fn search(
    connection: &Connection,
    within: &Within,
    terms: &[String],
    kinds: &BTreeSet<MemoryKind>,
    limit: u32,
) -> Result<Vec<SealedMemory>, Error> {
    let (holders, mut values) = reach(within);
    values.push(Value::Text(terms.iter().map(|term| format!("\"{term}\"")).collect::<Vec<_>>().join(" OR ")));
    let asked = values.len();
    let text = format!(
        "SELECT {COLUMNS} FROM memory_index i CROSS JOIN memories m ON m.no = i.rowid \
         WHERE i.memory_index MATCH ?{asked} AND {holders} AND m.state = {}{} ORDER BY i.rank LIMIT {limit}",
        state(MemoryState::Confirmed),
        of_kinds(kinds),
    );
    all(connection, &text, params_from_iter(values))
}

/// Numbers of ours, so that they may stand in the text.
fn of_kinds(kinds: &BTreeSet<MemoryKind>) -> String {
    if kinds.is_empty() {
        return String::new();
    }
    let numbers: Vec<String> = kinds.iter().map(|one| kind(*one).to_string()).collect();
    format!(" AND m.kind IN ({})", numbers.join(", "))
}

pub fn list(connection: &Connection, within: &Within, query: &MemoryQuery) -> Result<(Vec<SealedMemory>, bool), Error> {
    let (holders, mut values) = reach(within);
    values.push(Value::Blob(blob(query.after.map_or(0, |after| after.to_u128())).to_vec()));
    let after = values.len();
    let of_state = query.state.map(|wanted| format!(" AND m.state = {}", state(wanted))).unwrap_or_default();
    let of_kind = of_kinds(&query.kind.into_iter().collect());
    let text = format!(
        "SELECT {COLUMNS} FROM memories m WHERE {holders} AND m.id > ?{after}{of_state}{of_kind} \
         ORDER BY m.id LIMIT {}",
        query.limit + 1
    );
    let mut found = all(connection, &text, params_from_iter(values))?;
    let more = found.len() > query.limit as usize;
    found.truncate(query.limit as usize);
    Ok((found, more))
}

pub fn counts(connection: &Connection, tenant: TenantId) -> Result<Vec<MemoryCount>, Error> {
    let text = "SELECT scope, state, count(*), count(DISTINCT holder) FROM memories WHERE tenant = ?1 \
                GROUP BY scope, state ORDER BY scope, state";
    let read = |row: &Row<'_>| {
        Ok(MemoryCount {
            scope: scope_at(row, 0)?,
            state: state_at(row, 1)?,
            entries: row.get::<_, i64>(2)?.unsigned_abs(),
            holders: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    };
    connection.prepare(text)?.query_map([blob(tenant.to_u128())], read)?.collect()
}

pub fn unreceipted(connection: &Connection, limit: u32) -> Result<Vec<Forgotten>, Error> {
    let text = "SELECT tenant, id, scope, holder, version, at, by FROM forgotten ORDER BY at LIMIT ?1";
    let read = |row: &Row<'_>| {
        let by: String = row.get(6)?;
        Ok(Forgotten {
            tenant: TenantId::from_u128(id_at(row, 0)?),
            id: MemoryId::from_u128(id_at(row, 1)?),
            holder: Holder::new(scope_at(row, 2)?, id_at(row, 3)?),
            version: row.get(4)?,
            at: Timestamp::from_millis(row.get(5)?),
            by: serde_json::from_str(&by).map_err(|error| damaged(6, error.to_string()))?,
        })
    };
    connection.prepare(text)?.query_map([limit], read)?.collect()
}

pub fn receipted(connection: &mut Connection, tenant: TenantId, id: MemoryId) -> Result<(), Error> {
    let text = "DELETE FROM forgotten WHERE tenant = ?1 AND id = ?2";
    connection.prepare(text)?.execute(params![blob(tenant.to_u128()), blob(id.to_u128())])?;
    Ok(())
}

/// The condition that only what may be reached is reached, and its values from `?1` on.
fn reach(within: &Within) -> (String, Vec<Value>) {
    let mut values = vec![Value::Blob(blob(within.tenant.to_u128()).to_vec())];
    let mut each = Vec::new();
    for holder in &within.holders {
        values.push(Value::Integer(scope(*holder)));
        values.push(Value::Blob(holder_id(*holder).to_vec()));
        each.push(format!("(m.scope = ?{} AND m.holder = ?{})", values.len() - 1, values.len()));
    }
    if each.is_empty() {
        each.push("0".into());
    }
    (format!("m.tenant = ?1 AND ({})", each.join(" OR ")), values)
}

fn first(connection: &Connection, text: &str, of: impl Params) -> Result<Option<SealedMemory>, Error> {
    connection.prepare(text)?.query_row(of, entry).optional()
}

fn all(connection: &Connection, text: &str, of: impl Params) -> Result<Vec<SealedMemory>, Error> {
    connection.prepare(text)?.query_map(of, entry)?.collect()
}

/// A row of [`COLUMNS`].
fn entry(row: &Row<'_>) -> Result<SealedMemory, Error> {
    Ok(SealedMemory {
        id: MemoryId::from_u128(id_at(row, 0)?),
        holder: Holder::new(scope_at(row, 1)?, id_at(row, 2)?),
        kind: match row.get::<_, i64>(3)? {
            0 => MemoryKind::Fact,
            1 => MemoryKind::Preference,
            2 => MemoryKind::Summary,
            other => return Err(damaged(3, format!("kind {other}"))),
        },
        state: state_at(row, 4)?,
        version: row.get(5)?,
        created: Timestamp::from_millis(row.get(6)?),
        updated: Timestamp::from_millis(row.get(7)?),
        action: row.get::<_, Option<Vec<u8>>>(8)?.map(|_| id_at(row, 8)).transpose()?.map(ActionId::from_u128),
        sealed: row.get::<_, Vec<u8>>(9)?.into(),
    })
}

fn damaged(column: usize, what: String) -> Error {
    Error::FromSqlConversionFailure(column, Type::Blob, what.into())
}

fn blob(id: u128) -> [u8; 16] {
    id.to_be_bytes()
}

fn id_at(row: &Row<'_>, column: usize) -> Result<u128, Error> {
    row.get::<_, [u8; 16]>(column).map(u128::from_be_bytes)
}

fn scope(holder: Holder) -> i64 {
    match holder.scope() {
        MemoryScope::Person => 0,
        MemoryScope::Team => 1,
        MemoryScope::Agent => 2,
        MemoryScope::Tenant => 3,
    }
}

fn holder_id(holder: Holder) -> [u8; 16] {
    blob(holder.id())
}

fn scope_at(row: &Row<'_>, column: usize) -> Result<MemoryScope, Error> {
    Ok(match row.get::<_, i64>(column)? {
        0 => MemoryScope::Person,
        1 => MemoryScope::Team,
        2 => MemoryScope::Agent,
        3 => MemoryScope::Tenant,
        other => return Err(damaged(column, format!("scope {other}"))),
    })
}

fn kind(kind: MemoryKind) -> i64 {
    match kind {
        MemoryKind::Fact => 0,
        MemoryKind::Preference => 1,
        MemoryKind::Summary => 2,
    }
}

fn state(state: MemoryState) -> i64 {
    match state {
        MemoryState::Confirmed => 0,
        MemoryState::Proposed => 1,
    }
}

fn state_at(row: &Row<'_>, column: usize) -> Result<MemoryState, Error> {
    Ok(match row.get::<_, i64>(column)? {
        0 => MemoryState::Confirmed,
        1 => MemoryState::Proposed,
        other => return Err(damaged(column, format!("state {other}"))),
    })
}
