//! Hashes of the receipt log: RFC 6962 leaves, and the chain of each stream.

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
