//! Simulated downloads: peers of any speed that lie, hang, vanish, return, refuse and hold parts.

mod crowd;
mod far;
mod guess;

use proptest::prelude::*;

use super::*;

/// Time without progress after which a fetch gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(50);

/// What a simulated source does.
#[derive(Clone, Debug)]
struct Peer {
    /// Groups per second; none is a source that accepts and never sends.
    speed: u64,
    holds: Option<GroupRanges>,
    says: Option<GroupRanges>,
    /// Sends a bad group instead of this one.
    lies_at: Option<u64>,
    /// Loses its connections after so many groups.
    vanishes_after: Option<u64>,
    /// Comes back this long after it vanished, and vanishes no more.
    returns_after: Option<Duration>,
    /// Refuses so many requests first.
    busy: u32,
    found_at: Duration,
}

impl Peer {
    fn honest(speed: u64) -> Self {
        Peer {
            speed,
            holds: None,
            says: None,
            lies_at: None,
            vanishes_after: None,
            returns_after: None,
            busy: 0,
            found_at: Duration::ZERO,
        }
    }

    /// Whether it alone can bring everything in the end.
    fn is_good(&self) -> bool {
        let stays = self.vanishes_after.is_none()
            || self.returns_after.is_some_and(|after| after < Duration::from_secs(4));
        self.speed >= 4 && self.holds.is_none() && self.lies_at.is_none() && self.busy < 4 && stays
    }
}

struct Outcome {
    done: bool,
    took: Duration,
    /// Groups that were sent, verified or not.
    sent: u64,
    /// Groups verified, counted per source.
    by_source: BTreeMap<SourceId, u64>,
    dropped: BTreeMap<SourceId, Failure>,
    longest_silence: Duration,
    requests: usize,
}

struct Sim {
    size: u64,
    peers: Vec<Peer>,
    sent: Vec<u64>,
    gone_since: Vec<Option<Instant>>,
    refused: Vec<u32>,
}

struct Flight {
    source: SourceId,
    left: GroupRanges,
    due: u64,
    /// What came and cannot be kept before it is all there, if this is to prove the size.
    unproven: Option<GroupRanges>,
    /// Whether another is to prove the size.
    rides: bool,
}

fn index(source: SourceId) -> usize {
    usize::try_from(source.0).unwrap()
}

impl Sim {
    fn new(groups: u64, peers: Vec<Peer>) -> Self {
        let count = peers.len();
        Sim {
            size: groups * GROUP_LEN - 5,
            peers,
            sent: vec![0; count],
            gone_since: vec![None; count],
            refused: vec![0; count],
        }
    }

    fn run(self, limit: Duration) -> Outcome {
        self.run_with(Scheduler::new(12_345), limit)
    }

    /// The same for the only fetch that asks these sources.
    fn run_alone(self, limit: Duration) -> Outcome {
        let mut scheduler = Scheduler::new(12_345);
        scheduler.go_alone();
        self.run_with(scheduler, limit)
    }

