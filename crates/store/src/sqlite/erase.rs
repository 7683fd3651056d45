//! Keys of people, and what is left of a stream when its key is gone.
//!
//! What is destroyed is written over with zeroes where it stands, not removed: a removed row may be read from the file
//! for a long time. `secure_delete` does the same for rows that are removed here; [`Scrub`] for the write-ahead log.

use super::{
    read::Reader,
    script::{Script, integer, now},
    transaction::Transaction,
    write::{find_stream, id_at, number_at, row_kind, time_at},
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError, SubjectKey,
    store::{ReadableQuery, ReadableStream, RowKind, Subjects},
};
use bailiwick_types::{StreamId, TenantId, Timestamp, UserId};
use sqlx::{Row as _, sqlite::SqliteRow};

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
pub fn subject_at(row: &SqliteRow, column: usize) -> Result<Option<SubjectKey>, sqlx::Error> {
    let Some(bytes) = row.try_get::<Option<Vec<u8>>, _>(column + 1)? else { return Ok(None) };
    let person = UserId::from_u128(id_at(row, column + 2)?);
    Ok(Some(SubjectKey { person, key_id: number_at(row, column)?, bytes }))
}

/// The number of this very key, which must not be destroyed.
pub async fn find_subject(transaction: &mut Transaction, tenant: TenantId, key: &SubjectKey) -> Result<i64, Failure> {
    let mut script = Script::new("SELECT no FROM subject_keys WHERE tenant = ? AND person = ? AND erased IS NULL ");
    script.add("AND key_bytes = ?").bind_id(tenant.to_u128()).bind_id(key.person.to_u128()).bind(&key.bytes[..]);
    let rows = transaction.run(script).await?;
    Ok(rows.first().ok_or(StoreError::Conflict)?.try_get(0)?)
}

/// Sees to it that what is removed next is written over, freed pages included, which costs writes of its own.
async fn thoroughly(transaction: &mut Transaction) -> Result<(), sqlx::Error> {
    transaction.look(Script::new("PRAGMA secure_delete = ON")).await.map(drop)
}

async fn as_usual(transaction: &mut Transaction) -> Result<(), sqlx::Error> {
    transaction.look(Script::new("PRAGMA secure_delete = FAST")).await.map(drop)
}

pub async fn destroy_subject(
    transaction: &mut Transaction,
    tenant: TenantId,
    person: UserId,
    until: Timestamp,
) -> Result<(), Failure> {
    let mut script = Script::new("UPDATE subject_keys SET key_bytes = zeroblob(length(key_bytes)), erased = ");
    script.add(concat!(now!(), " WHERE tenant = ? AND person = ? AND erased IS NULL AND made <= ?"));
    script.bind_id(tenant.to_u128()).bind_id(person.to_u128()).bind(until.as_millis());
    transaction.run(script).await?;
    Ok(())
}

pub async fn destroy_stream_key(
    transaction: &mut Transaction,
    tenant: TenantId,
    stream: StreamId,
) -> Result<(), Failure> {
    let mut script = Script::new("UPDATE streams SET key_bytes = zeroblob(length(key_bytes)) ");
    script.add("WHERE id = ? AND tenant = ? AND id <> tenant").bind_id(stream.to_u128()).bind_id(tenant.to_u128());
    transaction.run(script).await?;
    Ok(())
}

pub struct KeepSubjectKey {
    pub tenant: TenantId,
    pub key: SubjectKey,
}

#[async_trait]
impl Operation for KeepSubjectKey {
    type Output = SubjectKey;

    async fn run(&self, transaction: &mut Transaction) -> Result<SubjectKey, Failure> {
        let SubjectKey { person, key_id, bytes } = &self.key;
        transaction.only_key.admit_id(*key_id)?;
        let mut script = Script::new("INSERT INTO subject_keys(tenant, person, key_id, key_bytes, made) ");
        script.add(concat!("VALUES (?, ?, ?, ?, ", now!(), ") ON CONFLICT DO NOTHING; "));
        script.bind_id(self.tenant.to_u128()).bind_id(person.to_u128()).bind(*key_id).bind(&bytes[..]);
        script.add("SELECT key_id, key_bytes, person FROM subject_keys WHERE tenant = ? AND person = ? ");
        script.add("AND erased IS NULL").bind_id(self.tenant.to_u128()).bind_id(person.to_u128());
        let rows = transaction.finish(script).await?;
        let kept = rows.first().map(|row| subject_at(row, 0)).transpose()?.flatten();
        Ok(kept.ok_or(sqlx::Error::RowNotFound)?)
    }
}

pub struct EraseStream {
    pub stream: StreamId,
    pub limit: u32,
}

