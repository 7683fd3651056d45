//! Exports: everything that a verifier needs, as lines of JSON, without a word of how they were kept.
//!
//! The lines are of five types, each for a file of its own: `log` (the public key), `checkpoint`, `consistency`
//! (proofs between neighbouring checkpoints), `record`, and at the end `manifest`: a note, signed by the log's key, with
//! the SHA-256 of every other type's lines. So whatever is changed in an export is found, bodies in the clear included,
//! which no leaf commits to.

use crate::{Parts, Seals};
use async_trait::async_trait;
use bailiwick_core::{
    ActionResult, Outcome,
    record::Body,
    tree::{consistency, note::VerifierKey},
};
use bailiwick_gate::Journal;
use bailiwick_ports::{
    AuditError, Signer,
    log::{Export, ExportOf, LogStatus, ReceiptFilter, ReceiptQuery},
    store::SealedRecord,
};
use bailiwick_types::{ActionId, StreamId, TenantId};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc};

/// Records of one go.
const CHUNK: u32 = 128;
/// Checkpoints and receipts of one go.
const PAGE: u32 = 500;
/// Opened journals that are kept.
const MAX_JOURNALS: usize = 256;

#[derive(Serialize)]
struct LogLine<'a> {
    r#type: &'static str,
    tenant: TenantId,
    origin: &'a str,
    key: &'a str,
}

#[derive(Serialize)]
struct CheckpointLine<'a> {
    r#type: &'static str,
    size: u64,
    time: i64,
    note: &'a str,
}

#[derive(Serialize)]
struct ConsistencyLine {
    r#type: &'static str,
    from: u64,
    to: u64,
    proof: Vec<String>,
}

#[derive(Serialize)]
struct RecordLine<'a> {
    r#type: &'static str,
    index: u64,
    stream: StreamId,
    position: u64,
    epoch: u64,
    kind: &'a str,
    version: u16,
    time: i64,
    cause: Option<ActionId>,
    key_id: u32,
    sealed: String,
    leaf: String,
    chain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct ManifestLine {
    r#type: &'static str,
    note: String,
}

/// Where the export is.
enum Stage {
    Log,
    /// Behind the checkpoint of this size.
    Checkpoints(u64),
    Records(Next),
    End,
    Over,
}

/// Where the records go on.
enum Next {
    Leaf(u64),
    Position(u64),
    Receipt(Option<u64>),
}