    fn run_with(mut self, mut scheduler: Scheduler, limit: Duration) -> Outcome {
        let start = Instant::now();
        let mut now = start;
        let all = GroupRanges::all(Tree::new(self.size).groups());
        let mut verified = GroupRanges::empty();
        let mut flights: BTreeMap<RequestId, Flight> = BTreeMap::new();
        let mut outcome = Outcome {
            done: false,
            took: Duration::ZERO,
            sent: 0,
            by_source: BTreeMap::new(),
            dropped: BTreeMap::new(),
            longest_silence: Duration::ZERO,
            requests: 0,
        };
        let mut last_progress = start;
        while now - start < limit {
            for (i, peer) in self.peers.iter().enumerate() {
                let at = start + peer.found_at;
                if at <= now && now < at + STEP {
                    scheduler.source_found(SourceId(i as u64), peer.says.clone(), Some(self.size));
                }
            }
            for action in scheduler.poll(now) {
                match action {
                    Action::Request { id, source, ranges, most, claim } => {
                        assert!(!outcome.dropped.contains_key(&source), "asked a dropped source");
                        assert!(ranges.range_count() <= 256);
                        outcome.requests += 1;
                        self.on_request(
                            &mut scheduler,
                            &mut flights,
                            id,
                            source,
                            (&ranges, most, claim),
                            now,
                        );
                    }
                    Action::Cancel { id } => {
                        flights.remove(&id);
                    }
                    Action::Shorten { id, before } => {
                        flights.get_mut(&id).expect("of a request under way").left.remove(before..u64::MAX);
                    }
                    Action::Forget { source } => panic!("{source:?} was no guess"),
                    Action::Drop { source, reason } => {
                        outcome.dropped.insert(source, reason);
                        assert!(flights.values().all(|flight| flight.source != source));
                    }
                }
            }
            for source in (0..self.peers.len()).map(|i| SourceId(i as u64)) {
                let per_source = flights.values().filter(|flight| flight.source == source).count();
                let most = if scheduler.is_alone { 4 } else { 2 };
                assert!(per_source <= most, "{per_source} requests to one source");
            }
            assert!(flights.len() <= MAX_REQUESTS);
            if scheduler.is_done() {
                outcome.done = true;
                break;
            }
            let everybody_found = self.peers.iter().all(|peer| start + peer.found_at < now);
            if everybody_found && !scheduler.has_hope() {
                break;
            }
            now += STEP;
            let before = verified.len();
            self.advance(&mut scheduler, &mut flights, &mut verified, &all, &mut outcome, now);
            if verified.len() > before {
                last_progress = now;
            }
            outcome.longest_silence = outcome.longest_silence.max(now - last_progress);
            if outcome.longest_silence >= TIMEOUT {
                break;
            }
        }
        assert!(!outcome.done || verified == all, "done without everything");
        outcome.took = now - start;
        outcome
    }

    fn is_here(&self, i: usize, now: Instant) -> bool {
        match (self.gone_since[i], self.peers[i].returns_after) {
            (None, _) => true,
            (Some(gone), Some(after)) => gone + after <= now,
            (Some(_), None) => false,
        }
    }

    fn on_request(
        &mut self,
        scheduler: &mut Scheduler,
        flights: &mut BTreeMap<RequestId, Flight>,
        id: RequestId,
        source: SourceId,
        (ranges, most, claim): (&GroupRanges, Option<u64>, Option<u64>),
        now: Instant,
    ) {
        let i = index(source);
        if !self.is_here(i, now) {
            return scheduler.failed(id, Failure::Unreachable("gone".into()), now);
        }
        if self.refused[i] < self.peers[i].busy {
            self.refused[i] += 1;
            return scheduler.failed(id, Failure::Busy, now);
        }
        let asked = Tree::new(self.size).clip(ranges);
        let held = self.peers[i].holds.as_ref().map_or(asked.clone(), |holds| holds.intersection(&asked));
        let left = most.map_or(held.clone(), |most| held.first_groups(most));
        scheduler.follows(id, &left);
        let unproven = scheduler.tree.is_none().then(GroupRanges::empty);
        flights.insert(id, Flight { source, left, due: 0, unproven, rides: claim.is_some() });
    }

