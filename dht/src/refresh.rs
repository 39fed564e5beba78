//! Decides when a node meets more of its network, and where: around itself first, then wherever its table is thin.
//!
//! Owns: when we last looked around, which parts of the table wait.  Hears: the table, walks ended, the time.
//! Tells: where the next walk goes. Walks come one after the other: a newcomer must not cost the network more
//! than it will give.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::position::K;

/// The first pause between two looks around ourselves while the table is small. Many nodes may start at the
/// same moment and meet each other only now.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How often to look around when nothing happens: nodes come and go.
const PERIOD: Duration = Duration::from_secs(10 * 60);

/// Nodes in a part of the table below which it is looked for more. With eight, the next hop of a walk gains
/// three bits; the other twelve come with ordinary traffic.
const THIN: usize = 8;

/// Nodes with which the table has our whole neighbourhood, or all of a small network.
const ENOUGH: usize = K;

/// Where a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// To our own place, until everybody around it has been asked.
    Ourselves,
    /// The same, but only a few are asked: everybody has been asked before, and nobody came since.
    Glance,
    /// To where nodes share so many bits with us and no more.
    Bucket(u32),
}

/// The table in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Nodes in all.
    pub(crate) peers: usize,
    /// Nodes by how many bits they share with us.
    pub(crate) buckets: Vec<usize>,
    /// Bits shared with the farthest of those nearest to us: what is nearer is our neighbourhood.
    pub(crate) near: u32,
}

/// When and where.
#[derive(Debug)]
pub(crate) struct Refresh {
    running: Option<Aim>,
    queue: VecDeque<Aim>,
    /// When to look around ourselves again.
    next: Option<Instant>,
    pause: Duration,
    last: Option<Instant>,
    /// Nodes in the table when we were last through.
    known: usize,
    /// When everybody around us was last asked, while somebody came to the table since.
    asked_all: Option<Instant>,
    has_grown: bool,
    /// We are to look around anew once the walk that runs is over: it began somewhere else.
    anew: bool,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            running: None,
            queue: VecDeque::new(),
            next: None,
            pause: FIRST_PAUSE,
            last: None,
            known: 0,
            asked_all: None,
            has_grown: false,
            anew: false,
        }
    }
}

impl Refresh {
    /// Makes us look around at once, as if we had just come.
    pub(crate) fn begin_anew(&mut self, now: Instant) {
        self.pause = FIRST_PAUSE;
        self.last = None;
        self.asked_all = None;
        self.next = Some(now);
        self.anew = self.running.is_some();
    }

    /// Notes that the table gained a peer and has so many now.
    pub(crate) fn grew(&mut self, peers: usize, now: Instant) {
        self.has_grown = true;
        // What our own walks bring is no reason to walk again.
        let is_looking = self.running.is_some() || !self.queue.is_empty();
        if peers > ENOUGH && self.last.is_some() && (is_looking || peers < self.known * 2) {
            return;
        }
        let soon = self.last.map_or(now, |last| now.max(last + self.pause));
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// The walk to begin now, if any. Called only while there is somebody to ask.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Aim> {
        if self.running.is_some() {
            return None;
        }
        if self.next.is_some_and(|next| next <= now) {
            self.next = None;
            self.running = Some(self.look(now));
        } else {
            self.running = self.queue.pop_front();
        }
        self.running
    }

    /// How to look around ourselves now. In a small network each look dials everybody who is there; those that find nothing
    /// new would be most of what an idle node does.
    fn look(&mut self, now: Instant) -> Aim {
        let is_fresh = |asked: Instant| now.saturating_duration_since(asked) < PERIOD;
        if !self.has_grown && self.asked_all.is_some_and(is_fresh) {
            return Aim::Glance;
        }
        self.has_grown = false;
        self.asked_all = Some(now);
        Aim::Ourselves
    }

