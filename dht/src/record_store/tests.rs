//! Quotas, expiry, replay and fairness of the record store, on a clock of our own.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Where the store's node is.
const HERE: Position = Position::from_bytes([0x5a; 32]);

/// A store with a clock, and a provider per number that is its own sender.
struct Scene {
    store: RecordStore,
    now: Instant,
    peers: HashMap<u64, PeerId>,
    sequence: u64,
}

impl Scene {
    fn new(max_records: usize, max_providers: usize) -> Self {
        let store = RecordStore::new(HERE, max_records, max_providers);
        Self { store, now: Instant::now(), peers: HashMap::new(), sequence: 0 }
    }

    fn peer(&mut self, number: u64) -> PeerId {
        *self.peers.entry(number).or_insert_with(PeerId::random)
    }

    fn offer(&mut self, provider: u64, ttl: Option<Duration>) -> Offer {
        self.sequence += 1;
        let provider = self.peer(provider);
        Offer {
            provider,
            sender: Sender::Peer(provider),
            addresses: vec!["/ip4/10.0.0.1/tcp/1".parse().expect("an address")],
            sequence: self.sequence,
            received: self.now,
            ttl,
        }
    }

    fn announce(&mut self, provider: u64, keys: &[ProviderKey]) -> Receipt {
        let offer = self.offer(provider, Some(HOUR));
        self.store.apply(offer, keys)
    }

    fn withdraw(&mut self, provider: u64, keys: &[ProviderKey]) -> Receipt {
        let offer = self.offer(provider, None);
        self.store.apply(offer, keys)
    }

    fn providers(&mut self, key: ProviderKey) -> HashSet<PeerId> {
        self.store.sample(&key, usize::MAX, |_| false, self.now).into_iter().map(|(peer, _)| peer).collect()
    }

    fn has(&mut self, key: ProviderKey, provider: u64) -> bool {
        let peer = self.peer(provider);
        self.providers(key).contains(&peer)
    }

    /// The books agree with each other.
    fn check(&self) {
        let records: usize = self.store.by_key.values().map(Vec::len).sum();
        let held: usize = self.store.by_sender.values().map(BTreeSet::len).sum();
        let sizes: usize = self.store.by_size.iter().map(|(size, _)| size).sum();
        assert_eq!((records, held, sizes), (self.store.len, self.store.len, self.store.len));
        assert!(self.store.len <= self.store.max_records);
        assert!(
            self.store
                .by_key
                .values()
                .all(|records| { !records.is_empty() && records.len() <= self.store.max_providers })
        );
    }
}

fn key(number: u64) -> ProviderKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ProviderKey::from_bytes(bytes)
}

fn keys(numbers: std::ops::Range<u64>) -> Vec<ProviderKey> {
    numbers.map(key).collect()
}

const fn stored(stored: u32) -> Receipt {
    Receipt { stored, refused: 0 }
}

#[test]
fn a_record_lives_as_long_as_it_said() {
    let mut scene = Scene::new(10, 10);
    assert_eq!(scene.announce(1, &[key(1)]), stored(1));
    scene.now += HOUR - Duration::from_secs(1);
    assert!(scene.has(key(1), 1));
    scene.now += Duration::from_secs(1);
    assert!(!scene.has(key(1), 1), "it is told no more, swept or not");
    assert_eq!(scene.store.len(), 1);
    scene.store.sweep(scene.now);
    assert_eq!(scene.store.len(), 0, "and its room is free");
    scene.check();
}

#[test]
fn no_record_lives_longer_than_two_days() {
    let mut scene = Scene::new(10, 10);
    let offer = scene.offer(1, Some(Duration::from_secs(u64::MAX)));
    scene.store.apply(offer, &[key(1)]);
    scene.now += MAX_AGE;
    assert!(!scene.has(key(1), 1));
}

#[test]
fn a_later_announcement_renews_and_an_earlier_one_is_refused() {
    let mut scene = Scene::new(10, 10);
    let old = scene.offer(1, Some(MAX_AGE));
    scene.announce(1, &[key(1)]);
    assert_eq!(scene.store.apply(old, &[key(1)]), Receipt { stored: 0, refused: 1 });
    scene.now += HOUR / 2;
    scene.announce(1, &[key(1)]);
    scene.now += HOUR / 2;
    assert!(scene.has(key(1), 1));
    assert_eq!(scene.store.len(), 1);
    scene.check();
}