    fn advance(
        &mut self,
        scheduler: &mut Scheduler,
        flights: &mut BTreeMap<RequestId, Flight>,
        verified: &mut GroupRanges,
        all: &GroupRanges,
        outcome: &mut Outcome,
        now: Instant,
    ) {
        let ids: Vec<RequestId> = flights.keys().copied().collect();
        for id in ids {
            let Some(flight) = flights.get(&id) else { continue };
            let source = flight.source;
            let i = index(source);
            let shared = flights.values().filter(|flight| flight.source == source).count() as u64;
            let Some(flight) = flights.get_mut(&id) else {
                continue;
            };
            if flight.rides && scheduler.tree.is_some() {
                for range in flight.unproven.take().unwrap_or_default().iter() {
                    verified.insert(range.clone());
                    scheduler.verified(id, range, now);
                }
            }
            // Twenty steps make a second.
            flight.due += self.peers[i].speed * 1000 / shared / 20;
            let mut failure = None;
            while flight.due >= 1000 && failure.is_none() {
                let Some(group) = flight.left.iter().next().map(|range| range.start) else {
                    break;
                };
                flight.due -= 1000;
                flight.left.remove(group..group + 1);
                outcome.sent += 1;
                self.sent[i] += 1;
                if self.peers[i].lies_at.is_some_and(|at| group >= at) {
                    failure = Some(Failure::BadBytes { group: Some(group) });
                } else if self.peers[i].vanishes_after.is_some_and(|after| self.sent[i] > after) {
                    self.peers[i].vanishes_after = None;
                    self.gone_since[i] = Some(now);
                } else {
                    *outcome.by_source.entry(source).or_default() += 1;
                    match &mut flight.unproven {
                        Some(unproven) => {
                            unproven.insert(group..group + 1);
                            scheduler.heard(id, 1, now);
                        }
                        None => {
                            verified.insert(group..group + 1);
                            scheduler.verified(id, group..group + 1, now);
                        }
                    }
                }
                if !self.is_here(i, now) {
                    failure = Some(Failure::Lost);
                }
            }
            if !self.is_here(i, now) {
                failure = Some(Failure::Lost);
            }
            if let Some(failure) = failure {
                flights.remove(&id);
                scheduler.failed(id, failure, now);
            } else if flights
                .get(&id)
                .is_some_and(|flight| flight.left.is_empty() && !(flight.rides && flight.unproven.is_some()))
            {
                let unproven = flights.remove(&id).and_then(|flight| flight.unproven).unwrap_or_default();
                if unproven.contains(Tree::new(self.size).groups() - 1) {
                    if scheduler.tree.is_none() {
                        scheduler.size_proven(self.size, all.difference(verified), Some(id));
                    }
                    for range in unproven.iter() {
                        verified.insert(range.clone());
                        scheduler.verified(id, range, now);
                    }
                }
                scheduler.finished(id, now);
            }
        }
    }
}

const LIMIT: Duration = Duration::from_secs(3600);

#[test]
fn one_source_brings_everything_once() {
    let sim = || Sim::new(5000, vec![Peer::honest(500)]);
    for outcome in [sim().run(LIMIT), sim().run_alone(LIMIT)] {
        assert!(outcome.done);
        assert_eq!(outcome.sent, 5000);
        // Pieces of two seconds at 500 groups a second, and a few while the speed was unknown.
        assert!(outcome.requests <= 20, "{} requests", outcome.requests);
        assert!(outcome.took <= Duration::from_millis(10_500), "{:?}", outcome.took);
    }
}

#[test]
fn a_small_content_is_one_request() {
    for groups in [1, 2, 64] {
        let outcome = Sim::new(groups, vec![Peer::honest(5000)]).run(LIMIT);
        assert!(outcome.done);
        assert_eq!((outcome.requests, outcome.sent), (1, groups));
    }
}

#[test]
fn a_small_content_is_not_sent_by_several_and_a_dead_source_delays_it_little() {
    let outcome = Sim::new(60, vec![Peer::honest(500), Peer::honest(500), Peer::honest(500)]).run(LIMIT);
    assert!(outcome.done);
    assert_eq!((outcome.requests, outcome.sent), (1, 60));

    let outcome = Sim::new(60, vec![Peer::honest(0), Peer::honest(0), Peer::honest(100)]).run(LIMIT);
    assert!(outcome.done);
    assert_eq!(outcome.sent, 60);
    assert!(outcome.took <= Duration::from_millis(1700), "{:?}", outcome.took);
}

