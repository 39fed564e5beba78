//! Shared bits, neighbourhoods, and how well one walk serves the keys around its target.

use std::collections::HashSet;

use libp2p::PeerId;
use libp2p::kad::KBucketKey;
use proptest::prelude::*;
use shoal_content::ProviderKey;

use super::*;

fn key(seed: u64) -> ProviderKey {
    ProviderKey::from_bytes(*blake3::hash(&seed.to_be_bytes()).as_bytes())
}

fn peer(seed: u64) -> PeerId {
    let seed = *blake3::hash(&[b"peer".as_slice(), &seed.to_be_bytes()].concat()).as_bytes();
    libp2p::identity::Keypair::ed25519_from_bytes(seed).expect("32 bytes").public().to_peer_id()
}

/// The nodes closest to a key, as a walk without losses finds them.
fn closest(peers: &[KBucketKey<PeerId>], key: &ProviderKey) -> Vec<Node> {
    let target = KBucketKey::new(key.as_bytes().as_slice());
    let mut peers = peers.to_vec();
    peers.sort_by_cached_key(|peer| target.distance(peer));
    peers.truncate(K + 4);
    peers.into_iter().map(|peer| Node { peer: peer.into_preimage(), addresses: Vec::new() }).collect()
}

#[test]
fn a_walk_that_finds_few_nodes_has_found_all() {
    let peers: Vec<_> = (0..19).map(peer).map(KBucketKey::from).collect();
    let region = Region::new(Position::of_key(&key(0)), closest(&peers, &key(0)), Instant::now());
    assert!(region.is_everything());
    assert!((0..100).all(|seed| region.keys().contains(&Position::of_key(&key(seed)))));
}

#[test]
fn a_region_knows_most_of_the_closest_nodes_of_each_of_its_keys() {
    for nodes in [25, 200, 1000] {
        let peers: Vec<_> = (0..nodes).map(peer).map(KBucketKey::from).collect();
        let (mut keys, mut known, mut walks, mut worst) = (0, 0, 0, usize::MAX);
        let mut regions: Vec<Region> = Vec::new();
        for seed in 0..300 {
            let position = Position::of_key(&key(seed));
            let region = match regions.iter().position(|region| region.keys().contains(&position)) {
                Some(at) => &regions[at],
                None => {
                    walks += 1;
                    regions.push(Region::new(position, closest(&peers, &key(seed)), Instant::now()));
                    &regions[regions.len() - 1]
                }
            };
            let told: HashSet<_> = region.nodes.iter().map(|node| node.peer).collect();
            let right =
                closest(&peers, &key(seed)).iter().take(20).filter(|node| told.contains(&node.peer)).count();
            keys += 1;
            known += right;
            worst = worst.min(right);
        }
        assert!(known / keys >= 17, "{nodes} nodes: on average {} of 20", known / keys);
        assert!(worst >= 11, "{nodes} nodes: {worst} of 20");
        assert!(walks <= nodes, "{nodes} nodes: {walks} walks for {keys} keys");
    }
}

proptest! {
    #[test]
    fn a_neighbourhood_is_all_that_shares_the_bits(a: [u8; 32], flip in 0..256_usize, bits in 0..=256_u32) {
        let mut b = a;
        b[flip / 8] ^= 0x80 >> (flip % 8);
        let (a, b) = (Position::from_bytes(a), Position::from_bytes(b));
        prop_assert_eq!(a.shared_bits(b), u32::try_from(flip).expect("small"));
        prop_assert_eq!(a.shared_bits(a), 256);
        prop_assert_eq!(a.neighbourhood(bits).contains(&b), a.shared_bits(b) >= bits);
        prop_assert!(a.neighbourhood(bits).contains(&a));
    }
}
