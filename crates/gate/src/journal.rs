//! Sealed streams, opened: the codec between records and what the store keeps, and the reader of both.

use crate::GateError;
use bailiwick_core::{
    record::{Body, InputEnvelope, Record},
    session::{RowBody, RowData, SNAPSHOT_VERSION, State},
    tree,
};
use bailiwick_ports::{
    Keys, StreamKey, SubjectKey, WrappedKey,
    store::{InboxEntry, Row, RowKind, SealedRecord, Snapshot, StoredRow},
};
use bailiwick_types::{SessionId, StreamId, TenantId, Timestamp, UserId};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// One stream's key with the names that its seals are bound to.
#[derive(Clone)]
pub struct Journal {
    pub(crate) tenant: TenantId,
    pub(crate) stream: StreamId,
    key: Arc<dyn StreamKey>,
}

/// Where the next record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub position: u64,
    pub chain: [u8; 32],
}

impl Journal {
    /// The journal of a new stream, and its key as the store keeps it.
    pub fn create(keys: &dyn Keys, tenant: TenantId, stream: StreamId) -> (Self, WrappedKey) {
        let (wrapped, key) = keys.create(tenant, stream);
        (Self { tenant, stream, key }, wrapped)
    }

    /// The same for a stream of this person's.
    pub fn create_under(
        keys: &dyn Keys,
        tenant: TenantId,
        stream: StreamId,
        subject: &SubjectKey,
    ) -> Result<(Self, WrappedKey), GateError> {
        let (wrapped, key) = keys.create_under(tenant, stream, subject)?;
        Ok((Self { tenant, stream, key }, wrapped))
    }

    pub fn open(keys: &dyn Keys, tenant: TenantId, stream: StreamId, wrapped: &WrappedKey) -> Result<Self, GateError> {
        Ok(Self { tenant, stream, key: keys.open(tenant, stream, wrapped)? })
    }

    pub fn session(&self) -> SessionId {
        self.stream.into()
    }