    /// When [`Refresh::next`] has something new to say at the latest.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.next.filter(|_| self.running.is_none())
    }

    /// Notes that a walk is over.
    pub(crate) fn ended(&mut self, aim: Aim, census: &Census, now: Instant) {
        self.running = None;
        self.known = census.peers;
        if std::mem::take(&mut self.anew) || matches!(aim, Aim::Bucket(_)) {
            return;
        }
        self.last = Some(now);
        // In a small network those who came at the same moment were not known yet to whom we asked, and it may be that
        // nobody will tell us of them.
        self.next = Some(now + if census.peers <= ENOUGH { self.pause } else { PERIOD });
        self.pause = (self.pause * 2).min(PERIOD);
        let thin = |bits: &u32| {
            let held = usize::try_from(*bits).ok().and_then(|bits| census.buckets.get(bits));
            held.copied().unwrap_or(0) < THIN
        };
        // Whoever has not met its neighbourhood yet has met everybody, or will look around again soon.
        if census.peers >= ENOUGH {
            self.queue = (0..census.near).filter(thin).map(Aim::Bucket).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(peers: usize, buckets: &[usize], near: u32) -> Census {
        Census { peers, buckets: buckets.to_vec(), near }
    }

    #[test]
    fn a_newcomer_looks_around_itself_and_then_where_its_table_is_thin() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        assert_eq!(refresh.next(now), None);
        refresh.grew(1, now);
        assert_eq!(refresh.next(now), Some(Aim::Ourselves));
        refresh.grew(20, now);
        assert_eq!(refresh.next(now), None, "one at a time");
        refresh.ended(Aim::Ourselves, &census(30, &[3, 12, 2, 13], 3), now);
        assert_eq!(refresh.next(now), Some(Aim::Bucket(0)));
        refresh.ended(Aim::Bucket(0), &census(33, &[6, 12, 2, 13], 3), now);
        assert_eq!(refresh.next(now), Some(Aim::Bucket(2)));
        refresh.ended(Aim::Bucket(2), &census(33, &[6, 12, 5, 13], 3), now);
        assert_eq!(refresh.next(now), None);
    }

    #[test]
    fn a_small_table_that_grows_is_a_reason_to_look_again_less_and_less_often() {
        let (mut refresh, mut now) = (Refresh::default(), Instant::now());
        let start = now;
        let mut walks = 0;
        while now - start < PERIOD {
            refresh.grew(5, now);
            if refresh.next(now).is_some() {
                walks += 1;
                refresh.ended(Aim::Ourselves, &census(5, &[2, 3], 0), now);
            }
            now += FIRST_PAUSE / 2;
        }
        assert!((8..=12).contains(&walks), "{walks} walks");
        refresh.begin_anew(now);
        assert_eq!(refresh.next(now), Some(Aim::Ourselves));
    }

    #[test]
    fn a_small_table_that_does_not_grow_is_looked_around_again_too() {
        let (mut refresh, mut now) = (Refresh::default(), Instant::now());
        refresh.grew(1, now);
        let mut pauses = Vec::new();
        for _ in 0..13 {
            let aim = refresh.next(now).unwrap();
            refresh.ended(aim, &census(1, &[1], 0), now);
            let due = refresh.next_due().unwrap();
            pauses.push(due - now);
            now = due;
        }
        assert_eq!(pauses[..3], [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]);
        assert_eq!(pauses.last(), Some(&PERIOD), "ever less often");
    }

    #[test]
    fn a_small_network_at_rest_asks_everybody_once_and_then_now_and_then() {
        let (mut refresh, start) = (Refresh::default(), Instant::now());
        let mut looks = Vec::new();
        refresh.grew(1, start);
        for tenth in 0..36_000 {
            let now = start + Duration::from_millis(100) * tenth;
            let Some(aim) = refresh.next(now) else { continue };
            looks.push((now - start, aim));
            if looks.len() == 1 {
                // This look brings all of them.
                refresh.grew(ENOUGH, now);
            }
            refresh.ended(aim, &census(ENOUGH, &[ENOUGH], 0), now);
        }
        let all = looks.iter().filter(|(_, aim)| *aim == Aim::Ourselves).map(|(at, _)| *at);
        let all: Vec<_> = all.collect();
        assert_eq!(
            all[..2],
            [Duration::ZERO, FIRST_PAUSE],
            "those that the first one brought are asked as well"
        );
        assert!(all[2..].iter().all(|at| *at >= PERIOD) && (2..=6).contains(&all[2..].len()), "{looks:?}");
        let glances = looks.iter().filter(|(_, aim)| *aim == Aim::Glance).count();
        assert!((5..=10).contains(&glances), "{looks:?}");
    }

    #[test]
    fn whoever_comes_to_a_small_network_later_is_asked_by_it() {
        let (mut refresh, start) = (Refresh::default(), Instant::now());
        refresh.grew(1, start);
        let mut now = start;
        for _ in 0..5 {
            let aim = refresh.next(now).unwrap();
            refresh.ended(aim, &census(1, &[1], 0), now);
            now = refresh.next_due().unwrap();
        }
        assert_eq!(refresh.next(now), Some(Aim::Glance));
        refresh.grew(2, now);
        refresh.ended(Aim::Glance, &census(2, &[2], 0), now);
        let now = refresh.next_due().unwrap();
        assert_eq!(refresh.next(now), Some(Aim::Ourselves), "it may know others that we have not heard of");
    }

    #[test]
    fn a_quiet_network_is_looked_at_now_and_then() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        refresh.grew(1, now);
        assert_eq!(refresh.next(now), Some(Aim::Ourselves));
        refresh.ended(Aim::Ourselves, &census(40, &[20, 20], 1), now);
        refresh.grew(41, now);
        assert_eq!(refresh.next(now + PERIOD - FIRST_PAUSE), None);
        assert_eq!(refresh.next(now + PERIOD), Some(Aim::Ourselves));
    }

    #[test]
    fn a_network_that_has_doubled_is_looked_at_again_and_what_our_walks_brought_is_no_reason() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        refresh.grew(1, now);
        assert_eq!(refresh.next(now), Some(Aim::Ourselves));
        refresh.grew(30, now);
        refresh.ended(Aim::Ourselves, &census(30, &[2, 28], 1), now);
        assert_eq!(refresh.next(now), Some(Aim::Bucket(0)));
        refresh.grew(60, now);
        refresh.ended(Aim::Bucket(0), &census(60, &[20, 40], 1), now);
        let later = now + FIRST_PAUSE * 4;
        assert_eq!(refresh.next(later), None);
        refresh.grew(119, later);
        assert_eq!(refresh.next(later), None);
        refresh.grew(120, later);
        assert_eq!(refresh.next(later), Some(Aim::Ourselves), "strangers have come to us");
    }

    #[test]
    fn what_is_asked_for_while_it_looks_around_is_not_forgotten() {
        let (mut refresh, now) = (Refresh::default(), Instant::now());
        refresh.begin_anew(now);
        assert_eq!(refresh.next(now), Some(Aim::Ourselves));
        refresh.begin_anew(now);
        let later = now + Duration::from_secs(30);
        refresh.ended(Aim::Ourselves, &census(500, &[500], 1), later);
        assert_eq!(refresh.next(later), Some(Aim::Ourselves), "where it began is not where it is now");
        refresh.ended(Aim::Ourselves, &census(500, &[500], 1), later);
        assert_eq!(refresh.next(later), None);
    }
}
