//! Walks through networks on paper: that they find the nearest, how far they go, what they cost, and who can hold
//! them up.

use std::time::Duration;

use shoal_content::ProviderKey;

use super::*;
use crate::search::{HOLDERS, Search};
use crate::simulation::{ROUND_TRIP, Simulation, key, node, peer};

const WAIT: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_millis(500);
const PATIENCE: Patience = Patience { slow: SLOW, late: WAIT };

#[expect(clippy::unnecessary_wraps, reason = "it is what a walk wants to know")]
fn patience(_: &PeerId) -> Option<Patience> {
    Some(PATIENCE)
}

/// All that may be asked now.
fn ask(walk: &mut Walk, now: Instant) -> Vec<PeerId> {
    std::iter::from_fn(|| walk.next(now, patience)).map(|node| node.peer).collect()
}

/// Lets a walk ask on until it has asked this one.
fn ask_one(walk: &mut Walk, peer: &PeerId, now: Instant, patience: impl Fn(&PeerId) -> Option<Patience>) {
    while let Some(node) = walk.next(now, &patience) {
        if node.peer == *peer {
            return;
        }
    }
}

/// A walk that has heard of so many nodes, and those, nearest first.
fn scene(nodes: u64, wants: usize) -> (Walk, Vec<PeerId>, Instant) {
    let target = Position::of_key(&key(0));
    let mut walk = Walk::new(target, wants);
    let mut peers: Vec<_> = (0..nodes).map(peer).collect();
    for peer in &peers {
        walk.seed(node(*peer), false);
    }
    peers.sort_by_key(|peer| Position::of_peer(peer).distance(target));
    (walk, peers, Instant::now())
}

#[test]
fn whoever_cannot_be_asked_yet_is_waited_for_and_not_taken_for_dead() {
    let (mut walk, peers, now) = scene(30, 20);
    let near = &peers[..FEW];
    let warm = |peer: &PeerId| (!near.contains(peer)).then_some(PATIENCE);
    let asked: Vec<_> = std::iter::from_fn(|| walk.next(now, warm)).map(|node| node.peer).collect();
    assert_eq!(
        asked,
        peers[FEW..2 * FEW],
        "there is no room for a dial, so those that are connected come first"
    );
    for peer in &peers[FEW..20] {
        ask_one(&mut walk, peer, now, warm);
        walk.answered(peer, Vec::new(), |_| false);
    }
    assert!(walk.next(now, warm).is_none() && !walk.is_over(), "the nearest have not been asked");
    let sent = walk.effort().messages;
    assert_eq!(ask(&mut walk, now), near);
    walk.put_back(&near[0]);
    assert_eq!(walk.effort().messages as usize, sent as usize + FEW - 1);
    for peer in &near[1..] {
        walk.answered(peer, Vec::new(), |_| false);
    }
    assert!(!walk.is_over(), "a question that did not leave is no answer");
    assert_eq!(ask(&mut walk, now), near[..1]);
    walk.answered(&near[0], Vec::new(), |_| false);
    assert!(walk.is_over());
}

#[test]
fn the_nearest_are_asked_first_and_few_at_a_time() {
    let (mut walk, peers, now) = scene(50, 20);
    assert_eq!(ask(&mut walk, now), peers[..FEW]);
    assert_eq!(walk.answered(&peers[0], vec![], |_| false), Some(1));
    // Nothing nearer was named: more at a time.
    assert_eq!(ask(&mut walk, now), peers[FEW..FEW + 3]);
    assert_eq!(walk.answered(&peers[0], vec![], |_| false), None, "an answer counts once");
    assert_eq!(walk.answered(&peers[40], vec![], |_| false), None, "who was not asked cannot answer");
}

#[test]
fn a_guide_is_asked_first_wherever_it_is_and_holds_up_nobody() {
    let (mut walk, peers, now) = scene(40, 20);
    let guide = peers[39];
    walk.guide(node(guide));
    let asked = ask(&mut walk, now);
    assert_eq!((asked[0], &asked[1..]), (guide, &peers[..FEW]));
}