#[test]
fn a_withdrawn_record_cannot_be_replayed() {
    let mut scene = Scene::new(10, 10);
    let replayed = |scene: &Scene| Offer {
        provider: scene.peers[&1],
        sender: Sender::Peer(PeerId::random()),
        addresses: Vec::new(),
        sequence: 1,
        received: scene.now,
        ttl: Some(HOUR),
    };
    scene.announce(1, &[key(1)]);
    assert_eq!(scene.withdraw(1, &[key(1)]), stored(1));
    assert!(!scene.has(key(1), 1));
    let again = replayed(&scene);
    assert_eq!(scene.store.apply(again, &[key(1)]), Receipt { stored: 0, refused: 1 });
    assert!(!scene.has(key(1), 1));
    // Sweeping does not make it forget before the replayed announcement itself would be too old.
    scene.now += HOUR - Duration::from_secs(1);
    scene.store.sweep(scene.now);
    let again = replayed(&scene);
    assert_eq!(scene.store.apply(again, &[key(1)]), Receipt { stored: 0, refused: 1 });
    // The provider itself may come back.
    assert_eq!(scene.announce(1, &[key(1)]), stored(1));
    assert!(scene.has(key(1), 1));
    scene.check();
}

#[test]
fn a_number_from_the_future_hurts_nobody_but_its_provider_and_not_for_ever() {
    let mut scene = Scene::new(10, 10);
    let mut from_the_future = scene.offer(1, Some(Duration::from_secs(u64::MAX)));
    from_the_future.sequence = u64::MAX;
    scene.store.apply(from_the_future, &[key(1)]);
    assert_eq!(scene.announce(1, &[key(1)]).refused, 1);
    assert_eq!((scene.announce(2, &[key(1)]), scene.announce(1, &[key(2)])), (stored(1), stored(1)));
    scene.now += MAX_AGE;
    assert_eq!(scene.announce(1, &[key(1)]), stored(1));
    scene.check();
}

#[test]
fn what_is_not_held_is_withdrawn_without_a_trace() {
    let mut scene = Scene::new(10, 10);
    assert_eq!(scene.withdraw(1, &[key(1)]), stored(1));
    assert_eq!(scene.store.len(), 0);
}

#[test]
fn nobody_withdraws_for_another() {
    let mut scene = Scene::new(10, 10);
    scene.announce(1, &[key(1)]);
    scene.withdraw(2, &[key(1)]);
    assert!(scene.has(key(1), 1));
}

#[test]
fn the_one_who_fills_the_store_makes_room() {
    let mut scene = Scene::new(1000, 10);
    assert_eq!(scene.announce(1, &keys(0..1000)), stored(1000), "an empty store has room for one sender");
    scene.announce(1, &keys(1000..1100));
    let mut nearest = keys(0..1100);
    nearest.sort_by_key(|key| Position::of_key(key).distance(HERE));
    let far = nearest.split_off(1000);
    assert!(
        nearest.iter().all(|key| scene.has(*key, 1)),
        "of its own keys those stay that are nearest to us"
    );
    assert!(far.iter().all(|key| !scene.has(*key, 1)));
    for small in 2..12 {
        assert_eq!(scene.announce(small, &keys(5000..5050)), stored(50));
        scene.check();
    }
    for small in 2..12 {
        assert!((5000..5050).all(|number| scene.has(key(number), small)));
    }
    assert!(nearest[..500].iter().all(|key| scene.has(*key, 1)), "it loses what is farthest from us");
    assert!(nearest[500..].iter().all(|key| !scene.has(*key, 1)));
}

#[test]
fn equals_do_not_push_each_other_out() {
    let mut scene = Scene::new(100, 10);
    scene.announce(1, &keys(0..50));
    scene.announce(2, &keys(100..150));
    let of = |scene: &Scene, sender: u64| scene.store.by_sender[&Sender::Peer(scene.peers[&sender])].len();
    scene.announce(2, &keys(200..210));
    assert_eq!((of(&scene, 1), of(&scene, 2)), (50, 50));
    scene.announce(3, &keys(300..400));
    // Which of the two that are equal loses one more is for their names to decide.
    let mut held = [1, 2].map(|sender| of(&scene, sender));
    held.sort_unstable();
    assert_eq!((held, of(&scene, 3)), ([33, 34], 33));
    scene.check();
}

