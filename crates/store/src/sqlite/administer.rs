//! Changes of a tenant's administration: one record of the tenant's own stream with the documents that it writes.

use super::{
    erase::{destroy_stream_key, destroy_subject},
    ops::Ops,
    script::{Script, integer},
    transaction::Transaction,
    write::{find_document, number_at, push_document, without_document},
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    DocumentWrite, StoreError,
    store::{Administer, DocumentKind},
};
use bailiwick_types::StreamId;
use sqlx::Row as _;
use std::collections::{HashMap, hash_map::Entry};

pub struct Write(pub Administer);

/// The documents of a change by what they are, each with its number and newest version as of now.
type Known = HashMap<(DocumentKind, u128), Option<(i64, u32)>>;

#[async_trait]
impl Operation for Write {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        // Everything that can refuse it, but for a handle that is taken, is looked at before anything is written.
        let stream = self.stream(transaction).await?;
        let known = self.documents(transaction).await?;
        let no = self.append(transaction, stream).await?;
        self.write(transaction, known).await?;
        let mut ops = Ops::default();
        ops.records(no, std::slice::from_ref(&self.0.record));
        // One record is one statement.
        for script in ops.into_scripts() {
            transaction.finish(script).await?;
        }
        transaction.appended(no);
        Ok(())
    }
}

impl Write {
    /// The stream's number; `None` where it is made with this record.
    async fn stream(&self, transaction: &mut Transaction) -> Result<Option<i64>, Failure> {
        let stream = StreamId::from(self.0.tenant);
        let mut script = Script::new("SELECT no, position FROM streams WHERE id = ?");
        script.bind_id(stream.to_u128());
        let rows = transaction.run(script).await?;
        let (no, position) = match rows.first() {
            Some(row) => (Some(row.try_get(0)?), number_at::<u64>(row, 1)?),
            None => (None, 0),
        };
        match self.0.record.position == position + 1 {
            true => Ok(no),
            false => Err(StoreError::StaleEpoch { stream, epoch: 0 }.into()),
        }
    }

    async fn documents(&self, transaction: &mut Transaction) -> Result<Known, Failure> {
        let mut known = Known::new();
        let mut newest = HashMap::new();
        for write in &self.0.documents {
            let key = match write {
                DocumentWrite::Put(document) => (document.kind, document.id),
                DocumentWrite::Remove { kind, id } => (*kind, *id),
                DocumentWrite::DestroyKey { .. } | DocumentWrite::DestroyStreamKey { .. } => continue,
            };
            if let Entry::Vacant(place) = known.entry(key) {
                let found = find_document(transaction, self.0.tenant, key.0, key.1).await?;
                newest.insert(key, found.map_or(0, |(_, version)| u64::from(version)));
                place.insert(found);
            }
            let version = newest.entry(key).or_default();
            *version = match write {
                DocumentWrite::Put(document) if u64::from(document.version) != *version + 1 => {
                    return Err(StoreError::Conflict.into());
                }
                DocumentWrite::Put(document) => u64::from(document.version),
                _ => 0,
            };
        }
        Ok(known)
    }

    /// Moves the stream on and gives its number.
    async fn append(&self, transaction: &mut Transaction, stream: Option<i64>) -> Result<i64, Failure> {
        let Administer { tenant, key, record, .. } = &self.0;
        let position = integer(record.position);
        if let Some(no) = stream {
            let mut script = Script::new("UPDATE streams SET position = ? WHERE no = ?");
            script.bind(position).bind(no);
            transaction.run(script).await?;
            return Ok(no);
        }
        transaction.only_key.admit(key)?;
        let mut script = Script::new("INSERT INTO streams(id, tenant, key_id, key_bytes, position) ");
        script.add("VALUES (?, ?, ?, ?, ?) RETURNING no").bind_id(tenant.to_u128()).bind_id(tenant.to_u128());
        script.bind(key.key_id).bind(&key.bytes[..]).bind(position);
        Ok(transaction.run(script).await?.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?)
    }

    async fn write(&self, transaction: &mut Transaction, mut known: Known) -> Result<(), Failure> {
        for write in &self.0.documents {
            match write {
                DocumentWrite::Put(document) => {
                    let key = (document.kind, document.id);
                    let no = known.get(&key).copied().flatten().map(|(no, _)| no);
                    let last = push_document(transaction, self.0.tenant, no, document).await?;
                    transaction.run(last).await?;
                    // A second version in one change is of a document that has a number by now.
                    if no.is_none() {
                        let found = find_document(transaction, self.0.tenant, key.0, key.1).await?;
                        known.insert(key, found);
                    }
                }
                DocumentWrite::Remove { kind, id } => {
                    if let Some((no, _)) = known.insert((*kind, *id), None).flatten() {
                        transaction.run(without_document(no)).await?;
                    }
                }
                DocumentWrite::DestroyKey { person, until } => {
                    destroy_subject(transaction, self.0.tenant, *person, *until).await?;
                }
                DocumentWrite::DestroyStreamKey { stream } => {
                    destroy_stream_key(transaction, self.0.tenant, *stream).await?;
                }
            }
        }
        Ok(())
    }
}
