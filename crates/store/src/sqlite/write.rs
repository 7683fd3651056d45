//! Every other write, and the parts that several of them share.

use super::{
    columns::{array_at, id_at, number_at, time_at},
    erase::find_subject,
    error::{Error, damaged},
    parts::{put_records, put_rows, put_snapshot},
    statement::{Statement, integer, now},
    transaction::{Known, Transaction},
    writer::{Failure, Operation},
};
use bailiwick_ports::{
    StoreError,
    store::{
        Accepted, Document, DocumentKind, Idempotency, LeaseGrant, MAX_INBOX, NewStream, RowKind, Snapshot, Submission,
        Tenant,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId};
use bytes::Bytes;
use rusqlite::Row;

/// Idempotency keys are kept at least a day; an hour more covers clocks that are corrected.
const PROMISE_KEPT: Millis = Millis::from_secs(25 * 3600);
/// Old keys that are removed whenever a new one is kept. More than one, so that they run out.
const PROMISES_SWEPT: i64 = 4;

pub const fn row_kind(kind: RowKind) -> i64 {
    match kind {
        RowKind::Session => 1,
        RowKind::Turn => 2,
        RowKind::Item => 3,
        RowKind::Artifact => 4,
        RowKind::Approval => 5,
    }
}

pub const fn document_kind(kind: DocumentKind) -> i64 {
    match kind {
        DocumentKind::Agent => 1,
        DocumentKind::ApiKey => 2,
        DocumentKind::AccessKey => 3,
        DocumentKind::File => 4,
        DocumentKind::Environment => 5,
        DocumentKind::User => 6,
        DocumentKind::Team => 7,
        DocumentKind::Colleague => 8,
        DocumentKind::Password => 9,
        DocumentKind::SignIn => 10,
        DocumentKind::SigningKey => 11,
        DocumentKind::RevokedToken => 15,
        DocumentKind::Budget => 12,
        DocumentKind::Stop => 14,
        DocumentKind::Policy => 13,
        DocumentKind::Grant => 18,
        DocumentKind::Hold => 19,
        DocumentKind::Erasure => 20,
        DocumentKind::Vault => 16,
        DocumentKind::Credential => 17,
        DocumentKind::Connector => 21,
        DocumentKind::Skill => 23,
        DocumentKind::ConnectorRequest => 25,
    }
}

/// What is known of a stream, from memory or from the database.
pub fn find_stream(transaction: &mut Transaction, stream: StreamId) -> Result<Known, Failure> {
    if let Some(known) = transaction.known(stream) {
        return Ok(known);
    }
    let mut statement = Statement::new("SELECT no, tenant, inbox_last, inbox_through FROM streams WHERE id = ?");
    statement.bind(stream.to_u128());
    let read = |row: &Row<'_>| {
        let tenant = TenantId::from_u128(id_at(row, 1)?);
        Ok(Known { no: row.get(0)?, tenant, inbox_last: row.get(2)?, inbox_through: row.get(3)? })
    };
    let known = transaction.first(&statement, read)?.ok_or(StoreError::UnknownStream(stream))?;
    transaction.remember(stream, known);
    Ok(known)
}

/// Adds inputs to stream `no`, which counts them already: its last is `inbox_last`.
fn put_inputs(transaction: &mut Transaction, no: i64, inbox_last: i64, inputs: &[Bytes]) -> Result<(), Error> {
    let first = inbox_last - inputs.len() as i64 + 1;
    for (sequence, sealed) in (first..).zip(inputs) {
        let mut statement =
            Statement::new(concat!("INSERT INTO inbox(place, received, sealed) VALUES (?, ", now!(), ", ?)"));
        statement.bind((no << 32) + sequence).bind(&sealed[..]);
        transaction.run(&statement)?;
    }
    Ok(())
}

/// The answer to a request that was promised before.
fn promised(
    transaction: &mut Transaction,
    tenant: TenantId,
    asked: &Idempotency,
    only: Option<StreamId>,
) -> Result<Option<Accepted>, Failure> {
    let mut statement =
        Statement::new("SELECT digest, stream, sequence FROM promises WHERE key = ? AND scope = ? AND tenant = ?");
    statement.bind(&asked.key[..]).bind(&asked.scope[..]).bind(tenant.to_u128());
    let read = |row: &Row<'_>| {
        let stream = StreamId::from_u128(id_at(row, 1)?);
        if array_at::<32>(row, 0)? == asked.digest && only.is_none_or(|only| only == stream) {
            Ok(Accepted::Repeated { stream, sequence: number_at(row, 2)? })
        } else {
            Ok(Accepted::KeyReused)
        }
    };
    Ok(transaction.first(&statement, read)?)
}

