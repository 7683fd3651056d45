//! Every other write, and the parts that several of them share.

use super::{
    error::guard_failed,
    ops::Ops,
    script::{Script, integer, now},
    transaction::{Known, Transaction},
    writer::{Failure, Operation},
};
use async_trait::async_trait;
use bailiwick_ports::{
    StoreError,
    store::{
        Accepted, Document, DocumentKind, Idempotency, LeaseGrant, MAX_INBOX, NewStream, RowKind, Snapshot, Submission,
        Tenant,
    },
};
use bailiwick_types::{Millis, NodeId, StreamId, TenantId, Timestamp};
use bytes::Bytes;
use sqlx::{Row as _, sqlite::SqliteRow};

/// Rows of one `VALUES`.
const CHUNK: usize = 32;
/// A script of more parts than this will hardly come again.
const USUAL: usize = 8;
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

/// 128 bits as they are stored.
pub fn id_at(row: &SqliteRow, column: usize) -> Result<u128, sqlx::Error> {
    Ok(u128::from_be_bytes(array_at(row, column)?))
}

pub fn array_at<const N: usize>(row: &SqliteRow, column: usize) -> Result<[u8; N], sqlx::Error> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| super::error::damaged("an id or a digest"))
}

pub fn time_at(row: &SqliteRow, column: usize) -> Result<Timestamp, sqlx::Error> {
    row.try_get(column).map(Timestamp::from_millis)
}

/// A number that was stored from one of this type.
pub fn number_at<T: TryFrom<i64>>(row: &SqliteRow, column: usize) -> Result<T, sqlx::Error> {
    T::try_from(row.try_get(column)?).map_err(|_| super::error::damaged("a number"))
}

/// What is known of a stream, from memory or from the database.
pub async fn find_stream(transaction: &mut Transaction, stream: StreamId) -> Result<Known, Failure> {
    if let Some(known) = transaction.known(stream) {
        return Ok(known);
    }
    let mut script = Script::new("SELECT no, tenant, lease_span, inbox_last FROM streams WHERE id = ?");
    script.bind_id(stream.to_u128());
    let rows = transaction.look(script).await?;
    let row = rows.first().ok_or(StoreError::UnknownStream(stream))?;
    let tenant = TenantId::from_u128(id_at(row, 1)?);
    let known = Known { no: row.try_get(0)?, tenant, lease_span: row.try_get(2)?, inbox_last: row.try_get(3)? };
    transaction.remember(stream, known);
    Ok(known)
}

/// Adds inputs to a stream whose `inbox_last` counts them already.
fn push_inputs(script: &mut Script, no: i64, inputs: &[Bytes]) {
    if inputs.len() > USUAL {
        script.once();
    }
    let mut back = inputs.len() as i64;
    for chunk in inputs.chunks(CHUNK) {
        script.add("; INSERT INTO inbox(place, received, sealed) SELECT (s.no << 32) + s.inbox_last - i.column1, ");
        script.add(concat!(now!(), ", i.column2 FROM streams s, (VALUES ")).tuples(2, chunk.len());
        script.add(") i WHERE s.no = ?");
        for sealed in chunk {
            back -= 1;
            script.bind(back).bind(&sealed[..]);
        }
        script.bind(no);
    }
}

/// The answer to a request that was promised before.
async fn promised(
    transaction: &mut Transaction,
    tenant: TenantId,
    asked: &Idempotency,
    only: Option<StreamId>,
) -> Result<Option<Accepted>, Failure> {
    let mut script =
        Script::new("SELECT digest, stream, sequence FROM promises WHERE key = ? AND scope = ? AND tenant = ?");
    script.bind(&asked.key[..]).bind(&asked.scope[..]).bind_id(tenant.to_u128());
    let rows = transaction.run(script).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let stream = StreamId::from_u128(id_at(row, 1)?);
    if array_at::<32>(row, 0)? == asked.digest && only.is_none_or(|only| only == stream) {
        Ok(Some(Accepted::Repeated { stream, sequence: number_at(row, 2)? }))
    } else {
        Ok(Some(Accepted::KeyReused))
    }
}

