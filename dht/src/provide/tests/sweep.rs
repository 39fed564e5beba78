//! What it costs to keep many keys announced in a large network, and how well they are found then.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::position::Node;
use crate::search::{HOLDERS, Search};
use crate::simulation::{Simulation, key, peer};

const NODES: u64 = 500;
const KEYS: u64 = 100_000;

#[test]
fn a_hundred_thousand_keys_cost_three_messages_for_each_of_five_hundred_nodes() {
    let network = Simulation::new(NODES);
    let publisher = peer(0);
    let mut scene = Scene::new(0);
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    scene.provide.table_size(200, scene.now);
    scene.announce(&keys);
    let (mut questions, mut announcements, mut walks) = (0, 0, 0);
    let mut held: BTreeMap<PeerId, HashSet<ProviderKey>> = BTreeMap::new();
    loop {
        let begun = scene.provide.next_walks(scene.now);
        let idle = begun.is_empty();
        for walk in begun {
            walks += 1;
            let mut search = Search::new(walk.target, None, 6);
            questions += network.run(&publisher, &mut search, 5).messages;
            let holders: Vec<Node> = search.holders(5);
            scene.provide.walk_ended(walk, holders, scene.now);
        }
        let messages = scene.send();
        if idle && messages.is_empty() {
            break;
        }
        for message in &messages {
            announcements += 1;
            held.entry(message.peer).or_default().extend(&message.keys);
        }
        scene.answer(&messages, Answer::Stored);
    }
    let in_all = questions + announcements;
    let right: Vec<_> = (0..KEYS)
        .step_by(500)
        .map(|seed| {
            let nearest = network.nearest(Position::of_key(&key(seed)));
            let others = nearest.iter().filter(|other| **other != publisher).take(HOLDERS);
            others.filter(|other| held.get(other).is_some_and(|held| held.contains(&key(seed)))).count()
        })
        .collect();
    let (mean, worst) = (right.iter().sum::<usize>() / right.len(), right.iter().min().unwrap());
    let records: usize = held.values().map(HashSet::len).sum();
    assert!(mean >= 17 && *worst >= 11, "{mean} of the 20 nearest are told on average, {worst} at worst");
    assert!(records / keys.len() <= 26, "{} nodes are told of each key", records / keys.len());
    assert!(walks <= 60, "{walks} walks");
    assert!(in_all <= 3 * u32::try_from(NODES).expect("small"), "{in_all} messages");
}
