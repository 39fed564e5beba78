//! Remembers who could not be reached, so that the next walk does not wait for the same dead peers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// Peers remembered. Liars can invent any number of dead ones; the ones due for another try go first.
const MAX_PEERS: usize = 2048;

/// How long a peer is left alone after its first failure, doubling with each further one: a lost packet
/// or a restart should not cost it more.
const FIRST: Duration = Duration::from_secs(30);

/// The longest time without another try.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Peers believed to be gone.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    peers: HashMap<PeerId, Absence>,
}

#[derive(Clone, Copy, Debug)]
struct Absence {
    until: Instant,
    pause: Duration,
}

impl Absent {
    /// Notes that a peer could not be reached.
    pub(crate) fn missed(&mut self, peer: PeerId, now: Instant) {
        let pause = match self.peers.get(&peer) {
            // Several requests may fail with one dial; together they are one failure.
            Some(known) if now < known.until => return,
            Some(known) => (known.pause * 2).min(LONGEST),
            None => FIRST,
        };
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            let next = self.peers.iter().min_by_key(|(_, known)| known.until).map(|(peer, _)| *peer);
            if let Some(next) = next {
                self.peers.remove(&next);
            }
        }
        self.peers.insert(peer, Absence { until: now + pause, pause });
    }

    /// Notes that a peer is there.
    pub(crate) fn heard(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Whether a peer is believed to be gone, and it is too early to try again.
    pub(crate) fn contains(&self, peer: &PeerId, now: Instant) -> bool {
        self.peers.get(peer).is_some_and(|known| now < known.until)
    }

    /// Forgets everybody: when our own network changed, old failures say nothing.
    pub(crate) fn clear(&mut self) {
        self.peers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_left_alone_longer_each_time() {
        let (mut absent, peer, start) = (Absent::default(), PeerId::random(), Instant::now());
        absent.missed(peer, start);
        absent.missed(peer, start);
        assert!(absent.contains(&peer, start + FIRST - Duration::from_millis(1)));
        assert!(!absent.contains(&peer, start + FIRST));
        absent.missed(peer, start + FIRST);
        assert!(absent.contains(&peer, start + 2 * FIRST));
        assert!(!absent.contains(&peer, start + 3 * FIRST));
        let mut now = start;
        for _ in 0..20 {
            now += LONGEST;
            absent.missed(peer, now);
        }
        assert!(!absent.contains(&peer, now + LONGEST), "it is tried again all the same");
        absent.heard(&peer);
        absent.missed(peer, now);
        assert!(!absent.contains(&peer, now + FIRST), "whoever came back begins anew");
    }

    #[test]
    fn invented_peers_do_not_fill_memory() {
        let (mut absent, now) = (Absent::default(), Instant::now());
        for _ in 0..2 * MAX_PEERS {
            absent.missed(PeerId::random(), now);
        }
        assert_eq!(absent.peers.len(), MAX_PEERS);
    }
}