#[test]
fn a_slow_proof_of_a_size_is_no_silence() {
    // 60 groups that are kept only when all of them are here.
    let outcome = Sim::new(60, vec![Peer::honest(2)]).run(LIMIT);
    assert!(outcome.done);
    assert_eq!((outcome.requests, outcome.sent), (1, 60));
}

#[test]
fn sources_share_by_speed_and_end_together() {
    let peers = vec![Peer::honest(400), Peer::honest(400), Peer::honest(100)];
    let outcome = Sim::new(9000, peers).run(LIMIT);
    assert!(outcome.done);
    // 9000 groups at 900 a second.
    assert!(outcome.took <= Duration::from_millis(11_000), "{:?}", outcome.took);
    assert!(outcome.sent <= 9000 + 9000 / 50, "{} sent", outcome.sent);
    assert!(outcome.by_source[&SourceId(2)] < 1500);
}

#[test]
fn an_idle_source_takes_over_the_tail_of_a_slow_one() {
    // The slow one looked fast when it was asked.
    let mut peers = vec![Peer::honest(2), Peer::honest(2000)];
    peers[1].found_at = Duration::from_secs(3);
    let outcome = Sim::new(2000, peers).run(LIMIT);
    assert!(outcome.done);
    assert!(outcome.took <= Duration::from_secs(8), "{:?}", outcome.took);
}

#[test]
fn a_silent_source_is_given_up_in_time() {
    let mut peers = vec![Peer::honest(0), Peer::honest(100)];
    peers[1].found_at = Duration::from_secs(1);
    let outcome = Sim::new(3000, peers).run(LIMIT);
    assert!(outcome.done);
    assert!(outcome.took <= Duration::from_secs(40), "{:?}", outcome.took);

    let outcome = Sim::new(100, vec![Peer::honest(0)]).run(LIMIT);
    assert!(!outcome.done, "nobody brings anything");
    assert_eq!(outcome.dropped[&SourceId(0)], Failure::Stalled);
    assert!(outcome.took <= STALL + Duration::from_secs(1), "{:?}", outcome.took);
}

#[test]
fn one_bad_group_drops_its_source() {
    let liar = Peer { lies_at: Some(0), ..Peer::honest(1000) };
    let late_liar = Peer { lies_at: Some(500), ..Peer::honest(1000) };
    let outcome = Sim::new(1000, vec![liar, late_liar, Peer::honest(50)]).run(LIMIT);
    assert!(outcome.done);
    // The last group proves the size, and is asked for first.
    assert_eq!(outcome.dropped[&SourceId(0)], Failure::BadBytes { group: Some(999) });
    assert!(matches!(outcome.dropped[&SourceId(1)], Failure::BadBytes { .. }));
    assert!(outcome.sent <= 1000 + 2 * 10 + 64, "{} sent", outcome.sent);
}

#[test]
fn a_provider_that_restarts_goes_on_serving() {
    let returns_after = Some(Duration::from_secs(40));
    let peer = Peer { vanishes_after: Some(300), returns_after, ..Peer::honest(100) };
    let outcome = Sim::new(1000, vec![peer]).run(LIMIT);
    assert!(outcome.done);
    assert!(outcome.took <= Duration::from_secs(70), "{:?}", outcome.took);
    assert!(outcome.sent <= 1001, "{} sent", outcome.sent);
}

#[test]
fn a_busy_source_is_asked_again_later() {
    let outcome = Sim::new(60, vec![Peer { busy: 5, ..Peer::honest(100) }]).run(LIMIT);
    assert!(outcome.done);
    assert_eq!(outcome.requests, 6);
}

