//! Records across restarts, with a map for a disk.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::disk::{self, RecordChange};
use crate::position::Position;
use crate::scope::Scope;

const HOUR: Duration = Duration::from_secs(3600);

/// Where the store's node is.
const HERE: Position = Position::from_bytes([0x5a; 32]);

/// Expiry is kept in whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

/// A store that is killed and started again, and the disk that stays.
struct Scene {
    store: RecordStore,
    limits: (usize, usize),
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    now: Instant,
    wall: SystemTime,
    sequence: u64,
    peers: HashMap<u64, PeerId>,
}

impl Scene {
    fn new(max_records: usize, max_providers: usize) -> Self {
        Self {
            store: RecordStore::new(HERE, max_records, max_providers),
            limits: (max_records, max_providers),
            disk: BTreeMap::new(),
            // Ages reach back before the start, and the clock of the system began when it was booted.
            now: Instant::now() + 100 * HOUR,
            wall: SystemTime::now(),
            sequence: 0,
            peers: HashMap::new(),
        }
    }

    fn peer(&mut self, number: u64) -> PeerId {
        *self.peers.entry(number).or_insert_with(PeerId::random)
    }

    fn announce(&mut self, provider: u64, sender: u64, ttl: Option<Duration>, keys: &[ProviderKey]) {
        self.sequence += 1;
        let offer = Offer {
            provider: self.peer(provider),
            sender: Sender::Peer(self.peer(sender)),
            addresses: vec!["/ip4/10.0.0.1/tcp/1".parse().expect("an address")],
            sequence: self.sequence,
            received: self.now,
            ttl,
        };
        self.store.apply(offer, keys);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.wall += time;
    }

    /// Writes up to `max` changes.
    fn flush(&mut self, max: usize) -> usize {
        let changes = self.store.take_changes(max, self.now);
        let count = changes.len();
        for change in changes {
            let RecordChange { key, row } = RecordChange::encode(Scope::Lan, change, self.wall);
            match row {
                Some(row) => self.disk.insert(key, row),
                None => self.disk.remove(&key),
            };
        }
        count
    }

    /// Kills the process: what was not written is lost.
    fn restart(&mut self) {
        self.store = RecordStore::new(HERE, self.limits.0, self.limits.1);
        self.store.expect_restored();
    }

    fn load(&mut self) {
        let (now, wall, store) = (self.now, self.wall, &mut self.store);
        self.disk.retain(|key, row| {
            disk::decode(key, row, wall).is_some_and(|(_, kept)| store.restore(kept, now))
        });
        self.store.loaded();
    }

    fn has(&mut self, key: ProviderKey, provider: u64) -> bool {
        let peer = self.peer(provider);
        self.store.sample(&key, usize::MAX, |_| false, self.now).iter().any(|(other, _)| *other == peer)
    }
}

fn key(number: u64) -> ProviderKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ProviderKey::from_bytes(bytes)
}

fn keys(first: u64, count: u64) -> Vec<ProviderKey> {
    (first..first + count).map(key).collect()
}

#[test]
fn a_record_outlives_a_restart_and_expires_when_it_would_have() {
    let mut scene = Scene::new(10, 10);
    scene.announce(1, 1, Some(HOUR), &keys(0, 3));
    assert_eq!(scene.flush(usize::MAX), 3);
    assert_eq!(scene.flush(usize::MAX), 0, "only changes are written");
    scene.wait(HOUR / 2);
    scene.restart();
    assert!(!scene.has(key(1), 1));
    scene.load();
    assert!(scene.has(key(1), 1));
    assert_eq!(scene.flush(usize::MAX), 0, "what was read need not be written");
    scene.wait(HOUR / 2 + ROUNDING);
    assert!(!scene.has(key(1), 1));
    scene.store.sweep(scene.now);
    assert_eq!(scene.flush(usize::MAX), 3);
    assert_eq!(scene.disk.len(), 0);
}

#[test]
fn what_came_and_went_between_two_writes_is_not_written() {
    let mut scene = Scene::new(10, 10);
    for _ in 0..100 {
        scene.announce(1, 1, Some(Duration::ZERO), &keys(0, 5));
        scene.wait(Duration::from_secs(1));
        scene.store.sweep(scene.now);
    }
    assert_eq!(scene.flush(usize::MAX), 0);
}

#[test]
fn a_withdrawal_before_the_disk_was_read_counts() {
    let mut scene = Scene::new(10, 10);
    scene.announce(1, 1, Some(HOUR), &keys(0, 2));
    scene.flush(usize::MAX);
    scene.restart();
    scene.announce(1, 1, None, &keys(0, 1));
    scene.load();
    assert!(!scene.has(key(0), 1));
    assert!(scene.has(key(1), 1));
    scene.flush(usize::MAX);
    scene.wait(Duration::from_secs(1));
    scene.store.sweep(scene.now);
    scene.flush(usize::MAX);
    assert_eq!(scene.disk.len(), 1);
}

#[test]
fn an_announcement_replayed_before_the_disk_was_read_does_not_win() {
    let mut scene = Scene::new(10, 10);
    scene.announce(1, 1, Some(HOUR), &keys(0, 1));
    scene.announce(1, 1, None, &keys(0, 1));
    scene.flush(usize::MAX);
    scene.restart();
    scene.sequence = 0;
    scene.announce(1, 1, Some(HOUR), &keys(0, 1));
    scene.load();
    assert!(!scene.has(key(0), 1), "the withdrawal was the later word");
}

