//! The tree as it is kept: tiles of 256 hashes, as C2SP tlog-tiles lays them out (<https://c2sp.org/tlog-tiles>).
//!
//! Tile `index` of level L holds the hashes of the perfect subtrees number `index * 256` and up of 2^(8 L) leaves each.
//! Appending changes the last tile of each level and nothing else, so that the tree grows in O(log n).

use super::{empty_root, node};
use std::collections::BTreeMap;

type Hash = [u8; 32];

/// Hashes of a full tile.
pub const TILE_HASHES: usize = 256;
/// Levels of the tree within a tile.
const TILE_LEVELS: u8 = 8;
/// Leaves that a log can have.
pub const MAX_LEAVES: u64 = 1 << 40;

/// A perfect subtree: number `index` of those with 2^`level` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    pub level: u8,
    pub index: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    pub level: u8,
    pub index: u64,
}

/// A tile's hashes, at most [`TILE_HASHES`].
pub type Tile = Vec<Hash>;

impl Node {
    /// The tile that this subtree's hash is made of.
    pub fn tile(self) -> TileId {
        let level = self.level / TILE_LEVELS;
        let first = self.index << (self.level % TILE_LEVELS);
        TileId { level, index: first / TILE_HASHES as u64 }
    }
}

/// The hash of `wanted` out of its tile; `None` when the tile does not reach that far.
pub fn node_of_tile(wanted: Node, tile: &[Hash]) -> Option<Hash> {
    let within = wanted.level % TILE_LEVELS;
    let first = ((wanted.index << within) % TILE_HASHES as u64) as usize;
    Some(subtree(tile.get(first..first + (1 << within))?))
}

/// The right edge of a tree: all that appending needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// Hashes in the last tile of each level that is not full, from the leaves up.
    rows: Vec<Tile>,
}

impl Edge {
    /// The edge of a tree of `size` leaves from its last tiles, as [`Edge::tiles`] names them. `None` when they are not
    /// those of such a tree.
    pub fn open(size: u64, tiles: &BTreeMap<TileId, Tile>) -> Option<Self> {
        let mut rows = Vec::new();
        for (level, (id, count)) in (0..).zip(Self::tiles(size)) {
            debug_assert_eq!(id.level, level);
            let mut row = if count == 0 { Vec::new() } else { tiles.get(&id)?.clone() };
            if row.len() < count {
                return None;
            }
            row.truncate(count);
            rows.push(row);
        }
        Some(Self { size, rows })
    }

    /// The last tiles of a tree of `size` leaves from the lowest level up, each with how many hashes of it count; 0
    /// where the level ends with a full tile.
    pub fn tiles(size: u64) -> Vec<(TileId, usize)> {
        let mut tiles = Vec::new();
        let (mut level, mut count) = (0, size);
        while count > 0 {
            let full = TILE_HASHES as u64;
            tiles.push((TileId { level, index: count / full }, (count % full) as usize));
            count /= full;
            level += 1;
        }
        tiles
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// One leaf more. Tiles that became full by it, and with that leave the edge, go into `full`.
    pub fn push(&mut self, leaf: Hash, full: &mut BTreeMap<TileId, Tile>) {
        let (mut hash, mut level, mut count) = (leaf, 0_usize, self.size);
        self.size += 1;
        loop {
            if self.rows.len() == level {
                self.rows.push(Vec::new());
            }
            let row = &mut self.rows[level];
            row.push(hash);
            if row.len() < TILE_HASHES {
                return;
            }
            hash = subtree(row);
            full.insert(TileId { level: level as u8, index: count / TILE_HASHES as u64 }, std::mem::take(row));
            level += 1;
            count /= TILE_HASHES as u64;
        }
    }

    /// The tiles of the edge itself, which the next leaves change.
    pub fn partial(&self) -> impl Iterator<Item = (TileId, &Tile)> {
        let tiles = Self::tiles(self.size).into_iter().zip(&self.rows);
        tiles.filter(|(_, row)| !row.is_empty()).map(|((id, _), row)| (id, row))
    }

    pub fn root(&self) -> Hash {
        // The peaks from the right: the smallest subtrees are folded first.
        let mut peaks = Vec::new();
        for row in &self.rows {
            let mut end = row.len();
            while end > 0 {
                let size = 1 << end.trailing_zeros();
                peaks.push(subtree(&row[end - size..end]));
                end -= size;
            }
        }
        peaks.into_iter().reduce(|right, left| node(&left, &right)).unwrap_or_else(empty_root)
    }
}

/// The root over a power of two of hashes.
fn subtree(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| node(&pair[0], &pair[1])).collect();
    }
    row.first().copied().unwrap_or_else(empty_root)
}
