//! The announcer on a clock of our own, against nodes that answer as they are told.

mod restart;
mod sweep;

use std::collections::{HashMap, HashSet};
use std::time::SystemTime;

use libp2p::identity::Keypair;
use shoal_content::NetworkName;

use super::batch::{MAX_HOLDERS, remember};
use super::*;
use crate::scope::Scope;
use crate::wire::Term;

const HOUR: Duration = Duration::from_secs(3600);
const ID: Task = Task::Announce(AnnounceId(1));

/// An announcer, a clock, and a small network.
struct Scene {
    provide: Provide,
    now: Instant,
    nodes: Vec<Node>,
    sequence: u64,
    keypair: Keypair,
}

/// A message on its way.
struct Message {
    peer: PeerId,
    keys: BTreeSet<ProviderKey>,
    withdraws: bool,
}

impl Scene {
    fn new(nodes: usize) -> Self {
        let node = |_| Node { peer: PeerId::random(), addresses: Vec::new() };
        let now = Instant::now();
        Self {
            provide: Provide::new(Scope::Lan, SharedKeys::default(), Clock::new(now, SystemTime::now())),
            now,
            nodes: (0..nodes).map(node).collect(),
            sequence: 0,
            keypair: Keypair::generate_ed25519(),
        }
    }

    fn announce(&mut self, keys: &[ProviderKey]) {
        self.provide.announce(ID, keys, HOUR);
    }

    fn keep(&mut self, keys: &[ProviderKey], ttl: Duration) {
        let own: Vec<_> = keys.iter().map(|key| OwnKey { key: *key, since: 0 }).collect();
        self.provide.keep(&own, ttl, self.now);
    }

    /// The whole network, nearest to a position first.
    fn nearest(&self, target: Position) -> Vec<Node> {
        let mut nodes = self.nodes.clone();
        nodes.sort_by_key(|node| Position::of_peer(&node.peer).distance(target));
        nodes
    }

    /// Walks that begin now and find the whole network; how many there were.
    fn walk(&mut self) -> usize {
        let mut count = 0;
        loop {
            let walks = self.provide.next_walks(self.now);
            if walks.is_empty() {
                return count;
            }
            for walk in walks {
                count += 1;
                self.provide.walk_ended(walk, self.nearest(walk.target), self.now);
            }
        }
    }

    /// The messages that may be sent now.
    fn send(&mut self) -> Vec<Message> {
        let Self { provide, now, sequence, keypair, .. } = self;
        let mut seal = |parcel: &Parcel<'_>| {
            *sequence += 1;
            let term = if parcel.ttl.is_some() { Term::Until(1) } else { Term::Withdrawn };
            let place = (&NetworkName::default(), Scope::Lan);
            Some(Arc::new(
                Sealed::seal(*sequence, term, &[], parcel.keys.clone(), place, keypair).expect("signs"),
            ))
        };
        let mut messages = Vec::new();
        while let Some((node, sealed)) = provide.next_message(|_| true, &mut seal, *now) {
            let announcement = sealed.announcement();
            messages.push(Message {
                peer: node.peer,
                keys: announcement.keys.clone(),
                withdraws: announcement.term == Term::Withdrawn,
            });
        }
        messages
    }

    fn answer(&mut self, messages: &[Message], answer: Answer) {
        for message in messages {
            self.provide.answered(message.peer, answer, self.now);
        }
    }

    /// Runs until nothing is left to do, with one answer for all; every message in order.
    fn run(&mut self, answer: Answer) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let walks = self.walk();
            let messages = self.send();
            if walks == 0 && messages.is_empty() {
                return all;
            }
            self.answer(&messages, answer);
            all.extend(messages);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.provide.tick(self.now);
    }

    fn notes(&mut self) -> Vec<Note> {
        self.provide.take_notes().into_iter().filter(|(task, _)| *task == ID).map(|(_, note)| note).collect()
    }
}

fn keys(numbers: std::ops::Range<u64>) -> Vec<ProviderKey> {
    numbers.map(|n| ProviderKey::from_bytes(*blake3::hash(&n.to_be_bytes()).as_bytes())).collect()
}

fn count(notes: &[Note], like: impl Fn(&Note) -> bool) -> usize {
    notes.iter().filter(|note| like(note)).count()
}

