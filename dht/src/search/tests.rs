//! Keys that strangers crowd around, and those that they do not.

use std::time::Duration;

use super::*;
use crate::simulation::{Manner, Simulation, key, peer};

/// Nodes with identities ground until they lie within so many bits of a key.
fn crowd(around: Position, count: usize, bits: u32) -> Vec<PeerId> {
    let close = |peer: &PeerId| Position::of_peer(peer).shared_bits(around) >= bits;
    std::iter::repeat_with(PeerId::random).filter(close).take(count).collect()
}

const HONEST: u64 = 60;

/// How many of forty keys are found when 25 strangers crowd around each.
fn found_among_crowds(look_beside: bool) -> usize {
    let mut found = 0;
    for seed in 0..40 {
        let (key, provider, asker) = (key(seed), peer(seed), peer(HONEST - 1 - seed));
        let mut network = Simulation::new(HONEST);
        let strangers = crowd(Position::of_key(&key), 25, 9);
        for stranger in &strangers {
            network.add(*stranger, Manner::Crowd(strangers.clone()));
        }
        network.fill_tables();
        for stranger in &strangers {
            network.nodes.get_mut(stranger).expect("it exists").manner = Manner::Crowd(strangers.clone());
        }
        let bits = if look_beside { 2 } else { 200 };
        let mut announcing = Search::new(Position::of_key(&key), None, 6);
        network.run(&provider, &mut announcing, bits);
        for holder in announcing.holders(bits) {
            network.nodes.get_mut(&holder.peer).expect("it exists").keys.insert(key);
        }
        let mut looking = Search::new(Position::of_key(&key), Some(key), HOLDERS);
        found += usize::from(network.run(&asker, &mut looking, bits).found.is_some());
    }
    found
}

#[test]
fn a_crowd_around_a_key_does_not_hide_it() {
    let found = found_among_crowds(true);
    assert!(found >= 38, "{found} of 40");
    let defenceless = found_among_crowds(false);
    assert!(defenceless < found, "the crowd would have hidden {} of 40 otherwise", 40 - defenceless);
}

#[test]
fn an_ordinary_place_is_not_looked_beside() {
    let network = Simulation::new(500);
    let mut looked_beside = 0;
    for seed in 0..100 {
        let mut search = Search::new(Position::of_key(&key(seed)), Some(key(seed)), HOLDERS);
        network.run(&peer(seed), &mut search, 5);
        looked_beside += usize::from(search.walks.len() > 1);
        let holders = search.holders(5);
        assert!((HOLDERS..2 * HOLDERS).contains(&holders.len()), "{} holders", holders.len());
    }
    assert!(looked_beside <= 2, "{looked_beside} of 100");
}

#[test]
fn a_small_network_is_never_crowded() {
    let network = Simulation::new(19);
    let mut search = Search::new(Position::of_key(&key(0)), None, HOLDERS);
    network.run(&peer(0), &mut search, 0);
    assert_eq!(search.look_beside(0), []);
    assert_eq!(search.holders(0).len(), 18, "everybody holds everything");
}

#[test]
fn whoever_was_slow_to_answer_is_told_all_the_same() {
    let (network, target, now) = (Simulation::new(200), Position::of_key(&key(0)), Instant::now());
    let nearest = network.nearest(target);
    let patience = Patience { slow: Duration::from_millis(150), late: Duration::from_millis(300) };
    let mut search = Search::new(target, None, 6);
    for peer in &nearest[..40] {
        search.seed(&Node { peer: *peer, addresses: Vec::new() }, false);
    }
    // The four nearest answer to nobody, the others at once.
    let mut later = now;
    while !search.is_over() {
        while let Some((walk, _, node)) = search.next(later, |_| Some(patience)) {
            if !nearest[..4].contains(&node.peer) {
                search.answered(walk, &node.peer, Vec::new(), false, |_| false);
            }
        }
        later += patience.late;
        search.tick(later);
    }
    let holders: Vec<_> = search.holders(5).into_iter().map(|node| node.peer).collect();
    assert_eq!(holders[..TOLD], nearest[4..TOLD + 4]);
    assert_eq!(holders[TOLD..], nearest[..4]);
}