#[test]
fn a_guide_that_cannot_be_asked_any_more_keeps_nobody_else_waiting() {
    let (mut walk, peers, now) = scene(40, 20);
    let (lost, connected) = (peers[39], peers[3]);
    walk.guide(node(lost));
    let warm = |peer: &PeerId| (*peer == connected).then_some(PATIENCE);
    assert_eq!(walk.next(now, warm).map(|node| node.peer), Some(connected));
    assert!(walk.next(now, warm).is_none());
    assert_eq!(ask(&mut walk, now), peers[..3], "it has no privilege left");
}

#[test]
fn a_question_that_does_not_matter_any_more_holds_up_nobody() {
    let (_, peers, now) = scene(60, 20);
    let (near, far) = peers.split_at(20);
    let mut walk = Walk::new(Position::of_key(&key(0)), 20);
    far.iter().for_each(|peer| walk.seed(node(*peer), false));
    assert_eq!(ask(&mut walk, now), far[..FEW]);
    walk.answered(&far[0], near.iter().map(|peer| node(*peer)).collect(), |_| false);
    assert_eq!(ask(&mut walk, now), near[..FEW], "the others have not answered yet");
}

#[test]
fn a_walk_ends_when_the_nearest_that_live_have_answered() {
    let (mut walk, peers, now) = scene(50, 5);
    while !walk.is_over() {
        for peer in ask(&mut walk, now) {
            if peers.iter().position(|other| *other == peer).expect("known") % 2 == 0 {
                walk.answered(&peer, vec![], |_| false);
            } else {
                walk.failed(&peer);
            }
        }
    }
    let answered: Vec<_> = walk.answerers().map(|(_, node)| node.peer).collect();
    assert_eq!(answered[..5], [peers[0], peers[2], peers[4], peers[6], peers[8]]);
    assert!(walk.effort().messages <= 12, "{:?}", walk.effort());
}

#[test]
fn who_is_late_is_not_waited_for_and_counts_all_the_same() {
    let (mut walk, peers, now) = scene(6, 4);
    assert_eq!(ask(&mut walk, now), peers[..4]);
    for peer in &peers[1..4] {
        walk.answered(peer, vec![], |_| false);
    }
    assert!(!walk.is_over());
    walk.tick(now + SLOW);
    assert_eq!(walk.next_due(), Some(now + WAIT));
    assert_eq!(walk.tick(now + WAIT), [peers[0]]);
    assert!(!walk.is_over(), "the next in line takes its place");
    assert_eq!(ask(&mut walk, now + WAIT), [peers[4]]);
    assert_eq!(walk.answered(&peers[0], vec![], |_| false), Some(1));
    assert!(walk.is_over());
    assert_eq!(walk.effort(), Effort { answers: 4, messages: 5, timeouts: 1, hops: 1 });
}

#[test]
fn those_who_come_next_are_asked_while_somebody_is_slow_and_not_waited_for() {
    let (mut walk, peers, now) = scene(6, 4);
    assert_eq!(ask(&mut walk, now), peers[..4]);
    for peer in &peers[2..4] {
        walk.answered(peer, vec![], |_| false);
    }
    assert_eq!(ask(&mut walk, now), [], "nobody is slow yet");
    let slow = now + SLOW;
    assert_eq!(walk.next_due(), Some(slow));
    assert!(walk.tick(slow).is_empty(), "who is slow is not late");
    assert_eq!(ask(&mut walk, slow), peers[4..], "one for each who is slow");
    walk.answered(&peers[4], vec![], |_| false);
    assert!(!walk.is_over(), "the slow are nearer and may answer yet");
    walk.answered(&peers[0], vec![], |_| false);
    walk.answered(&peers[1], vec![], |_| false);
    assert!(walk.is_over(), "what was asked ahead is not waited for");
    assert_eq!(walk.effort(), Effort { answers: 5, messages: 6, timeouts: 0, hops: 1 });
}

