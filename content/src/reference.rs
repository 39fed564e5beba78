//! Outboards and responses made in the plainest way, for tests to compare with.

use crate::{GROUP_LEN, GroupRanges, PARENT_LEN, Step, Tree, group_cv, left_groups, parent_cv};

/// Makes a blob in which no two chunks are alike.
pub(crate) fn blob(size: u64) -> Vec<u8> {
    (0..size).map(|i| (i / 7 + i / 1024 + i / GROUP_LEN * 3).to_le_bytes()[0]).collect()
}

/// Gives the digest and the outboard of a blob.
pub(crate) fn outboard(data: &[u8]) -> ([u8; 32], Vec<u8>) {
    fn subtree(data: &[u8], first_group: u64, is_root: bool) -> ([u8; 32], Vec<u8>) {
        let groups = Tree::new(data.len() as u64).groups();
        if groups == 1 {
            return (group_cv(data, first_group, is_root), Vec::new());
        }
        let left = left_groups(groups);
        let (left_data, right_data) = data.split_at(usize::try_from(left * GROUP_LEN).unwrap());
        let (left_cv, left_pairs) = subtree(left_data, first_group, false);
        let (right_cv, right_pairs) = subtree(right_data, first_group + left, false);
        let pairs = [&left_cv, &right_cv, left_pairs.as_slice(), &right_pairs].concat();
        (parent_cv(&left_cv, &right_cv, is_root), pairs)
    }
    subtree(data, 0, true)
}

/// Gives the response to a request for `ranges`.
pub(crate) fn response(data: &[u8], outboard: &[u8], ranges: &GroupRanges) -> Vec<u8> {
    let bytes_of = |step: Step| {
        let (from, at) = match step {
            Step::Parent { index, .. } => (outboard, index * PARENT_LEN as u64),
            Step::Leaf { offset, .. } => (data, offset),
        };
        let at = usize::try_from(at).unwrap();
        &from[at..at + step.len()]
    };
    Tree::new(data.len() as u64).plan(ranges).flat_map(bytes_of).copied().collect()
}
