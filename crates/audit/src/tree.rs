//! The stored tree, read tile by tile.

use crate::Parts;
use bailiwick_core::tree::{Edge, Node, Tile, TileId, inclusion, node_of_tile, root};
use bailiwick_ports::AuditError;
use bailiwick_types::TenantId;
use std::collections::{BTreeMap, BTreeSet};

type Hash = [u8; 32];
/// A tile that is not there.
pub(crate) struct Missing;
type Reading<'a> = dyn FnMut(Node) -> Result<Hash, Missing> + 'a;

impl Parts {
    /// Does `work` on the tree: once to learn which tiles it needs, and once with them.
    pub(crate) async fn read<T>(
        &self,
        tenant: TenantId,
        work: impl Fn(&mut &mut Reading<'_>) -> Result<T, Missing>,
    ) -> Result<T, AuditError> {
        let tiles = {
            let mut wanted = BTreeSet::new();
            let mut note = |node: Node| {
                wanted.insert(node.tile());
                Ok([0_u8; 32])
            };
            let _ = work(&mut (&mut note as &mut Reading<'_>));
            wanted
        };
        let tiles = self.tiles(tenant, tiles).await?;
        let mut read = |node: Node| tiles.get(&node.tile()).and_then(|tile| node_of_tile(node, tile)).ok_or(Missing);
        work(&mut (&mut read as &mut Reading<'_>))
            .map_err(|Missing| AuditError::Damaged("a tile of the tree is missing; restore it from a backup".into()))
    }

    pub(crate) async fn inclusion(&self, tenant: TenantId, index: u64, size: u64) -> Result<Vec<Hash>, AuditError> {
        self.read(tenant, |read| inclusion(index, size, read)).await
    }

    pub(crate) async fn root(&self, tenant: TenantId, size: u64) -> Result<Hash, AuditError> {
        self.read(tenant, |read| root(size, read)).await
    }

    /// The right edge of a tree of `size` leaves.
    pub(crate) async fn edge(&self, tenant: TenantId, size: u64) -> Result<Edge, AuditError> {
        let wanted = Edge::tiles(size).into_iter().filter(|(_, count)| *count > 0).map(|(id, _)| id).collect();
        let tiles = self.tiles(tenant, wanted).await?;
        Edge::open(size, &tiles)
            .ok_or_else(|| AuditError::Damaged(format!("the edge of the tree of {size} leaves is missing")))
    }

    async fn tiles(&self, tenant: TenantId, wanted: BTreeSet<TileId>) -> Result<BTreeMap<TileId, Tile>, AuditError> {
        let places: Vec<(u8, u64)> = wanted.iter().map(|id| (id.level, id.index)).collect();
        let found = self.options.log.tiles(tenant, &places).await?;
        let hashes = |bytes: &[u8]| bytes.chunks_exact(32).filter_map(|hash| hash.try_into().ok()).collect();
        Ok(wanted.into_iter().zip(&found).map(|(id, bytes)| (id, hashes(bytes))).collect())
    }
}
