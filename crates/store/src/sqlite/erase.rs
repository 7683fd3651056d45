//! Keys of people, and what is left of a stream when its key is gone.
//!
//! What is destroyed is written over with zeroes where it stands, not removed: a removed row may be read from the file
//! for a long time. `secure_delete` does the same for rows that are removed here; [`Scrub`] for the write-ahead log.

use super::{
    BUSY_TIMEOUT,
    columns::{id_at, number_at, optional_id_at, time_at},
    error::{Error, damaged},
    read::Reader,
    statement::{Statement, integer, now},
    transaction::Transaction,
    write::{clear_rows, find_stream, row_kind},
    writer::{Failure, Operation},
};
use bailiwick_ports::{
    StoreError, SubjectKey,
    store::{ReadableQuery, ReadableStream, RowKind, Subjects},
};
use bailiwick_types::{StreamId, TenantId, Timestamp, UserId};
use rusqlite::{Connection, Row};
use std::time::Duration;

/// The step of the schema that gives people keys of their own.
pub const TABLES: &str = r"
CREATE TABLE subject_keys(
    no INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    person BLOB NOT NULL,
    key_id INTEGER NOT NULL,
    key_bytes BLOB NOT NULL,
    made INTEGER NOT NULL,
    erased INTEGER
);
-- One that is not destroyed for each person.
CREATE UNIQUE INDEX subject_keys_person ON subject_keys(tenant, person) WHERE erased IS NULL;
CREATE INDEX subject_keys_erased ON subject_keys(tenant, person) WHERE erased IS NOT NULL;

-- The person's key around the stream's; none for those of services, and from before.
ALTER TABLE streams ADD COLUMN subject INTEGER;
CREATE INDEX streams_subject ON streams(subject) WHERE subject IS NOT NULL;
";

/// A key id, the wrapped key and the person, where there are any.
pub fn subject_at(row: &Row<'_>, column: usize) -> Result<Option<SubjectKey>, Error> {
    let Some(bytes) = row.get(column + 1)? else { return Ok(None) };
    let person = UserId::from_u128(id_at(row, column + 2)?);
    Ok(Some(SubjectKey { person, key_id: number_at(row, column)?, bytes }))
}

/// The number of this very key, which must not be destroyed.
pub fn find_subject(transaction: &mut Transaction, tenant: TenantId, key: &SubjectKey) -> Result<i64, Failure> {
    let mut statement = Statement::new(
        "SELECT no FROM subject_keys WHERE tenant = ? AND person = ? AND erased IS NULL AND key_bytes = ?",
    );
    statement.bind(tenant.to_u128()).bind(key.person.to_u128()).bind(&key.bytes[..]);
    Ok(transaction.first(&statement, |row| Ok(row.get(0)?))?.ok_or(StoreError::Conflict)?)
}

/// Sees to it that what is removed next is written over, freed pages included, which costs writes of its own.
fn thoroughly(connection: &Connection) -> Result<(), Error> {
    Ok(connection.pragma_update(None, "secure_delete", "ON")?)
}

fn as_usual(connection: &Connection) -> Result<(), Error> {
    Ok(connection.pragma_update(None, "secure_delete", "FAST")?)
}

pub fn destroy_subject(
    transaction: &mut Transaction,
    tenant: TenantId,
    person: UserId,
    until: Timestamp,
) -> Result<(), Error> {
    let mut statement = Statement::new(concat!(
        "UPDATE subject_keys SET key_bytes = zeroblob(length(key_bytes)), erased = ",
        now!(),
        " WHERE tenant = ? AND person = ? AND erased IS NULL AND made <= ?"
    ));
    statement.bind(tenant.to_u128()).bind(person.to_u128()).bind(until.as_millis());
    transaction.run(&statement).map(drop)
}

pub fn destroy_stream_key(transaction: &mut Transaction, tenant: TenantId, stream: StreamId) -> Result<(), Error> {
    let mut statement = Statement::new(
        "UPDATE streams SET key_bytes = zeroblob(length(key_bytes)) WHERE id = ? AND tenant = ? AND id <> tenant",
    );
    statement.bind(stream.to_u128()).bind(tenant.to_u128());
    transaction.run(&statement).map(drop)
}

pub struct KeepSubjectKey {
    pub tenant: TenantId,
    pub key: SubjectKey,
}

impl Operation for KeepSubjectKey {
    type Output = SubjectKey;

    fn run(&self, transaction: &mut Transaction) -> Result<SubjectKey, Failure> {
        let SubjectKey { person, key_id, bytes } = &self.key;
        transaction.only_key.admit_id(*key_id)?;
        let mut statement = Statement::new(concat!(
            "INSERT INTO subject_keys(tenant, person, key_id, key_bytes, made) VALUES (?, ?, ?, ?, ",
            now!(),
            ") ON CONFLICT DO NOTHING"
        ));
        statement.bind(self.tenant.to_u128()).bind(person.to_u128()).bind(*key_id).bind(&bytes[..]);
        transaction.run(&statement)?;
        let mut statement = Statement::new(
            "SELECT key_id, key_bytes, person FROM subject_keys WHERE tenant = ? AND person = ? AND erased IS NULL",
        );
        statement.bind(self.tenant.to_u128()).bind(person.to_u128());
        let kept = transaction.first(&statement, |row| subject_at(row, 0))?.flatten();
        Ok(kept.ok_or(damaged("a key"))?)
    }
}

pub struct EraseStream {
    pub stream: StreamId,
    pub limit: u32,
}