/// Keeps a promise made with the input of this sequence, and removes some that are old.
fn put_promise(
    transaction: &mut Transaction,
    tenant: TenantId,
    asked: &Idempotency,
    stream: StreamId,
    sequence: i64,
) -> Result<(), Error> {
    let mut statement = Statement::new(concat!(
        "INSERT INTO promises(tenant, scope, key, digest, stream, sequence, created) VALUES (?, ?, ?, ?, ?, ?, ",
        now!(),
        ")"
    ));
    statement.bind(tenant.to_u128()).bind(&asked.scope[..]).bind(&asked.key[..]).bind(&asked.digest[..]);
    statement.bind(stream.to_u128()).bind(sequence);
    transaction.run(&statement)?;
    let mut statement = Statement::new(concat!(
        "DELETE FROM promises WHERE no IN (SELECT no FROM promises ORDER BY no LIMIT ?) AND created < ",
        now!(),
        " - ?"
    ));
    statement.bind(PROMISES_SWEPT).bind(integer(PROMISE_KEPT.0));
    transaction.run(&statement).map(drop)
}

pub struct CreateStream(pub NewStream);

impl Operation for CreateStream {
    type Output = Accepted;

    fn run(&self, transaction: &mut Transaction) -> Result<Accepted, Failure> {
        let new = &self.0;
        if let Some(asked) = &new.idempotency
            && let Some(before) = promised(transaction, new.tenant, asked, None)?
        {
            return Ok(before);
        }
        transaction.only_key.admit(&new.key)?;
        let inbox_last = new.inputs.len() as i64;
        let subject = match &new.key.subject {
            Some(key) => Some(find_subject(transaction, new.tenant, key)?),
            None => None,
        };
        let mut statement = Statement::new(concat!(
            "INSERT INTO streams(id, tenant, key_id, key_bytes, subject, position, inbox_last, due_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, iif(?, ",
            now!(),
            ", NULL)) ON CONFLICT DO NOTHING RETURNING no"
        ));
        statement.bind(new.stream.to_u128()).bind(new.tenant.to_u128());
        statement.bind(new.key.key_id).bind(&new.key.bytes[..]).bind(subject);
        statement.bind(new.records.len() as i64).bind(inbox_last).bind(inbox_last > 0);
        let no = transaction.first(&statement, |row| Ok(row.get(0)?))?.ok_or(StoreError::Conflict)?;
        put_records(transaction, no, &new.records)?;
        put_rows(transaction, no, &new.rows)?;
        put_inputs(transaction, no, inbox_last, &new.inputs)?;
        if let Some(asked) = &new.idempotency {
            put_promise(transaction, new.tenant, asked, new.stream, inbox_last)?;
        }
        transaction.appended(no);
        transaction.remember(new.stream, Known { no, tenant: new.tenant, inbox_last, inbox_through: 0 });
        Ok(Accepted::New { sequence: new.inputs.len() as u64 })
    }
}

pub struct Submit(pub Submission);

impl Operation for Submit {
    type Output = Accepted;

    fn run(&self, transaction: &mut Transaction) -> Result<Accepted, Failure> {
        let new = &self.0;
        if let Some(asked) = &new.idempotency
            && let Some(before) = promised(transaction, new.tenant, asked, Some(new.stream))?
        {
            return Ok(before);
        }
        let known = find_stream(transaction, new.stream)?;
        if known.tenant != new.tenant {
            return Err(StoreError::UnknownStream(new.stream).into());
        }
        let count = new.inputs.len() as i64;
        let mut inbox_last = 0;
        if count > 0 {
            let mut statement = Statement::new(concat!(
                "UPDATE streams SET inbox_last = inbox_last + ?1, due_at = min(coalesce(due_at, ",
                now!(),
                "), ",
                now!(),
                ") WHERE no = ?2 AND inbox_last - inbox_through + ?1 <= ?3 RETURNING inbox_last"
            ));
            statement.bind(count).bind(known.no).bind(integer(MAX_INBOX));
            let last = transaction.first(&statement, |row| Ok(row.get(0)?))?;
            inbox_last = last.ok_or(StoreError::InboxFull(new.stream))?;
            put_inputs(transaction, known.no, inbox_last, &new.inputs)?;
            transaction.remember(new.stream, Known { inbox_last, ..known });
        }
        if let Some(asked) = &new.idempotency {
            put_promise(transaction, new.tenant, asked, new.stream, inbox_last)?;
        }
        Ok(Accepted::New { sequence: inbox_last.unsigned_abs() })
    }
}