#[test]
fn a_sender_with_many_identities_is_still_one_sender() {
    let mut scene = Scene::new(100, 10);
    let sender = Sender::Peer(scene.peer(0));
    for identity in 1..=200 {
        let mut offer = scene.offer(identity, Some(HOUR));
        offer.sender = sender;
        scene.store.apply(offer, &[key(identity)]);
    }
    assert_eq!(scene.store.len(), 100);
    assert_eq!(scene.announce(999, &keys(500..540)), stored(40));
    assert!((500..540).all(|number| scene.has(key(number), 999)));
    scene.check();
}

#[test]
fn squatters_do_not_keep_the_real_provider_out() {
    let mut scene = Scene::new(1000, 64);
    for fake in 1..=64 {
        scene.announce(fake, &[key(1)]);
        scene.now += Duration::from_secs(1);
    }
    assert_eq!(scene.announce(100, &[key(1)]), stored(1));
    let real = scene.peer(100);
    assert_eq!(scene.providers(key(1)).len(), 64);
    let answers = (0..5).filter(|_| {
        scene.store.sample(&key(1), 20, |_| false, scene.now).iter().any(|(peer, _)| *peer == real)
    });
    assert!(answers.count() >= 1, "the real one is in some of five answers");
    scene.check();
}

/// How many of so many stores have a provider of a key that comes after some fakes and before others.
fn stores_that_keep_the_real_one(stores: usize, before: u64, after: u64) -> usize {
    let keep = (0..stores).filter(|_| {
        let mut scene = Scene::new(1000, 8);
        for fake in 0..before {
            scene.announce(1000 + fake, &[key(1)]);
        }
        assert_eq!(scene.announce(100, &[key(1)]), stored(1));
        scene.now += Duration::from_secs(1);
        for fake in 0..after {
            scene.announce(10_000 + fake, &[key(1)]);
        }
        scene.check();
        scene.has(key(1), 100)
    });
    keep.count()
}

#[test]
fn squatters_have_the_same_chance_as_the_real_provider_whoever_comes_first() {
    // A third of those who came are in the list.
    for (before, after) in [(8, 16), (24, 0), (16, 8)] {
        let kept = stores_that_keep_the_real_one(60, before, after);
        assert!((7..=36).contains(&kept), "{kept} of 60 with {before} before and {after} after it");
    }
}

#[test]
fn however_many_squatters_come_a_list_is_not_closed() {
    let kept = stores_that_keep_the_real_one(160, 300, 0);
    assert!((6..=44).contains(&kept), "{kept} of 160");
    // Each of those who come later pushes it out with a chance of one in 64 then, and not of one in eight.
    let kept = stores_that_keep_the_real_one(160, 8, 88);
    assert!((3..=40).contains(&kept), "{kept} of 160");
}

#[test]
fn a_store_full_of_strangers_with_one_record_each_takes_what_is_nearer() {
    let mut scene = Scene::new(100, 10);
    for stranger in 0..100 {
        assert_eq!(scene.announce(stranger, &[key(stranger)]), stored(1));
    }
    let place = |store: &RecordStore, number: u64| store.distance(&key(number));
    let mut numbers: Vec<_> = (1000..3000).collect();
    numbers.sort_by_key(|number| place(&scene.store, *number));
    let (nearest, farthest) = (numbers[0], numbers[numbers.len() - 1]);
    assert_eq!(scene.announce(500, &[key(nearest)]), stored(1));
    assert_eq!(scene.announce(501, &[key(farthest)]).refused, 1);
    assert!(scene.has(key(nearest), 500));
    scene.check();
}

#[test]
fn one_squatter_with_many_identities_makes_room_before_others() {
    let mut scene = Scene::new(1000, 64);
    scene.announce(1000, &[key(1)]);
    let squatter = Sender::Peer(scene.peer(0));
    for fake in 1..=200 {
        let mut offer = scene.offer(fake, Some(HOUR));
        offer.sender = squatter;
        scene.store.apply(offer, &[key(1)]);
    }
    assert!(scene.has(key(1), 1000), "the oldest record stays, because its sender has only this one");
    scene.check();
}

#[test]
fn samples_take_turns() {
    let mut scene = Scene::new(1000, 64);
    for provider in 1..=50 {
        scene.announce(provider, &[key(1)]);
    }
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let sample = scene.store.sample(&key(1), 20, |_| false, scene.now);
        assert_eq!(sample.len(), 20);
        seen.extend(sample.into_iter().map(|(peer, _)| peer));
    }
    assert_eq!(seen.len(), 50);
}

