//! What several writes put in: records, rows with their labels, snapshots.

use super::{
    error::Error,
    statement::{Statement, integer},
    transaction::Transaction,
    write::row_kind,
};
use bailiwick_ports::store::{Row, RowKind, SNAPSHOT_SPAN, SealedRecord, Snapshot};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Adds records to stream `no`, at positions that it counts already.
pub fn put_records(transaction: &mut Transaction, no: i64, records: &[SealedRecord]) -> Result<(), Error> {
    for record in records {
        let mut statement = Statement::new(
            "INSERT INTO records(place, epoch, kind, version, time, cause, key_id, checksum, leaf, chain, sealed) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        );
        statement
            .bind(no << 32 | integer(record.position))
            .bind(integer(record.epoch))
            .bind(&record.kind[..])
            .bind(record.version)
            .bind(record.time.as_millis())
            .bind(record.cause.map(|cause| cause.to_u128()))
            .bind(record.key_id)
            .bind(record.checksum)
            .bind(&record.leaf[..])
            .bind(&record.chain[..])
            .bind(&record.sealed[..]);
        transaction.run(&statement)?;
    }
    Ok(())
}

/// Writes rows of stream `no` and removes those that are nothing any more. One that belongs to another stream is a
/// conflict.
pub fn put_rows(transaction: &mut Transaction, no: i64, rows: &[Row]) -> Result<(), Error> {
    for row in rows {
        let Some(sealed) = &row.sealed else {
            remove_row(transaction, no, row)?;
            continue;
        };
        let mut statement = Statement::new(
            "INSERT INTO rows(stream, kind, id, scope, parent, ordinal, sealed) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT(id, kind) DO UPDATE SET sealed = excluded.sealed WHERE stream = excluded.stream",
        );
        statement.bind(no).bind(row_kind(row.kind)).bind(row.id).bind(row.scope).bind(row.parent);
        statement.bind(row.ordinal).bind(&sealed[..]);
        if transaction.run(&statement)? == 0 {
            return Err(Error::Conflict);
        }
        if row.kind == RowKind::Session {
            put_labels(transaction, row)?;
        }
    }
    Ok(())
}

/// Labels hardly ever change, so those that are known to be there are left alone.
fn put_labels(transaction: &mut Transaction, row: &Row) -> Result<(), Error> {
    let hash = hash(&row.labels);
    if transaction.knows_labels(row.id, hash) {
        return Ok(());
    }
    remove_labels(transaction, row)?;
    for (name, value) in &row.labels {
        let mut statement = Statement::new(
            "INSERT INTO labels(kind, scope, name, value, ordinal, id, row) \
             SELECT kind, scope, ?, ?, ordinal, id, no FROM rows WHERE id = ? AND kind = ?",
        );
        statement.bind(&name[..]).bind(&value[..]).bind(row.id).bind(row_kind(row.kind));
        transaction.run(&statement)?;
    }
    transaction.remember_labels(row.id, hash);
    Ok(())
}

fn remove_labels(transaction: &mut Transaction, row: &Row) -> Result<(), Error> {
    let mut statement =
        Statement::new("DELETE FROM labels WHERE row = (SELECT no FROM rows WHERE id = ? AND kind = ?)");
    statement.bind(row.id).bind(row_kind(row.kind));
    transaction.run(&statement).map(drop)
}

fn remove_row(transaction: &mut Transaction, no: i64, row: &Row) -> Result<(), Error> {
    let mut owner = Statement::new("SELECT stream FROM rows WHERE id = ? AND kind = ?");
    owner.bind(row.id).bind(row_kind(row.kind));
    if transaction.first(&owner, |found| Ok(found.get::<_, i64>(0)?))?.is_some_and(|owner| owner != no) {
        return Err(Error::Conflict);
    }
    remove_labels(transaction, row)?;
    let mut statement = Statement::new("DELETE FROM rows WHERE id = ? AND kind = ?");
    statement.bind(row.id).bind(row_kind(row.kind));
    transaction.run(&statement)?;
    transaction.remember_labels(row.id, hash(&[]));
    Ok(())
}

/// Keeps a snapshot of stream `no` and removes those that it makes superfluous.
pub fn put_snapshot(transaction: &mut Transaction, no: i64, snapshot: &Snapshot) -> Result<(), Error> {
    let Snapshot { position, version, sealed } = snapshot;
    let first = no << 32;
    let place = first + integer(*position / SNAPSHOT_SPAN);
    let mut statement =
        Statement::new("INSERT OR REPLACE INTO snapshots(place, position, version, sealed) VALUES (?, ?, ?, ?)");
    statement.bind(place).bind(integer(*position)).bind(*version).bind(&sealed[..]);
    transaction.run(&statement)?;
    // `keeps_snapshot` of the port, whose low bit is `place & -place` but in the first span.
    let mut statement = Statement::new(
        "DELETE FROM snapshots WHERE place >= ?1 AND place < ?2 AND ?2 - place >= 4 * (place & 4294967295 & -place)",
    );
    statement.bind(first).bind(place);
    transaction.run(&statement).map(drop)
}

fn hash(labels: &[(String, String)]) -> u64 {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    hasher.finish()
}
