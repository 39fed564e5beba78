//! One seed and many who fetch from it and from each other, over links like water.

use shoal_content::Digest;

use super::*;
use crate::serve::{Sending, Spread};

/// 64 MiB.
const GROUPS: u64 = 4096;

/// How often each asks the others what they hold.
const POLL: Duration = Duration::from_secs(1);

/// A node: the first has everything, the others fetch it.
struct Node {
    /// Groups per second that it can send.
    up: u64,
    /// When it is gone for good.
    leaves: Option<Duration>,
    scheduler: Scheduler,
    has: GroupRanges,
    spread: Spread,
    sent: u64,
    received: u64,
    done: Option<Duration>,
}

/// A request under way.
struct Way {
    from: usize,
    to: usize,
    left: GroupRanges,
    /// Thousandths of a group that may be sent.
    due: u64,
    sending: Option<Sending>,
}

struct Swarm {
    nodes: Vec<Node>,
    ways: BTreeMap<(usize, RequestId), Way>,
    start: Instant,
    now: Instant,
    tree: Tree,
}

impl Swarm {
    fn new(ups: &[u64]) -> Self {
        let tree = Tree::new(GROUPS * GROUP_LEN);
        let nodes = ups.iter().enumerate().map(|(i, up)| Node {
            up: *up,
            leaves: None,
            scheduler: Scheduler::new((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            has: GroupRanges::all(if i == 0 { GROUPS } else { 0 }),
            spread: Spread::default(),
            sent: 0,
            received: 0,
            done: None,
        });
        let now = Instant::now();
        Swarm { nodes: nodes.collect(), ways: BTreeMap::new(), start: now, now, tree }
    }

    /// Lets all fetch until those who stay have everything; gives the time that the last one took.
    fn run(&mut self, limit: Duration) -> Duration {
        for node in &mut self.nodes[1..] {
            node.scheduler.size_proven(self.tree.size(), GroupRanges::all(GROUPS), None);
            node.scheduler.source_found(SourceId(0), Some(GroupRanges::all(GROUPS)), Some(self.tree.size()));
        }
        while self.now - self.start < limit {
            self.leave();
            self.ask_each_other();
            for to in 1..self.nodes.len() {
                self.act(to);
            }
            self.now += STEP;
            self.flow();
            let last = self.nodes[1..].iter().filter(|node| node.leaves.is_none()).map(|node| node.done);
            if let Some(last) = last.collect::<Option<Vec<_>>>() {
                return last.into_iter().max().unwrap();
            }
        }
        panic!("not done within {limit:?}");
    }

    fn is_here(&self, i: usize) -> bool {
        self.nodes[i].leaves.is_none_or(|at| self.now - self.start < at)
    }

    fn leave(&mut self) {
        let gone: Vec<_> = self.ways.iter().filter(|(_, way)| !self.is_here(way.from)).collect();
        let gone: Vec<_> = gone.into_iter().map(|(key, way)| (*key, way.to)).collect();
        for (key, to) in gone {
            self.ways.remove(&key);
            self.nodes[to].scheduler.failed(key.1, Failure::Lost, self.now);
        }
    }

    /// From the first second on, each hears about once a second what the others hold, one after the other.
    fn ask_each_other(&mut self) {
        let steps = POLL.as_millis() / STEP.as_millis();
        let step = (self.now - self.start).as_millis() / STEP.as_millis();
        for to in 1..self.nodes.len() {
            for from in (1..self.nodes.len()).filter(|from| *from != to) {
                let turn = (to * 7 + from * 3) as u128 % steps;
                let has = self.nodes[from].has.clone();
                if step < steps || step % steps != turn || has.is_empty() || !self.is_here(from) {
                    continue;
                }
                let size = self.tree.size();
                let scheduler = &mut self.nodes[to].scheduler;
                scheduler.source_found(SourceId(from as u64), Some(has.clone()), Some(size));
                scheduler.source_holds(SourceId(from as u64), has, size);
            }
        }
    }

    fn act(&mut self, to: usize) {
        if self.nodes[to].done.is_some() || !self.is_here(to) {
            return;
        }
        for action in self.nodes[to].scheduler.poll(self.now) {
            match action {
                Action::Request { id, source, ranges, most, .. } => {
                    let from = index(source);
                    if !self.is_here(from) {
                        let failure = Failure::Unreachable("gone".into());
                        self.nodes[to].scheduler.failed(id, failure, self.now);
                        continue;
                    }
                    let held = ranges.intersection(&self.nodes[from].has);
                    let digest = Digest::of(b"a");
                    let (left, sending) = self.nodes[from].spread.choose(digest, self.tree, held, most);
                    self.nodes[to].scheduler.follows(id, &left);
                    self.ways.insert((to, id), Way { from, to, left, due: 0, sending });
                }
                Action::Cancel { id } => drop(self.ways.remove(&(to, id))),
                Action::Shorten { id, before } => {
                    self.ways.get_mut(&(to, id)).unwrap().left.remove(before..u64::MAX);
                }
                Action::Drop { .. } | Action::Forget { .. } => {}
            }
        }
        if self.nodes[to].scheduler.is_done() {
            self.nodes[to].done = Some(self.now - self.start);
        }
    }

    /// Moves what flows in one step: every uplink is shared by the requests that it serves.
    fn flow(&mut self) {
        let keys: Vec<_> = self.ways.keys().copied().collect();
        for key in keys {
            let Some(from) = self.ways.get(&key).map(|way| way.from) else { continue };
            let sharers = self.ways.values().filter(|way| way.from == from && !way.left.is_empty()).count();
            let Some(way) = self.ways.get_mut(&key) else { continue };
            way.due += self.nodes[from].up * 50 / (sharers as u64).max(1);
            let came = way.left.first_groups(way.due / 1000);
            way.due -= came.len() * 1000;
            way.left = way.left.difference(&came);
            if let (Some(sending), Some(last)) = (&mut way.sending, came.iter().last()) {
                sending.sent_before(last.end);
            }
            let is_over = way.left.is_empty();
            self.nodes[from].sent += came.len();
            let node = &mut self.nodes[key.0];
            node.received += came.len();
            node.has = node.has.union(&came);
            for range in came.iter() {
                node.scheduler.verified(key.1, range, self.now);
            }
            if is_over {
                self.ways.remove(&key);
                self.nodes[key.0].scheduler.finished(key.1, self.now);
            }
        }
    }

    /// The time that a perfect plan takes for those who stay.
    fn bound(&self) -> Duration {
        let staying = self.nodes[1..].iter().filter(|node| node.leaves.is_none());
        let (count, ups) =
            staying.fold((0, self.nodes[0].up), |(count, ups), node| (count + 1, ups + node.up));
        let millis = (GROUPS * 1000 / self.nodes[0].up).max(count * GROUPS * 1000 / ups);
        Duration::from_millis(millis)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn one_seed_serves_many_almost_as_fast_as_water_flows() {
    let mut swarm = Swarm::new(&[200; 9]);
    let took = swarm.run(HOUR);
    let (bound, sent) = (swarm.bound(), swarm.nodes[0].sent);
    assert!(took <= bound * 5 / 4, "{took:?} of {bound:?}");
    assert!(sent * 10 <= GROUPS * 13, "the seed sent {sent} of {GROUPS}");
    for node in &swarm.nodes[1..] {
        assert!(node.received * 100 <= GROUPS * 101, "{} received of {GROUPS}", node.received);
    }
}

#[test]
fn slow_ones_and_those_who_leave_do_not_hold_up_the_others() {
    let mut swarm = Swarm::new(&[200, 200, 200, 200, 200, 200, 200, 10, 200]);
    swarm.nodes[8].leaves = Some(Duration::from_secs(10));
    let took = swarm.run(HOUR);
    let (bound, sent) = (swarm.bound(), swarm.nodes[0].sent);
    assert!(took <= bound * 5 / 4, "{took:?} of {bound:?}");
    assert!(sent * 10 <= GROUPS * 13, "the seed sent {sent} of {GROUPS}");
}

#[test]
fn a_crowd_of_two_needs_hardly_more_than_one() {
    let mut swarm = Swarm::new(&[200; 3]);
    let took = swarm.run(HOUR);
    let bound = swarm.bound();
    assert!(took <= bound * 5 / 4, "{took:?} of {bound:?}");
}

#[test]
fn a_seed_that_hangs_does_not_keep_the_choice_from_another() {
    let start = Instant::now();
    let mut scheduler = Scheduler::new(0);
    scheduler.size_proven(GROUPS * GROUP_LEN, GroupRanges::all(GROUPS), None);
    let part = GroupRanges::all(16);
    for (id, holds) in [(0, GroupRanges::all(GROUPS)), (1, GroupRanges::all(GROUPS)), (2, part)] {
        scheduler.source_found(SourceId(id), Some(holds), Some(GROUPS * GROUP_LEN));
    }
    let chosen_by = |actions: Vec<Action>| -> Vec<SourceId> {
        let choosing = actions.into_iter().filter_map(|action| match action {
            Action::Request { source, most: Some(_), .. } => Some(source),
            _ => None,
        });
        choosing.collect()
    };
    assert_eq!(chosen_by(scheduler.poll(start)).len(), 1, "two would choose the same");
    let later = start + Duration::from_secs(1);
    assert_eq!(chosen_by(scheduler.poll(later)).len(), 1, "the other one");
}