#[async_trait]
impl Operation for EraseStream {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let no = find_stream(transaction, self.stream).await?.no;
        thoroughly(transaction).await?;
        let mut script = Script::new("UPDATE streams SET key_bytes = zeroblob(length(key_bytes)), due_at = NULL, ");
        script.add("lease_node = NULL, lease_expires = 0, epoch = epoch + 1, inbox_through = inbox_last WHERE no = ?");
        script.bind(no);
        script
            .add("; DELETE FROM inbox WHERE place > ? AND place <= ?")
            .bind(no << 32)
            .bind(no << 32 | i64::from(u32::MAX));
        script.add("; DELETE FROM snapshots WHERE place >= ? AND place <= ?");
        script.bind(no << 32).bind(no << 32 | i64::from(u32::MAX));
        // A session's row and labels are found by its id, which is the stream's.
        script.add("; DELETE FROM labels WHERE row IN (SELECT no FROM rows WHERE id = ? AND kind = ? AND stream = ?)");
        script.bind_id(self.stream.to_u128()).bind(row_kind(RowKind::Session)).bind(no);
        script.add("; DELETE FROM rows WHERE id = ? AND kind = ? AND stream = ?");
        script.bind_id(self.stream.to_u128()).bind(row_kind(RowKind::Session)).bind(no);
        script.add("; DELETE FROM rows WHERE no IN (SELECT r.no FROM streams s CROSS JOIN rows r ON r.kind = ? ");
        script.add("AND r.scope = s.tenant AND r.stream = s.no WHERE s.no = ?)");
        script.bind(row_kind(RowKind::Approval)).bind(no);
        transaction.run(script).await?;
        let mut script = Script::new("DELETE FROM rows WHERE no IN (SELECT no FROM rows WHERE kind IN (?, ?, ?) ");
        script.add("AND scope = ? AND stream = ? LIMIT ?) RETURNING no");
        for kind in [RowKind::Turn, RowKind::Item, RowKind::Artifact] {
            script.bind(row_kind(kind));
        }
        script.bind_id(self.stream.to_u128()).bind(no).bind(self.limit);
        let removed = transaction.run(script).await?;
        as_usual(transaction).await?;
        transaction.finish(Script::new("SELECT 1")).await?;
        Ok(removed.len() as u64 >= u64::from(self.limit))
    }
}

/// Carries the write-ahead log over into the database and cuts it, so that it holds nothing of before.
pub struct Scrub;

#[async_trait]
impl Operation for Scrub {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        if transaction.is_open() {
            return Ok(false);
        }
        // It never waits for a reader: everybody's commits would wait with it.
        transaction.look(Script::new("PRAGMA busy_timeout = 0")).await?;
        let done = transaction.look(Script::new("PRAGMA wal_checkpoint(TRUNCATE)")).await;
        transaction.look(Script::new("PRAGMA busy_timeout = 5000")).await?;
        let busy = done?.first().map(|row| row.try_get::<i64, _>(0)).transpose()?;
        Ok(busy == Some(0))
    }
}

impl Reader<'_> {
    pub async fn subject_key(
        &self,
        tenant: TenantId,
        person: UserId,
    ) -> Result<Option<(SubjectKey, Timestamp)>, StoreError> {
        let mut script = Script::new("SELECT key_id, key_bytes, person, made FROM subject_keys ");
        script.add("WHERE tenant = ? AND person = ? AND erased IS NULL");
        script.bind_id(tenant.to_u128()).bind_id(person.to_u128());
        let read = |row: &SqliteRow| match subject_at(row, 0)? {
            Some(key) => Ok(Some((key, time_at(row, 3)?))),
            None => Ok(None),
        };
        Ok(self.first(script, read).await?.flatten())
    }

    pub async fn readable_streams(&self, query: &ReadableQuery) -> Result<Vec<ReadableStream>, StoreError> {
        let mut script = Script::new("SELECT s.no, s.id, k.person, r.time, (s.due_at IS NULL OR s.due_at > ");
        script.add(concat!(now!(), ") AND (s.lease_node IS NULL OR s.lease_expires <= ", now!(), ") FROM "));
        match query.of {
            Subjects::Person(person) => {
                script.add("subject_keys k CROSS JOIN streams s ON s.subject = k.no ").add(RECORD);
                script.add("WHERE k.tenant = ? AND k.person = ? AND ");
                script.bind_id(query.tenant.to_u128()).bind_id(person.to_u128());
            }
            Subjects::Nobody => {
                script.add("streams s LEFT JOIN subject_keys k ON k.no = s.subject ").add(RECORD);
                script.add("WHERE s.subject IS NULL AND ");
            }
            Subjects::Anybody => {
                script.add("streams s LEFT JOIN subject_keys k ON k.no = s.subject ").add(RECORD).add("WHERE ");
            }
        }
        script.add("s.no > ? AND s.tenant = ? AND s.id <> s.tenant AND s.key_bytes <> zeroblob(length(s.key_bytes)) ");
        script.bind(integer(query.after)).bind_id(query.tenant.to_u128());
        if let Some(since) = query.quiet_since {
            script.add("AND r.time < ? ").bind(since.as_millis());
        }
        script.add("ORDER BY s.no LIMIT ?").bind(query.limit);
        let read = |row: &SqliteRow| {
            let subject = match row.try_get::<Option<&[u8]>, _>(2)? {
                Some(_) => Some(UserId::from_u128(id_at(row, 2)?)),
                None => None,
            };
            Ok(ReadableStream {
                cursor: number_at(row, 0)?,
                stream: StreamId::from_u128(id_at(row, 1)?),
                subject,
                last: time_at(row, 3)?,
                at_rest: row.try_get(4)?,
            })
        };
        self.all(script, read).await
    }
}

/// A stream's last record; one without any is not read.
const RECORD: &str = "JOIN records r ON r.place = (s.no << 32) + s.position ";
