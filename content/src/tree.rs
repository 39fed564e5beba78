//! The shape of a blob's hash tree, and the order in which parts of it travel.
//!
//! BLAKE3 hashes a blob as a binary tree whose leaves are 1 KiB chunks. We cut that tree off at *groups* of
//! 16 chunks: what is above is kept in the **outboard**, what is below is hashed again when needed. The left
//! half of any node is the largest power of two of groups that is smaller than the whole node.
//!
//! The outboard holds one pair of child hashes per node, in pre-order: the pair of a node in slot `s`,
//! the pairs of its left half from `s + 1`, those of its right half from `s` plus [`left_groups`].
//! A response to a range request is a walk in the same order: the pair of each node that leads to a wanted
//! group, and each wanted group. It is byte for byte the encoding that the `bao-tree` crate makes for groups
//! of 16 KiB, without its size header, with whole groups even where `bao-tree` would send a part of one.

use std::{iter::FusedIterator, ops::Range};

use crate::GroupRanges;

#[cfg(test)]
mod tests;

/// Length of a group, the unit of verification; only the last group of a blob may be shorter.
pub const GROUP_LEN: u64 = 16 * 1024;

/// Length of the pair of child hashes that a node of the tree takes in an outboard or a response.
pub const PARENT_LEN: usize = 64;

/// Counts the groups in the left half of a node of `groups` groups, of which it has at least two.
pub const fn left_groups(groups: u64) -> u64 {
    1 << (groups - 1).ilog2()
}

/// The hash tree of a blob of some size.
///
/// A size that a peer claims makes a tree as good as any, and costs nothing: trees hold one number. It proves
/// nothing either until [`Decoder::size_is_proven`](crate::Decoder::size_is_proven).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    size: u64,
}

impl Tree {
    /// The tree of a blob of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self { size }
    }

    /// The size of the blob in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Counts the groups: at least one, for the empty blob has one empty group.
    pub const fn groups(&self) -> u64 {
        if self.size == 0 { 1 } else { self.size.div_ceil(GROUP_LEN) }
    }

    /// Counts the pairs in the outboard.
    pub const fn parents(&self) -> u64 {
        self.groups() - 1
    }

    /// The length of the outboard in bytes.
    pub const fn outboard_len(&self) -> u64 {
        self.parents() * PARENT_LEN as u64
    }

    /// The bytes of the blob that `group` covers; none for a group beyond the last.
    pub fn group_span(&self, group: u64) -> Range<u64> {
        let start = group.saturating_mul(GROUP_LEN).min(self.size);
        start..start.saturating_add(GROUP_LEN).min(self.size)
    }

    /// Cuts `ranges` to this tree, where asking for anything beyond the last group asks for the last group.
    ///
    /// So a reader who does not know the size asks for too much, and is always sent what proves the size.
    pub fn clip(&self, ranges: &GroupRanges) -> GroupRanges {
        let groups = self.groups();
        let mut clipped = ranges.intersection(&GroupRanges::all(groups));
        if ranges.overlaps(&(groups..u64::MAX)) {
            clipped.insert(groups - 1..groups);
        }
        clipped
    }

    /// Lists what is sent, in order, for the groups of `ranges`, [clipped](Self::clip) to this tree.
    pub fn plan(&self, ranges: &GroupRanges) -> Plan {
        let ranges = self.clip(ranges);
        let root = Node { groups: 0..self.groups(), slot: 0 };
        let stack = if ranges.is_empty() { Vec::new() } else { vec![root] };
        Plan { tree: *self, ranges, stack }
    }

    /// The length of everything in the [`plan`](Self::plan), found without walking it.
    ///
    /// Saturates at `u64::MAX` for sizes that no disk can hold.
    pub fn encoded_len(&self, ranges: &GroupRanges) -> u64 {
        let ranges = self.clip(ranges);
        let root = Node { groups: 0..self.groups(), slot: 0 };
        let pairs = root.pairs_towards(&ranges) * PARENT_LEN as u64;
        ranges
            .iter()
            .map(|r| self.group_span(r.end - 1).end - self.group_span(r.start).start)
            .fold(pairs, u64::saturating_add)
    }
}

/// One thing to send or to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The hashes of the two children of a node, [`PARENT_LEN`] bytes.
    Parent {
        /// The slot of the pair in the outboard, which starts at byte `index * PARENT_LEN`.
        index: u64,
        /// Whether the pair hashes to the digest of the blob.
        is_root: bool,
        /// Whether steps within the left half follow.
        left: bool,
        /// Whether steps within the right half follow.
        right: bool,
    },
    /// The bytes of one group.
    Leaf {
        /// Which group.
        group: u64,
        /// Where it starts in the blob.
        offset: u64,
        /// How long it is: [`GROUP_LEN`], or less for the last group.
        len: usize,
        /// Whether this group is the whole blob.
        is_root: bool,
    },
}

impl Step {
    /// How many bytes the step takes in a response.
    pub const fn len(&self) -> usize {
        match self {
            Self::Parent { .. } => PARENT_LEN,
            Self::Leaf { len, .. } => *len,
        }
    }

    /// Whether the step takes no bytes: so does the one group of the empty blob.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The steps of a response, in order.
///
/// Walks the tree as it goes: its memory is the depth of the tree (50 at most), whatever the size.
#[derive(Clone, Debug)]
pub struct Plan {
    tree: Tree,
    /// Invariant: within the tree, and each node on the stack overlaps it.
    ranges: GroupRanges,
    stack: Vec<Node>,
}

impl Plan {
    /// The groups that the plan covers: those asked for, [clipped](Tree::clip) to the tree.
    pub fn ranges(&self) -> &GroupRanges {
        &self.ranges
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let node = self.stack.pop()?;
        let is_root = node.groups.end - node.groups.start == self.tree.groups();
        let Some((left, right)) = node.children() else {
            let span = self.tree.group_span(node.groups.start);
            #[expect(clippy::cast_possible_truncation, reason = "a group is GROUP_LEN at most")]
            let len = (span.end - span.start) as usize;
            return Some(Step::Leaf { group: node.groups.start, offset: span.start, len, is_root });
        };
        let wanted = |node: &Node| self.ranges.overlaps(&node.groups);
        let step = Step::Parent { index: node.slot, is_root, left: wanted(&left), right: wanted(&right) };
        // The stack gives back the last first, and the left half comes first.
        let children = [right, left].into_iter().filter(wanted);
        self.stack.extend(children);
        Some(step)
    }
}

impl FusedIterator for Plan {}

/// A node of the tree.
#[derive(Clone, Debug)]
struct Node {
    /// Invariant: not empty.
    groups: Range<u64>,
    /// Where its pair is in the outboard, if it has one.
    slot: u64,
}

impl Node {
    /// The two halves, unless this is a single group.
    fn children(&self) -> Option<(Self, Self)> {
        let Range { start, end } = self.groups;
        if end - start == 1 {
            return None;
        }
        let left = left_groups(end - start);
        let middle = start + left;
        Some((
            Self { groups: start..middle, slot: self.slot + 1 },
            Self { groups: middle..end, slot: self.slot + left },
        ))
    }

    /// Counts the pairs at and below this node that lead to a group of `ranges`.
    fn pairs_towards(&self, ranges: &GroupRanges) -> u64 {
        match self.children() {
            _ if !ranges.overlaps(&self.groups) => 0,
            _ if ranges.covers(&self.groups) => self.groups.end - self.groups.start - 1,
            Some((left, right)) => 1 + left.pairs_towards(ranges) + right.pairs_towards(ranges),
            None => 0,
        }
    }
}
