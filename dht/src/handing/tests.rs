//! Who hands what to whom in a whole network, and how little that costs whoever hands it on.

use std::collections::HashSet;

use super::*;
use crate::position::Position;
use crate::simulation::{Simulation, key, peer};

const PER_SECOND: usize = 16;

fn newcomer() -> Node {
    Node { peer: PeerId::random(), addresses: Vec::new() }
}

fn found(count: usize, len: usize) -> Vec<Handable> {
    let handable = |number| Handable {
        name: (PeerId::random(), number),
        bytes: vec![0; len].into(),
        keys: 1,
        nearest: 0,
    };
    (0..count as u64).map(handable).collect()
}

/// Serves whoever waits, for so long, each with so much; what was sent.
fn serve(
    handing: &mut Handing,
    start: Instant,
    seconds: u64,
    (count, len): (usize, usize),
) -> Vec<(PeerId, usize)> {
    let mut sent = Vec::new();
    for second in 0..seconds {
        let now = start + Duration::from_secs(second);
        while let Some(newcomer) = handing.next_newcomer(now) {
            handing.hand(newcomer.node, found(count, len), now);
        }
        while let Some((node, bytes)) = handing.next_message(now) {
            sent.push((node.peer, bytes.len()));
            handing.answered(&node.peer, true);
        }
    }
    sent
}

#[test]
fn every_key_near_to_a_newcomer_is_handed_to_it_by_a_few() {
    let network = Simulation::new(300);
    let newcomer = network.nearest(Position::of_key(&key(7)))[3];
    let place = Position::of_peer(&newcomer).place();
    // What each node decides alone, by its own table.
    let hoods: Vec<_> = network
        .nodes
        .iter()
        .filter(|(peer, _)| **peer != newcomer)
        .map(|(peer, node)| {
            let others = node.table.iter().filter(|other| **other != newcomer);
            let others = others.map(|other| Position::of_peer(other).place()).collect();
            (*peer, Neighbourhood::new(node.position.place(), others))
        })
        .collect();
    let (mut wanted, mut handed) = (0, 0);
    for seed in 0..400 {
        let target = Position::of_key(&key(seed));
        let nearest = network.nearest(target);
        let holders: HashSet<_> = nearest.iter().filter(|peer| **peer != newcomer).take(HOLDERS).collect();
        let hands = |(peer, hood): &&(PeerId, Neighbourhood)| {
            holders.contains(peer) && hood.hands(target.place(), place).is_some()
        };
        let handers = hoods.iter().filter(hands).count();
        if nearest.iter().take(HOLDERS).any(|peer| *peer == newcomer) {
            wanted += 1;
            assert!((1..=HANDERS + 1).contains(&handers), "key {seed} comes from {handers}");
        }
        handed += handers;
        let takes = hoods.iter().filter(|(_, hood)| hood.is_ours(target.place())).count();
        assert!((HOLDERS..=4 * HOLDERS).contains(&takes), "{takes} nodes would take key {seed}");
    }
    assert!(wanted >= 10, "{wanted} keys are near to it");
    assert!(handed <= wanted * (HANDERS + 1), "{handed} for {wanted} keys");
}

#[test]
fn a_newcomer_is_left_alone_first_and_then_served_once() {
    let (mut handing, start, node) = (Handing::new(PER_SECOND, Instant::now()), Instant::now(), newcomer());
    handing.joined(node.clone(), start);
    handing.joined(node.clone(), start);
    assert_eq!(handing.next_newcomer(start), None);
    let first = handing.next_newcomer(start + DELAY).expect("its time has come");
    assert_eq!(first.node.peer, node.peer);
    assert!(first.lacks(start) && !first.lacks(start + DELAY), "of what comes later it is told");
    assert_eq!(handing.next_newcomer(start + DELAY), None);
    handing.hand(node.clone(), found(2, 10), start + DELAY);
    handing.joined(node.clone(), start + DELAY);
    let (to, _) = handing.next_message(start + DELAY).expect("a message");
    assert_eq!(to.peer, node.peer);
    assert_eq!(handing.next_message(start + DELAY), None, "one after the other");
    handing.answered(&node.peer, true);
    assert!(handing.next_message(start + DELAY).is_some());
    handing.answered(&node.peer, true);
    assert_eq!(handing.next_message(start + DELAY), None);
    // It left and came back.
    handing.joined(node, start + 2 * DELAY);
    let again = handing.next_newcomer(start + 3 * DELAY).expect("it is back");
    let news = [start, start + 3 * DELAY / 2, start + 5 * DELAY / 2].map(|came| again.lacks(came));
    assert_eq!(news, [false, true, false], "only what came while it was away is new to it");
}

#[test]
fn whoever_cannot_be_reached_is_given_up() {
    let (mut handing, start, node) = (Handing::new(PER_SECOND, Instant::now()), Instant::now(), newcomer());
    handing.hand(node.clone(), found(20, 10), start);
    assert!(handing.next_message(start).is_some());
    handing.answered(&node.peer, false);
    assert_eq!(handing.next_message(start), None);
    assert!(handing.handouts.is_empty());
}