#[test]
fn one_walk_serves_every_key_of_a_small_network() {
    let mut scene = Scene::new(5);
    scene.announce(&keys(0..1000));
    assert_eq!(scene.walk(), 1);
    let messages = scene.send();
    assert_eq!(messages.len(), 5);
    assert!(messages.iter().all(|message| message.keys.len() == 1000 && !message.withdraws));
    scene.answer(&messages, Answer::Stored);
    let notes = scene.notes();
    assert_eq!(notes.first(), Some(&Note::Started));
    assert_eq!(count(&notes, |note| matches!(note, Note::Acknowledged(_))), 5);
    assert_eq!(notes.last(), Some(&Note::Done));
    assert_eq!(count(&notes, |note| *note == Note::Done), 1);
    // What was learned serves the next announcement as well.
    scene.announce(&keys(1000..1001));
    assert_eq!(scene.walk(), 0);
    assert_eq!(scene.send().len(), 5);
}

#[test]
fn a_large_network_is_walked_by_regions_and_in_bounds() {
    let mut scene = Scene::new(20);
    scene.announce(&keys(0..2000));
    assert_eq!(scene.provide.next_walks(scene.now).len(), 1, "the first walk may tell everything");
    scene.provide.walks.clear();
    scene.provide.stale = true;
    let mut rounds = 0;
    let mut walks_in_all = 0;
    loop {
        let walks = scene.provide.next_walks(scene.now);
        if walks.is_empty() {
            break;
        }
        assert!(walks.len() <= MAX_WALKS);
        rounds += 1;
        walks_in_all += walks.len();
        for walk in walks {
            scene.provide.walk_ended(walk, scene.nearest(walk.target), scene.now);
        }
    }
    // Twenty nodes everywhere: the farthest shares no bit, so regions are one bit wide and two suffice.
    assert!(walks_in_all <= 4, "{walks_in_all} walks in {rounds} rounds");
    assert_eq!(scene.provide.backlog().waiting, 0);
}

#[test]
fn a_walk_that_meets_nobody_is_tried_again_later() {
    let mut scene = Scene::new(0);
    scene.announce(&keys(0..1));
    assert_eq!(scene.walk(), 1);
    assert_eq!(scene.walk(), 0);
    scene.pass(RETRY);
    assert_eq!(scene.walk(), 1);
    // A new peer is a reason to try at once.
    scene.provide.table_size(1000, scene.now);
    assert_eq!(scene.walk(), 1);
    assert_eq!(scene.notes(), [Note::Started]);
}

#[test]
fn long_lists_are_cut_and_sent_one_after_the_other() {
    let mut scene = Scene::new(3);
    let all = keys(0..2 * MAX_KEYS as u64 + 1);
    scene.announce(&all);
    scene.walk();
    let mut sent: HashMap<PeerId, BTreeSet<ProviderKey>> = HashMap::new();
    for _ in 0..3 {
        let messages = scene.send();
        let peers: HashSet<_> = messages.iter().map(|message| message.peer).collect();
        assert_eq!((messages.len(), peers.len()), (3, 3), "one message to each peer at a time");
        for message in &messages {
            assert!(message.keys.len() <= MAX_KEYS);
            sent.entry(message.peer).or_default().extend(&message.keys);
        }
        scene.answer(&messages, Answer::Stored);
    }
    assert!(scene.send().is_empty());
    assert!(sent.values().all(|keys| keys.len() == all.len()));
    assert_eq!(scene.notes().last(), Some(&Note::Done));
}

#[test]
fn a_lost_message_is_sent_once_more() {
    let mut scene = Scene::new(1);
    scene.announce(&keys(0..1));
    assert_eq!(scene.run(Answer::Lost).len(), 2);
    let peer = scene.nodes[0].peer;
    assert_eq!(
        scene.notes(),
        [Note::Started, Note::Asked(peer), Note::Chosen, Note::Failed(peer), Note::Done]
    );
}

#[test]
fn an_unreachable_peer_is_given_up_with_all_that_waits_for_it() {
    let mut scene = Scene::new(1);
    scene.announce(&keys(0..3 * MAX_KEYS as u64));
    assert_eq!(scene.run(Answer::Unreachable).len(), 1);
    assert_eq!(scene.notes().last(), Some(&Note::Done));
}

#[test]
fn what_nobody_took_is_told_again_soon() {
    let mut scene = Scene::new(2);
    scene.announce(&keys(0..1));
    scene.run(Answer::Unreachable);
    scene.pass(RETRY - Duration::from_secs(1));
    assert!(scene.run(Answer::Stored).is_empty());
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.run(Answer::Stored).len(), 2);
}

