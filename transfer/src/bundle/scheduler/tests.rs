//! Bundles on simulated time: sources that are quick, slow, silent, lying or lacking.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shoal_content::GroupRanges;

use super::sources::GROWING;
use super::*;
use crate::wire::MAX_WANTS;

mod swarm;

const KIB: u64 = 1024;

/// How a simulated source answers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One answer in so many milliseconds.
    Every(u64),
    Silent,
    /// Refuses everything.
    HasNothing,
    /// Refuses everything in the first milliseconds, and then answers each in a millisecond.
    HasNothingYet(u64),
    /// Sends what does not match.
    Lies,
    /// Refuses the blobs whose number this divides.
    Lacks(usize),
    /// Is busy the first times, then answers each in a millisecond.
    Busy(u32),
    /// Loses its connection after so many answers, each time.
    Breaks(usize),
    /// Fetches the directory itself, and says that it has the blobs whose number this divides.
    Fetches(usize),
    /// Says that it has other blobs at every moment, and refuses them.
    ClaimsAndRefuses,
    /// Says the same, and never answers.
    ClaimsAndHangs,
}

/// How often who claims anything claims something else.
const CLAIMS_EVERY: Duration = Duration::from_millis(125);

struct Running {
    id: BundleId,
    source: usize,
    wants: VecDeque<usize>,
    next_at: Instant,
    answered: usize,
}

struct Sim {
    scheduler: Scheduler,
    kinds: Vec<Kind>,
    busy: Vec<u32>,
    running: Vec<Running>,
    /// How often those who claim this and that have claimed something.
    claims: u32,
    now: Instant,
    start: Instant,
    came: Vec<u32>,
    /// How often each source was asked for each blob.
    asked: Vec<Vec<u32>>,
    requests: usize,
    dropped: BTreeSet<usize>,
}

impl Sim {
    fn new(blobs: usize, size: u64, kinds: &[Kind]) -> Self {
        let now = Instant::now();
        let mut scheduler =
            Scheduler::new((0..blobs).map(|file| (file, size)), Turns::of_directory(blobs, None));
        for (index, kind) in kinds.iter().enumerate() {
            let part = if let Kind::Fetches(each) = kind { Some(part(index, blobs, *each)) } else { None };
            assert_eq!(scheduler.source_found(None, part, now), Some(SourceId(index as u64)));
        }
        let busy = kinds.iter().map(|kind| if let Kind::Busy(times) = kind { *times } else { 0 }).collect();
        Sim {
            scheduler,
            busy,
            kinds: kinds.to_vec(),
            running: Vec::new(),
            claims: 0,
            now,
            start: now,
            came: vec![0; blobs],
            asked: vec![vec![0; blobs]; kinds.len()],
            requests: 0,
            dropped: BTreeSet::new(),
        }
    }

    fn apply(&mut self) {
        for action in self.scheduler.poll(self.now) {
            match action {
                Action::Request { id, source, wants } => {
                    let source = usize::try_from(source.0).unwrap();
                    assert!(!wants.is_empty() && wants.len() <= MAX_WANTS);
                    assert!(!self.dropped.contains(&source));
                    for want in &wants {
                        self.asked[source][*want] += 1;
                    }
                    self.requests += 1;
                    let next_at = self.now + self.pause(source);
                    let wants = wants.into();
                    self.running.push(Running { id, source, wants, next_at, answered: 0 });
                }
                Action::Cancel { id } => self.running.retain(|running| running.id != id),
                Action::Drop { source, .. } => {
                    let source = usize::try_from(source.0).unwrap();
                    assert!(self.dropped.insert(source));
                    assert!(self.running.iter().all(|running| running.source != source));
                }
            }
        }
        assert!(self.running.len() <= MAX_BUNDLES);
    }

    fn pause(&self, source: usize) -> Duration {
        match self.kinds[source] {
            Kind::Every(millis) => Duration::from_millis(millis),
            Kind::Silent | Kind::ClaimsAndHangs => Duration::from_secs(1_000_000),
            _ => Duration::from_millis(1),
        }
    }

    /// Runs to the end, or until a thousand simulated seconds have passed.
    fn run(&mut self) {
        loop {
            self.claim();
            self.apply();
            if self.running.is_empty() && (self.scheduler.is_done() || !self.scheduler.has_hope(self.now)) {
                return;
            }
            let next = self.running.iter().map(|running| running.next_at).min();
            let wake = self.scheduler.next_wake(self.now);
            let claim = self.claiming().next().map(|_| self.start + CLAIMS_EVERY * self.claims);
            let next = next.into_iter().chain(wake).chain(claim).min().expect("it waits for something");
            self.now = self.now.max(next);
            assert!(self.now - self.start < Duration::from_secs(1000), "it does not end");
            if let Some(at) = self.running.iter().position(|running| running.next_at <= self.now) {
                self.step(at);
            }
        }
    }

