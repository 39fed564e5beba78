//! How long to wait for an answer, learned from the answers so far.
//!
//! Owns: estimates of the round trip, of everybody and of those asked lately.  Hears: how long answers took, the time.
//! Tells: after how long a peer is not waited for any more. Its answer still counts when it comes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// A wait shorter than this would take one hiccup of a busy machine for a loss.
const SHORTEST: Duration = Duration::from_millis(300);

/// Nobody is waited for longer; the request itself is given up then.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// The wait before anything was measured: a round trip to the other side of the world and back, twice.
const FIRST_WARM: Duration = Duration::from_secs(1);

/// The same, for a peer that has to be dialled first: four round trips and a handshake.
const FIRST_COLD: Duration = Duration::from_secs(2);

/// While nobody answers, what a wait has above the one without any measurement halves in each such time. Answers are slow
/// when a machine or its line is busy, as at the start of a whole network; whoever asks for something a minute later would
/// wait as long for each that is dead.
const FADES: Duration = Duration::from_secs(5);

/// Peers with an estimate of their own. Beyond, the estimate over everybody serves.
const MAX_PEERS: usize = 512;

/// How long a peer is given to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Most have answered by then.
    pub(crate) slow: Duration,
    /// Nobody waits any longer.
    pub(crate) late: Duration,
}

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
    /// When the last answer came.
    at: Instant,
}

impl Pace {
    /// Notes how long an answer took that has come now.
    pub(crate) fn answered(&mut self, peer: &PeerId, start: Start, took: Duration, now: Instant) {
        let whole = match start {
            Start::Warm => &mut self.warm,
            Start::Cold => &mut self.cold,
        };
        *whole = Some(whole.map_or(Estimate::first(took, now), |known| known.with(took, start, now)));
        if start == Start::Cold {
            return;
        }
        if let Some(known) = self.peers.get_mut(peer) {
            *known = known.with(took, start, now);
            return;
        }
        if self.peers.len() >= MAX_PEERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.peers.remove(&oldest);
        }
        self.peers.insert(*peer, Estimate::first(took, now));
        self.order.push_back(*peer);
    }

    /// How long to wait for this peer.
    pub(crate) fn patience(&self, peer: &PeerId, start: Start, now: Instant) -> Patience {
        let whole = match start {
            Start::Warm => &self.warm,
            Start::Cold => &self.cold,
        };
        let wait = |estimate: &Estimate| {
            let estimate = estimate.faded(start, now);
            Patience { slow: estimate.usual(), late: estimate.wait() }
        };
        // A peer that has shown to be slow gets its time; one that was fast once, no less than everybody.
        let own = self.peers.get(peer).filter(|_| start == Start::Warm).map(wait);
        let first = Patience { slow: start.first_wait() / 2, late: start.first_wait() };
        let all = whole.as_ref().map_or(first, wait);
        let own = own.unwrap_or(all);
        let late = own.late.max(all.late).clamp(SHORTEST, LONGEST);
        Patience { slow: own.slow.max(all.slow).min(late), late }
    }
}

impl Start {
    fn first_wait(self) -> Duration {
        match self {
            Self::Warm => FIRST_WARM,
            Self::Cold => FIRST_COLD,
        }
    }
}

impl Estimate {
    fn first(took: Duration, now: Instant) -> Self {
        Self { smoothed: took, variation: took / 2, at: now }
    }

    fn with(self, took: Duration, start: Start, now: Instant) -> Self {
        let Self { smoothed, variation, .. } = self.faded(start, now);
        let strays = smoothed.abs_diff(took);
        Self { smoothed: (smoothed * 7 + took) / 8, variation: (variation * 3 + strays) / 4, at: now }
    }

    /// What it is worth now: a long wait shrinks towards the first one, a short one stays.
    fn faded(self, start: Start, now: Instant) -> Self {
        let (wait, first) = (self.wait(), start.first_wait());
        if wait <= first {
            return self;
        }
        let halvings = now.saturating_duration_since(self.at).div_duration_f64(FADES);
        let left = first + (wait.min(LONGEST).saturating_sub(first)).mul_f64((-halvings).exp2());
        let part = left.div_duration_f64(wait).min(1.0);
        Self { smoothed: self.smoothed.mul_f64(part), variation: self.variation.mul_f64(part), at: self.at }
    }

    fn wait(&self) -> Duration {
        self.smoothed + self.variation * 4
    }