#[test]
fn hops_are_counted_along_the_shortest_chain() {
    let (mut walk, peers, now) = scene(30, 20);
    let mut walk_of = Walk::new(walk.target(), 20);
    walk_of.seed(node(peers[29]), false);
    walk_of.seed(node(peers[28]), false);
    assert_eq!(ask(&mut walk_of, now).len(), 2);
    assert_eq!(walk_of.answered(&peers[29], vec![node(peers[5])], |_| false), Some(1));
    assert_eq!(ask(&mut walk_of, now), [peers[5]]);
    assert_eq!(walk_of.answered(&peers[5], vec![node(peers[2]), node(peers[3])], |_| false), Some(2));
    assert_eq!(walk_of.answered(&peers[28], vec![node(peers[3])], |_| false), Some(1));
    assert_eq!(ask(&mut walk_of, now), [peers[2], peers[3]]);
    assert_eq!(walk_of.answered(&peers[3], vec![], |_| false), Some(2));
    assert_eq!(walk_of.answered(&peers[2], vec![], |_| false), Some(3));
    assert_eq!(walk_of.effort().hops, 3);
    assert_eq!(ask(&mut walk, now).len(), FEW);
}

#[test]
fn those_believed_dead_are_asked_only_when_nobody_else_is_there() {
    let (mut walk, peers, now) = scene(3, 20);
    for seed in 100..110 {
        walk.seed(node(peer(seed)), true);
    }
    assert_eq!(ask(&mut walk, now), peers);
    walk.answered(&peers[0], vec![node(peer(200))], |doubted| *doubted == peer(200));
    walk.failed(&peers[1]);
    walk.failed(&peers[2]);
    assert!(walk.is_over());
    let mut alone = Walk::new(walk.target(), 20);
    alone.seed(node(peer(1)), true);
    assert!(!alone.is_over());
    assert_eq!(ask(&mut alone, now), [peer(1)]);
    alone.failed(&peer(1));
    assert!(alone.is_over());
}

#[test]
fn one_who_names_only_the_dead_is_not_followed() {
    let (mut walk, peers, now) = scene(4, 20);
    assert_eq!(ask(&mut walk, now).len(), 4);
    let invented: Vec<_> = (1000..1020).map(peer).collect();
    walk.answered(&peers[0], invented.iter().copied().map(node).collect(), |_| false);
    for honest in &peers[1..] {
        walk.answered(honest, vec![], |_| false);
    }
    while !walk.is_over() {
        for peer in ask(&mut walk, now) {
            walk.failed(&peer);
        }
    }
    assert!(walk.effort().messages < 4 + 20, "{:?}", walk.effort());
    // What others name as well is asked.
    let (mut walk, peers, now) = scene(2, 20);
    ask(&mut walk, now);
    for teller in &peers {
        walk.answered(teller, invented.iter().copied().map(node).collect(), |_| false);
    }
    while !walk.is_over() {
        for peer in ask(&mut walk, now) {
            walk.failed(&peer);
        }
    }
    assert_eq!(walk.effort().messages, 2 + 20);
}

#[test]
fn who_was_late_and_then_turns_out_to_be_gone_is_one_dead_referral() {
    let (mut walk, peers, now) = scene(1, 20);
    ask(&mut walk, now);
    let named: Vec<_> = (1000..1006).map(peer).collect();
    walk.answered(&peers[0], named.iter().copied().map(node).collect(), |_| false);
    let asked = ask(&mut walk, now);
    let (silent, others) = asked.split_at(usize::from(MAX_DEAD_REFERRALS) - 1);
    assert!(!others.is_empty());
    for other in others {
        walk.put_back(other);
    }
    assert_eq!(walk.tick(now + WAIT).len(), silent.len());
    for peer in silent {
        walk.failed(peer);
        walk.failed(peer);
    }
    assert!(!walk.is_liar(&peers[0]), "it named {} that are gone", silent.len());
    let next = ask(&mut walk, now + WAIT)[0];
    walk.failed(&next);
    assert!(walk.is_liar(&peers[0]));
}

