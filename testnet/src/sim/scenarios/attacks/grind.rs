//! Makes identities until enough of them lie near given keys.

use std::{collections::HashMap, thread};

use libp2p::identity::Keypair;
use shoal_content::ProviderKey;

use crate::sim::{member::attacker::words::position, seed::Seed};

/// Identities tried before it is seen whether there are enough.
const ROUND: u64 = 1 << 16;

/// Threads that try.
const THREADS: u64 = 2;

/// For each key so many identities that share at least `bits` leading bits with it, and how many were tried. Each of
/// them is tried against all keys: for an attacker, hiding many keys costs hardly more identities than hiding one.
pub(super) fn grind(seed: Seed, keys: &[ProviderKey], count: usize, bits: u32) -> (Vec<Vec<Keypair>>, u64) {
    let prefix = |position: [u8; 32]| {
        let [a, b, c, d, ..] = position;
        u32::from_be_bytes([a, b, c, d]).checked_shr(u32::BITS - bits.min(u32::BITS)).unwrap_or(0)
    };
    let wanted: HashMap<u32, usize> =
        keys.iter().enumerate().map(|(at, key)| (prefix(position(key.as_bytes())), at)).collect();
    let try_some = |numbers: std::ops::Range<u64>| {
        let made = numbers.map(|number| seed.identity("sybil", number));
        let near = made.filter_map(|identity| {
            let peer = identity.public().to_peer_id();
            Some((*wanted.get(&prefix(position(&peer.to_bytes())))?, identity))
        });
        near.collect::<Vec<_>>()
    };
    let mut found: Vec<Vec<Keypair>> = keys.iter().map(|_| Vec::new()).collect();
    let mut tried = 0;
    while found.iter().any(|found| found.len() < count) {
        let shares = (0..THREADS).map(|share| {
            let from = tried + share * ROUND / THREADS;
            from..from + ROUND / THREADS
        });
        let made: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|share| scope.spawn(|| try_some(share))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        for (at, identity) in made {
            if let Some(found) = found.get_mut(at).filter(|found| found.len() < count) {
                found.push(identity);
            }
        }
        tried += ROUND;
    }
    (found, tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ground_lies_near() {
        let seed = Seed(1);
        let keys = [seed.key("item", 0), seed.key("item", 1)];
        let (found, tried) = grind(seed, &keys, 5, 9);
        assert!(tried >= ROUND);
        for (key, identities) in keys.iter().zip(&found) {
            assert_eq!(identities.len(), 5);
            for identity in identities {
                let (a, b) = (position(key.as_bytes()), position(&identity.public().to_peer_id().to_bytes()));
                assert!(a[0] == b[0] && a[1] >> 7 == b[1] >> 7);
            }
        }
    }
}