    /// By when most have answered. Where all answers took the same time, a little more than that.
    fn usual(&self) -> Duration {
        self.smoothed + (self.variation * 2).max(self.smoothed / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_wait_follows_what_is_measured_within_its_bounds() {
        let (mut pace, peer, other) = (Pace::default(), PeerId::random(), PeerId::random());
        let now = Instant::now();
        assert_eq!(pace.patience(&peer, Start::Warm, now).late, FIRST_WARM);
        for _ in 0..50 {
            pace.answered(&peer, Start::Warm, 5 * MS, now);
        }
        assert_eq!(pace.patience(&other, Start::Warm, now).late, SHORTEST);
        assert_eq!(pace.patience(&other, Start::Cold, now).late, FIRST_COLD, "dialling is another matter");
        for _ in 0..50 {
            pace.answered(&other, Start::Warm, 900 * MS, now);
        }
        let wait = pace.patience(&other, Start::Warm, now).late;
        assert!((900 * MS..1500 * MS).contains(&wait), "{wait:?}");
        pace.answered(&other, Start::Warm, Duration::from_secs(60), now);
        assert_eq!(pace.patience(&other, Start::Warm, now).late, LONGEST);
    }

    #[test]
    fn a_slow_peer_is_given_the_time_it_takes() {
        let (mut pace, slow, now) = (Pace::default(), PeerId::random(), Instant::now());
        pace.answered(&slow, Start::Warm, 800 * MS, now);
        for _ in 0..100 {
            pace.answered(&PeerId::random(), Start::Warm, 10 * MS, now);
        }
        assert!(pace.patience(&slow, Start::Warm, now).late >= 800 * MS);
        assert_eq!(pace.patience(&PeerId::random(), Start::Warm, now).late, SHORTEST);
    }

    #[test]
    fn a_busy_time_is_forgotten_when_it_is_over() {
        let (mut pace, peer, busy) = (Pace::default(), PeerId::random(), Instant::now());
        for (start, first) in [(Start::Warm, FIRST_WARM), (Start::Cold, FIRST_COLD)] {
            for answer in 0..50 {
                pace.answered(&peer, start, Duration::from_secs(4) * (answer % 3), busy);
            }
            assert_eq!(pace.patience(&peer, start, busy).late, LONGEST);
            let after = |pause| pace.patience(&peer, start, busy + pause).late;
            assert!(after(FADES) < LONGEST * 2 / 3, "{:?}", after(FADES));
            let rested = after(12 * FADES);
            assert!((first..first + 50 * MS).contains(&rested), "{rested:?}");
        }
        // The first answers after it count as if it had never been.
        let now = busy + 12 * FADES;
        for _ in 0..5 {
            pace.answered(&peer, Start::Cold, 600 * MS, now);
        }
        let wait = pace.patience(&peer, Start::Cold, now).late;
        assert!((600 * MS..FIRST_COLD).contains(&wait), "{wait:?}");
    }

    #[test]
    fn a_line_that_is_always_slow_is_given_its_time_again_with_few_answers() {
        let (mut pace, peer, start) = (Pace::default(), PeerId::random(), Instant::now());
        for _ in 0..50 {
            pace.answered(&peer, Start::Warm, Duration::from_secs(3), start);
        }
        let now = start + 60 * FADES;
        assert!(pace.patience(&peer, Start::Warm, now).late < Duration::from_secs(3));
        for _ in 0..2 {
            pace.answered(&peer, Start::Warm, Duration::from_secs(3), now);
        }
        assert!(pace.patience(&peer, Start::Warm, now).late > Duration::from_secs(3));
    }

    #[test]
    fn who_takes_as_long_as_all_is_not_slow() {
        let (mut pace, peer, now) = (Pace::default(), PeerId::random(), Instant::now());
        for took in [400 * MS, 400 * MS, 440 * MS, 380 * MS].into_iter().cycle().take(100) {
            pace.answered(&peer, Start::Warm, took, now);
            let patience = pace.patience(&peer, Start::Warm, now);
            assert!((440 * MS..=patience.late).contains(&patience.slow), "{patience:?}");
        }
    }

    #[test]
    fn peers_remembered_are_bounded() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..2 * MAX_PEERS {
            pace.answered(&PeerId::random(), Start::Warm, MS, now);
        }
        assert_eq!((pace.peers.len(), pace.order.len()), (MAX_PEERS, MAX_PEERS));
    }
}