#[test]
fn whom_we_could_not_reach_is_told_last() {
    let mut scene = Scene::new(1000, 64);
    for provider in 1..=30 {
        scene.announce(provider, &[key(1)]);
    }
    let dead: HashSet<_> = (1..=15).map(|provider| scene.peer(provider)).collect();
    for _ in 0..10 {
        let sample = scene.store.sample(&key(1), 20, |peer| dead.contains(peer), scene.now);
        assert!(sample[..15].iter().all(|(peer, _)| !dead.contains(peer)));
        assert!(
            sample[15..].iter().all(|(peer, _)| dead.contains(peer)),
            "they still fill what room is left"
        );
    }
}

#[test]
fn one_network_does_not_fill_an_answer() {
    let mut scene = Scene::new(1000, 64);
    let mut announce = |provider: u64, address: String| {
        let mut offer = scene.offer(provider, Some(HOUR));
        offer.addresses = vec![address.parse().expect("an address")];
        scene.store.apply(offer, &[key(1)]);
    };
    for squatter in 1..=50 {
        announce(squatter, format!("/ip4/8.8.8.{squatter}/tcp/1"));
    }
    for honest in 51..=60 {
        announce(honest, format!("/ip4/9.9.{honest}.1/tcp/1"));
    }
    let honest: HashSet<_> = (51..=60).map(|provider| scene.peer(provider)).collect();
    let mut squatters = HashSet::new();
    for _ in 0..10 {
        let (real, fake): (Vec<_>, Vec<_>) = scene
            .store
            .sample(&key(1), 20, |_| false, scene.now)
            .into_iter()
            .map(|(peer, _)| peer)
            .partition(|peer| honest.contains(peer));
        assert_eq!((real.len(), fake.len()), (10, MAX_PER_GROUP));
        squatters.extend(fake);
    }
    assert!(squatters.len() > MAX_PER_GROUP, "which of them are told changes");
}

#[derive(Clone, Debug)]
enum Step {
    Announce { provider: u64, via: u64, first: u64, count: u64 },
    Withdraw { provider: u64, first: u64, count: u64 },
    Wait { minutes: u64 },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8_u64, 0..4_u64, 0..12_u64, 1..8_u64).prop_map(|(provider, via, first, count)| Step::Announce {
            provider,
            via,
            first,
            count
        }),
        (0..8_u64, 0..12_u64, 1..8_u64).prop_map(|(provider, first, count)| Step::Withdraw {
            provider,
            first,
            count
        }),
        (1..40_u64).prop_map(|minutes| Step::Wait { minutes }),
        Just(Step::Sweep),
    ]
}

proptest! {
    /// The books agree and the limits hold after any history, and with room for all a plain map says the same.
    #[test]
    fn any_history_keeps_the_books(steps in proptest::collection::vec(step(), 1..80), is_tight: bool) {
        let (max_records, max_providers) = if is_tight { (20, 3) } else { (1000, 100) };
        let mut scene = Scene::new(max_records, max_providers);
        let mut model: HashMap<(ProviderKey, u64), Instant> = HashMap::new();
        for step in steps {
            match step {
                Step::Announce { provider, via, first, count } => {
                    let mut offer = scene.offer(provider, Some(HOUR));
                    offer.sender = Sender::Peer(scene.peer(via));
                    scene.store.apply(offer, &keys(first..first + count));
                    model.extend(keys(first..first + count).into_iter().map(|key| ((key, provider), scene.now + HOUR)));
                }
                Step::Withdraw { provider, first, count } => {
                    scene.withdraw(provider, &keys(first..first + count));
                    for key in keys(first..first + count) {
                        model.remove(&(key, provider));
                    }
                }
                Step::Wait { minutes } => scene.now += Duration::from_secs(60 * minutes),
                Step::Sweep => scene.store.sweep(scene.now),
            }
            scene.check();
        }
        for key in keys(0..20) {
            for provider in 0..8 {
                let expected = model.get(&(key, provider)).is_some_and(|expires| *expires > scene.now);
                let has = scene.has(key, provider);
                prop_assert!(has == expected || (is_tight && !has));
            }
        }
        scene.now += MAX_AGE;
        scene.store.sweep(scene.now);
        prop_assert_eq!(scene.store.len(), 0);
    }
}
