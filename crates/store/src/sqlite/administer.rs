//! Changes of a tenant's administration: one record of the tenant's own stream with the documents that it writes.

use super::{
    columns::number_at,
    erase::{destroy_stream_key, destroy_subject},
    error::{Error, damaged},
    parts::put_records,
    statement::{Statement, integer},
    transaction::Transaction,
    write::{find_document, put_document, remove_document},
    writer::{Failure, Operation},
};
use bailiwick_ports::{
    DocumentWrite, StoreError,
    store::{Administer, DocumentKind},
};
use bailiwick_types::StreamId;
use std::collections::{HashMap, hash_map::Entry};

pub struct Write(pub Administer);

/// The documents of a change by what they are, each with its number and newest version as of now.
type Known = HashMap<(DocumentKind, u128), Option<(i64, u32)>>;

impl Operation for Write {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        // Everything that can refuse it, but for a handle that is taken, is looked at before anything is written.
        let stream = self.stream(transaction)?;
        let known = self.documents(transaction)?;
        let no = self.append(transaction, stream)?;
        self.write(transaction, known)?;
        put_records(transaction, no, std::slice::from_ref(&self.0.record))?;
        transaction.appended(no);
        Ok(())
    }
}

impl Write {
    /// The stream's number; `None` where it is made with this record.
    fn stream(&self, transaction: &mut Transaction) -> Result<Option<i64>, Failure> {
        let stream = StreamId::from(self.0.tenant);
        let mut statement = Statement::new("SELECT no, position FROM streams WHERE id = ?");
        statement.bind(stream.to_u128());
        let found = transaction.first(&statement, |row| Ok((row.get(0)?, number_at::<u64>(row, 1)?)))?;
        let position = found.map_or(0, |(_, position)| position);
        match self.0.record.position == position + 1 {
            true => Ok(found.map(|(no, _)| no)),
            false => Err(StoreError::StaleEpoch { stream, epoch: 0 }.into()),
        }
    }

    fn documents(&self, transaction: &mut Transaction) -> Result<Known, Failure> {
        let mut known = Known::new();
        let mut newest = HashMap::new();
        for write in &self.0.documents {
            let key = match write {
                DocumentWrite::Put(document) => (document.kind, document.id),
                DocumentWrite::Remove { kind, id } => (*kind, *id),
                DocumentWrite::DestroyKey { .. } | DocumentWrite::DestroyStreamKey { .. } => continue,
            };
            if let Entry::Vacant(place) = known.entry(key) {
                let found = find_document(transaction, self.0.tenant, key.0, key.1)?;
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
    fn append(&self, transaction: &mut Transaction, stream: Option<i64>) -> Result<i64, Failure> {
        let Administer { tenant, key, record, .. } = &self.0;
        let position = integer(record.position);
        if let Some(no) = stream {
            let mut statement = Statement::new("UPDATE streams SET position = ? WHERE no = ?");
            statement.bind(position).bind(no);
            transaction.run(&statement)?;
            return Ok(no);
        }
        transaction.only_key.admit(key)?;
        let mut statement = Statement::new(
            "INSERT INTO streams(id, tenant, key_id, key_bytes, position) VALUES (?, ?, ?, ?, ?) RETURNING no",
        );
        statement.bind(tenant.to_u128()).bind(tenant.to_u128());
        statement.bind(key.key_id).bind(&key.bytes[..]).bind(position);
        Ok(transaction.first(&statement, |row| Ok(row.get(0)?))?.ok_or(damaged("a stream"))?)
    }

    fn write(&self, transaction: &mut Transaction, mut known: Known) -> Result<(), Error> {
        for write in &self.0.documents {
            match write {
                DocumentWrite::Put(document) => {
                    let key = (document.kind, document.id);
                    let no = known.get(&key).copied().flatten().map(|(no, _)| no);
                    let no = put_document(transaction, self.0.tenant, no, document)?;
                    // A second version in one change is of a document that has a number by now.
                    known.insert(key, Some((no, document.version)));
                }
                DocumentWrite::Remove { kind, id } => {
                    if let Some((no, _)) = known.insert((*kind, *id), None).flatten() {
                        remove_document(transaction, no)?;
                    }
                }
                DocumentWrite::DestroyKey { person, until } => {
                    destroy_subject(transaction, self.0.tenant, *person, *until)?;
                }
                DocumentWrite::DestroyStreamKey { stream } => {
                    destroy_stream_key(transaction, self.0.tenant, *stream)?;
                }
            }
        }
        Ok(())
    }
}
