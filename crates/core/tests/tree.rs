//! The tree against the vectors of Certificate Transparency and against the recursive definitions of RFC 6962.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use bailiwick_core::tree::{
    Edge, Node, ProofError, Tile, TileId, consistency, empty_root, inclusion, node, node_of_tile, root,
    verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, convert::Infallible};

type Hash = [u8; 32];

fn leaf_of(data: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(data);
    hash.finalize().into()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// MTH of RFC 6962 section 2.1.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        _ => {
            let k = (leaves.len()).next_power_of_two() / 2;
            node(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

/// PATH of RFC 6962 section 2.1.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, sibling) = match index < k {
        true => (naive_path(index, &leaves[..k]), naive_root(&leaves[k..])),
        false => (naive_path(index - k, &leaves[k..]), naive_root(&leaves[..k])),
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 6962 section 2.1.2.
fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut proof, sibling) = match old <= k {
        true => (naive_subproof(old, &leaves[..k], whole), naive_root(&leaves[k..])),
        false => (naive_subproof(old - k, &leaves[k..], false), naive_root(&leaves[..k])),
    };
    proof.push(sibling);
    proof
}

/// A log as a store keeps it.
#[derive(Default)]
struct Log {
    edge: Edge,
    tiles: BTreeMap<TileId, Tile>,
}

impl Log {
    fn of(leaves: &[Hash]) -> Self {
        let mut log = Self::default();
        leaves.iter().for_each(|leaf| log.edge.push(*leaf, &mut log.tiles));
        log.tiles.extend(log.edge.partial().map(|(id, tile)| (id, tile.clone())));
        log
    }

    fn read(&self) -> impl FnMut(Node) -> Result<Hash, Infallible> {
        |wanted| Ok(node_of_tile(wanted, &self.tiles[&wanted.tile()]).unwrap())
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|at| leaf_of(&at.to_be_bytes())).collect()
}

/// From the test data of Certificate Transparency's reference implementation.
#[test]
fn roots_are_those_of_certificate_transparency() {
    let inputs: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> = inputs.iter().map(|input| leaf_of(input)).collect();
    for (size, expected) in roots.iter().enumerate() {
        assert_eq!(hex(&Log::of(&leaves[..size]).edge.root()), *expected, "{size} leaves");
    }
}

#[test]
fn every_small_tree_has_the_roots_and_proofs_of_the_rfc() {
    let leaves = leaves(70);
    let log = Log::of(&leaves);
    for size in 0..=leaves.len() {
        let part = &leaves[..size];
        let expected = naive_root(part);
        assert_eq!(root(size as u64, &mut log.read()), Ok(expected));
        for (index, leaf) in part.iter().enumerate() {
            let proof = inclusion(index as u64, size as u64, &mut log.read()).unwrap();
            assert_eq!(proof, naive_path(index, part), "{index} of {size}");
            assert_eq!(verify_inclusion(leaf, index as u64, size as u64, &expected, &proof), Ok(()));
        }
        for old in 0..=size {
            let proof = consistency(old as u64, size as u64, &mut log.read()).unwrap();
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, part, true), "{old} in {size}");
            }
            let before = naive_root(&leaves[..old]);
            assert_eq!(verify_consistency(old as u64, size as u64, &before, &expected, &proof), Ok(()));
        }
    }
}

#[test]
fn what_is_beyond_the_tree_has_no_proof() {
    let leaves = leaves(5);
    let log = Log::of(&leaves);
    assert_eq!(inclusion(5, 5, &mut log.read()), Ok(vec![]));
    assert_eq!(consistency(6, 5, &mut log.read()), Ok(vec![]));
    let root = log.edge.root();
    assert_eq!(verify_inclusion(&leaves[0], 5, 5, &root, &[]), Err(ProofError::OutOfRange));
    assert_eq!(verify_consistency(6, 5, &root, &root, &[]), Err(ProofError::Shrunk));
    assert_eq!(verify_consistency(0, 5, &root, &root, &[]), Err(ProofError::AnotherBeginning));
    assert_eq!(verify_consistency(5, 5, &root, &root, &[root]), Err(ProofError::WrongLength));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Across several tiles and levels, and reopened from its tiles at any moment.
    #[test]
    fn a_log_of_tiles_is_the_tree(size in 1_usize..1500, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let (index, old) = (at.index(size), cut.index(size));
        let mut log = Log::of(&leaves[..old]);
        log.edge = Edge::open(old as u64, &log.tiles).unwrap();
        for leaf in &leaves[old..] {
            log.edge.push(*leaf, &mut log.tiles);
        }
        log.tiles.extend(log.edge.partial().map(|(id, tile)| (id, tile.clone())).collect::<Vec<_>>());
        let expected = naive_root(&leaves);
        prop_assert_eq!(log.edge.root(), expected);
        prop_assert_eq!(root(size as u64, &mut log.read()), Ok(expected));
        let proof = inclusion(index as u64, size as u64, &mut log.read()).unwrap();
        prop_assert_eq!(&proof, &naive_path(index, &leaves));
        let before = naive_root(&leaves[..old]);
        let from = consistency(old as u64, size as u64, &mut log.read()).unwrap();
        prop_assert_eq!(verify_consistency(old as u64, size as u64, &before, &expected, &from), Ok(()));
    }

    /// A proof holds for one leaf at one place of one tree, and for nothing near it.
    #[test]
    fn a_changed_proof_proves_nothing(size in 2_usize..600, at in any::<prop::sample::Index>(), bit in 0_usize..256, which in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let log = Log::of(&leaves);
        let (index, expected) = (at.index(size), log.edge.root());
        let proof = inclusion(index as u64, size as u64, &mut log.read()).unwrap();
        let holds = |leaf: &Hash, index: usize, proof: &[Hash]| {
            verify_inclusion(leaf, index as u64, size as u64, &expected, proof).is_ok()
        };
        let flip = |hash: &Hash| {
            let mut other = *hash;
            other[bit / 8] ^= 1 << (bit % 8);
            other
        };
        prop_assert!(holds(&leaves[index], index, &proof));
        prop_assert!(!holds(&flip(&leaves[index]), index, &proof));
        prop_assert!(!holds(&leaves[index], (index + 1) % size, &proof));
        let place = which.index(proof.len());
        let mut changed = proof.clone();
        changed[place] = flip(&changed[place]);
        prop_assert!(!holds(&leaves[index], index, &changed));
        changed.remove(place);
        prop_assert!(!holds(&leaves[index], index, &changed));
        changed = [&proof[..], &[expected]].concat();
        prop_assert!(!holds(&leaves[index], index, &changed));

        let old = 1 + which.index(size - 1);
        let before = naive_root(&leaves[..old]);
        let mut from = consistency(old as u64, size as u64, &mut log.read()).unwrap();
        let grew = |old_root: &Hash, proof: &[Hash]| {
            verify_consistency(old as u64, size as u64, old_root, &expected, proof).is_ok()
        };
        prop_assert!(grew(&before, &from));
        prop_assert!(!grew(&flip(&before), &from));
        let place = at.index(from.len());
        from[place] = flip(&from[place]);
        prop_assert!(!grew(&before, &from));
    }
}
