//! Where keys and nodes lie in the key space, and how far apart: the geometry of Kademlia.

use std::ops::RangeInclusive;

use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};
use shoal_content::ProviderKey;

/// Kademlia's k: nodes that should hold a key, and nodes in one bucket of a table. With fewer, a key would be lost when
/// some of them leave at once; with more, whoever announces would have more to tell.
pub(crate) const K: usize = 20;

/// Bits of a position.
const BITS: u32 = 256;

/// A node of the overlay, with the addresses at which it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// Where a key or a node lies: the SHA-256 hash of its bytes, as Kademlia has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position([u8; 32]);

/// The first bits of a position: as much as tells which of our neighbours are near to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(u32);

/// How far two positions are apart: their exclusive or, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Distance([u8; 32]);

impl Position {
    pub(crate) fn of_key(key: &ProviderKey) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    pub(crate) fn of_peer(peer: &PeerId) -> Self {
        Self::of_bytes(&peer.to_bytes())
    }

    /// Where something lies whose bytes are these.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Any position.
    pub(crate) fn random() -> Self {
        Self::of_peer(&PeerId::random())
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn place(self) -> Place {
        let [a, b, c, d, ..] = self.0;
        Place(u32::from_be_bytes([a, b, c, d]))
    }

    /// The beginning of the position, which tells all positions apart that matter and sorts as they do.
    pub(crate) fn prefix(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    pub(crate) fn distance(self, other: Self) -> Distance {
        let mut distance = self.0;
        for (a, b) in distance.iter_mut().zip(other.0) {
            *a ^= b;
        }
        Distance(distance)
    }

    /// How many leading bits two positions share.
    pub(crate) fn shared_bits(self, other: Self) -> u32 {
        self.distance(other).leading_zeros()
    }

    /// Which of so many equal parts of all positions it lies in; at most 256 are told apart.
    pub(crate) fn part(self, parts: usize) -> usize {
        let [first, ..] = self.0;
        usize::from(first) * parts / 256
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

    /// The position that shares the first `bit` bits with this one, differs in the next, and goes on as `rest`.
    pub(crate) fn across(self, bit: u32, rest: Self) -> Self {
        let (mut position, mut kept) = (rest.0, bit);
        for (byte, ours) in position.iter_mut().zip(self.0) {
            let free = u8::MAX.checked_shr(kept).unwrap_or(0);
            *byte = (ours & !free) | (*byte & free);
            kept = kept.saturating_sub(u8::BITS);
        }
        let (at, mask) = (bit / u8::BITS, 0x80_u8 >> (bit % u8::BITS));
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let (Some(byte), Some(ours)) = (position.get_mut(at), self.0.get(at)) {
            *byte = (*byte & !mask) | (!ours & mask);
        }
        Self(position)
    }
}

impl Place {
    /// How far two places are apart, in units of 2⁻³² of the key space.
    pub(crate) fn apart(self, other: Self) -> u32 {
        self.0 ^ other.0
    }

    /// The place so far from this one.
    pub(crate) fn at(self, apart: u32) -> Self {
        Self(self.0 ^ apart)
    }
}

impl Distance {
    pub(crate) fn leading_zeros(self) -> u32 {
        let mut bits = 0;
        for byte in self.0 {
            bits += byte.leading_zeros();
            if byte != 0 {
                return bits;
            }
        }
        BITS
    }

    /// As far as anything can be.
    pub(crate) const FARTHEST: Self = Self([u8::MAX; 32]);

    /// The distance as a part of the whole key space, in units of 2⁻³².
    pub(crate) fn fraction(self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use libp2p::kad::KBucketKey;

    use super::*;

    fn at(first: u8) -> Position {
        let mut bytes = [0xaa; 32];
        bytes[0] = first;
        Position::from_bytes(bytes)
    }

    #[test]
    fn positions_are_those_of_kademlia() {
        let peer = PeerId::random();
        let (a, b) = (KBucketKey::from(peer), KBucketKey::from(PeerId::random()));
        let ours = Position::of_peer(&peer).distance(Position::of_peer(b.preimage()));
        assert_eq!(Some(255 - ours.leading_zeros()), a.distance(&b).ilog2());
    }

    #[test]
    fn shared_bits_are_counted_from_the_left() {
        assert_eq!(at(0b1010_0000).shared_bits(at(0b1010_1000)), 4);
        assert_eq!(at(0).shared_bits(at(0x80)), 0);
        assert_eq!(at(7).shared_bits(at(7)), 256);
    }

    #[test]
    fn across_a_bit_lies_the_sibling_of_the_subtree() {
        let (here, rest) = (at(0b1010_1010), at(0b0101_0101));
        for bit in [0, 1, 3, 7, 8, 100, 255] {
            let there = here.across(bit, rest);
            assert_eq!(here.shared_bits(there), bit);
        }
        assert_eq!(
            here.across(2, rest),
            at(0b1001_0101),
            "prefix 10, the third bit the other one, then as asked"
        );
    }

    #[test]
    fn fractions_are_of_the_whole_space() {
        assert_eq!(at(0).distance(at(0x80)).fraction(), 1 << 31);
        assert_eq!(at(0).distance(at(0)).fraction(), 0);
    }
}
