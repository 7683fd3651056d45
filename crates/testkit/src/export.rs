//! An export of a receipt log that never was, of any size, signed with a key that everybody knows: for the verifier's
//! tests and for measuring it.

use bailiwick_core::tree::{
    self, Edge, LeafHeader, Tile, TileId, consistency, inclusion,
    note::{Checkpoint, VerifierKey, origin},
};
use bailiwick_types::{StreamId, TenantId, Timestamp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::{self, File},
    io::{BufWriter, Result, Write},
    path::Path,
};

type Hash = [u8; 32];

/// Records of one stream.
const PER_STREAM: u64 = 20;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub records: u64,
    /// Bytes of a sealed body.
    pub body_bytes: usize,
    /// Records between two checkpoints.
    pub checkpoint_every: u64,
    /// Every record with its proof, as in evidence; else the whole log.
    pub with_proofs: bool,
    /// Another log of the same name and key has another seed.
    pub seed: u8,
}

/// A tree with all its tiles.
#[derive(Default)]
struct Log {
    edge: Edge,
    tiles: BTreeMap<TileId, Tile>,
}

impl Log {
    fn push(&mut self, leaf: Hash) {
        self.edge.push(leaf, &mut self.tiles);
    }

    fn close(&mut self) {
        let partial: Vec<_> = self.edge.partial().map(|(id, tile)| (id, tile.clone())).collect();
        self.tiles.extend(partial);
    }

    fn node(&self, node: tree::Node) -> std::result::Result<Hash, Infallible> {
        let tile = self.tiles.get(&node.tile());
        Ok(tile.and_then(|tile| tree::node_of_tile(node, tile)).unwrap_or_default())
    }
}

/// A file with its digest.
struct Out {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Out {
    #[allow(clippy::disallowed_methods, reason = "tests and benchmarks keep their files themselves")]
    fn create(folder: &Path, name: &str) -> Result<Self> {
        let file = File::create(folder.join(name))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), digest: Sha256::new() })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.digest.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<String> {
        self.file.flush()?;
        let digest: Hash = self.digest.finalize().into();
        Ok(hex(&digest))
    }
}

impl Sample {
    /// Writes the export into a folder that is there.
    #[allow(clippy::disallowed_methods, reason = "tests and benchmarks keep their files themselves")]
    pub fn write(&self, folder: &Path) -> Result<()> {
        let tenant = TenantId::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);
        let signing = SigningKey::from_bytes(&[42; 32]);
        let key = VerifierKey { name: origin(tenant), public_key: signing.verifying_key().to_bytes() };
        let sign = |text: &str| key.note(text, &signing.sign(text.as_bytes()).to_bytes());
        fs::write(folder.join("log.pub"), format!("{}\n", key.line()))?;

        let (mut log, mut heads) = (Log::default(), Vec::new());
        for index in 0..self.records {
            log.push(self.record(tenant, index).1);
            let size = index + 1;
            if size.is_multiple_of(self.checkpoint_every) || size == self.records {
                heads.push((size, log.edge.root()));
            }
        }
        log.close();

        let mut checkpoints = Out::create(folder, "checkpoints.jsonl")?;
        for (size, root) in &heads {
            let text = Checkpoint { origin: key.name.clone(), size: *size, root: *root }.text();
            checkpoints
                .line(&json!({"type": "checkpoint", "size": size, "time": 0, "note": sign(&text)}).to_string())?;
        }
        let mut proofs = Out::create(folder, "consistency.jsonl")?;
        for pair in heads.windows(2) {
            let (from, to) = (pair[0].0, pair[1].0);
            let Ok(proof) = consistency(from, to, &mut |node| log.node(node));
            let proof: Vec<String> = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
            proofs.line(&json!({"type": "consistency", "from": from, "to": to, "proof": proof}).to_string())?;
        }
        let mut records = Out::create(folder, "records.jsonl")?;
        let mut chain = [0; 32];
        for index in 0..self.records {
            let (sealed, leaf) = self.record(tenant, index);
            chain = tree::chain(if index % PER_STREAM == 0 { &[0; 32] } else { &chain }, &leaf);
            records.line(&self.line(&log, index, &sealed, &leaf, &chain))?;
        }
        let scope = if self.with_proofs { "receipts" } else { "everything" };
        let mut text = format!("{}\nexport of {scope}\nsize {}\nrecords {}\n", key.name, self.records, self.records);
        for (name, digest) in [
            ("checkpoints.jsonl", checkpoints.end()?),
            ("consistency.jsonl", proofs.end()?),
            ("records.jsonl", records.end()?),
        ] {
            text.push_str(&format!("sha256 {name} {digest}\n"));
        }
        fs::write(folder.join("manifest.note"), sign(&text))
    }

    fn place(index: u64) -> (StreamId, u64) {
        (StreamId::from_u128(u128::from(index / PER_STREAM) + (7 << 76)), index % PER_STREAM + 1)
    }

    /// A sealed body and its leaf.
    fn record(&self, tenant: TenantId, index: u64) -> (Vec<u8>, Hash) {
        let mut sealed = vec![self.seed; self.body_bytes];
        sealed.extend_from_slice(&index.to_be_bytes());
        let (stream, position) = Self::place(index);
        let header = LeafHeader {
            tenant,
            stream,
            position,
            epoch: 1,
            kind: "action.decided",
            version: 1,
            time: Timestamp::from_millis(index as i64),
            cause: None,
            key_id: 1,
        };
        let leaf = tree::leaf(&header, &sealed);
        (sealed, leaf)
    }

    fn line(&self, log: &Log, index: u64, sealed: &[u8], leaf: &Hash, chain: &Hash) -> String {
        let (stream, position) = Self::place(index);
        let mut line = json!({
            "type": "record", "index": index, "stream": stream, "position": position, "epoch": 1,
            "kind": "action.decided", "version": 1, "time": index, "cause": null, "key_id": 1,
            "sealed": STANDARD.encode(sealed), "leaf": hex(leaf), "chain": hex(chain),
        });
        if self.with_proofs {
            let Ok(proof) = inclusion(index, self.records, &mut |node| log.node(node));
            line["proof"] = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
        }
        line.to_string()
    }
}

fn hex(bytes: &Hash) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
