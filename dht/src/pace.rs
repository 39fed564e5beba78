//! How long to wait for an answer, learned from the answers so far.
//!
//! Owns: estimates of the round trip, of everybody and of those asked lately.  Hears: how long answers took.
//! Tells: after how long a peer is not waited for any more. Its answer still counts when it comes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use libp2p::PeerId;

/// A wait shorter than this would take one hiccup of a busy machine for a loss.
const SHORTEST: Duration = Duration::from_millis(300);

/// Nobody is waited for longer; the request itself is given up then.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// The wait before anything was measured: a round trip to the other side of the world and back, twice.
const FIRST_WARM: Duration = Duration::from_secs(1);

/// The same, for a peer that has to be dialled first: four round trips and a handshake.
const FIRST_COLD: Duration = Duration::from_secs(2);

/// Peers with an estimate of their own. Beyond, the estimate over everybody serves.
const MAX_PEERS: usize = 512;

/// Whether there was a connection already when a peer was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The answer takes one round trip.
    Warm,
    /// Dialling and the handshake come first.
    Cold,
}

/// All estimates.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    warm: Option<Estimate>,
    cold: Option<Estimate>,
    peers: HashMap<PeerId, Estimate>,
    /// The peers with an estimate, the oldest first.
    order: VecDeque<PeerId>,
}

/// A smoothed round trip and how far answers stray from it, as TCP reckons them (RFC 6298).
#[derive(Clone, Copy, Debug)]
struct Estimate {
    smoothed: Duration,
    variation: Duration,
}

impl Pace {
    /// Notes how long an answer took.
    pub(crate) fn answered(&mut self, peer: &PeerId, start: Start, took: Duration) {
        let whole = match start {
            Start::Warm => &mut self.warm,
            Start::Cold => &mut self.cold,
        };
        Estimate::update(whole, took);
        if start == Start::Cold {
            return;
        }
        if let Some(known) = self.peers.get_mut(peer) {
            *known = known.with(took);
            return;
        }
        if self.peers.len() >= MAX_PEERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.peers.remove(&oldest);
        }
        self.peers.insert(*peer, Estimate::first(took));
        self.order.push_back(*peer);
    }

    /// How long to wait for this peer.
    pub(crate) fn patience(&self, peer: &PeerId, start: Start) -> Duration {
        let (whole, first) = match start {
            Start::Warm => (self.warm, FIRST_WARM),
            Start::Cold => (self.cold, FIRST_COLD),
        };
        // A peer that has shown to be slow gets its time; one that was fast once, no less than everybody.
        let own = self.peers.get(peer).filter(|_| start == Start::Warm).map(Estimate::wait);
        let wait = whole.as_ref().map_or(first, Estimate::wait);
        own.map_or(wait, |own| own.max(wait)).clamp(SHORTEST, LONGEST)
    }
}

impl Estimate {
    fn first(took: Duration) -> Self {
        Self { smoothed: took, variation: took / 2 }
    }

    fn update(estimate: &mut Option<Self>, took: Duration) {
        *estimate = Some(estimate.map_or(Self::first(took), |known| known.with(took)));
    }

    fn with(self, took: Duration) -> Self {
        let strays = self.smoothed.abs_diff(took);
        Self { smoothed: (self.smoothed * 7 + took) / 8, variation: (self.variation * 3 + strays) / 4 }
    }

    fn wait(&self) -> Duration {
        self.smoothed + self.variation * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_wait_follows_what_is_measured_within_its_bounds() {
        let (mut pace, peer, other) = (Pace::default(), PeerId::random(), PeerId::random());
        assert_eq!(pace.patience(&peer, Start::Warm), FIRST_WARM);
        for _ in 0..50 {
            pace.answered(&peer, Start::Warm, 5 * MS);
        }
        assert_eq!(pace.patience(&other, Start::Warm), SHORTEST);
        assert_eq!(pace.patience(&other, Start::Cold), FIRST_COLD, "dialling is another matter");
        for _ in 0..50 {
            pace.answered(&other, Start::Warm, 900 * MS);
        }
        let wait = pace.patience(&other, Start::Warm);
        assert!((900 * MS..1500 * MS).contains(&wait), "{wait:?}");
        pace.answered(&other, Start::Warm, Duration::from_secs(60));
        assert_eq!(pace.patience(&other, Start::Warm), LONGEST);
    }

    #[test]
    fn a_slow_peer_is_given_the_time_it_takes() {
        let (mut pace, slow) = (Pace::default(), PeerId::random());
        pace.answered(&slow, Start::Warm, 800 * MS);
        for _ in 0..100 {
            pace.answered(&PeerId::random(), Start::Warm, 10 * MS);
        }
        assert!(pace.patience(&slow, Start::Warm) >= 800 * MS);
        assert_eq!(pace.patience(&PeerId::random(), Start::Warm), SHORTEST);
    }

    #[test]
    fn peers_remembered_are_bounded() {
        let mut pace = Pace::default();
        for _ in 0..2 * MAX_PEERS {
            pace.answered(&PeerId::random(), Start::Warm, MS);
        }
        assert_eq!((pace.peers.len(), pace.order.len()), (MAX_PEERS, MAX_PEERS));
    }
}