#[test]
fn partial_holders_together_make_a_whole() {
    let part = |range: Range<u64>| {
        let holds = Some(GroupRanges::from(range));
        Peer { holds: holds.clone(), says: holds, ..Peer::honest(100) }
    };
    let outcome = Sim::new(900, vec![part(0..300), part(600..900), part(250..650)]).run(LIMIT);
    assert!(outcome.done);
    assert!(outcome.took <= Duration::from_secs(6), "{:?}", outcome.took);

    let outcome = Sim::new(900, vec![part(0..300), part(600..900)]).run(LIMIT);
    assert!(!outcome.done && outcome.took < Duration::from_secs(60), "ends when nobody has the rest");
}

#[test]
fn a_holder_of_less_than_it_says_is_not_asked_for_ever() {
    let less = Peer { holds: Some(GroupRanges::from(600..900)), ..Peer::honest(100) };
    let outcome = Sim::new(900, vec![less.clone()]).run(LIMIT);
    assert!(!outcome.done && outcome.requests < 20);
    let outcome = Sim::new(900, vec![less, Peer::honest(50)]).run(LIMIT);
    assert!(outcome.done);
}

#[test]
fn what_partial_holders_have_is_left_to_them() {
    let has_front = Some(GroupRanges::from(0..1500));
    let partial = Peer { holds: has_front.clone(), says: has_front, ..Peer::honest(100) };
    let outcome = Sim::new(3000, vec![Peer::honest(100), partial]).run(LIMIT);
    assert!(outcome.done);
    assert!(outcome.took <= Duration::from_secs(17), "{:?}", outcome.took);
    assert!(outcome.by_source[&SourceId(1)] >= 1400);
}

#[test]
fn nothing_found_means_no_hope() {
    let scheduler = Scheduler::new(0);
    assert!(!scheduler.has_hope() && !scheduler.is_done());
}