/// Keeps a promise made with the last input of this script, and removes some that are old.
fn push_promise(script: &mut Script, tenant: TenantId, asked: &Idempotency, no: i64, with_inputs: bool) {
    script.add("; INSERT INTO promises(tenant, scope, key, digest, stream, sequence, created) ");
    script.add(concat!("SELECT ?, ?, ?, ?, id, iif(?, inbox_last, 0), ", now!(), " FROM streams WHERE no = ?"));
    script.bind_id(tenant.to_u128()).bind(&asked.scope[..]).bind(&asked.key[..]).bind(&asked.digest[..]);
    script.bind(with_inputs).bind(no);
    script.add("; DELETE FROM promises WHERE no IN (SELECT no FROM promises ORDER BY no LIMIT ?) AND created < ");
    script.add(concat!(now!(), " - ?")).bind(PROMISES_SWEPT).bind(integer(PROMISE_KEPT.0));
}

pub struct CreateStream(pub NewStream);

#[async_trait]
impl Operation for CreateStream {
    type Output = Accepted;

    async fn run(&self, transaction: &mut Transaction) -> Result<Accepted, Failure> {
        let new = &self.0;
        if let Some(asked) = &new.idempotency
            && let Some(before) = promised(transaction, new.tenant, asked, None).await?
        {
            return Ok(before);
        }
        transaction.only_key.admit(&new.key)?;
        let sequence = new.inputs.len() as u64;
        let subject = match &new.key.subject {
            Some(key) => Some(super::erase::find_subject(transaction, new.tenant, key).await?),
            None => None,
        };
        let mut script =
            Script::new("INSERT INTO streams(id, tenant, key_id, key_bytes, subject, position, inbox_last, due_at) ");
        script.add(concat!(
            "VALUES (?, ?, ?, ?, ?, ?, ?, iif(?, ",
            now!(),
            ", NULL)) ON CONFLICT DO NOTHING RETURNING no"
        ));
        script.bind_id(new.stream.to_u128()).bind_id(new.tenant.to_u128());
        script.bind(new.key.key_id).bind(&new.key.bytes[..]).bind(subject);
        script.bind(new.records.len() as i64).bind(integer(sequence)).bind(sequence > 0);
        let rows = transaction.run(script).await?;
        let no = rows.first().ok_or(StoreError::Conflict)?.try_get(0)?;

        let mut ops = Ops::default();
        ops.records(no, &new.records);
        ops.rows(0, no, &new.rows, transaction);
        let labels = std::mem::take(&mut ops.labels);
        for script in ops.into_scripts() {
            transaction.run(script).await?;
        }
        let mut script = Script::new("");
        push_inputs(&mut script, no, &new.inputs);
        if let Some(asked) = &new.idempotency {
            push_promise(&mut script, new.tenant, asked, no, true);
        }
        transaction.finish(script).await?;
        transaction.appended(no);
        let known = Known { no, tenant: new.tenant, lease_span: 0, inbox_last: integer(sequence) };
        transaction.remember(new.stream, known);
        transaction.remember_labels(labels);
        Ok(Accepted::New { sequence })
    }
}

pub struct Submit(pub Submission);

#[async_trait]
impl Operation for Submit {
    type Output = Accepted;

    async fn run(&self, transaction: &mut Transaction) -> Result<Accepted, Failure> {
        let new = &self.0;
        if let Some(asked) = &new.idempotency
            && let Some(before) = promised(transaction, new.tenant, asked, Some(new.stream)).await?
        {
            return Ok(before);
        }
        let known = find_stream(transaction, new.stream).await?;
        if known.tenant != new.tenant {
            return Err(StoreError::UnknownStream(new.stream).into());
        }
        let mut script = Script::new("UPDATE streams SET inbox_last = ");
        script.add("CASE WHEN inbox_last - inbox_through + ? <= ? THEN inbox_last + ? END, ");
        script.add(concat!("due_at = iif(?, min(coalesce(due_at, ", now!(), "), ", now!(), "), due_at) "));
        script.add("WHERE no = ? RETURNING inbox_last");
        let count = new.inputs.len() as i64;
        script.bind(count).bind(if count == 0 { i64::MAX } else { integer(MAX_INBOX) }).bind(count);
        script.bind(count > 0).bind(known.no);
        push_inputs(&mut script, known.no, &new.inputs);
        if let Some(asked) = &new.idempotency {
            push_promise(&mut script, new.tenant, asked, known.no, count > 0);
        }
        let rows =
            transaction.finish(script).await.map_err(|error| match guard_failed(&error, "streams.inbox_last") {
                // It is the first statement that failed, so that nothing was written.
                true => Failure::Refused(StoreError::InboxFull(new.stream)),
                false => Failure::Broken(error),
            })?;
        let inbox_last = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        transaction.remember(new.stream, Known { inbox_last, ..known });
        Ok(Accepted::New { sequence: if count == 0 { 0 } else { inbox_last as u64 } })
    }
}