pub(crate) struct Lines {
    parts: Arc<Parts>,
    tenant: TenantId,
    of: ExportOf,
    opened: bool,
    status: LogStatus,
    signer: Arc<dyn Signer>,
    stage: Stage,
    records: u64,
    digests: [(&'static str, Sha256); 3],
    journals: HashMap<StreamId, Journal>,
}

const CHECKPOINTS: usize = 0;
const CONSISTENCY: usize = 1;
const RECORDS: usize = 2;

impl Lines {
    pub fn new(
        parts: Arc<Parts>,
        tenant: TenantId,
        of: ExportOf,
        opened: bool,
        status: LogStatus,
        signer: Arc<dyn Signer>,
    ) -> Self {
        let digests = ["checkpoints.jsonl", "consistency.jsonl", "records.jsonl"].map(|file| (file, Sha256::new()));
        let (stage, journals) = (Stage::Log, HashMap::new());
        Self { parts, tenant, of, opened, status, signer, stage, records: 0, digests, journals }
    }

    /// Adds a line of a file whose digest is in the manifest.
    fn push<T: Serialize>(&mut self, file: usize, out: &mut Vec<u8>, line: &T) {
        let start = out.len();
        push(out, line);
        self.digests[file].1.update(&out[start..]);
    }

    async fn checkpoints(&mut self, after: u64, out: &mut Vec<u8>) -> Result<Stage, AuditError> {
        let found = self.parts.options.log.checkpoints(self.tenant, after, PAGE).await?;
        let (mut before, newest) = (after, self.status.size);
        for checkpoint in found.iter().filter(|checkpoint| checkpoint.size <= newest) {
            let (size, time, note) = (checkpoint.size, checkpoint.time.as_millis(), checkpoint.note.as_str());
            self.push(CHECKPOINTS, out, &CheckpointLine { r#type: "checkpoint", size, time, note });
            if before > 0 {
                let (from, to) = (before, size);
                let proof = self.parts.read(self.tenant, |read| consistency(from, to, read)).await?;
                let proof = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
                self.push(CONSISTENCY, out, &ConsistencyLine { r#type: "consistency", from, to, proof });
            }
            before = size;
        }
        Ok(match found.len() as u32 == PAGE {
            true => Stage::Checkpoints(before),
            false if self.of == ExportOf::Checkpoints => Stage::End,
            false => Stage::Records(match &self.of {
                ExportOf::Checkpoints | ExportOf::Everything => Next::Leaf(0),
                ExportOf::Stream(_) => Next::Position(0),
                ExportOf::Receipts(_) => Next::Receipt(None),
            }),
        })
    }

    async fn some_records(&mut self, next: Next, out: &mut Vec<u8>) -> Result<Stage, AuditError> {
        let next = match (next, &self.of) {
            (Next::Leaf(from), _) => self.leaves(from, out).await?,
            (Next::Position(after), ExportOf::Stream(stream)) => self.of_stream(*stream, after, out).await?,
            (Next::Receipt(after), ExportOf::Receipts(filter)) => self.receipts(filter.clone(), after, out).await?,
            _ => None,
        };
        Ok(next.map_or(Stage::End, Stage::Records))
    }

    /// All leaves need no proofs: together they are the tree.
    async fn leaves(&mut self, from: u64, out: &mut Vec<u8>) -> Result<Option<Next>, AuditError> {
        let found = self.parts.options.log.sequenced(self.tenant, from, CHUNK).await?;
        let size = self.status.size;
        for (index, stream, sealed) in found.iter().filter(|(index, ..)| *index < size) {
            self.record(*index, *stream, sealed, None, out).await?;
        }
        let last = found.last().map(|(index, ..)| *index + 1);
        Ok(last.filter(|next| *next < size).map(Next::Leaf))
    }

    async fn of_stream(&mut self, stream: StreamId, after: u64, out: &mut Vec<u8>) -> Result<Option<Next>, AuditError> {
        let found = self.parts.options.store.records(stream, after, CHUNK).await?;
        for sealed in &found {
            if !self.proven(stream, sealed, out).await? {
                return Ok(None);
            }
        }
        Ok(found.last().map(|last| Next::Position(last.position)))
    }

    async fn receipts(
        &mut self,
        filter: ReceiptFilter,
        after: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Next>, AuditError> {
        let query = ReceiptQuery { filter, descending: false, after, limit: CHUNK };
        let found = self.parts.options.log.receipts(self.tenant, &query).await?;
        let (rows, more) = found.unwrap_or_default();
        for row in &rows {
            let settled = row.outcome.as_ref().map(|outcome| outcome.position);
            for position in [Some(row.position), settled].into_iter().flatten() {
                let records = self.parts.options.store.records(row.stream, position - 1, 1).await?;
                for sealed in &records {
                    self.proven(row.stream, sealed, out).await?;
                }
            }
        }
        Ok(rows.last().filter(|_| more).map(|last| Next::Receipt(Some(last.index))))
    }

    /// A record with its proof; `false` when it came after the checkpoint.
    async fn proven(&mut self, stream: StreamId, sealed: &SealedRecord, out: &mut Vec<u8>) -> Result<bool, AuditError> {
        let index = self.parts.options.log.leaf_of(self.tenant, stream, sealed.position).await?;
        let Some(index) = index.filter(|index| *index < self.status.size) else { return Ok(false) };
        let proof = self.parts.inclusion(self.tenant, index, self.status.size).await?;
        let proof = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
        self.record(index, stream, sealed, Some(proof), out).await?;
        Ok(true)
    }

    async fn record(
        &mut self,
        index: u64,
        stream: StreamId,
        sealed: &SealedRecord,
        proof: Option<Vec<String>>,
        out: &mut Vec<u8>,
    ) -> Result<(), AuditError> {
        let opened = if self.opened { self.open(stream, sealed).await? } else { None };
        let line = RecordLine {
            r#type: "record",
            index,
            stream,
            position: sealed.position,
            epoch: sealed.epoch,
            kind: &sealed.kind,
            version: sealed.version,
            time: sealed.time.as_millis(),
            cause: sealed.cause,
            key_id: sealed.key_id,
            sealed: STANDARD.encode(&sealed.sealed),
            leaf: hex(&sealed.leaf),
            chain: hex(&sealed.chain),
            proof,
            opened,
        };
        self.push(RECORDS, out, &line);
        self.records += 1;
        Ok(())
    }

    /// The body in the clear; `None` when it cannot be read any more, which takes nothing from the proofs.
    async fn open(&mut self, stream: StreamId, sealed: &SealedRecord) -> Result<Option<Box<RawValue>>, AuditError> {
        if !self.journals.contains_key(&stream) {
            if self.journals.len() >= MAX_JOURNALS {
                self.journals.clear();
            }
            let Ok(Seals::Open(journal)) = self.parts.seals(self.tenant, stream).await else { return Ok(None) };
            self.journals.insert(stream, journal);
        }
        let Some(journal) = self.journals.get(&stream) else { return Ok(None) };
        let Ok(record) = journal.open_record(sealed) else { return Ok(None) };
        let plain = String::from_utf8(without_secrets(record.body).encode()).ok();
        Ok(plain.and_then(|plain| RawValue::from_string(plain).ok()))
    }

    fn manifest(&mut self, out: &mut Vec<u8>) {
        let scope = match &self.of {
            ExportOf::Checkpoints => "checkpoints".to_owned(),
            ExportOf::Everything => "everything".to_owned(),
            ExportOf::Stream(stream) => format!("stream {stream}"),
            ExportOf::Receipts(_) => "receipts".to_owned(),
        };
        let LogStatus { origin, key, size, .. } = &self.status;
        let mut text = format!("{origin}\nexport of {scope}\nsize {size}\nrecords {}\n", self.records);
        for (file, digest) in &self.digests {
            let digest: [u8; 32] = digest.clone().finalize().into();
            text.push_str(&format!("sha256 {file} {}\n", hex(&digest)));
        }
        // INVARIANT: the line was made of such a key.
        let key = VerifierKey::parse(key).expect("a log's key line reads");
        let note = key.note(&text, &self.signer.sign(text.as_bytes()));
        push(out, &ManifestLine { r#type: "manifest", note });
    }
}

#[async_trait]
impl Export for Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, AuditError> {
        let mut out = Vec::new();
        // A go may find nothing to say.
        while out.is_empty() {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Log => {
                    let LogStatus { origin, key, .. } = &self.status;
                    push(&mut out, &LogLine { r#type: "log", tenant: self.tenant, origin, key });
                    Stage::Checkpoints(0)
                }
                Stage::Checkpoints(after) => self.checkpoints(after, &mut out).await?,
                Stage::Records(next) => self.some_records(next, &mut out).await?,
                Stage::End => {
                    self.manifest(&mut out);
                    Stage::Over
                }
                Stage::Over => return Ok(None),
            };
        }
        Ok(Some(out.into()))
    }
}

/// Who knows an executor's session can take the executor over.
fn without_secrets(mut body: Body) -> Body {
    if let Body::ActionSettled(settled) = &mut body
        && let Outcome::Confirmed { result: ActionResult::Environment(facts) } = &mut settled.outcome
    {
        facts.executor_session = None;
    }
    body
}

fn push<T: Serialize>(out: &mut Vec<u8>, line: &T) {
    // INVARIANT: lines are structs of strings and numbers, and bodies that came from JSON.
    serde_json::to_writer(&mut *out, line).expect("a line of an export is JSON");
    out.push(b'\n');
}

pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
