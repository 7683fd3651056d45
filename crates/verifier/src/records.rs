//! Records: their leaves, their streams' chains, and their places in the tree.

use crate::{
    Report, Unusable,
    checkpoints::{Checkpoints, hash},
    files::{self, Digest32, from_hex},
    manifest::Scope,
};
use bailiwick_core::tree::{self, Edge, LeafHeader, note::VerifierKey, verify_inclusion};
use bailiwick_types::{ActionId, StreamId, TenantId, Timestamp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

type Hash = [u8; 32];

#[derive(Deserialize)]
struct Line<'a> {
    index: u64,
    stream: StreamId,
    position: u64,
    epoch: u64,
    kind: std::borrow::Cow<'a, str>,
    version: u16,
    time: i64,
    cause: Option<ActionId>,
    key_id: u32,
    sealed: &'a str,
    leaf: &'a str,
    chain: &'a str,
    #[serde(default, borrow)]
    proof: Option<Vec<&'a str>>,
}

struct Records<'a> {
    tenant: TenantId,
    scope: Scope,
    checkpoints: &'a Checkpoints,
    report: &'a mut Report,
    /// Of a whole export: the tree made anew.
    edge: Edge,
    full: BTreeMap<tree::TileId, tree::Tile>,
    /// The leaf that comes next.
    next: u64,
    /// The tree made anew is not the signed one, which is said once.
    broken: bool,
    /// Where each stream is: position and chain.
    streams: HashMap<StreamId, (u64, Hash)>,
    sealed: Vec<u8>,
}

pub fn check(
    file: &Path,
    scope: Scope,
    key: &VerifierKey,
    checkpoints: &Checkpoints,
    report: &mut Report,
) -> Result<Digest32, Unusable> {
    let tenant = key.name.strip_prefix("bailiwick/").and_then(|tenant| tenant.parse().ok());
    let tenant = tenant.ok_or_else(|| Unusable::Malformed {
        file: "log.pub".into(),
        reason: "its name is not that of a receipt log, `bailiwick/tenant_…`".into(),
    })?;
    let mut records = Records {
        tenant,
        scope,
        checkpoints,
        report,
        next: 0,
        edge: Edge::default(),
        full: BTreeMap::new(),
        broken: false,
        streams: HashMap::new(),
        sealed: Vec::new(),
    };
    let digest = files::lines(file, |number, line| records.line(number, line))?;
    records.end();
    Ok(digest)
}

impl Records<'_> {
    fn line(&mut self, number: u64, line: &[u8]) {
        self.report.records += 1;
        let record: Line<'_> = match serde_json::from_slice(line) {
            Ok(record) => record,
            Err(error) => return self.report.problem(format!("records.jsonl line {number}: it is no record: {error}")),
        };
        let place = || {
            format!(
                "records.jsonl line {number} (leaf {}, {} position {})",
                record.index, record.stream, record.position
            )
        };
        let (Some(stated), Some(chain)) = (from_hex(record.leaf), from_hex(record.chain)) else {
            return self.report.problem(format!("{}: `leaf` and `chain` must be 64 hexadecimal digits", place()));
        };
        self.sealed.clear();
        if STANDARD.decode_vec(record.sealed, &mut self.sealed).is_err() {
            return self.report.problem(format!("{}: `sealed` was changed: it is no base64", place()));
        }
        if self.leaf(&record) != stated {
            self.report.problem(format!("{}: its envelope or its sealed body was changed, or its leaf", place()));
        }
        self.chain(&record, &stated, &chain, &place);
        match self.scope {
            Scope::Everything => self.grow(&record, stated, &place),
            Scope::Stream | Scope::Receipts => self.prove(&record, &stated, &place),
        }
    }

    fn leaf(&self, record: &Line<'_>) -> Hash {
        let header = LeafHeader {
            tenant: self.tenant,
            stream: record.stream,
            position: record.position,
            epoch: record.epoch,
            kind: &record.kind,
            version: record.version,
            time: Timestamp::from_millis(record.time),
            cause: record.cause,
            key_id: record.key_id,
        };
        tree::leaf(&header, &self.sealed)
    }

    fn chain(&mut self, record: &Line<'_>, leaf: &Hash, chain: &Hash, place: &dyn Fn() -> String) {
        let before = self.streams.insert(record.stream, (record.position, *chain));
        let (last, link) = before.unwrap_or((0, [0; 32]));
        let whole_streams = self.scope != Scope::Receipts;
        if record.position == last + 1 {
            if tree::chain(&link, leaf) != *chain {
                self.report.problem(format!("{}: the stream's chain breaks here", place()));
            }
        } else if whole_streams && record.position > last + 1 {
            let missing = missing(last + 1, record.position - 1);
            self.report.problem(format!("{}: {missing} of this stream before it", place()));
        } else if whole_streams {
            self.report.problem(format!("{}: it comes after position {last} of its stream", place()));
        }
    }

    /// Adds it to the tree, and compares the tree with every checkpoint on the way.
    fn grow(&mut self, record: &Line<'_>, leaf: Hash, place: &dyn Fn() -> String) {
        let expected = self.next;
        if record.index < expected {
            return self.report.problem(format!("{}: its leaf was there before", place()));
        }
        self.next = record.index + 1;
        if record.index > expected {
            // What is missing leaves a hole that no tree can be made over.
            self.broken = true;
            self.report.problem(format!("{}: {} of the log before it", place(), missing(expected, record.index - 1)));
        }
        if self.broken {
            return;
        }
        self.edge.push(leaf, &mut self.full);
        self.full.clear();
        let size = self.edge.size();
        let Some((root, from)) = self.checkpoints.at(size) else { return };
        if self.edge.root() != *root {
            self.broken = true;
            self.report.problem(format!(
                "records.jsonl: the first {size} records are not the tree that was signed ({from}): a record was changed \
                 together with its leaf, or the log was forked"
            ));
        }
    }

    fn prove(&mut self, record: &Line<'_>, leaf: &Hash, place: &dyn Fn() -> String) {
        let Some((size, root)) = self.checkpoints.newest() else { return };
        let proof: Option<Vec<Hash>> =
            record.proof.as_ref().and_then(|proof| proof.iter().map(|text| hash(text)).collect());
        let Some(proof) = proof else {
            return self.report.problem(format!("{}: it has no proof that it is in the log", place()));
        };
        if let Err(error) = verify_inclusion(leaf, record.index, size, root, &proof) {
            self.report
                .problem(format!("{}: it is not shown to be in the signed tree of {size} leaves: {error}", place()));
        }
    }

    fn end(&mut self) {
        self.report.streams = self.streams.len() as u64;
        if self.scope != Scope::Everything {
            return;
        }
        let size = self.report.size;
        if self.next < size {
            let missing = missing(self.next, size - 1);
            self.report.problem(format!("records.jsonl: at its end {missing} of the log"));
        }
        self.report.whole = self.edge.size() == size && !self.broken;
    }
}

fn missing(first: u64, last: u64) -> String {
    match first == last {
        true => format!("record {first} is missing"),
        false => format!("records {first} to {last} are missing"),
    }
}