impl Operation for EraseStream {
    type Output = bool;

    fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let no = find_stream(transaction, self.stream)?.no;
        thoroughly(transaction.connection())?;
        let more = self.erase(transaction, no);
        // Whatever came of it: others use the same connection.
        as_usual(transaction.connection())?;
        Ok(more?)
    }

    fn is_long(&self) -> bool {
        true
    }
}

impl EraseStream {
    fn erase(&self, transaction: &mut Transaction, no: i64) -> Result<bool, Error> {
        let mut statement = Statement::new(
            "UPDATE streams SET key_bytes = zeroblob(length(key_bytes)), due_at = NULL, lease_node = NULL, \
             lease_expires = 0, epoch = epoch + 1, inbox_through = inbox_last WHERE no = ?",
        );
        statement.bind(no);
        transaction.run(&statement)?;
        for sql in [
            "DELETE FROM inbox WHERE place > ? AND place <= ?",
            "DELETE FROM snapshots WHERE place >= ? AND place <= ?",
        ] {
            let mut statement = Statement::new(sql);
            statement.bind(no << 32).bind(no << 32 | i64::from(u32::MAX));
            transaction.run(&statement)?;
        }
        // A session's row and labels are found by its id, which is the stream's.
        for sql in [
            "DELETE FROM labels WHERE row IN (SELECT no FROM rows WHERE id = ? AND kind = ? AND stream = ?)",
            "DELETE FROM rows WHERE id = ? AND kind = ? AND stream = ?",
        ] {
            let mut statement = Statement::new(sql);
            statement.bind(self.stream.to_u128()).bind(row_kind(RowKind::Session)).bind(no);
            transaction.run(&statement)?;
        }
        let mut statement = Statement::new(
            "DELETE FROM rows WHERE no IN (SELECT r.no FROM streams s CROSS JOIN rows r ON r.kind = ? \
             AND r.scope = s.tenant AND r.stream = s.no WHERE s.no = ?)",
        );
        statement.bind(row_kind(RowKind::Approval)).bind(no);
        transaction.run(&statement)?;
        clear_rows(transaction, self.stream, no, self.limit)
    }
}

/// Carries the write-ahead log over into the database and cuts it, so that it holds nothing of before.
pub struct Scrub;

impl Operation for Scrub {
    type Output = bool;

    fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        if transaction.is_open() {
            return Ok(false);
        }
        // It never waits for a reader: everybody's commits would wait with it.
        let connection = transaction.connection();
        let busy = || -> Result<i64, Error> {
            connection.busy_timeout(Duration::ZERO)?;
            Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?)
        };
        let busy = busy();
        connection.busy_timeout(BUSY_TIMEOUT).map_err(Error::from)?;
        Ok(busy? == 0)
    }

    fn is_long(&self) -> bool {
        true
    }
}

impl Reader<'_> {
    pub async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError> {
        let mut statement = Statement::new("SELECT key_id, key_bytes, person, made FROM subject_keys ");
        statement.add("WHERE tenant = ? AND person = ? AND erased IS NULL");
        statement.bind(tenant.to_u128()).bind(person.to_u128());
        let read = |row: &Row<'_>| match subject_at(row, 0)? {
            Some(key) => Ok(Some((key, time_at(row, 3)?))),
            None => Ok(None),
        };
        Ok(self.first(&statement, read).await?.flatten())
    }

    pub async fn readable_streams(&self, query: &ReadableQuery) -> Result<Vec<ReadableStream>, StoreError> {
        let mut statement = Statement::new("SELECT s.no, s.id, k.person, r.time, (s.due_at IS NULL OR s.due_at > ");
        statement.add(concat!(now!(), ") AND (s.lease_node IS NULL OR s.lease_expires <= ", now!(), ") FROM "));
        match query.of {
            Subjects::Person(person) => {
                statement.add("subject_keys k CROSS JOIN streams s ON s.subject = k.no ").add(RECORD);
                statement.add("WHERE k.tenant = ? AND k.person = ? AND ");
                statement.bind(query.tenant.to_u128()).bind(person.to_u128());
            }
            Subjects::Nobody => {
                statement.add("streams s LEFT JOIN subject_keys k ON k.no = s.subject ").add(RECORD);
                statement.add("WHERE s.subject IS NULL AND ");
            }
            Subjects::Anybody => {
                statement.add("streams s LEFT JOIN subject_keys k ON k.no = s.subject ").add(RECORD).add("WHERE ");
            }
        }
        statement
            .add("s.no > ? AND s.tenant = ? AND s.id <> s.tenant AND s.key_bytes <> zeroblob(length(s.key_bytes)) ");
        statement.bind(integer(query.after)).bind(query.tenant.to_u128());
        if let Some(since) = query.quiet_since {
            statement.add("AND r.time < ? ").bind(since.as_millis());
        }
        statement.add("ORDER BY s.no LIMIT ?").bind(query.limit);
        let read = |row: &Row<'_>| {
            let subject = optional_id_at(row, 2)?.map(UserId::from_u128);
            Ok(ReadableStream {
                cursor: number_at(row, 0)?,
                stream: StreamId::from_u128(id_at(row, 1)?),
                subject,
                last: time_at(row, 3)?,
                at_rest: row.get(4)?,
            })
        };
        self.all_of_many(&statement, read).await
    }
}

/// A stream's last record; one without any is not read.
const RECORD: &str = "JOIN records r ON r.place = (s.no << 32) + s.position ";