pub struct Lease {
    pub stream: StreamId,
    pub node: NodeId,
    pub span: Millis,
}

#[async_trait]
impl Operation for Lease {
    type Output = Option<LeaseGrant>;

    async fn run(&self, transaction: &mut Transaction) -> Result<Option<LeaseGrant>, Failure> {
        let known = find_stream(transaction, self.stream).await?;
        let mut script = Script::new("UPDATE streams SET epoch = epoch + 1, lease_node = ?, lease_span = ?, ");
        script.add(concat!("lease_expires = ", now!(), " + ? WHERE no = ? AND (lease_expires <= ", now!()));
        script.add(concat!(" OR lease_node = ?) RETURNING epoch, ", now!(), ", lease_expires"));
        let span = integer(self.span.0.min(MAX_SPAN));
        script.bind_id(self.node.to_u128()).bind(span).bind(span).bind(known.no).bind_id(self.node.to_u128());
        let rows = transaction.finish(script).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        transaction.remember(self.stream, Known { lease_span: span, ..known });
        Ok(Some(grant(known.tenant, row)?))
    }
}

pub struct Renew {
    pub stream: StreamId,
    pub epoch: u64,
    pub span: Millis,
}

#[async_trait]
impl Operation for Renew {
    type Output = LeaseGrant;

    async fn run(&self, transaction: &mut Transaction) -> Result<LeaseGrant, Failure> {
        let known = find_stream(transaction, self.stream).await?;
        let mut script = Script::new(concat!("UPDATE streams SET lease_span = ?, lease_expires = ", now!(), " + ? "));
        script.add(concat!("WHERE no = ? AND epoch = ? AND lease_expires > ", now!(), " RETURNING epoch, "));
        script.add(concat!(now!(), ", lease_expires"));
        let span = integer(self.span.0.min(MAX_SPAN));
        script.bind(span).bind(span).bind(known.no).bind(integer(self.epoch));
        let rows = transaction.finish(script).await?;
        let stale = StoreError::StaleEpoch { stream: self.stream, epoch: self.epoch };
        let row = rows.first().ok_or(stale)?;
        transaction.remember(self.stream, Known { lease_span: span, ..known });
        Ok(grant(known.tenant, row)?)
    }
}

/// Spans are added to times, so that there must be room for the sum.
const MAX_SPAN: u64 = 1 << 52;

fn grant(tenant: TenantId, row: &SqliteRow) -> Result<LeaseGrant, sqlx::Error> {
    Ok(LeaseGrant { tenant, epoch: number_at(row, 0)?, now: time_at(row, 1)?, expires: time_at(row, 2)? })
}

pub struct ReleaseNode(pub NodeId);

#[async_trait]
impl Operation for ReleaseNode {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let mut script = Script::new("UPDATE streams SET lease_node = NULL, lease_expires = 0 WHERE lease_node = ?");
        script.bind_id(self.0.to_u128());
        transaction.finish(script).await?;
        Ok(())
    }
}

pub struct PutSnapshot {
    pub stream: StreamId,
    pub snapshot: Snapshot,
}

#[async_trait]
impl Operation for PutSnapshot {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let Known { no, .. } = find_stream(transaction, self.stream).await?;
        let mut script = Script::new("SELECT position FROM streams WHERE no = ?");
        script.bind(no);
        let rows = transaction.look(script).await?;
        let end: u64 = number_at(rows.first().ok_or(sqlx::Error::RowNotFound)?, 0)?;
        let at = self.snapshot.position;
        if at > end {
            return Err(StoreError::Malformed(format!("the snapshot is at {at}, the stream ends at {end}")).into());
        }
        let mut ops = Ops::default();
        ops.snapshot(0, no, &self.snapshot);
        for script in ops.into_scripts() {
            transaction.finish(script).await?;
        }
        Ok(())
    }
}

pub struct ClearRows {
    pub stream: StreamId,
    pub limit: u32,
}

