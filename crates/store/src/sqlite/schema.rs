//! The tables, as a numbered list of steps. A step that was released is never changed: the next one is added.
//!
//! `place` is a number of the owner and a number in the owner in one integer, `owner << 32 | number`. As the primary
//! key it keeps what belongs together in one part of the file and needs no index of its own.
//!
//! Ids are 16 bytes, most significant first, so that they sort as the numbers they are. Times are milliseconds since
//! 1970.

use super::error::Error;
use rusqlite::Connection;

/// SQLite's default, which nothing here changes.
pub const PAGE_BYTES: u64 = 4096;

/// The schema that this program writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

const MIGRATIONS: [&str; 6] = [
    r"
CREATE TABLE tenants(
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    key_id INTEGER NOT NULL,
    key_bytes BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE streams(
    no INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tenant BLOB NOT NULL,
    key_id INTEGER NOT NULL,
    key_bytes BLOB NOT NULL,
    position INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    inbox_last INTEGER NOT NULL DEFAULT 0,
    inbox_through INTEGER NOT NULL DEFAULT 0,
    lease_expires INTEGER NOT NULL DEFAULT 0,
    lease_span INTEGER NOT NULL DEFAULT 0,
    lease_node BLOB,
    due_at INTEGER
);
CREATE UNIQUE INDEX streams_id ON streams(id);
-- Idle streams are in neither of these.
CREATE INDEX streams_due ON streams(due_at) WHERE due_at IS NOT NULL;
CREATE INDEX streams_leased ON streams(lease_node) WHERE lease_node IS NOT NULL;

CREATE TABLE records(
    place INTEGER PRIMARY KEY, -- stream, position
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    time INTEGER NOT NULL,
    cause BLOB,
    key_id INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    chain BLOB NOT NULL,
    sealed BLOB NOT NULL
);

CREATE TABLE inbox(
    place INTEGER PRIMARY KEY, -- stream, sequence
    received INTEGER NOT NULL,
    sealed BLOB NOT NULL
);

CREATE TABLE snapshots(
    stream INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL
);

CREATE TABLE rows(
    no INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    scope BLOB NOT NULL,
    parent BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    sealed BLOB NOT NULL
);
CREATE UNIQUE INDEX rows_id ON rows(id, kind);
CREATE INDEX rows_list ON rows(kind, scope, ordinal, id, parent);

CREATE TABLE labels(
    kind INTEGER NOT NULL,
    scope BLOB NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    id BLOB NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (kind, scope, name, value, ordinal, id)
) WITHOUT ROWID;
CREATE INDEX labels_row ON labels(row);

CREATE TABLE promises(
    no INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    stream BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    created INTEGER NOT NULL
);
CREATE UNIQUE INDEX promises_key ON promises(key, scope, tenant);

CREATE TABLE documents(
    no INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    kind INTEGER NOT NULL,
    id BLOB NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    handle TEXT
);
CREATE UNIQUE INDEX documents_id ON documents(tenant, kind, id);
CREATE INDEX documents_list ON documents(tenant, kind, created, id);
CREATE UNIQUE INDEX documents_handle ON documents(kind, handle) WHERE handle IS NOT NULL;

CREATE TABLE document_versions(
    place INTEGER PRIMARY KEY, -- document, version
    updated INTEGER NOT NULL,
    handle TEXT,
    sealed BLOB NOT NULL
);
",
    // Several snapshots for a stream. Those that were there are made again when they are wanted.
    r"
DROP TABLE snapshots;
CREATE TABLE snapshots(
    place INTEGER PRIMARY KEY, -- stream, span
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sealed BLOB NOT NULL
);
",
    // Balances, and the book of what was spent. It outlives the sessions that it is about.
    r"
CREATE TABLE accounts(
    tenant BLOB NOT NULL,
    account TEXT NOT NULL,
    window INTEGER NOT NULL,
    start INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, window, start)
) WITHOUT ROWID;

-- In the order of time, so that a row goes where the last one went and needs no index.
CREATE TABLE spend(
    tenant BLOB NOT NULL,
    time INTEGER NOT NULL,
    place INTEGER NOT NULL, -- stream, position
    session BLOB NOT NULL,
    turn BLOB NOT NULL,
    person TEXT NOT NULL,
    team BLOB,
    agent BLOB NOT NULL,
    model TEXT NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cost INTEGER,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (tenant, time, place)
) WITHOUT ROWID;

CREATE TABLE turn_ends(
    turn BLOB NOT NULL PRIMARY KEY,
    outcome INTEGER NOT NULL
) WITHOUT ROWID;
",
    super::log::TABLES,
    super::erase::TABLES,
    super::log::USES,
];

/// What the file was last written with; 0 for a new one.
pub fn version(connection: &Connection) -> Result<i64, Error> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Takes the steps after `version`, each with its number in one transaction.
pub fn migrate(connection: &Connection, version: i64) -> Result<(), Error> {
    for (step, sql) in (1_i64..).zip(MIGRATIONS).filter(|(step, _)| *step > version) {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {sql} PRAGMA user_version = {step}; COMMIT;"))?;
    }
    Ok(())
}
