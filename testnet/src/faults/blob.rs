//! Content in memory with its hash tree, to answer range requests rightly or nearly so.

use shoal_content::{
    Digest, GROUP_LEN, GroupRanges, PARENT_LEN, Step, Tree, group_cv, left_groups, parent_cv,
};

/// Longest answer. A liar that claims petabytes is believed by its lie, not by its bytes.
const MAX_RESPONSE_LEN: usize = 64 * 1024 * 1024;

/// A content and the pairs of hashes above its groups.
#[derive(Debug)]
pub(super) struct Blob {
    data: Vec<u8>,
    pairs: Vec<u8>,
    digest: Digest,
}

impl Blob {
    pub(super) fn new(data: &[u8]) -> Self {
        let mut pairs = Vec::new();
        let root = hash_node(data, 0, true, &mut pairs);
        Self { data: data.to_vec(), pairs, digest: Digest::from_bytes(root) }
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn size(&self) -> u64 {
        self.data.len() as u64
    }

    /// The answer to a request for `wanted`, as if the content had the shape of `tree`: where it has another one,
    /// what is missing is sent as zeros.
    pub(super) fn response(&self, tree: Tree, wanted: &GroupRanges) -> Vec<u8> {
        let mut response = Vec::new();
        for step in tree.plan(wanted) {
            if response.len() + step.len() > MAX_RESPONSE_LEN {
                break;
            }
            let (from, at) = match step {
                Step::Parent { index, .. } => (&self.pairs, index.saturating_mul(PARENT_LEN as u64)),
                Step::Leaf { offset, .. } => (&self.data, offset),
            };
            let rest = usize::try_from(at).ok().and_then(|at| from.get(at..)).unwrap_or_default();
            let known = &rest[..step.len().min(rest.len())];
            let end = response.len() + step.len();
            response.extend_from_slice(known);
            response.resize(end, 0);
        }
        response
    }
}

/// Hashes `data`, which starts at group `first`, and appends the pairs below and at its node in pre-order.
fn hash_node(data: &[u8], first: u64, is_root: bool, pairs: &mut Vec<u8>) -> [u8; 32] {
    let groups = Tree::new(data.len() as u64).groups();
    if groups == 1 {
        return group_cv(data, first, is_root);
    }
    let left_len = usize::try_from(left_groups(groups) * GROUP_LEN).unwrap_or(usize::MAX);
    let (left, right) = data.split_at(left_len);
    let slot = pairs.len();
    pairs.resize(slot + PARENT_LEN, 0);
    let left = hash_node(left, first, false, pairs);
    let right = hash_node(right, first + left_groups(groups), false, pairs);
    pairs[slot..slot + PARENT_LEN].copy_from_slice(&[left, right].concat());
    parent_cv(&left, &right, is_root)
}

#[cfg(test)]
mod tests {
    use shoal_content::{Decoder, SIZES};

    use super::*;
    use crate::sample;

    #[test]
    fn answers_for_the_right_shape_verify() {
        for (size, why) in SIZES {
            let data = sample::bytes(*size, usize::try_from(*size).unwrap());
            let blob = Blob::new(&data);
            assert_eq!(blob.digest(), Digest::of(&data), "{why}");
            let tree = Tree::new(*size);
            let all = GroupRanges::all(tree.groups());
            let response = blob.response(tree, &all);
            let mut decoder = Decoder::new(blob.digest(), tree, &all);
            let mut rest = &response[..];
            while let Some(step) = decoder.next_step() {
                let (bytes, after) = rest.split_at(step.len());
                match step {
                    Step::Parent { .. } => decoder.push_parent(bytes.try_into().unwrap()).unwrap(),
                    Step::Leaf { .. } => decoder.push_leaf(bytes).unwrap(),
                }
                rest = after;
            }
            assert!(decoder.is_done() && rest.is_empty(), "{why}");
        }
    }

    #[test]
    fn answers_for_another_shape_have_its_length() {
        let blob = Blob::new(&sample::bytes(1, 100_000));
        let tree = Tree::new(10_000_000);
        let all = GroupRanges::all(tree.groups());
        assert_eq!(blob.response(tree, &all).len() as u64, tree.encoded_len(&all));
    }
}