    /// Those who claim this and that.
    fn claiming(&self) -> impl Iterator<Item = usize> {
        let claims = |kind: &Kind| matches!(kind, Kind::ClaimsAndRefuses | Kind::ClaimsAndHangs);
        self.kinds.iter().enumerate().filter(move |(_, kind)| claims(kind)).map(|(source, _)| source)
    }

    fn claim(&mut self) {
        while self.now >= self.start + CLAIMS_EVERY * self.claims {
            self.claims += 1;
            for source in self.claiming().collect::<Vec<_>>() {
                let part = part(source, self.came.len(), 1 + self.claims as usize % 2);
                self.scheduler.source_found(Some(SourceId(source as u64)), Some(part), self.now);
            }
            // Whoever is found again may be asked again.
            let is_dropped = |source: &usize| self.scheduler.sources[*source].is_dropped;
            self.dropped.retain(is_dropped);
        }
    }

    fn step(&mut self, at: usize) {
        let running = &mut self.running[at];
        let (id, source) = (running.id, running.source);
        let kind = self.kinds[source];
        if self.busy[source] > 0 {
            self.busy[source] -= 1;
            self.running.remove(at);
            return self.scheduler.failed(id, Failure::Busy, self.now);
        }
        if let Kind::Breaks(after) = kind
            && running.answered >= after
        {
            self.running.remove(at);
            return self.scheduler.failed(id, Failure::Lost, self.now);
        }
        let Some(want) = running.wants.pop_front() else {
            self.running.remove(at);
            return self.scheduler.finished(id, self.now);
        };
        running.answered += 1;
        let answer = match kind {
            Kind::HasNothing | Kind::ClaimsAndRefuses => Answer::Refused(Failure::NotFound),
            Kind::HasNothingYet(millis) if self.elapsed() < Duration::from_millis(millis) => {
                Answer::Refused(Failure::NotFound)
            }
            Kind::Lacks(each) if want % each == 0 => Answer::Refused(Failure::NotFound),
            Kind::Lies => Answer::Refused(Failure::BadBytes { group: Some(0) }),
            _ => Answer::Came,
        };
        if answer == Answer::Came {
            self.came[want] += 1;
        }
        let pause = self.pause(source);
        self.running[at].next_at = self.now + pause;
        assert!(self.scheduler.answered(id, answer, self.now));
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn extra(&self) -> u32 {
        self.came.iter().map(|came| came.saturating_sub(1)).sum()
    }
}

/// What a source has that fetches the directory, if that is each of so many.
fn part(source: usize, blobs: usize, each: usize) -> Part {
    let has = (0..blobs).step_by(each).map(|blob| blob as u64..blob as u64 + 1);
    Part { salt: source as u64, files: has.collect() }
}

/// So many blobs of a KiB, and somebody who holds them.
fn of_one_source(blobs: usize) -> (Scheduler, Instant) {
    let mut scheduler = Scheduler::new((0..blobs).map(|file| (file, KIB)), Turns::of_directory(blobs, None));
    let now = Instant::now();
    assert_eq!(scheduler.source_found(None, None, now), Some(SourceId(0)));
    (scheduler, now)
}

#[test]
fn one_source_brings_ten_thousand_in_few_requests_and_each_once() {
    let mut sim = Sim::new(10_000, KIB, &[Kind::Every(0)]);
    sim.run();
    assert!(sim.scheduler.is_done() && sim.scheduler.left().is_empty());
    assert!(sim.came.iter().all(|came| *came == 1));
    assert!(sim.requests <= 24, "{} requests", sim.requests);
}

#[test]
fn a_bundle_is_no_longer_than_allowed_but_may_be_one_large_blob() {
    let mut sim = Sim::new(20, 1024 * KIB, &[Kind::Every(100)]);
    sim.run();
    assert!(sim.came.iter().all(|came| *came == 1));
    assert!(sim.requests >= 5, "{} requests", sim.requests);
}

#[test]
fn sources_share_by_speed_and_end_together() {
    let mut sim = Sim::new(4000, KIB, &[Kind::Every(1), Kind::Every(1), Kind::Every(4)]);
    sim.run();
    assert!(sim.scheduler.is_done());
    // Two bundles of each source run at once in this simulation: 4.5 blobs in a millisecond.
    let ideal = Duration::from_millis(4000 * 2 / 9);
    assert!(sim.elapsed() < ideal * 3 / 2 + FIRST, "{:?}", sim.elapsed());
    assert!(sim.extra() < 100, "{} came twice", sim.extra());
}

/// What the first bundles to a slow source may cost.
const FIRST: Duration = Duration::from_millis(600);

#[test]
fn what_one_refuses_is_asked_of_the_others_and_of_each_a_few_times_at_most() {
    let mut sim = Sim::new(3000, KIB, &[Kind::Lacks(2), Kind::Lacks(3), Kind::HasNothing]);
    sim.run();
    let left: Vec<usize> = (0..3000).filter(|blob| blob % 6 == 0).collect();
    assert_eq!(sim.scheduler.left(), left);
    assert!(!sim.scheduler.is_done() && sim.scheduler.has_sources());
    let most = 1 + usize::try_from(MAX_SECOND_CHANCES).unwrap();
    for blob in left {
        assert!(sim.asked.iter().all(|asked| (1..=most).contains(&(asked[blob] as usize))), "{blob}");
    }
}

#[test]
fn who_has_nothing_yet_is_asked_again_and_helps() {
    let kinds = [Kind::Every(10), Kind::HasNothingYet(800)];
    let mut sim = Sim::new(1000, KIB, &kinds);
    sim.run();
    assert!(sim.scheduler.is_done());
    // Two bundles of the slow one run at once, and the other is ten times as fast.
    assert!(sim.elapsed() < Duration::from_secs(3), "{:?}", sim.elapsed());
}

#[test]
fn a_silent_source_holds_nothing_up() {
    let mut sim = Sim::new(1000, KIB, &[Kind::Silent, Kind::Every(1)]);
    sim.run();
    assert!(sim.scheduler.is_done());
    assert!(sim.elapsed() < Duration::from_secs(4), "{:?}", sim.elapsed());
}

#[test]
fn with_nobody_else_a_silent_source_is_given_up_in_time() {
    let mut sim = Sim::new(10, KIB, &[Kind::Silent]);
    sim.run();
    assert_eq!(sim.elapsed(), STALL);
    assert!(sim.dropped.contains(&0) && !sim.scheduler.has_sources());
    assert_eq!(sim.scheduler.left().len(), 10);
}

#[test]
fn a_liar_is_dropped_after_a_few_blobs_and_does_not_come_back() {
    let mut sim = Sim::new(500, KIB, &[Kind::Lies, Kind::Every(1)]);
    sim.run();
    assert!(sim.scheduler.is_done());
    assert!(sim.dropped.contains(&0));
    assert_eq!(sim.scheduler.source_found(Some(SourceId(0)), None, sim.now), Some(SourceId(0)));
    assert!(sim.scheduler.sources[0].is_dropped);
}

#[test]
fn a_busy_source_is_asked_again_and_one_that_breaks_goes_on() {
    for kind in [Kind::Busy(3), Kind::Breaks(100)] {
        let mut sim = Sim::new(700, KIB, &[kind]);
        sim.run();
        assert!(sim.scheduler.is_done(), "{kind:?}");
        assert!(sim.came.iter().all(|came| *came == 1), "{kind:?}");
    }
}

#[test]
fn a_source_that_waits_for_our_disk_is_not_blamed() {
    let (mut scheduler, now) = of_one_source(1);
    let [Action::Request { id, .. }] = scheduler.poll(now)[..] else { panic!("one request") };
    scheduler.held(id, true, now);
    assert_eq!(scheduler.poll(now + STALL * 2), []);
    scheduler.held(id, false, now + STALL * 2);
    assert_eq!(scheduler.poll(now + STALL * 3 - Duration::from_secs(1)), []);
    let ended = scheduler.poll(now + STALL * 3);
    assert!(matches!(ended[0], Action::Cancel { .. }), "{ended:?}");
}

#[test]
fn a_blob_that_cannot_come_in_a_bundle_is_left_and_asked_of_nobody_else() {
    let (mut scheduler, now) = of_one_source(2);
    let [Action::Request { id, .. }] = scheduler.poll(now)[..] else { panic!("one request") };
    scheduler.answered(id, Answer::Unfit, now);
    scheduler.finished(id, now);
    let [Action::Request { id, ref wants, .. }] = scheduler.poll(now)[..] else { panic!("one request") };
    assert_eq!(*wants, [1]);
    scheduler.answered(id, Answer::Came, now);
    scheduler.finished(id, now);
    assert!(scheduler.is_done());
    assert_eq!(scheduler.left(), [0]);
}

#[test]
fn nobody_is_asked_for_what_it_does_not_say_it_has_and_it_is_waited_for_a_while() {
    let mut sim = Sim::new(90, KIB, &[Kind::Fetches(2), Kind::Fetches(3)]);
    sim.run();
    let left: Vec<usize> = (0..90).filter(|blob| blob % 2 > 0 && blob % 3 > 0).collect();
    assert_eq!(sim.scheduler.left(), left);
    for (asked, each) in sim.asked.iter().zip([2, 3]) {
        assert!(asked.iter().enumerate().all(|(blob, times)| *times == 0 || blob % each == 0));
    }
    assert!((GROWING..GROWING + FIRST).contains(&sim.elapsed()), "{:?}", sim.elapsed());
}

#[test]
fn whoever_claims_again_and_again_what_it_does_not_give_is_not_waited_for() {
    // What nobody has: others are to be asked for it soon.
    for (kind, soon) in [
        (Kind::ClaimsAndRefuses, GROWING + Duration::from_secs(5)),
        (Kind::ClaimsAndHangs, STALL * 2 + GROWING),
    ] {
        let mut sim = Sim::new(90, KIB, &[Kind::Lacks(30), kind]);
        sim.run();
        assert_eq!(sim.scheduler.left(), [0, 30, 60], "{kind:?}");
        assert!(sim.elapsed() < soon, "{kind:?}: {:?}", sim.elapsed());
        assert!(sim.claims > 1 && sim.asked[1].iter().sum::<u32>() > 0, "{kind:?} claimed nothing");
        assert!(sim.dropped.contains(&1), "{kind:?}");
    }
}

#[test]
fn what_somebody_had_who_is_dropped_is_asked_of_the_others() {
    let mut scheduler = Scheduler::new((0..8).map(|file| (file, KIB)), Turns::of_directory(8, None));
    let now = Instant::now();
    let gone = scheduler.source_found(None, Some(part(0, 8, 2)), now).unwrap();
    let whole = scheduler.source_found(None, None, now).unwrap();
    let of = |actions: &[Action], source: SourceId| -> Vec<usize> {
        let wants = actions.iter().filter_map(|action| match action {
            Action::Request { source: asked, wants, .. } if *asked == source => Some(wants.clone()),
            _ => None,
        });
        wants.flatten().collect()
    };
    let first = scheduler.poll(now);
    assert_eq!((of(&first, whole), of(&first, gone)), (vec![1, 3, 5, 7], vec![0, 2, 4, 6]));
    let lost = first.iter().find_map(|action| match action {
        Action::Request { id, source, .. } if *source == gone => Some(*id),
        _ => None,
    });
    scheduler.failed(lost.unwrap(), Failure::Misbehaved("noise".into()), now);
    let mut asked = of(&scheduler.poll(now), whole);
    asked.sort_unstable();
    assert_eq!(asked, [0, 2, 4, 6]);
}

#[test]
fn sources_beyond_what_can_be_told_apart_are_not_taken() {
    let (mut scheduler, now) = of_one_source(1);
    for index in 1..64 {
        assert_eq!(scheduler.source_found(None, None, now), Some(SourceId(index)));
    }
    assert_eq!(scheduler.source_found(None, None, now), None);
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (0_u64..50).prop_map(Kind::Every),
        Just(Kind::Silent),
        Just(Kind::HasNothing),
        Just(Kind::Lies),
        (1_usize..5).prop_map(Kind::Lacks),
        (0_u32..5).prop_map(Kind::Busy),
        (1_usize..40).prop_map(Kind::Breaks),
        (1_usize..5).prop_map(Kind::Fetches),
        Just(Kind::ClaimsAndRefuses),
        Just(Kind::ClaimsAndHangs),
    ]
}

proptest! {
    /// Whoever the sources are, it ends; and with one good one among them everything comes.
    #[test]
    fn any_crowd_ends_and_a_good_source_is_enough(
        kinds in prop::collection::vec(kind(), 0..6),
        blobs in 0_usize..300,
        size in 0_u64..600 * KIB,
        good in any::<bool>(),
    ) {
        let mut kinds = kinds;
        if good {
            kinds.push(Kind::Every(3));
        }
        let mut sim = Sim::new(blobs, size, &kinds);
        sim.run();
        if good {
            prop_assert!(sim.scheduler.is_done());
        }
        let left: BTreeSet<usize> = sim.scheduler.left().into_iter().collect();
        for (blob, came) in sim.came.iter().enumerate() {
            prop_assert_eq!(*came == 0, left.contains(&blob));
        }
    }
}