#[test]
fn our_keys_are_renewed_at_half_time_whatever_others_do_with_them() {
    // Everybody already has as many providers of this key as they want, and says so, time and again.
    let mut scene = Scene::new(3);
    scene.announce(&keys(0..1));
    assert_eq!(scene.run(Answer::Refused).len(), 3);
    for _ in 0..10 {
        scene.pass(HOUR / 2);
        assert_eq!(scene.run(Answer::Refused).len(), 3);
    }
    // Once they take it, it is renewed as all others are.
    scene.pass(HOUR / 2);
    assert_eq!(scene.run(Answer::Stored).len(), 3);
    scene.pass(HOUR / 2 - Duration::from_secs(1));
    assert!(scene.run(Answer::Stored).is_empty());
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.run(Answer::Stored).len(), 3);
    assert_eq!(scene.provide.backlog().keys, 1);
}

#[test]
fn keys_announced_again_are_told_once() {
    let mut scene = Scene::new(2);
    scene.announce(&keys(0..10));
    scene.run(Answer::Stored);
    scene.announce(&keys(0..10));
    assert_eq!(scene.run(Answer::Stored).len(), 2);
    assert_eq!(scene.provide.ledger.batches.len(), 1, "the new batch replaces the old one");
    scene.pass(HOUR / 2);
    assert_eq!(scene.run(Answer::Stored).len(), 2);
}

#[test]
fn what_was_told_to_a_much_smaller_network_is_told_again_once_it_stops_growing() {
    let mut scene = Scene::new(2);
    scene.provide.table_size(2, scene.now);
    scene.announce(&keys(0..10));
    assert_eq!(scene.run(Answer::Stored).len(), 2);
    scene.nodes = Scene::new(5).nodes;
    // It is compared with what it was when the keys were told: 2, then 7, then 14.
    for (size, messages) in [(3, 0), (7, 5), (13, 0), (14, 5), (27, 0), (3, 0), (9, 0)] {
        scene.provide.table_size(size, scene.now);
        scene.pass(SETTLED - Duration::from_millis(1));
        assert_eq!(scene.run(Answer::Stored).len(), 0, "too early, at {size} peers");
        scene.pass(Duration::from_millis(1));
        assert_eq!(scene.run(Answer::Stored).len(), messages, "at {size} peers");
    }
}

#[test]
fn holders_are_told_of_a_withdrawal_and_nobody_else() {
    let mut scene = Scene::new(4);
    let all = keys(0..10);
    scene.announce(&all);
    scene.walk();
    let messages = scene.send();
    scene.answer(&messages[..3], Answer::Stored);
    scene.answer(&messages[3..], Answer::Unreachable);
    let withdrawal = Task::Withdraw(WithdrawalId(1));
    scene.provide.withdraw(withdrawal, &all[..4], scene.now);
    let told = scene.run(Answer::Stored);
    assert_eq!(told.len(), 3);
    assert!(
        told.iter()
            .all(|message| message.withdraws && message.keys.iter().eq(BTreeSet::from_iter(&all[..4])))
    );
    let notes: Vec<_> =
        scene.provide.take_notes().into_iter().filter(|(task, _)| *task == withdrawal).collect();
    assert_eq!(notes.iter().filter(|(_, note)| matches!(note, Note::Acknowledged(_))).count(), 3);
    assert_eq!(notes.last(), Some(&(withdrawal, Note::Done)));
    assert_eq!(scene.provide.backlog().keys, 6);
    // The others are still renewed.
    scene.pass(HOUR / 2);
    let renewed = scene.run(Answer::Stored);
    assert!(renewed.iter().all(|message| !message.withdraws && message.keys.len() == 6));
    assert_eq!(renewed.len(), 4);
}

#[test]
fn a_withdrawal_waits_behind_the_announcement_on_its_way() {
    let mut scene = Scene::new(1);
    let all = keys(0..2);
    scene.announce(&all);
    scene.walk();
    let on_their_way = scene.send();
    scene.provide.withdraw(Task::Withdraw(WithdrawalId(1)), &all[..1], scene.now);
    assert!(scene.send().is_empty(), "nothing overtakes");
    // It is lost, and sent again without the key that was withdrawn; then comes the withdrawal.
    scene.answer(&on_their_way, Answer::Lost);
    let again = scene.send();
    assert_eq!(again[0].keys, BTreeSet::from([all[1]]));
    scene.answer(&again, Answer::Stored);
    let last = scene.run(Answer::Stored);
    assert_eq!(last.len(), 1);
    assert!(last[0].withdraws && last[0].keys == BTreeSet::from([all[0]]));
}

