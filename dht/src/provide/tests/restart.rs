//! What an announcer tells after a restart, of what an earlier run had told.

use super::*;
use crate::position::Position;

/// The next run of a scene's node, with the same network, after so long a time, of which nothing told the first run.
fn restarted(scene: &mut Scene, after: Duration) -> Scene {
    let mark = scene.provide.mark(scene.now).expect("everything is known");
    let mut next = Scene { nodes: scene.nodes.clone(), now: scene.now + after, ..Scene::new(0) };
    next.provide = Provide::new(Scope::Lan, SharedKeys::default(), scene.provide.clock);
    next.provide.resume(&mark);
    next
}

/// A node that has told thousands of keys to many nodes.
fn told(count: u64) -> Scene {
    let mut scene = Scene::new(60);
    scene.provide.table_size(60, scene.now);
    scene.pass(SETTLED);
    scene.provide.all_kept();
    scene.keep(&keys(0..count), 4 * HOUR);
    assert!(!scene.run(Answer::Stored).is_empty());
    scene
}

/// Lets a scene run for so long, minute by minute; which keys were told in each.
fn minutes(scene: &mut Scene, time: Duration) -> Vec<BTreeSet<ProviderKey>> {
    let mut told = Vec::new();
    for _ in 0..time.as_secs() / 60 {
        let messages = scene.run(Answer::Stored);
        told.push(messages.into_iter().flat_map(|message| message.keys).collect());
        scene.pass(Duration::from_secs(60));
    }
    told
}

#[test]
fn a_restart_tells_nothing_that_was_just_told_and_goes_on_with_the_sweep() {
    let mut scene = told(5000);
    let mut next = restarted(&mut scene, Duration::from_secs(300));
    next.keep(&keys(0..5000), HOUR);
    next.provide.all_kept();
    next.provide.table_size(60, next.now);
    next.pass(SETTLED);
    assert!(next.run(Answer::Stored).is_empty(), "nothing is told twice");
    assert_eq!((next.provide.backlog().keys, next.provide.backlog().told), (5000, 5000));
    // All of it within its time, and spread over it.
    let told = minutes(&mut next, 2 * HOUR);
    let all: BTreeSet<_> = told.iter().flatten().copied().collect();
    assert_eq!(all.len(), 5000);
    let busy = told.iter().filter(|keys| !keys.is_empty()).count();
    let most = told.iter().map(BTreeSet::len).max().expect("minutes");
    assert!(busy >= 3 && most <= 5000 / 2, "{most} keys in one minute, {busy} minutes with any");
}

#[test]
fn a_network_that_was_lost_before_the_stop_has_not_grown_since() {
    for (lost, now, again) in [(1, 60, 0), (60, 119, 0), (60, 120, 1000)] {
        let mut scene = told(1000);
        scene.provide.table_size(lost, scene.now);
        let mut next = restarted(&mut scene, Duration::from_secs(60));
        next.keep(&keys(0..1000), HOUR);
        next.provide.all_kept();
        next.provide.table_size(now, next.now);
        next.pass(SETTLED);
        let told: BTreeSet<_> =
            next.run(Answer::Stored).into_iter().flat_map(|message| message.keys).collect();
        assert_eq!(told.len(), again, "{lost} peers at the stop, {now} after");
    }
}

#[test]
fn what_is_new_since_is_told_at_once() {
    let mut scene = told(2000);
    scene.keep(&keys(2000..2001), HOUR);
    let mut next = restarted(&mut scene, Duration::from_secs(300));
    next.keep(&keys(0..2001), HOUR);
    let told: BTreeSet<_> = next.run(Answer::Stored).into_iter().flat_map(|message| message.keys).collect();
    let untold = keys(2000..2001)[0];
    assert!(
        told.contains(&untold) && told.len() < 100,
        "with its part of the key space alone: {}",
        told.len()
    );
    let new = OwnKey { key: keys(3000..3001)[0], since: u64::MAX };
    next.provide.keep(&[new], HOUR, next.now);
    let told = next.run(Answer::Stored);
    assert!(!told.is_empty() && told.iter().all(|message| message.keys.contains(&new.key)));
}

#[test]
fn what_has_expired_meanwhile_is_told_at_once() {
    let mut scene = told(1000);
    let mut next = restarted(&mut scene, 5 * HOUR);
    next.keep(&keys(0..1000), HOUR);
    let told: BTreeSet<_> = next.run(Answer::Stored).into_iter().flat_map(|message| message.keys).collect();
    assert_eq!(told.len(), 1000);
}

#[test]
fn from_another_address_everything_is_told_again() {
    let (here, there) =
        ("/ip4/10.0.0.1/tcp/1".parse().expect("valid"), "/ip4/10.0.0.2/tcp/1".parse().expect("valid"));
    let mut scene = Scene::new(60);
    scene.provide.set_addresses(&[here], scene.now);
    scene.provide.all_kept();
    scene.keep(&keys(0..1000), 4 * HOUR);
    scene.run(Answer::Stored);
    let here = scene.provide.addresses.clone();
    for (addresses, told) in [(here.clone(), 0), (vec![there], 1000)] {
        let mut next = restarted(&mut scene, Duration::from_secs(60));
        next.keep(&keys(0..1000), HOUR);
        next.provide.set_addresses(&addresses, next.now);
        next.pass(Duration::from_secs(1));
        let all: BTreeSet<_> =
            next.run(Answer::Stored).into_iter().flat_map(|message| message.keys).collect();
        assert_eq!(all.len(), told, "at {addresses:?}");
    }
}

#[test]
fn what_an_earlier_run_told_is_withdrawn_where_it_must_be() {
    let mut scene = told(100);
    let mut next = restarted(&mut scene, Duration::from_secs(60));
    next.keep(&keys(0..100), HOUR);
    let gone = keys(0..1);
    next.provide.withdraw(Task::Withdraw(WithdrawalId(1)), &gone, next.now);
    let told = next.run(Answer::Stored);
    let nearest: Vec<_> =
        next.nearest(Position::of_key(&gone[0])).into_iter().take(20).map(|node| node.peer).collect();
    assert!(told.iter().all(|message| message.withdraws && message.keys.iter().eq(&gone)));
    assert!(nearest.iter().all(|peer| told.iter().any(|message| message.peer == *peer)));
}

#[test]
fn a_withdrawal_that_finds_nobody_ends() {
    let mut scene = told(100);
    let mut next = restarted(&mut scene, Duration::from_secs(60));
    next.keep(&keys(0..100), HOUR);
    let task = Task::Withdraw(WithdrawalId(1));
    next.provide.withdraw(task, &keys(0..1), next.now);
    next.pass(WITHDRAWING / 2);
    assert!(!next.provide.take_notes().contains(&(task, Note::Done)), "somebody may come");
    next.pass(WITHDRAWING / 2);
    assert!(next.provide.take_notes().contains(&(task, Note::Done)));
    assert!(next.run(Answer::Stored).is_empty(), "it is over");
}

#[test]
fn nothing_is_marked_before_it_is_known_what_was_to_be_told() {
    let mut scene = told(100);
    let mut next = restarted(&mut scene, Duration::from_secs(60));
    assert_eq!(next.provide.mark(next.now), None);
    next.keep(&keys(0..10), HOUR);
    assert_eq!(next.provide.mark(next.now), None);
    next.provide.all_kept();
    assert!(next.provide.mark(next.now).is_some());
}