    /// The keyed digest of canonical bytes, in hexadecimal.
    pub fn digest(&self, canonical: &[u8]) -> String {
        self.key.digest(canonical).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn seal_record(&self, tip: &mut Tip, epoch: u64, record: &Record) -> SealedRecord {
        let (kind, version) = (record.body.kind(), record.body.version());
        let context = record_context(self.stream, record.position, kind);
        let sealed = self.key.seal(&context, &record.body.encode());
        let cause = tree::cause(record);
        let leaf = tree::leaf(
            &tree::LeafHeader {
                tenant: self.tenant,
                stream: self.stream,
                position: record.position,
                epoch,
                kind,
                version,
                time: record.time,
                cause,
                key_id: self.key.key_id(),
            },
            &sealed,
        );
        let chain = tree::chain(&tip.chain, &leaf);
        *tip = Tip { position: record.position, chain };
        SealedRecord {
            position: record.position,
            epoch,
            kind: kind.to_owned(),
            version,
            time: record.time,
            cause,
            key_id: self.key.key_id(),
            checksum: crc32(&sealed),
            sealed: Bytes::from(sealed),
            leaf,
            chain,
        }
    }

    /// Opens a record. A damaged one, or one of a newer version, is an error that names its place.
    pub fn open_record(&self, sealed: &SealedRecord) -> Result<Record, GateError> {
        let position = sealed.position;
        if crc32(&sealed.sealed) != sealed.checksum {
            return Err(GateError::Damaged { stream: self.stream, position });
        }
        let context = record_context(self.stream, position, &sealed.kind);
        let plain = self.key.unseal(&context, &sealed.sealed)?;
        let body = Body::decode(&sealed.kind, sealed.version, &plain)?;
        Ok(Record { position, time: sealed.time, body })
    }

    pub(crate) fn seal_rows(&self, rows: Vec<RowData>) -> Vec<Row> {
        rows.into_iter().map(|row| self.seal_row(row)).collect()
    }

    fn seal_row(&self, row: RowData) -> Row {
        let (kind, plain) = match &row.body {
            RowBody::Session(view) => (RowKind::Session, Some(json(view))),
            RowBody::Turn(turn) => (RowKind::Turn, Some(json(turn))),
            RowBody::Item(item) => (RowKind::Item, Some(json(item))),
            RowBody::Artifact(artifact) => (RowKind::Artifact, Some(json(artifact))),
            RowBody::Approval(view) => (RowKind::Approval, Some(json(view))),
            RowBody::ApprovalRemoved => (RowKind::Approval, None),
            RowBody::SessionRemoved => (RowKind::Session, None),
            RowBody::ArtifactRemoved => (RowKind::Artifact, None),
        };
        let sealed = plain.map(|plain| Bytes::from(self.key.seal(&row_context(kind, row.id), &plain)));
        let RowData { id, scope, parent, ordinal, labels, .. } = row;
        Row { kind, id, scope, parent, ordinal, labels, sealed }
    }

    /// Opens a projection row as the view that it holds.
    pub fn open_row<T: DeserializeOwned>(&self, kind: RowKind, row: &StoredRow) -> Result<T, GateError> {
        self.unseal_json(&row_context(kind, row.id), &row.sealed)
    }

    pub fn seal_input(&self, input: &InputEnvelope) -> Bytes {
        Bytes::from(self.key.seal(&input_context(self.stream), &json(input)))
    }

    pub(crate) fn open_input(&self, entry: &InboxEntry) -> Result<InputEnvelope, GateError> {
        self.unseal_json(&input_context(self.stream), &entry.sealed)
    }

    /// Seals an object (a file's bytes) under its name.
    pub fn seal_object(&self, name: &str, bytes: &[u8]) -> Bytes {
        Bytes::from(self.key.seal(&object_context(name), bytes))
    }

    pub fn open_object(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, GateError> {
        Ok(self.key.unseal(&object_context(name), sealed)?)
    }

    /// The codec of what a person keeps outside every stream.
    pub(crate) fn of_person(tenant: TenantId, person: UserId, key: Arc<dyn StreamKey>) -> Self {
        Self { tenant, stream: StreamId::from_u128(person.to_u128()), key }
    }

    pub fn seal_snapshot(&self, state: &State) -> Snapshot {
        let context = snapshot_context(self.stream, state.position);
        let sealed = Bytes::from(self.key.seal(&context, &json(state)));
        Snapshot { position: state.position, version: SNAPSHOT_VERSION, sealed }
    }

    /// `None` when it is of another version or does not open: a snapshot may always be made again.
    pub(crate) fn open_snapshot(&self, snapshot: &Snapshot) -> Option<State> {
        if snapshot.version != SNAPSHOT_VERSION {
            return None;
        }
        self.unseal_json(&snapshot_context(self.stream, snapshot.position), &snapshot.sealed).ok()
    }

    fn unseal_json<T: DeserializeOwned>(&self, context: &[u8], sealed: &[u8]) -> Result<T, GateError> {
        let plain = self.key.unseal(context, sealed)?;
        serde_json::from_slice(&plain).map_err(|error| GateError::Unreadable(error.to_string()))
    }
}

/// The records of a begun stream that has no epoch yet.
pub(crate) fn first_records(journal: &Journal, at: Timestamp, body: Body) -> (Tip, SealedRecord) {
    let mut tip = Tip { position: 0, chain: [0; 32] };
    let record = Record { position: 1, time: at, body };
    let sealed = journal.seal_record(&mut tip, 0, &record);
    (tip, sealed)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // INVARIANT: views, inputs and states hold no maps with keys other than strings and no non-finite numbers.
    serde_json::to_vec(value).expect("a projection is JSON")
}

fn context(tag: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = tag.as_bytes().to_vec();
    for part in parts {
        bytes.push(0);
        bytes.extend_from_slice(part);
    }
    bytes
}

fn record_context(stream: StreamId, position: u64, kind: &str) -> Vec<u8> {
    context("record", &[&stream.to_u128().to_be_bytes(), &position.to_be_bytes(), kind.as_bytes()])
}

fn row_context(kind: RowKind, id: u128) -> Vec<u8> {
    let table: &[u8] = match kind {
        RowKind::Session => b"session",
        RowKind::Turn => b"turn",
        RowKind::Item => b"item",
        RowKind::Artifact => b"artifact",
        RowKind::Approval => b"approval",
    };
    context("row", &[table, &id.to_be_bytes()])
}

fn input_context(stream: StreamId) -> Vec<u8> {
    context("input", &[&stream.to_u128().to_be_bytes()])
}

fn object_context(name: &str) -> Vec<u8> {
    context("object", &[name.as_bytes()])
}

fn snapshot_context(stream: StreamId, position: u64) -> Vec<u8> {
    context("snapshot", &[&stream.to_u128().to_be_bytes(), &position.to_be_bytes()])
}

/// CRC-32 (ISO-HDLC), as the record envelope keeps it.
fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}