#[async_trait]
impl Operation for ClearRows {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let Known { no, .. } = find_stream(transaction, self.stream).await?;
        let mut script = Script::new("DELETE FROM rows WHERE no IN (SELECT no FROM rows WHERE kind IN (?, ?, ?) ");
        script.add("AND scope = ? AND stream = ? LIMIT ?) RETURNING no");
        for kind in [RowKind::Turn, RowKind::Item, RowKind::Artifact] {
            script.bind(row_kind(kind));
        }
        script.bind_id(self.stream.to_u128()).bind(no).bind(self.limit);
        let removed = transaction.finish(script).await?;
        Ok(removed.len() as u64 >= u64::from(self.limit))
    }
}

pub struct PutTenant(pub Tenant);

#[async_trait]
impl Operation for PutTenant {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let Tenant { id, name, key } = &self.0;
        transaction.only_key.admit(key)?;
        let mut script = Script::new("INSERT OR REPLACE INTO tenants(id, name, key_id, key_bytes) VALUES (?, ?, ?, ?)");
        script.bind_id(id.to_u128()).bind(&name[..]).bind(key.key_id).bind(&key.bytes[..]);
        transaction.finish(script).await?;
        Ok(())
    }
}

/// A document's number and newest version.
pub async fn find_document(
    transaction: &mut Transaction,
    tenant: TenantId,
    kind: DocumentKind,
    id: u128,
) -> Result<Option<(i64, u32)>, Failure> {
    let mut script = Script::new("SELECT no, version FROM documents WHERE tenant = ? AND kind = ? AND id = ?");
    script.bind_id(tenant.to_u128()).bind(document_kind(kind)).bind_id(id);
    let rows = transaction.run(script).await?;
    let found = rows.first().map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, number_at(row, 1)?)));
    Ok(found.transpose()?)
}

pub struct PutDocument {
    pub tenant: TenantId,
    pub document: Document,
}

#[async_trait]
impl Operation for PutDocument {
    type Output = ();

    async fn run(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        let found = find_document(transaction, self.tenant, self.document.kind, self.document.id).await?;
        if u64::from(self.document.version) != found.map_or(0, |(_, newest)| u64::from(newest)) + 1 {
            return Err(StoreError::Conflict.into());
        }
        let no = found.map(|(no, _)| no);
        let last = push_document(transaction, self.tenant, no, &self.document).await?;
        transaction.finish(last).await?;
        Ok(())
    }
}

/// Writes the next version of document `no`, which is new where there is none, all but the script that it returns.
/// A handle that is taken breaks a unique index, which is a conflict too.
pub async fn push_document(
    transaction: &mut Transaction,
    tenant: TenantId,
    no: Option<i64>,
    document: &Document,
) -> Result<Script, Failure> {
    let Document { kind, id, version, created, updated, handle, sealed } = document;
    let no: i64 = match no {
        Some(no) => {
            let mut script = Script::new("UPDATE documents SET version = ?, handle = ? WHERE no = ?");
            script.bind(*version).bind(handle.as_deref()).bind(no);
            transaction.run(script).await?;
            no
        }
        None => {
            let mut script = Script::new("INSERT INTO documents(tenant, kind, id, version, created, handle) ");
            script.add("VALUES (?, ?, ?, ?, ?, ?) RETURNING no");
            script.bind_id(tenant.to_u128()).bind(document_kind(*kind)).bind_id(*id);
            script.bind(*version).bind(created.as_millis()).bind(handle.as_deref());
            transaction.run(script).await?.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?
        }
    };
    let mut script = Script::new("INSERT INTO document_versions(place, updated, handle, sealed) VALUES (?, ?, ?, ?)");
    script.bind(no << 32 | i64::from(*version)).bind(updated.as_millis());
    script.bind(handle.as_deref()).bind(&sealed[..]);
    Ok(script)
}

pub struct RemoveDocument {
    pub tenant: TenantId,
    pub kind: DocumentKind,
    pub id: u128,
}

#[async_trait]
impl Operation for RemoveDocument {
    type Output = bool;

    async fn run(&self, transaction: &mut Transaction) -> Result<bool, Failure> {
        let Some((no, _)) = find_document(transaction, self.tenant, self.kind, self.id).await? else {
            return Ok(false);
        };
        transaction.finish(without_document(no)).await?;
        Ok(true)
    }
}

/// Removes a document with all its versions.
pub fn without_document(no: i64) -> Script {
    let mut script = Script::new("DELETE FROM document_versions WHERE place > ? AND place <= ?");
    script.bind(no << 32).bind(no << 32 | i64::from(u32::MAX));
    script.add("; DELETE FROM documents WHERE no = ?").bind(no);
    script
}