#[test]
fn what_brings_most_for_its_bytes_goes_first() {
    let (mut handing, start) = (Handing::new(PER_SECOND, Instant::now()), Instant::now());
    let all = [(4000, 100, 9), (300, 1, 5), (4000, 1, 1), (300, 1, 2)].map(|(len, keys, nearest)| Handable {
        name: (PeerId::random(), 1),
        bytes: vec![0; len].into(),
        keys,
        nearest,
    });
    let node = newcomer();
    handing.hand(node.clone(), all.to_vec(), start);
    let mut lengths = Vec::new();
    while let Some((_, bytes)) = handing.next_message(start) {
        lengths.push(bytes.len());
        handing.answered(&node.peer, true);
    }
    assert_eq!(lengths, [4000, 300, 300, 4000]);
}

#[test]
fn a_crowd_of_newcomers_is_no_storm() {
    let start = Instant::now();
    let mut handing = Handing::new(PER_SECOND, start);
    for _ in 0..1000 {
        handing.joined(newcomer(), start);
    }
    assert_eq!(handing.newcomers.len(), MAX_NEWCOMERS);
    let seconds: u64 = 60;
    let sent = serve(&mut handing, start, seconds, (500, 400));
    let most = PER_SECOND * (BURST + usize::try_from(seconds).expect("small"));
    assert!((most / 2..=most).contains(&sent.len()), "{} messages in {seconds} s", sent.len());
    let mut each: HashMap<_, usize> = HashMap::new();
    for (peer, _) in &sent {
        *each.entry(peer).or_default() += 1;
    }
    assert!(each.values().all(|count| *count <= MAX_MESSAGES));

    let mut handing = Handing::new(PER_SECOND, start);
    for _ in 0..1000 {
        handing.joined(newcomer(), start);
    }
    let sent = serve(&mut handing, start, seconds, (40, 130_000));
    let bytes: usize = sent.iter().map(|(_, len)| len).sum();
    let most = BYTES_AT_ONCE + BYTES_PER_SECOND * usize::try_from(seconds).expect("small");
    assert!((most / 2..=most).contains(&bytes), "{bytes} bytes in {seconds} s");
}

#[test]
fn peers_remembered_are_bounded_and_nobody_is_served_when_that_is_wanted() {
    let start = Instant::now();
    let mut handing = Handing::new(0, start);
    for number in 0..2 * MAX_SERVED as u64 {
        handing.joined(Node { peer: peer(number), addresses: Vec::new() }, start);
        let newcomer = handing.next_newcomer(start + DELAY).expect("it waits");
        handing.hand(newcomer.node, found(1, 10), start);
        assert_eq!(handing.next_message(start), None);
        handing.handouts.clear();
    }
    assert_eq!((handing.served.len(), handing.order.len()), (MAX_SERVED, MAX_SERVED));
}

#[test]
fn what_is_taken_back_goes_to_those_who_were_handed_it_after_that() {
    let (mut handing, start) = (Handing::new(PER_SECOND, Instant::now()), Instant::now());
    let nodes: Vec<_> = (0..3).map(|_| newcomer()).collect();
    let (shared, alone) = (found(1, 10), found(1, 20));
    handing.hand(nodes[0].clone(), [shared.clone(), alone.clone()].concat(), start);
    handing.hand(nodes[1].clone(), shared.clone(), start);
    handing.hand(nodes[2].clone(), alone, start);
    let to = handing.handed_to(&BTreeSet::from([shared[0].name]));
    assert_eq!(to, nodes[..2].iter().map(|node| node.peer).collect());
    assert_eq!(handing.handed_to(&BTreeSet::from([(PeerId::random(), 1)])), BTreeSet::new());
    handing.take_back(nodes[0].clone(), &vec![0; 30].into());
    let mut lengths = Vec::new();
    while let Some((node, bytes)) = handing.next_message(start) {
        lengths.extend((node.peer == nodes[0].peer).then_some(bytes.len()));
        handing.answered(&node.peer, true);
    }
    assert_eq!(lengths, [10, 20, 30]);
}

#[test]
fn what_is_remembered_of_what_was_handed_on_is_bounded() {
    let (mut handing, start) = (Handing::new(PER_SECOND, Instant::now()), Instant::now());
    for _ in 0..MAX_HANDED / 10 {
        handing.hand(newcomer(), found(20, 10), start);
    }
    assert_eq!(handing.handed.len(), MAX_HANDED);
    handing.handouts.clear();
    for _ in 0..2 * MAX_TAKING_BACK {
        handing.take_back(newcomer(), &vec![0; 10].into());
    }
    let node = newcomer();
    handing.handouts.pop_front();
    for _ in 0..2 * MAX_MESSAGES {
        handing.take_back(node.clone(), &vec![0; 10].into());
    }
    assert_eq!(handing.handouts.len(), MAX_TAKING_BACK);
    assert_eq!(handing.handouts.iter().map(|handout| handout.messages.len()).max(), Some(MAX_MESSAGES));
}
