//! A part of the key space whose closest nodes are known from one walk.
//!
//! A walk costs dozens of requests, so it has to serve every key nearby. The twenty nodes closest to its
//! target are also the closest to any key that shares enough leading bits with it: all nodes in that
//! subtree are among them, and only the farthest few may differ.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use libp2p::kad;

use crate::position::{Node, Position};

/// How long the answer of a walk is used for further keys. Nodes come and go; a directory published right
/// after another should still not walk again.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Bits beyond those shared with the farthest node found that a key must share with the target. With two,
/// a walk knows 18 to 19 of a key's twenty closest nodes on average and 14 at worst; with one, 17 and 10 for
/// half the walks (simulated networks of 25 to 2000 nodes).
const EXTRA_BITS: u32 = 2;

/// All keys that share their first `bits` bits with `target`, and the nodes to tell about them.
#[derive(Debug)]
pub(crate) struct Region {
    target: Position,
    bits: u32,
    pub(crate) nodes: Vec<Node>,
    learned: Instant,
}

impl Region {
    /// What a walk to `target` says about its surroundings. Fewer nodes than a walk looks for means that
    /// these are all there are, and that they are the closest to every key.
    pub(crate) fn new(target: Position, nodes: Vec<Node>, now: Instant) -> Self {
        let bits = if nodes.len() < kad::K_VALUE.get() {
            0
        } else {
            let shared = nodes.iter().map(|node| Position::of_peer(&node.peer).shared_bits(target));
            shared.min().map_or(0, |farthest| farthest + EXTRA_BITS)
        };
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
