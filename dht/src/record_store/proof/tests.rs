//! What is kept of announcements, and what of it is for whom.

use std::time::Duration;

use super::*;
use crate::position::Position;
use crate::record_store::Sender;

const HERE: Position = Position::from_bytes([0x5a; 32]);
const HOUR: Duration = Duration::from_secs(3600);

fn keys(numbers: std::ops::Range<u64>) -> Vec<ProviderKey> {
    numbers.map(|number| ProviderKey::from_bytes(*blake3::hash(&number.to_be_bytes()).as_bytes())).collect()
}

struct Scene {
    store: RecordStore,
    now: Instant,
    sequence: u64,
}

impl Scene {
    fn new(max_records: usize) -> Self {
        Self { store: RecordStore::new(HERE, max_records, 8), now: Instant::now(), sequence: 0 }
    }

    /// An announcement of these keys, as long as a real one.
    fn announce(&mut self, provider: PeerId, keys: &[ProviderKey], ttl: Option<Duration>) {
        self.sequence += 1;
        let (sequence, received) = (self.sequence, self.now);
        let offer = Offer {
            provider,
            sender: Sender::Peer(provider),
            addresses: Vec::new(),
            sequence,
            received,
            ttl,
        };
        let signed = vec![0; 200 + keys.len() * KEY_LEN];
        self.store.apply_signed(offer, keys, (&signed, keys.len()));
    }

    fn all(&self, since: Option<Instant>) -> Vec<Handable> {
        let lacks = |came| since.is_none_or(|since| came > since);
        let mut all = self.store.handable(|_| Some(0), lacks, self.now);
        all.sort_by_key(|handable| handable.bytes.len());
        all
    }

    fn bytes(&self) -> usize {
        self.store.proofs.0.values().map(|proof| proof.bytes.len()).sum()
    }
}

#[test]
fn what_is_held_can_be_handed_on_until_it_is_withdrawn_or_expires() {
    let (mut scene, one, other) = (Scene::new(100), PeerId::random(), PeerId::random());
    scene.announce(one, &keys(0..10), Some(HOUR));
    let then = scene.now;
    scene.now += HOUR / 4;
    scene.announce(other, &keys(0..3), Some(HOUR));
    let counts = |all: Vec<Handable>| all.iter().map(|handable| handable.keys).collect::<Vec<_>>();
    assert_eq!(counts(scene.all(None)), [3, 10]);
    assert_eq!(counts(scene.all(Some(then))), [3], "the rest is known");
    let near: Vec<_> = keys(0..5).iter().map(|key| Position::of_key(key).place()).collect();
    let found = scene.store.handable(|key| near.contains(&key).then_some(7), |_| true, scene.now);
    assert_eq!(found.iter().map(|handable| (handable.keys, handable.nearest)).max(), Some((5, 7)));
    scene.announce(other, &keys(0..3), None);
    assert_eq!(counts(scene.all(None)), [10]);
    scene.now += HOUR;
    assert_eq!(scene.all(None), []);
    scene.store.sweep(scene.now);
    assert_eq!(scene.bytes(), 0);
}

#[test]
fn one_record_does_not_keep_a_long_announcement_in_memory() {
    let (mut scene, provider) = (Scene::new(100_000), PeerId::random());
    for round in 0..50 {
        let first = round * 100;
        scene.announce(provider, &keys(first..first + 1000), Some(HOUR));
        // All but one of them are announced anew, each by itself.
        for key in keys(first + 1..first + 1000) {
            scene.announce(provider, &[key], Some(HOUR));
        }
        let most = scene.store.len() * (MAX_OVERHEAD + LEAST_PART * KEY_LEN);
        assert!(scene.bytes() <= most, "{} bytes for {} records", scene.bytes(), scene.store.len());
        let long = scene.store.proofs.0.values().filter(|proof| proof.keys > 1).count();
        assert_eq!(long, 0);
    }
}

#[test]
fn what_a_full_store_pushes_out_takes_its_announcement_along() {
    let mut scene = Scene::new(100);
    for _ in 0..200 {
        scene.announce(PeerId::random(), &keys(0..40), Some(HOUR));
    }
    assert_eq!(scene.store.len(), 100);
    let held: usize = scene.store.proofs.0.values().map(|proof| proof.held).sum();
    assert!(held <= 100 && scene.store.proofs.0.len() <= 8, "{held} records");
}

#[test]
fn an_announcement_full_of_addresses_is_believed_and_not_kept() {
    let (mut scene, provider) = (Scene::new(100), PeerId::random());
    let (sequence, received) = (1, scene.now);
    let offer = Offer {
        provider,
        sender: Sender::Peer(provider),
        addresses: Vec::new(),
        sequence,
        received,
        ttl: Some(HOUR),
    };
    scene.store.apply_signed(offer, &keys(0..1), (&[0; MAX_OVERHEAD + KEY_LEN + 1], 1));
    assert_eq!((scene.store.len(), scene.bytes()), (1, 0));
}
