//! A part of the key space whose closest nodes are known from one walk.
//!
//! A walk costs dozens of requests, so it has to serve every key nearby. The twenty nodes closest to its
//! target are also the closest to any key that shares enough leading bits with it: all nodes in that
//! subtree are among them, and only the farthest few may differ.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use libp2p::kad::{self, KBucketKey};
use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;

/// How long the answer of a walk is used for further keys. Nodes come and go; a directory published right
/// after another should still not walk again.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Bits beyond those shared with the farthest node found that a key must share with the target. With two,
/// a walk knows 18 to 19 of a key's twenty closest nodes on average and 14 at worst; with one, 17 and 10 for
/// half the walks (simulated networks of 25 to 2000 nodes).
const EXTRA_BITS: u32 = 2;

/// Where a key or a node lies in the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position([u8; 32]);

/// A node that a walk found, with the addresses that the walk learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// All keys that share their first `bits` bits with `target`, and the nodes to tell about them.
#[derive(Debug)]
pub(crate) struct Region {
    target: Position,
    bits: u32,
    pub(crate) nodes: Vec<Node>,
    learned: Instant,
}

impl Position {
    pub(crate) fn of_key(key: &ProviderKey) -> Self {
        Self::from_hash(KBucketKey::new(key.as_bytes().as_slice()).hashed_bytes())
    }

    pub(crate) fn of_peer(peer: &PeerId) -> Self {
        Self::from_hash(KBucketKey::from(*peer).hashed_bytes())
    }

    fn from_hash(hash: &[u8]) -> Self {
        let mut position = [0; 32];
        position.copy_from_slice(hash);
        Self(position)
    }

    /// How many leading bits two positions share.
    pub(crate) fn shared_bits(self, other: Self) -> u32 {
        let mut bits = 0;
        for (a, b) in self.0.iter().zip(other.0) {
            let same = (a ^ b).leading_zeros();
            bits += same;
            if same < u8::BITS {
                break;
            }
        }
        bits
    }

    /// All positions that share the first `bits` bits with this one.
    pub(crate) fn neighbourhood(self, bits: u32) -> RangeInclusive<Self> {
        let (mut first, mut last) = (self, self);
        let mut kept = bits;
        for (low, high) in first.0.iter_mut().zip(&mut last.0) {
            let free = u8::MAX.checked_shr(kept).unwrap_or(0);
            *low &= !free;
            *high |= free;
            kept = kept.saturating_sub(u8::BITS);
        }
        first..=last
    }
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