#[test]
fn liars_make_no_walk_endless() {
    let (mut walk, peers, now) = scene(1, 20);
    let mut asked = ask(&mut walk, now);
    assert_eq!(asked, peers);
    let mut seed = 10_000;
    // Everybody lives, and names twenty more.
    while !asked.is_empty() {
        for liar in std::mem::take(&mut asked) {
            let named = (seed..seed + 20).map(|seed| node(peer(seed))).collect();
            seed += 20;
            walk.answered(&liar, named, |_| false);
            asked.extend(ask(&mut walk, now));
        }
    }
    assert!(walk.is_over());
    assert!(walk.effort().messages <= MAX_MESSAGES);
    assert!(walk.candidates.len() <= MAX_CANDIDATES);
}

#[test]
fn a_walk_finds_the_twenty_nearest() {
    let network = Simulation::new(400);
    for seed in 0..20 {
        let target = Position::of_key(&key(seed));
        let mut search = Search::new(target, None, HOLDERS);
        let run = network.run(&peer(seed), &mut search, 4);
        let nearest: Vec<_> =
            network.nearest(target).into_iter().filter(|other| *other != peer(seed)).collect();
        let found: Vec<_> = search.main().expect("a walk").answerers().map(|(_, node)| node.peer).collect();
        assert_eq!(found[..HOLDERS], nearest[..HOLDERS]);
        assert!(run.messages <= 36, "{run:?}");
    }
}

/// A thousand nodes of which every fifth is dead, two hundred keys, and somebody who looks for each.
fn network_with_dead() -> (Simulation, Vec<(ProviderKey, PeerId)>) {
    let mut network = Simulation::new(1000);
    let keys: Vec<_> = (0..200).map(key).collect();
    for key in &keys {
        for holder in network.nearest(Position::of_key(key)).into_iter().take(HOLDERS) {
            network.nodes.get_mut(&holder).expect("it exists").keys.insert(*key);
        }
    }
    network.kill_one_of(5);
    let living: Vec<_> = network.nodes.keys().skip(1).step_by(5).copied().collect();
    let searches = keys.into_iter().zip(living).collect();
    (network, searches)
}

#[test]
fn with_every_fifth_node_dead_a_key_is_found_within_few_round_trips() {
    let (network, searches) = network_with_dead();
    let mut round_trips: Vec<_> = Vec::new();
    let mut messages = 0;
    for (key, from) in &searches {
        let mut search = Search::new(Position::of_key(key), Some(*key), HOLDERS);
        let run = network.run(from, &mut search, 6);
        let found = run.found.expect("it is found");
        round_trips.push(found.as_millis().div_ceil(ROUND_TRIP.as_millis()));
        messages += run.messages;
    }
    round_trips.sort_unstable();
    let at = |percent: usize| round_trips[round_trips.len() * percent / 100];
    assert!(at(50) <= 3 && at(95) <= 6, "p50 {}, p95 {}", at(50), at(95));
    assert!(messages / 200 <= 45, "{messages} messages for 200 lookups to their very end");
}

#[test]
fn a_walk_takes_far_less_time_than_the_library_and_hardly_more_messages() {
    let (network, searches) = network_with_dead();
    for open in [3, 8] {
        let (mut ours, mut theirs) = ((Duration::ZERO, 0), (Duration::ZERO, 0));
        for (key, from) in &searches {
            let mut search = Search::new(Position::of_key(key), Some(*key), HOLDERS);
            let run = network.run(from, &mut search, 6);
            ours = (ours.0 + run.took, ours.1 + run.messages);
            let run = network.run_as_the_library(from, Position::of_key(key), key, open);
            theirs = (theirs.0 + run.took, theirs.1 + run.messages);
        }
        println!("{open} open: ours {ours:?}, the library's {theirs:?} for 200 lookups");
        assert!(ours.0 * 10 <= theirs.0 * 6, "{ours:?} against {theirs:?}");
        assert!(ours.1 * 10 <= theirs.1 * 12, "{ours:?} against {theirs:?}");
    }
}
