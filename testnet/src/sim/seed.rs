//! Everything random about a simulation, from one number.

use libp2p::identity::Keypair;
use shoal_content::ProviderKey;

/// What decides about keys, addresses, topology and schedules. The same seed makes the same network; the order in
/// which packets of different nodes cross is up to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// Thirty-two bytes that belong to the `number`th `what`.
    pub(crate) fn bytes(self, what: &str, number: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0.to_be_bytes()).update(&number.to_be_bytes()).update(what.as_bytes());
        hasher.finalize().into()
    }

    /// A number that belongs to the `number`th `what`.
    pub(crate) fn number(self, what: &str, number: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes(what, number);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(self, what: &str, number: u64, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.number(what, number) % end).unwrap_or(0)
    }

    /// A number from 0 to 1 that belongs to the `number`th `what`.
    pub(crate) fn part(self, what: &str, number: u64) -> f64 {
        // As many bits as such a number holds.
        (self.number(what, number) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The identity of the `number`th `what`.
    pub(crate) fn identity(self, what: &str, number: u64) -> Keypair {
        #[expect(clippy::expect_used, reason = "any 32 bytes are an ed25519 key")]
        Keypair::ed25519_from_bytes(self.bytes(what, number)).expect("it has 32 bytes")
    }

    /// The key of the `number`th `what` that somebody provides.
    pub(crate) fn key(self, what: &str, number: u64) -> ProviderKey {
        ProviderKey::from_bytes(self.bytes(what, number))
    }

    /// The numbers below `count` in an order of their own.
    pub(crate) fn shuffled(self, what: &str, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            order.swap(at, self.below(what, at as u64, at + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_network() {
        let (seed, other) = (Seed(7), Seed(8));
        assert_eq!(seed.identity("node", 3).public(), seed.identity("node", 3).public());
        assert_ne!(seed.identity("node", 3).public(), seed.identity("node", 4).public());
        assert_ne!(seed.identity("node", 3).public(), other.identity("node", 3).public());
        assert_ne!(seed.bytes("node", 3), seed.bytes("key", 3));
    }

    #[test]
    fn a_shuffle_keeps_everybody() {
        let mut order = Seed(1).shuffled("x", 100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
