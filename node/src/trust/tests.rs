//! One bad file is bad luck, three are not.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use shoal_content::Digest;

use super::{BAN, Bans, MAX_PEERS, Trust};

fn content(number: u8) -> Digest {
    Digest::of(&[number])
}

#[test]
fn several_contents_make_a_peer_unwelcome_and_one_does_not() {
    let (mut trust, now, peer) = (Trust::default(), Instant::now(), PeerId::random());
    for _ in 0..100 {
        assert!(!trust.proven(peer, content(1), now), "the same content again");
    }
    assert!(!trust.proven(peer, content(2), now));
    assert!(!trust.proven(PeerId::random(), content(3), now), "that was another peer");
    assert!(trust.proven(peer, content(3), now));
}

#[test]
fn old_proofs_are_forgotten() {
    let (mut trust, now, peer) = (Trust::default(), Instant::now(), PeerId::random());
    trust.proven(peer, content(1), now);
    trust.proven(peer, content(2), now);
    assert!(!trust.proven(peer, content(3), now + BAN));
}

#[test]
fn identities_made_for_it_do_not_fill_memory() {
    let (mut trust, now) = (Trust::default(), Instant::now());
    for _ in 0..MAX_PEERS + 100 {
        trust.proven(PeerId::random(), content(1), now);
    }
    assert_eq!(trust.proven.len(), MAX_PEERS);
}

#[test]
fn a_ban_ends() {
    let (mut bans, now, peer) = (Bans::default(), Instant::now(), PeerId::random());
    bans.add(peer, now);
    assert!(bans.served(now + BAN - Duration::from_secs(1)).is_empty());
    assert_eq!(bans.served(now + BAN), [peer]);
    assert!(bans.served(now + 2 * BAN).is_empty());
}
