//! Several nodes that fetch one directory at the same time, on simulated time: what one has the others get from it.

use std::collections::BTreeSet;

use super::*;

/// Bytes that each node sends in a millisecond.
const UPLINK: u64 = 12_500;

/// How often each hears what the others have.
const NEWS: Duration = Duration::from_millis(250);

/// A bundle on its way.
struct Sending {
    to: usize,
    id: BundleId,
    wants: VecDeque<usize>,
    /// What is left to send of the next.
    left: u64,
}

/// One seed, and those who fetch its directory. The last source of each is the seed.
struct Swarm {
    size: u64,
    fetching: Vec<Scheduler>,
    has: Vec<BTreeSet<usize>>,
    /// What each node sends, the seed last.
    sending: Vec<Vec<Sending>>,
    sent: Vec<u64>,
    now: Instant,
}

impl Swarm {
    fn new(receivers: usize, files: usize, size: u64) -> Self {
        let now = Instant::now();
        let fetching = (0..receivers).map(|me| {
            let turns = Turns::of_directory(files, Some(salt(me)));
            let mut scheduler = Scheduler::new((0..files).map(|file| (file, size)), turns);
            // The others are known by their numbers, without the own one, and the seed comes last.
            for other in (0..receivers).filter(|other| *other != me) {
                let part = Part { salt: salt(other), files: GroupRanges::empty() };
                scheduler.source_found(None, Some(part), now).unwrap();
            }
            scheduler.source_found(None, None, now).unwrap();
            scheduler
        });
        Swarm {
            size,
            fetching: fetching.collect(),
            has: vec![BTreeSet::new(); receivers],
            sending: (0..=receivers).map(|_| Vec::new()).collect(),
            sent: vec![0; receivers + 1],
            now,
        }
    }

    /// The node behind a source of a receiver.
    fn node(me: usize, source: SourceId) -> usize {
        let source = usize::try_from(source.0).unwrap();
        if source < me { source } else { source + 1 }
    }

    fn tell_news(&mut self) {
        let receivers = self.fetching.len();
        for me in 0..receivers {
            for other in (0..receivers).filter(|other| *other != me) {
                let source = SourceId(if other < me { other } else { other - 1 } as u64);
                let part = (self.has[other].len() < self.files()).then(|| {
                    let files = self.has[other].iter().map(|file| *file as u64..*file as u64 + 1).collect();
                    Part { salt: salt(other), files }
                });
                self.fetching[me].source_found(Some(source), part, self.now);
            }
        }
    }

    fn files(&self) -> usize {
        self.fetching[0].queue.left().len().max(self.has[0].len() + self.fetching[0].queue.left().len())
    }

    fn apply(&mut self, me: usize) {
        for action in self.fetching[me].poll(self.now) {
            match action {
                Action::Request { id, source, wants } => {
                    let node = Self::node(me, source);
                    let wants: VecDeque<usize> = wants.into();
                    self.sending[node].push(Sending { to: me, id, wants, left: self.size });
                }
                Action::Cancel { id } => {
                    for sending in &mut self.sending {
                        sending.retain(|sending| sending.to != me || sending.id != id);
                    }
                }
                Action::Drop { .. } => panic!("nobody did anything wrong"),
            }
        }
    }

    /// A millisecond of everybody's uplink, shared by all that is on its way.
    fn send(&mut self) {
        for node in 0..self.sending.len() {
            let mut all = std::mem::take(&mut self.sending[node]);
            let share = UPLINK / (all.len() as u64).max(1);
            for sending in &mut all {
                self.sent[node] += share;
                sending.left = sending.left.saturating_sub(share);
                if sending.left > 0 {
                    continue;
                }
                let want = sending.wants.pop_front().unwrap();
                self.fetching[sending.to].answered(sending.id, Answer::Came, self.now);
                self.has[sending.to].insert(want);
                sending.left = self.size;
                if sending.wants.is_empty() {
                    self.fetching[sending.to].finished(sending.id, self.now);
                }
            }
            all.retain(|sending| !sending.wants.is_empty());
            self.sending[node].extend(all);
        }
    }

    /// Runs until all have everything. Gives the time that it took.
    fn run(&mut self) -> Duration {
        let start = self.now;
        while self.fetching.iter().any(|scheduler| !scheduler.is_done()) {
            for me in 0..self.fetching.len() {
                self.apply(me);
            }
            self.send();
            self.now += Duration::from_millis(1);
            let elapsed = self.now - start;
            assert!(elapsed < Duration::from_secs(1000), "it does not end");
            if elapsed.as_millis().is_multiple_of(NEWS.as_millis()) {
                self.tell_news();
            }
        }
        self.now - start
    }
}

fn salt(node: usize) -> u64 {
    0x1234_5678_9abc_def1_u64.wrapping_mul(node as u64 + 1)
}

#[test]
fn what_one_has_the_others_get_from_it() {
    const FILES: usize = 400;
    const SIZE: u64 = 300 * KIB;
    for receivers in [2, 4, 8] {
        let mut swarm = Swarm::new(receivers, FILES, SIZE);
        let took = swarm.run();
        let whole = FILES as u64 * SIZE;
        let (all, one) = (whole * receivers as u64, whole);
        let bound = Duration::from_millis((one / UPLINK).max(all / (UPLINK * (receivers as u64 + 1))));
        let by_seed = swarm.sent[receivers] * 100 / whole;
        let waste = (swarm.sent.iter().sum::<u64>() - all) * 100 / all;
        println!("{receivers}: {took:?} of {bound:?}, the seed {by_seed} %, {waste} % more than needed");
        assert!(took < bound * 5 / 4, "{receivers} took {took:?} instead of {bound:?}");
        assert!(by_seed < 125, "the seed of {receivers} sent {by_seed} %");
        assert!(waste < 5, "{receivers}: {waste} % in vain");
    }
}
