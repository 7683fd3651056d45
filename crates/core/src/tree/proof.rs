//! Roots and proofs of RFC 6962 trees (sections 2.1 and 2.1.1), and their verification (RFC 9162 sections 2.1.3.2 and
//! 2.1.4.2). A tree is read through its perfect subtrees, so that a proof needs a few tiles and never all leaves.

use super::{empty_root, node, tiles::Node};

type Hash = [u8; 32];

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the leaf's index lies beyond the tree")]
    OutOfRange,
    #[error("the proof has another length than a proof of this leaf in this tree")]
    WrongLength,
    #[error("the proof leads to another root")]
    AnotherRoot,
    #[error("the proof does not lead to the root of the smaller tree")]
    AnotherBeginning,
    #[error("the smaller tree is larger than the other")]
    Shrunk,
}

/// The largest power of two below `size`, which is 2 or more.
fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// The root over the leaves `begin..end`. `begin` is a multiple of the range's size, rounded up to a power of two.
fn range<E>(begin: u64, end: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    let size = end - begin;
    if size.is_power_of_two() {
        let level = size.trailing_zeros() as u8;
        return read(Node { level, index: begin >> level });
    }
    let middle = begin + split(size);
    Ok(node(&range(begin, middle, read)?, &range(middle, end, read)?))
}

/// The root of the first `size` leaves.
pub fn root<E>(size: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Hash, E> {
    if size == 0 { Ok(empty_root()) } else { range(0, size, read) }
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: hashes from the leaf to the root. Empty when
/// there is no such leaf.
pub fn inclusion<E>(index: u64, size: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if index >= size {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, size);
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range(middle, end, read)?);
            end = middle;
        } else {
            proof.push(range(begin, middle, read)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `old` leaves is the beginning of that of the first `new` ones. Empty when it
/// needs none (`old` is 0 or `new`) or there is none.
pub fn consistency<E>(old: u64, new: u64, read: &mut impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut begin, mut end) = (0, new);
    // Whether the subtree at hand is the whole old tree, which the verifier knows.
    let mut whole = true;
    while old != end {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(range(middle, end, read)?);
            end = middle;
        } else {
            proof.push(range(begin, middle, read)?);
            begin = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range(begin, end, read)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether `proof` shows that `leaf` is leaf `index` of the tree with `size` leaves and this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, root: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::OutOfRange);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in proof {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::AnotherRoot),
        _ => Err(ProofError::WrongLength),
    }
}

/// Whether `proof` shows that the tree with `old` leaves is the beginning of the one with `new` leaves.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Shrunk);
    }
    if old == new || old == 0 {
        let known = if old == 0 { empty_root() } else { *new_root };
        return match (proof.is_empty(), *old_root == known) {
            (true, true) => Ok(()),
            (false, _) => Err(ProofError::WrongLength),
            (true, false) => Err(ProofError::AnotherBeginning),
        };
    }
    let mut steps = proof.iter();
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() { old_root } else { steps.next().ok_or(ProofError::WrongLength)? };
    let (mut before, mut after) = (*first, *first);
    for step in steps {
        if last == 0 {
            return Err(ProofError::WrongLength);
        }
        if at & 1 == 1 || at == last {
            before = node(step, &before);
            after = node(step, &after);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            after = node(&after, step);
        }
        at >>= 1;
        last >>= 1;
    }
    match (last, before == *old_root, after == *new_root) {
        (0, true, true) => Ok(()),
        (0, false, _) => Err(ProofError::AnotherBeginning),
        (0, true, false) => Err(ProofError::AnotherRoot),
        _ => Err(ProofError::WrongLength),
    }
}
