//! A part of the key space whose closest nodes are known from one walk.
//!
//! A walk costs dozens of requests, so it has to serve every key nearby. The twenty nodes closest to its
//! target are also the closest to any key that shares enough leading bits with it: all nodes in that
//! subtree are among them, and only the farthest few may differ.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::position::{K, Node, Position};

/// How long the answer of a walk is used for further keys. Nodes come and go; a directory published right
/// after another should still not walk again.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Bits beyond those shared with the farthest of the twenty nearest nodes that a key must share with the target.
/// With one, the nodes told are 17 to 19 of a key's twenty nearest; with two, nearly all, at twice the number of
/// walks and messages.
const EXTRA_BITS: u32 = 1;

/// All keys that share their first `bits` bits with `target`, and the nodes to tell about them.
#[derive(Debug)]
pub(crate) struct Region {
    target: Position,
    bits: u32,
    pub(crate) nodes: Vec<Node>,
    learned: Instant,
}

impl Region {
    /// What a walk to `target` says about its surroundings, nearest first. Fewer nodes than a walk looks for means that
    /// these are all there are, and that they are the closest to every key.
    pub(crate) fn new(target: Position, nodes: Vec<Node>, now: Instant) -> Self {
        let farthest = nodes.get(K - 1);
        let shared = |node: &Node| Position::of_peer(&node.peer).shared_bits(target);
        let bits = farthest.map_or(0, |node| shared(node) + EXTRA_BITS);
        Self { target, bits, nodes, learned: now }
    }

    pub(crate) fn keys(&self) -> RangeInclusive<Position> {
        self.target.neighbourhood(self.bits)
    }

    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// Whether these are all nodes of the network, as far as the walk could see.
    pub(crate) fn is_everything(&self) -> bool {
        self.bits == 0
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.learned) < MAX_AGE
    }
}

#[cfg(test)]
mod tests;