#[test]
fn what_was_on_disk_pushes_nobody_out() {
    let mut scene = Scene::new(10, 2);
    scene.announce(1, 1, Some(HOUR), &keys(0, 10));
    scene.flush(usize::MAX);
    scene.restart();
    scene.announce(2, 2, Some(HOUR), &keys(0, 5));
    scene.announce(3, 3, Some(HOUR), &keys(0, 1));
    scene.load();
    assert_eq!(scene.store.len(), 10);
    assert!((0..5).all(|number| scene.has(key(number), 2)));
    assert!(scene.has(key(0), 3) && !scene.has(key(0), 1), "the key was full");
}

#[test]
fn what_is_lost_on_disk_is_told_again() {
    let mut scene = Scene::new(10, 10);
    scene.announce(1, 1, Some(HOUR), &keys(0, 5));
    scene.flush(usize::MAX);
    scene.announce(1, 1, None, &keys(4, 1));
    scene.disk.clear();
    scene.store.unkept();
    scene.flush(usize::MAX);
    scene.restart();
    scene.load();
    assert!((0..4).all(|number| scene.has(key(number), 1)));
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let mut scene = Scene::new(50, 10);
    scene.announce(0, 0, Some(HOUR), &keys(0, 50));
    scene.flush(usize::MAX);
    for round in 1..100 {
        scene.announce(round, round, Some(HOUR), &keys(round * 50, 50));
        scene.wait(2 * HOUR);
        scene.store.sweep(scene.now);
    }
    assert!(scene.store.gone.len() + scene.store.unsaved.len() <= 2 * 50);
}

#[derive(Clone, Debug)]
enum Step {
    Announce { provider: u64, via: u64, first: u64, count: u64 },
    Withdraw { provider: u64, first: u64, count: u64 },
    Wait { minutes: u64 },
    Sweep,
    Flush { max: usize },
    FlushAll,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let announce = (0..6_u64, 0..3_u64, 0..12_u64, 1..8_u64)
        .prop_map(|(provider, via, first, count)| Step::Announce { provider, via, first, count });
    let withdraw = (0..6_u64, 0..12_u64, 1..8_u64).prop_map(|(provider, first, count)| Step::Withdraw {
        provider,
        first,
        count,
    });
    prop_oneof![
        3 => announce,
        1 => withdraw,
        1 => (1..40_u64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Sweep),
        1 => (1..20_usize).prop_map(|max| Step::Flush { max }),
        1 => Just(Step::FlushAll),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// With room for all, a restart brings back what a plain map had when everything was last written, and with
    /// little room the limits hold whatever comes back.
    #[test]
    fn any_history_survives_its_restarts(steps in proptest::collection::vec(step(), 1..80), is_tight: bool) {
        let (max_records, max_providers) = if is_tight { (20, 3) } else { (1000, 100) };
        let mut scene = Scene::new(max_records, max_providers);
        let mut model: BTreeMap<(ProviderKey, u64), Instant> = BTreeMap::new();
        let mut written = model.clone();
        let mut is_sure = true;
        for step in steps {
            match step {
                Step::Announce { provider, via, first, count } => {
                    scene.announce(provider, via, Some(HOUR), &keys(first, count));
                    let until = scene.now + HOUR;
                    model.extend(keys(first, count).into_iter().map(|key| ((key, provider), until)));
                }
                Step::Withdraw { provider, first, count } => {
                    scene.announce(provider, provider, None, &keys(first, count));
                    for key in keys(first, count) {
                        model.remove(&(key, provider));
                    }
                }
                Step::Wait { minutes } => scene.wait(Duration::from_secs(60 * minutes)),
                Step::Sweep => scene.store.sweep(scene.now),
                // A part of the changes: what is on disk then is neither the one nor the other.
                Step::Flush { max } => {
                    if scene.flush(max) < max {
                        (written, is_sure) = (model.clone(), true);
                    } else {
                        is_sure = false;
                    }
                }
                Step::FlushAll => {
                    scene.flush(usize::MAX);
                    (written, is_sure) = (model.clone(), true);
                }
                Step::Restart => {
                    if !is_sure {
                        scene.flush(usize::MAX);
                        (written, is_sure) = (model.clone(), true);
                    }
                    scene.restart();
                    scene.load();
                    model.clone_from(&written);
                }
            }
            prop_assert!(scene.store.len() <= max_records);
            prop_assert!(scene.store.by_key.values().all(|records| records.len() <= max_providers));
            prop_assert!(scene.disk.len() <= 2 * max_records);
        }
        for key in keys(0, 20) {
            for provider in 0..6 {
                let until = model.get(&(key, provider)).copied();
                // Within the rounding either answer is right.
                if until.is_some_and(|until| until > scene.now && until <= scene.now + ROUNDING) {
                    continue;
                }
                let expected = until.is_some_and(|until| until > scene.now);
                let has = scene.has(key, provider);
                prop_assert!(has == expected || (is_tight && !has), "{key:?} of {provider}");
            }
        }
        scene.flush(usize::MAX);
        let on_disk = scene.disk.len();
        prop_assert_eq!(on_disk, scene.store.len(), "the disk has what is in memory");
    }
}