#[test]
fn what_is_withdrawn_before_it_was_told_is_not_told() {
    let mut scene = Scene::new(2);
    let all = keys(0..3);
    scene.announce(&all);
    scene.provide.withdraw(Task::Withdraw(WithdrawalId(1)), &all, scene.now);
    assert!(scene.run(Answer::Stored).is_empty());
    assert_eq!(scene.notes(), [Note::Chosen, Note::Done]);
    assert!(scene.provide.jobs.ids().is_empty() && scene.provide.ledger.batches.is_empty());
}

#[test]
fn holders_of_former_rounds_are_told_of_a_withdrawal() {
    let mut scene = Scene::new(2);
    let former: Vec<_> = scene.nodes.iter().map(|node| node.peer).collect();
    scene.announce(&keys(0..1));
    scene.run(Answer::Stored);
    scene.nodes = Scene::new(2).nodes;
    scene.provide.table_size(1000, scene.now);
    scene.pass(HOUR / 2);
    scene.run(Answer::Stored);
    scene.provide.withdraw(Task::Withdraw(WithdrawalId(1)), &keys(0..1), scene.now);
    let told: HashSet<_> = scene.run(Answer::Stored).into_iter().map(|message| message.peer).collect();
    assert_eq!(told.len(), 4);
    assert!(former.iter().all(|peer| told.contains(peer)));
}

#[test]
fn holders_are_bounded() {
    let mut holders = Vec::new();
    let nodes = Scene::new(3 * MAX_HOLDERS).nodes;
    remember(&mut holders, &nodes);
    assert_eq!(holders, nodes[2 * MAX_HOLDERS..]);
}

#[test]
fn what_somebody_waits_for_goes_before_what_is_kept_announced() {
    let mut scene = Scene::new(10);
    scene.keep(&keys(0..1000), HOUR);
    scene.walk();
    let unhurried = scene.send();
    assert!(unhurried.len() < scene.nodes.len(), "nobody waits for it");
    scene.announce(&keys(1000..1001));
    assert_eq!(scene.walk(), 0);
    let urgent = scene.send();
    assert_eq!(
        urgent.len(),
        scene.nodes.len() - unhurried.len(),
        "whoever is not spoken to hears it at once"
    );
    assert!(urgent.iter().all(|message| message.keys.len() == 1));
    scene.answer(&urgent, Answer::Stored);
    assert!(scene.send().is_empty());
    scene.answer(&unhurried, Answer::Stored);
    let mut rest = scene.send();
    assert!(rest[..unhurried.len()].iter().all(|message| message.keys.len() == 1));
    while !rest.is_empty() {
        scene.answer(&rest, Answer::Stored);
        rest = scene.send();
    }
    let backlog = scene.provide.backlog();
    assert_eq!((backlog.keys, backlog.told, backlog.waiting, backlog.messages), (1001, 1001, 0, 0));
}

#[test]
fn what_was_published_at_one_moment_is_renewed_over_a_while() {
    let mut scene = Scene::new(400);
    scene.announce(&keys(0..2000));
    scene.run(Answer::Stored);
    let mut rounds = HashSet::new();
    let mut renewed = BTreeSet::new();
    for minute in 0..=30 {
        for message in scene.run(Answer::Stored) {
            rounds.insert(minute);
            renewed.extend(message.keys);
        }
        scene.pass(Duration::from_secs(60));
    }
    assert_eq!(renewed.len(), 2000);
    assert!(rounds.len() >= 5 && !rounds.contains(&0), "renewed in the minutes {rounds:?}");
}

#[test]
fn what_is_to_be_kept_announced_is_told_unless_it_was() {
    let mut scene = Scene::new(3);
    scene.announce(&keys(0..10));
    scene.run(Answer::Stored);
    scene.keep(&keys(0..12), HOUR);
    let news = scene.run(Answer::Stored);
    assert!(news.len() == 3 && news.iter().all(|message| message.keys.len() == 2));
    scene.keep(&keys(0..12), 4 * HOUR);
    assert!(scene.run(Answer::Stored).is_empty(), "a longer life begins when they are told again");
    scene.pass(HOUR / 2);
    let longer = scene.run(Answer::Stored);
    assert!(longer.len() == 3 && longer.iter().all(|message| message.keys.len() == 12));
    scene.pass(2 * HOUR - Duration::from_secs(1));
    assert!(scene.run(Answer::Stored).is_empty());
}
