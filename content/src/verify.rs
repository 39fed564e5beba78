//! Checks a streamed range response against a digest, group by group, as its bytes arrive.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::{Digest, GROUP_LEN, GroupRanges, PARENT_LEN, Plan, Step, Tree};

#[cfg(test)]
mod tests;

/// Hashes the bytes of one group to the value its parent holds, or to the digest if it is the whole blob.
///
/// `data` is the whole of group `group`: 1 to [`GROUP_LEN`] bytes, or none for the empty blob.
pub fn group_cv(data: &[u8], group: u64, is_root: bool) -> [u8; 32] {
    if is_root {
        return *blake3::hash(data).as_bytes();
    }
    blake3::Hasher::new().set_input_offset(group * GROUP_LEN).update(data).finalize_non_root()
}

/// Hashes a pair of child hashes to the value that stands above them, or to the digest if they are the root's.
pub fn parent_cv(left: &[u8; 32], right: &[u8; 32], is_root: bool) -> [u8; 32] {
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// Verifies the response to a range request, one step at a time, without doing any input or output.
///
/// The caller reads [`next_step`](Self::next_step), gets that many bytes from wherever they come, and pushes
/// them. Bytes that were pushed without an error are part of the blob; what was refused changed nothing here.
/// Memory is the depth of the tree, whatever size the sender claims.
///
/// ```
/// use shoal_content::{Decoder, Digest, GroupRanges, Tree};
///
/// let blob = b"a blob of one group is its own proof";
/// let tree = Tree::new(blob.len() as u64);
/// let mut decoder = Decoder::new(Digest::of(blob), tree, &GroupRanges::all(tree.groups()));
/// assert!(decoder.push_leaf(b"a bl0b of one group is its own proof").is_err());
/// assert!(decoder.push_leaf(blob).is_ok());
/// assert!(decoder.is_done() && decoder.size_is_proven());
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    tree: Tree,
    plan: Plan,
    next: Option<Step>,
    /// The hashes that steps to come must have, the next one last.
    /// Invariant: one for each node that the plan has still to visit and whose parent it has visited.
    expected: Vec<ChainingValue>,
    last_group_verified: bool,
}

impl Decoder {
    /// Prepares to verify the groups of `ranges`, [clipped](Tree::clip) to `tree`, of the blob `digest`.
    ///
    /// The size of `tree` may be a mere claim: if it is wrong, some step will be refused.
    pub fn new(digest: Digest, tree: Tree, ranges: &GroupRanges) -> Self {
        let mut plan = tree.plan(ranges);
        let next = plan.next();
        Self { tree, plan, next, expected: vec![*digest.as_bytes()], last_group_verified: false }
    }

    /// The groups that will have been verified at the end: those asked for, clipped to the tree.
    pub fn ranges(&self) -> &GroupRanges {
        self.plan.ranges()
    }

    /// What must be pushed next, or nothing when all is verified.
    pub fn next_step(&self) -> Option<Step> {
        self.next
    }

    /// How many bytes must be pushed next: 0 when all is verified, and for the group of the empty blob.
    pub fn next_len(&self) -> usize {
        self.next.map_or(0, |step| step.len())
    }

    /// Whether everything that was asked for is verified.
    pub fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// Whether the size that the tree was made with is now known to be that of the blob.
    ///
    /// True from the moment the last group of the tree is verified. The hash of a group depends on where
    /// it starts and how long it is, and the way down to it, always to the right, is the way to the end of
    /// the blob; so no other size has a last group there. Until then a size is a claim, whoever made it and
    /// however much was verified.
    pub fn size_is_proven(&self) -> bool {
        self.last_group_verified
    }

    /// Verifies the pair of hashes that the next step asks for.
    pub fn push_parent(&mut self, pair: &[u8; PARENT_LEN]) -> Result<(), BadBytes> {
        let Some(Step::Parent { index, is_root, left, right }) = self.next else {
            return Err(BadBytes::OutOfTurn);
        };
        let cvs = (pair.first_chunk(), pair.last_chunk(), self.expected.last());
        let (Some(left_cv), Some(right_cv), Some(expected)) = cvs else {
            return Err(BadBytes::OutOfTurn);
        };
        if parent_cv(left_cv, right_cv, is_root) != *expected {
            return Err(BadBytes::Parent { index });
        }
        self.expected.pop();
        let children = [(right, right_cv), (left, left_cv)];
        self.expected.extend(children.into_iter().filter_map(|(wanted, cv)| wanted.then_some(*cv)));
        self.next = self.plan.next();
        Ok(())
    }

    /// Verifies the group that the next step asks for.
    pub fn push_leaf(&mut self, data: &[u8]) -> Result<(), BadBytes> {
        let Some(Step::Leaf { group, len, is_root, .. }) = self.next else {
            return Err(BadBytes::OutOfTurn);
        };
        if data.len() != len || self.expected.last() != Some(&group_cv(data, group, is_root)) {
            return Err(BadBytes::Group { group });
        }
        self.expected.pop();
        self.last_group_verified |= group == self.tree.groups() - 1;
        self.next = self.plan.next();
        Ok(())
    }
}

/// Bytes that are not what the digest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBytes {
    /// A pair of hashes does not hash to the value above it.
    #[error("hash pair {index} does not match the digest")]
    Parent {
        /// The slot of the pair in the outboard.
        index: u64,
    },
    /// The bytes of a group do not hash to the value above them, or are not as many as the group has.
    #[error("group {group} does not match the digest")]
    Group {
        /// Which group.
        group: u64,
    },
    /// A pair was pushed where a group was due, the reverse, or anything after the end.
    #[error("these bytes are not what comes next")]
    OutOfTurn,
}
