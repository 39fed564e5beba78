//! Decides which lost peers to try again: those that the book knows and the routing tables have dropped.
//!
//! Two halves of a network that lost each other forget each other's nodes within seconds. Whoever remembers one of the
//! other half, and tries it again, brings them together.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};

use super::book::Sighting;

/// How often lost peers are tried. A network that was cut in two should be whole within half a minute.
const PERIOD: Duration = Duration::from_secs(5);
/// Peers tried at a time: each is a dial, most of them in vain.
const AT_ONCE: usize = 4;
/// The pause after the first failure of a peer, doubling with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause for a peer seen a short while ago, for one of a few, and for any other.
const LONGEST_LATELY: Duration = Duration::from_secs(20);
const LONGEST_OF_FEW: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// So many lost peers are few: a small network that was cut in two for long has nobody else who could bring it together.
const FEW: usize = 16;
/// Peers seen within this were there a short while ago.
const LATELY: Duration = Duration::from_secs(3600);

/// What was tried, and when to try it again.
#[derive(Debug, Default)]
pub(crate) struct Reseed {
    next: Option<Instant>,
    tries: HashMap<PeerId, Try>,
}

#[derive(Debug, Clone, Copy)]
struct Try {
    again: Instant,
    pause: Duration,
}

impl Reseed {
    /// Whether it is time to look for lost peers.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_none_or(|next| next <= now);
        if due {
            self.next = Some(now + PERIOD);
        }
        due
    }

    /// The peers to dial now, of those that the book knows, the most recently seen first.
    pub(crate) fn pick(
        &mut self,
        known: Vec<Sighting>,
        is_here: impl Fn(&PeerId) -> bool,
        now: Instant,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let lost: Vec<_> = known.into_iter().filter(|sighting| !is_here(&sighting.peer)).collect();
        let peers: HashSet<_> = lost.iter().map(|sighting| sighting.peer).collect();
        self.tries.retain(|peer, _| peers.contains(peer));
        let is_due =
            |sighting: &Sighting| self.tries.get(&sighting.peer).is_none_or(|tried| tried.again <= now);
        let longest_of_old = if lost.len() <= FEW { LONGEST_OF_FEW } else { LONGEST };
        let due: Vec<_> = lost.into_iter().filter(is_due).take(AT_ONCE).collect();
        for Sighting { peer, age, .. } in &due {
            let longest = if *age < LATELY { LONGEST_LATELY } else { longest_of_old };
            let pause = self.tries.get(peer).map_or(FIRST_PAUSE, |tried| (tried.pause * 2).min(longest));
            self.tries.insert(*peer, Try { again: now + pause, pause });
        }
        due.into_iter().map(|sighting| (sighting.peer, sighting.addresses)).collect()
    }

    /// Notes that a peer is there; true when it was one of those tried.
    pub(crate) fn found(&mut self, peer: &PeerId) -> bool {
        self.tries.remove(peer).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(count: usize, age: Duration) -> Vec<Sighting> {
        (0..count).map(|_| Sighting { peer: PeerId::random(), addresses: Vec::new(), age }).collect()
    }

    /// How often each of these was tried within a time, when nobody answers.
    fn tries(book: &[Sighting], time: Duration) -> Vec<usize> {
        let (mut reseed, start) = (Reseed::default(), Instant::now());
        let mut count: HashMap<PeerId, usize> = HashMap::new();
        for second in 0..time.as_secs() {
            let now = start + Duration::from_secs(second);
            if reseed.is_due(now) {
                for (peer, _) in reseed.pick(book.to_vec(), |_| false, now) {
                    *count.entry(peer).or_default() += 1;
                }
            }
        }
        book.iter().map(|sighting| count.get(&sighting.peer).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn whoever_was_here_lately_is_tried_three_times_a_minute() {
        let tries = tries(&book(3, Duration::from_secs(60)), Duration::from_secs(600));
        assert!(tries.iter().all(|count| (24..=31).contains(count)), "{tries:?}");
    }

    #[test]
    fn whoever_was_not_is_left_alone_more_and_more() {
        let tries = tries(&book(FEW + 1, LATELY), Duration::from_secs(3600));
        assert!(tries.iter().all(|count| (5..=10).contains(count)), "{tries:?}");
    }

    #[test]
    fn the_last_few_are_tried_every_minute_however_long_they_are_gone() {
        let tries = tries(&book(FEW, LATELY), Duration::from_secs(3600));
        assert!(tries.iter().all(|count| (58..=63).contains(count)), "{tries:?}");
    }

    #[test]
    fn a_long_list_is_tried_bit_by_bit() {
        let tries = tries(&book(40, Duration::from_secs(60)), Duration::from_secs(50));
        assert_eq!(tries.iter().sum::<usize>(), 10 * AT_ONCE);
    }

    #[test]
    fn those_who_are_here_are_not_tried_and_one_who_comes_back_is_known() {
        let (mut reseed, now) = (Reseed::default(), Instant::now());
        let book = book(2, Duration::ZERO);
        let (here, lost) = (book[0].peer, book[1].peer);
        let picked = reseed.pick(book, |peer| *peer == here, now);
        assert_eq!(picked, [(lost, Vec::new())]);
        assert!(reseed.found(&lost) && !reseed.found(&lost) && !reseed.found(&here));
    }
}