pub struct Lease {
    pub stream: StreamId,
    pub node: NodeId,
    pub span: Millis,
}

impl Operation for Lease {
    type Output = Option<LeaseGrant>;

    fn run(&self, transaction: &mut Transaction) -> Result<Option<LeaseGrant>, Failure> {
        let known = find_stream(transaction, self.stream)?;
        let mut statement = Statement::new(concat!(
            "UPDATE streams SET epoch = epoch + 1, lease_node = ?1, lease_span = ?2, lease_expires = ",
            now!(),
            " + ?2 WHERE no = ?3 AND (lease_expires <= ",
            now!(),
            " OR lease_node = ?1) RETURNING epoch, ",
            now!(),
            ", lease_expires"
        ));
        statement.bind(self.node.to_u128()).bind(integer(self.span.0.min(MAX_SPAN))).bind(known.no);
        Ok(transaction.first(&statement, |row| grant(known.tenant, row))?)
    }
}

pub struct Renew {
    pub stream: StreamId,
    pub epoch: u64,
    pub span: Millis,
}

impl Operation for Renew {
    type Output = LeaseGrant;

    fn run(&self, transaction: &mut Transaction) -> Result<LeaseGrant, Failure> {
        let known = find_stream(transaction, self.stream)?;
        let mut statement = Statement::new(concat!(
            "UPDATE streams SET lease_span = ?1, lease_expires = ",
            now!(),
            " + ?1 WHERE no = ?2 AND epoch = ?3 AND lease_expires > ",
            now!(),
            " RETURNING epoch, ",
            now!(),
            ", lease_expires"
        ));
        statement.bind(integer(self.span.0.min(MAX_SPAN))).bind(known.no).bind(integer(self.epoch));
        let stale = StoreError::StaleEpoch { stream: self.stream, epoch: self.epoch };
        Ok(transaction.first(&statement, |row| grant(known.tenant, row))?.ok_or(stale)?)
    }
}

/// Spans are added to times, so that there must be room for the sum.
const MAX_SPAN: u64 = 1 << 52;

fn grant(tenant: TenantId, row: &Row<'_>) -> Result<LeaseGrant, Error> {
    Ok(LeaseGrant { tenant, epoch: number_at(row, 0)?, now: time_at(row, 1)?, expires: time_at(row, 2)? })
}

pub struct ReleaseNode(pub NodeId);

impl Operation for ReleaseNode {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let mut statement = Statement::new(RELEASE_NODE);
        statement.bind(self.0.to_u128());
        transaction.run(&statement)?;
        Ok(())
    }
}

pub(super) const RELEASE_NODE: &str = "UPDATE streams SET lease_node = NULL, lease_expires = 0 WHERE lease_node = ?";

pub struct PutSnapshot {
    pub stream: StreamId,
    pub snapshot: Snapshot,
}

impl Operation for PutSnapshot {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let Known { no, .. } = find_stream(transaction, self.stream)?;
        let mut statement = Statement::new("SELECT position FROM streams WHERE no = ?");
        statement.bind(no);
        let end: u64 = transaction.first(&statement, |row| number_at(row, 0))?.ok_or(damaged("a stream"))?;
        let at = self.snapshot.position;
        if at > end {
            return Err(StoreError::Malformed(format!("the snapshot is at {at}, the stream ends at {end}")).into());
        }
        Ok(put_snapshot(transaction, no, &self.snapshot)?)
    }
}

pub struct ClearRows {
    pub stream: StreamId,
    pub limit: u32,
}

impl Operation for ClearRows {
    type Output = bool;

    fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let Known { no, .. } = find_stream(transaction, self.stream)?;
        Ok(clear_rows(transaction, self.stream, no, self.limit)?)
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// Removes turns, items and artifacts of stream `no`, `limit` at most; whether there may be more.
pub fn clear_rows(transaction: &mut Transaction, stream: StreamId, no: i64, limit: u32) -> Result<bool, Error> {
    let mut statement = Statement::new(
        "DELETE FROM rows WHERE no IN (SELECT no FROM rows WHERE kind IN (?, ?, ?) AND scope = ? AND stream = ? LIMIT ?)",
    );
    for kind in [RowKind::Turn, RowKind::Item, RowKind::Artifact] {
        statement.bind(row_kind(kind));
    }
    statement.bind(stream.to_u128()).bind(no).bind(limit);
    Ok(transaction.run(&statement)? as u64 >= u64::from(limit))
}

pub struct PutTenant(pub Tenant);

impl Operation for PutTenant {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let Tenant { id, name, key } = &self.0;
        transaction.only_key.admit(key)?;
        let mut statement =
            Statement::new("INSERT OR REPLACE INTO tenants(id, name, key_id, key_bytes) VALUES (?, ?, ?, ?)");
        statement.bind(id.to_u128()).bind(&name[..]).bind(key.key_id).bind(&key.bytes[..]);
        transaction.run(&statement)?;
        Ok(())
    }
}

/// A document's number and newest version.
pub fn find_document(
    transaction: &mut Transaction,
    tenant: TenantId,
    kind: DocumentKind,
    id: u128,
) -> Result<Option<(i64, u32)>, Error> {
    let mut statement = Statement::new("SELECT no, version FROM documents WHERE tenant = ? AND kind = ? AND id = ?");
    statement.bind(tenant.to_u128()).bind(document_kind(kind)).bind(id);
    transaction.first(&statement, |row| Ok((row.get(0)?, number_at(row, 1)?)))
}

pub struct PutDocument {
    pub tenant: TenantId,
    pub document: Document,
}

impl Operation for PutDocument {
    type Output = ();

    fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let found = find_document(transaction, self.tenant, self.document.kind, self.document.id)?;
        if u64::from(self.document.version) != found.map_or(0, |(_, newest)| u64::from(newest)) + 1 {
            return Err(StoreError::Conflict.into());
        }
        put_document(transaction, self.tenant, found.map(|(no, _)| no), &self.document)?;
        Ok(())
    }
}

/// Writes the next version of document `no`, which is new where there is none, and gives its number. A handle that is
/// taken breaks a unique index, which is a conflict too.
pub fn put_document(
    transaction: &mut Transaction,
    tenant: TenantId,
    no: Option<i64>,
    document: &Document,
) -> Result<i64, Error> {
    let Document { kind, id, version, created, updated, handle, sealed } = document;
    let no: i64 = match no {
        Some(no) => {
            let mut statement = Statement::new("UPDATE documents SET version = ?, handle = ? WHERE no = ?");
            statement.bind(*version).bind(handle.as_deref()).bind(no);
            transaction.run(&statement)?;
            no
        }
        None => {
            let mut statement = Statement::new(
                "INSERT INTO documents(tenant, kind, id, version, created, handle) VALUES (?, ?, ?, ?, ?, ?) RETURNING no",
            );
            statement.bind(tenant.to_u128()).bind(document_kind(*kind)).bind(*id);
            statement.bind(*version).bind(created.as_millis()).bind(handle.as_deref());
            transaction.first(&statement, |row| Ok(row.get(0)?))?.ok_or(damaged("a document"))?
        }
    };
    let mut statement =
        Statement::new("INSERT INTO document_versions(place, updated, handle, sealed) VALUES (?, ?, ?, ?)");
    statement.bind(no << 32 | i64::from(*version)).bind(updated.as_millis());
    statement.bind(handle.as_deref()).bind(&sealed[..]);
    transaction.run(&statement)?;
    Ok(no)
}

pub struct RemoveDocument {
    pub tenant: TenantId,
    pub kind: DocumentKind,
    pub id: u128,
}

impl Operation for RemoveDocument {
    type Output = bool;

    fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let Some((no, _)) = find_document(transaction, self.tenant, self.kind, self.id)? else {
            return Ok(false);
        };
        remove_document(transaction, no)?;
        Ok(true)
    }
}

/// Removes a document with all its versions.
pub fn remove_document(transaction: &mut Transaction, no: i64) -> Result<(), Error> {
    let mut statement = Statement::new("DELETE FROM document_versions WHERE place > ? AND place <= ?");
    statement.bind(no << 32).bind(no << 32 | i64::from(u32::MAX));
    transaction.run(&statement)?;
    let mut statement = Statement::new("DELETE FROM documents WHERE no = ?");
    statement.bind(no);
    transaction.run(&statement).map(drop)
}