#[test]
fn a_resumed_fetch_asks_only_for_what_is_missing() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(7);
    let missing: GroupRanges = [3..5, 40..41].into_iter().collect();
    scheduler.size_proven(100 * GROUP_LEN, missing.clone(), None);
    scheduler.source_found(SourceId(1), None, None);
    let actions = scheduler.poll(now);
    let [Action::Request { id, ranges, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(*ranges, missing);
    scheduler.verified(*id, 3..5, now);
    scheduler.verified(*id, 40..41, now);
    assert!(scheduler.is_done());
    assert_eq!(scheduler.poll(now), [Action::Cancel { id: *id }]);
}

#[test]
fn a_slow_disk_is_not_blamed_on_the_source_nor_fetched_twice() {
    let start = Instant::now();
    let mut scheduler = Scheduler::new(0);
    scheduler.size_proven(40 * GROUP_LEN, GroupRanges::all(40), None);
    scheduler.source_found(SourceId(1), None, None);
    let actions = scheduler.poll(start);
    let [Action::Request { id, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    scheduler.writing(*id, &GroupRanges::all(30), start);

    scheduler.source_found(SourceId(2), None, None);
    let later = start + STALL * 2;
    assert_eq!(scheduler.poll(later), [], "the disk is slow, and nobody is to blame");
    assert!(scheduler.next_wake(later).is_some_and(|at| at > later), "nothing to do right now");

    scheduler.verified(*id, 0..30, later);
    let actions = scheduler.poll(later + STALL);
    let asked: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Request { source, ranges, .. } => Some((*source, ranges.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(SourceId(2), GroupRanges::from(30..40))], "{actions:?}");
    assert!(actions.contains(&Action::Cancel { id: *id }), "now it is silent");
}

#[test]
fn a_source_that_shows_signs_of_life_is_not_given_up() {
    let start = Instant::now();
    let mut scheduler = Scheduler::new(0);
    scheduler.size_proven(4 * GROUP_LEN, GroupRanges::all(4), None);
    scheduler.source_found(SourceId(0), None, None);
    let actions = scheduler.poll(start);
    let [Action::Request { id, .. }] = actions.as_slice() else { panic!("{actions:?}") };
    let stall = scheduler.first_stall().unwrap();
    assert_eq!(stall, start + STALL);
    scheduler.alive(*id, stall);
    assert_eq!(scheduler.poll(stall), []);
    assert_eq!(scheduler.first_stall(), Some(stall + STALL));
    let given_up = scheduler.poll(stall + STALL);
    assert!(given_up.contains(&Action::Cancel { id: *id }), "{given_up:?}");
}

fn any_peer(groups: u64) -> impl Strategy<Value = Peer> {
    let speed = prop_oneof![1 => Just(0_u64), 2 => 2_u64..20, 4 => 20_u64..3000];
    let part = (0..groups, 0..groups).prop_map(|(a, b)| GroupRanges::from(a.min(b)..a.max(b) + 1));
    let holds = prop_oneof![3 => Just(None), 1 => part.prop_map(Some)];
    let lies_at = prop_oneof![3 => Just(None), 1 => (0..groups).prop_map(Some)];
    let vanishes = prop_oneof![3 => Just(None), 1 => (0..groups).prop_map(Some)];
    let returns =
        prop_oneof![1 => Just(None), 2 => (100_u64..10_000).prop_map(|ms| Some(Duration::from_millis(ms)))];
    (speed, holds, any::<bool>(), lies_at, vanishes, returns, 0_u32..6, 0_u64..5000).prop_map(
        |(speed, holds, says, lies_at, vanishes_after, returns_after, busy, found_at)| Peer {
            speed,
            says: holds.clone().filter(|_| says),
            holds,
            lies_at,
            vanishes_after,
            returns_after,
            busy,
            found_at: Duration::from_millis(found_at),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_crowd_ends_and_a_good_source_is_enough(
        groups in 1_u64..4000,
        peers in prop::collection::vec(any_peer(4000), 1..8),
        alone in any::<bool>(),
    ) {
        let peers: Vec<Peer> = peers
            .into_iter()
            .map(|mut peer| {
                let all = GroupRanges::all(groups);
                peer.holds = peer.holds.map(|holds| holds.intersection(&all));
                peer.says = peer.says.map(|says| says.intersection(&all));
                peer
            })
            .collect();
        let good = peers.iter().any(Peer::is_good);
        let slowest = peers.iter().filter(|peer| peer.is_good()).map(|peer| peer.speed).max().unwrap_or(1);
        let evil = peers.iter().filter(|peer| !peer.is_good()).count() as u64;
        let count = peers.len() as u64;
        let sim = Sim::new(groups, peers);
        let outcome = if alone { sim.run_alone(LIMIT) } else { sim.run(LIMIT) };
        prop_assert!(outcome.took < LIMIT, "did not end");
        if good {
            prop_assert!(outcome.done, "a good source was there: {:?}", outcome.dropped);
            let alone = Duration::from_secs(groups / slowest + 1);
            prop_assert!(outcome.took <= alone * 3 + Duration::from_secs(90), "took {:?}, alone {alone:?}", outcome.took);
            // Stalls overlap at most once per way to go silent.
            prop_assert!(outcome.longest_silence <= STALL * 3 + Duration::from_secs(15), "{:?}", outcome.longest_silence);
        }
        let waste = outcome.sent.saturating_sub(groups);
        let allowed = groups / 5 + count * 40 + evil * 70;
        prop_assert!(waste <= allowed, "{waste} of {groups} wasted, {allowed} allowed");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Found(u64, Option<(u64, u64)>, Option<u64>),
    Guessed(u64),
    Holds(u64, (u64, u64)),
    Proven(Option<u64>),
    Follows(u64, (u64, u64)),
    Heard(u64, u64),
    Writing(u64, (u64, u64)),
    Verified(u64, (u64, u64)),
    Finished(u64),
    Failed(u64, Failure),
    Alive(u64),
    Wait(u64),
}

fn any_op() -> impl Strategy<Value = Op> {
    let range = || (0..100_u64, 0..60_u64);
    let failure = prop_oneof![
        Just(Failure::BadBytes { group: None }),
        Just(Failure::Busy),
        Just(Failure::Lost),
        Just(Failure::Stalled),
        Just(Failure::NotFound),
        Just(Failure::Unreadable),
    ];
    prop_oneof![
        (0..80_u64, prop::option::of(range()), prop::option::of(any::<u64>()))
            .prop_map(|(a, b, c)| Op::Found(a, b, c)),
        (0..80_u64).prop_map(Op::Guessed),
        (0..80_u64, range()).prop_map(|(a, b)| Op::Holds(a, b)),
        prop::option::of(0..40_u64).prop_map(Op::Proven),
        (0..40_u64, range()).prop_map(|(a, b)| Op::Follows(a, b)),
        (0..40_u64, any::<u64>()).prop_map(|(a, b)| Op::Heard(a, b)),
        (0..40_u64, range()).prop_map(|(a, b)| Op::Writing(a, b)),
        (0..40_u64, range()).prop_map(|(a, b)| Op::Verified(a, b)),
        (0..40_u64).prop_map(Op::Finished),
        (0..40_u64, failure).prop_map(|(a, b)| Op::Failed(a, b)),
        (0..40_u64).prop_map(Op::Alive),
        (0..30_000_u64).prop_map(Op::Wait),
    ]
}

proptest! {
    /// Whatever is reported, in any order and about any request, the bounds hold and only what is missing is asked for.
    #[test]
    fn any_reports_keep_the_bounds(ops in prop::collection::vec(any_op(), 1..120)) {
        let ranges = |(start, len): (u64, u64)| GroupRanges::from(start..start + len);
        let mut now = Instant::now();
        let mut scheduler = Scheduler::new(3);
        for op in ops {
            match op {
                Op::Found(id, holds, size) => {
                    scheduler.source_found(SourceId(id), holds.map(ranges), size);
                }
                Op::Guessed(id) => drop(scheduler.source_guessed(SourceId(id))),
                Op::Holds(id, holds) => scheduler.source_holds(SourceId(id), ranges(holds), 100 * GROUP_LEN),
                Op::Proven(by) if scheduler.tree.is_none() => {
                    scheduler.size_proven(100 * GROUP_LEN, GroupRanges::all(100), by.map(RequestId));
                }
                Op::Proven(_) => {}
                Op::Follows(id, follows) => scheduler.follows(RequestId(id), &ranges(follows)),
                Op::Heard(id, groups) => scheduler.heard(RequestId(id), groups, now),
                Op::Writing(id, groups) => scheduler.writing(RequestId(id), &ranges(groups), now),
                Op::Verified(id, (start, len)) => scheduler.verified(RequestId(id), start..start + len, now),
                Op::Finished(id) => scheduler.finished(RequestId(id), now),
                Op::Failed(id, failure) => scheduler.failed(RequestId(id), failure, now),
                Op::Alive(id) => scheduler.alive(RequestId(id), now),
                Op::Wait(millis) => now += Duration::from_millis(millis),
            }
            let known: Vec<SourceId> = scheduler.sources.keys().copied().collect();
            for action in scheduler.poll(now) {
                if let Action::Request { source, ranges, .. } = action {
                    prop_assert!(known.contains(&source));
                    prop_assert!(!ranges.is_empty());
                    let is_missing = ranges.difference(&scheduler.missing).is_empty();
                    prop_assert!(scheduler.tree.is_none() || is_missing, "{ranges:?} asked for");
                }
            }
            prop_assert!(scheduler.requests.len() <= MAX_REQUESTS + MAX_GUESSES);
            prop_assert!(scheduler.sources.len() <= MAX_SOURCES);
            for (id, source) in &scheduler.sources {
                let active = scheduler.requests.values().filter(|request| request.source == *id).count();
                prop_assert_eq!(source.active, active);
                prop_assert!(active <= 2);
            }
            prop_assert!(scheduler.next_wake(now).is_none_or(|at| at > now), "a wake that is over");
        }
    }
}
