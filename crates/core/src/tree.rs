//! The mathematics of the receipt log: RFC 6962 leaves, the chain of each stream, and the Merkle tree over all of them.
//!
//! Pure: it reads hashes through what it is given and keeps nothing.

pub mod note;
mod proof;
mod tiles;

pub use proof::{ProofError, consistency, inclusion, root, verify_consistency, verify_inclusion};
pub use tiles::{Edge, MAX_LEAVES, Node, TILE_HASHES, Tile, TileId, node_of_tile};

use crate::record::Record;
use bailiwick_types::{ActionId, StreamId, TenantId, Timestamp};
use sha2::{Digest, Sha256};

/// What a leaf commits to besides the sealed body.
#[derive(Debug, Clone, Copy)]
pub struct LeafHeader<'a> {
    pub tenant: TenantId,
    pub stream: StreamId,
    pub position: u64,
    pub epoch: u64,
    pub kind: &'a str,
    pub version: u16,
    pub time: Timestamp,
    pub cause: Option<ActionId>,
    pub key_id: u32,
}

/// `SHA-256(0x00 ‖ header ‖ sealed)`, the header in a fixed layout with big-endian numbers and the kind behind its
/// length (RFC 6962 section 2.1: the zero byte tells leaves from nodes).
pub fn leaf(header: &LeafHeader<'_>, sealed: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(header.tenant.to_u128().to_be_bytes());
    hash.update(header.stream.to_u128().to_be_bytes());
    hash.update(header.position.to_be_bytes());
    hash.update(header.epoch.to_be_bytes());
    hash.update((header.kind.len() as u32).to_be_bytes());
    hash.update(header.kind.as_bytes());
    hash.update(header.version.to_be_bytes());
    hash.update(header.time.as_millis().to_be_bytes());
    hash.update(header.cause.map_or(0, ActionId::to_u128).to_be_bytes());
    hash.update(header.key_id.to_be_bytes());
    hash.update(sealed);
    hash.finalize().into()
}

/// An inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 6962 section 2.1).
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// The root of a tree without leaves: the hash of nothing (RFC 6962 section 2.1).
pub fn empty_root() -> [u8; 32] {
    Sha256::digest([]).into()
}

/// The stream's chain after a record: `SHA-256(0x02 ‖ chain before ‖ leaf)`. It starts from zeros.
pub fn chain(before: &[u8; 32], leaf: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([2]);
    hash.update(before);
    hash.update(leaf);
    hash.finalize().into()
}

/// The action that a record is about.
pub fn cause(record: &Record) -> Option<ActionId> {
    use crate::record::Body;
    match &record.body {
        Body::ActionDecided(decided) => Some(decided.action),
        Body::ActionResumed(resumed) => Some(resumed.action),
        Body::ActionSettled(settled) => Some(settled.action),
        _ => None,
    }
}
