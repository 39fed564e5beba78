//! A source behind a long way, whose connection starts slowly and doubles what it sends with each round trip.

use std::collections::BTreeSet;

use super::*;

/// Steps in a round trip.
const STEPS: u32 = 10;

/// Groups in the first round trip: ten packets.
const FIRST_WINDOW: u64 = 1;

const GROUPS: u64 = 8192;

struct Way {
    round_trip: Duration,
    /// Groups that the way bears in a round trip.
    bears: u64,
    window: u64,
    /// What may still be sent in this round trip, and whether all that might be sent was there to be sent.
    left: u64,
    was_busy: bool,
}

impl Way {
    fn new(round_trip: Duration, groups_per_second: u64) -> Self {
        let bears = groups_per_second * u64::try_from(round_trip.as_millis()).unwrap() / 1000;
        Way { round_trip, bears, window: FIRST_WINDOW, left: FIRST_WINDOW, was_busy: true }
    }

    /// Sends what it may of `there`, as one of the [`STEPS`] of a round trip.
    fn send(&mut self, step: u32, there: u64) -> u64 {
        if step.is_multiple_of(STEPS) {
            if self.was_busy {
                self.window = (self.window * 2).min(self.bears);
            }
            (self.left, self.was_busy) = (self.window, false);
        }
        let sent = there.min(self.left).min(self.window.div_ceil(u64::from(STEPS)));
        self.left -= sent;
        self.was_busy |= self.left == 0;
        sent
    }

    /// Round trips until everything came, if all of it was asked for at once.
    fn at_best(mut self) -> f64 {
        let (mut left, mut step) = (GROUPS, 0);
        while left > 0 {
            left -= self.send(step, left);
            step += 1;
        }
        f64::from(step) / f64::from(STEPS) + 1.0
    }

    /// Round trips that a fetch takes, which knows the size as a claim.
    fn of_fetch(mut self, mut scheduler: Scheduler) -> f64 {
        let (start, all) = (Instant::now(), GroupRanges::all(GROUPS));
        scheduler.source_found(SourceId(0), Some(all.clone()), Some(GROUPS * GROUP_LEN));
        // What is asked, since when the source knows; what is on its way back, with the step in which it arrives.
        let mut asked: Vec<(u32, RequestId, GroupRanges)> = Vec::new();
        let mut coming: Vec<(u32, RequestId, GroupRanges)> = Vec::new();
        let mut unproven: Vec<(RequestId, GroupRanges)> = Vec::new();
        let (round_trip, half) = (self.round_trip, STEPS / 2);
        for step in 0..STEPS * 2000 {
            let now = start + round_trip * step / STEPS;
            let tree = Tree::new(GROUPS * GROUP_LEN);
            let arrived: Vec<_> = coming.extract_if(.., |(arrives, ..)| *arrives <= step).collect();
            let mut ids = BTreeSet::new();
            for (_, id, groups) in arrived {
                ids.insert(id);
                if scheduler.tree.is_none() && groups.contains(GROUPS - 1) {
                    scheduler.size_proven(GROUPS * GROUP_LEN, all.clone(), Some(id));
                }
                unproven.push((id, groups.clone()));
                if scheduler.tree.is_none() {
                    scheduler.heard(id, groups.len(), now);
                    continue;
                }
                for (id, groups) in unproven.drain(..) {
                    groups.iter().for_each(|range| scheduler.verified(id, range, now));
                }
            }
            ids.retain(|id| {
                scheduler.tree.is_some() && asked.iter().chain(&coming).all(|(_, of, _)| of != id)
            });
            ids.into_iter().for_each(|id| scheduler.finished(id, now));
            for action in scheduler.poll(now) {
                match action {
                    Action::Request { id, ranges, .. } => asked.push((step + half, id, tree.clip(&ranges))),
                    action => panic!("{action:?}"),
                }
            }
            if scheduler.is_done() {
                return f64::from(step) / f64::from(STEPS);
            }
            let here: u64 =
                asked.iter().filter(|(at, ..)| *at <= step).map(|(.., groups)| groups.len()).sum();
            let mut may = self.send(step, here);
            // Streams take turns.
            while may > 0 {
                for (_, id, groups) in asked.iter_mut().filter(|(at, ..)| *at <= step) {
                    let sent = groups.first_groups(may.min(1));
                    may -= sent.len();
                    *groups = groups.difference(&sent);
                    if !sent.is_empty() {
                        coming.push((step + half, *id, sent));
                    }
                }
            }
            asked.retain(|(.., groups)| !groups.is_empty());
        }
        panic!("not done after two thousand round trips");
    }
}

#[test]
fn a_connection_that_becomes_faster_never_waits_for_requests() {
    for round_trip in [20, 50, 150, 300].map(Duration::from_millis) {
        for rate in [400, 4000, 8000] {
            let best = Way::new(round_trip, rate).at_best();
            let mut alone = Scheduler::new(0);
            alone.go_alone();
            for scheduler in [Scheduler::new(0), alone] {
                let took = Way::new(round_trip, rate).of_fetch(scheduler);
                assert!(took <= best + 1.5, "{round_trip:?}, {rate} groups/s: {took} round trips of {best}");
            }
        }
    }
}
