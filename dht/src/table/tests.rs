//! Buckets that keep whoever answers.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn home() -> Vec<Multiaddr> {
    vec![at("/ip4/8.8.8.8/tcp/1")]
}

/// A table, and peers of its farthest bucket.
fn far(count: usize) -> (Table, Vec<PeerId>) {
    let table = Table::new(Position::random());
    let is_far = |peer: &PeerId| table.bits(peer) == 0;
    let peers = std::iter::repeat_with(PeerId::random).filter(is_far).take(count).collect();
    (table, peers)
}

/// A full bucket of nodes without a connection, and as many strangers.
fn full(now: Instant) -> (Table, Vec<PeerId>, Vec<PeerId>) {
    let (mut table, mut peers) = far(2 * K);
    let strangers = peers.split_off(K);
    for peer in &peers {
        assert_eq!(table.offer(*peer, home(), Link::Disconnected, now), Offered::Entered);
    }
    (table, peers, strangers)
}

#[test]
fn a_node_without_an_address_and_we_ourselves_do_not_enter() {
    let (now, ourselves) = (Instant::now(), PeerId::random());
    let mut table = Table::new(Position::of_peer(&ourselves));
    assert_eq!(table.offer(ourselves, home(), Link::Connected, now), Offered::Refused);
    assert_eq!(table.offer(PeerId::random(), Vec::new(), Link::Connected, now), Offered::Refused);
    assert_eq!((table.len(), table.buckets.len()), (0, 0));
}

#[test]
fn a_full_bucket_checks_its_least_recently_seen_node_before_it_takes_another() {
    let now = Instant::now();
    let (mut table, members, strangers) = full(now);
    assert!(table.is_full(&strangers[0]));
    assert_eq!(
        table.offer(strangers[0], home(), Link::Disconnected, now),
        Offered::Refused,
        "it may be gone"
    );
    let first = Node { peer: members[0], addresses: home() };
    assert_eq!(table.offer(strangers[0], home(), Link::Connected, now), Offered::Waits(first));
    assert_eq!(table.offer(strangers[1], home(), Link::Connected, now), Offered::Refused, "one waits");
    assert_eq!(table.replace(now + CHECK - Duration::from_millis(1)), []);
    assert_eq!(table.replace(now + CHECK), [Replaced { gone: Some(members[0]) }]);
    assert!(table.contains(&strangers[0]) && !table.contains(&members[0]));
    assert_eq!(table.len(), K);
}

#[test]
fn whoever_answers_keeps_its_place_and_is_the_last_to_be_checked_again() {
    let now = Instant::now();
    let (mut table, members, strangers) = full(now);
    for (member, stranger) in members.iter().zip(&strangers) {
        let offered = table.offer(*stranger, home(), Link::Connected, now);
        assert_eq!(offered, Offered::Waits(Node { peer: *member, addresses: home() }));
        table.linked(member, Link::Connected);
        table.linked(member, Link::Disconnected);
        assert_eq!(table.replace(now + CHECK), []);
    }
    for member in &members {
        table.linked(member, Link::Connected);
    }
    assert_eq!(table.offer(strangers[0], home(), Link::Connected, now), Offered::Refused, "all are here");
    assert!(members.iter().all(|member| table.contains(member)));
}

#[test]
fn one_that_waits_takes_a_place_that_becomes_free_and_goes_when_it_is_removed() {
    let now = Instant::now();
    let (mut table, members, strangers) = full(now);
    table.offer(strangers[0], home(), Link::Connected, now);
    assert!(!table.remove(&strangers[0]), "it was no member yet");
    assert_eq!(table.replace(now + CHECK), []);
    table.offer(strangers[1], home(), Link::Connected, now);
    assert!(table.remove(&members[7]));
    assert_eq!(table.replace(now), [Replaced { gone: None }]);
    assert_eq!(table.len(), K);
    assert!(table.contains(&strangers[1]) && table.contains(&members[0]));
}

#[test]
fn a_node_is_where_it_was_said_to_be_last() {
    let (now, peer) = (Instant::now(), PeerId::random());
    let mut table = Table::new(Position::random());
    let (here, there) = (at("/ip4/8.8.8.8/tcp/1"), at("/ip4/8.8.8.9/tcp/1"));
    assert_eq!(table.offer(peer, vec![here.clone()], Link::Connected, now), Offered::Entered);
    assert_eq!(table.offer(peer, vec![here.clone()], Link::Connected, now), Offered::Known);
    assert_eq!(table.offer(peer, vec![here.clone(), there.clone()], Link::Connected, now), Offered::Moved);
    table.remove_address(&peer, &here);
    table.remove_address(&peer, &there);
    assert_eq!(table.addresses(&peer), [there], "the only one stays");
    assert!(table.remove(&peer));
    assert_eq!((table.len(), table.buckets.len(), table.addresses(&peer)), (0, 0, [].as_slice()));
}

#[test]
fn the_nearest_are_those_of_all_that_are_wanted() {
    let (now, mut table) = (Instant::now(), Table::new(Position::random()));
    let peers: Vec<_> = std::iter::repeat_with(PeerId::random).take(300).collect();
    for peer in &peers {
        table.offer(*peer, home(), Link::Disconnected, now);
    }
    let (target, unwanted) = (Position::random(), peers[0]);
    let mut all = table.distances(target);
    all.retain(|(_, peer)| *peer != unwanted);
    all.sort_unstable();
    for count in [0, 1, 20, 1000] {
        let nearest = table.nearest(target, count, |peer| *peer != unwanted);
        let expected: Vec<_> = all.iter().take(count).map(|(_, peer)| *peer).collect();
        assert_eq!(nearest.into_iter().map(|node| node.peer).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_empty_table_takes_no_memory_to_speak_of() {
    assert!(size_of::<Table>() <= 128, "{}", size_of::<Table>());
    let (now, mut table) = (Instant::now(), Table::new(Position::random()));
    for _ in 0..1000 {
        table.offer(PeerId::random(), home(), Link::Disconnected, now);
    }
    let room: usize = table.buckets.values().map(|bucket| bucket.members.capacity()).sum();
    assert!(room <= table.len() + table.buckets.len(), "{room} places for {}", table.len());
}

proptest! {
    /// Whatever comes and goes: no bucket overflows, nobody is twice in the table, the count is right, nobody waits
    /// where there is room, and whoever is connected leaves only when it is removed.
    #[test]
    fn nobody_loses_a_place_while_it_is_here(steps in proptest::collection::vec((0..5_u8, 0..60_usize), 0..400)) {
        let (mut table, peers) = far(60);
        let (mut now, mut here) = (Instant::now(), std::collections::HashSet::new());
        for (step, number) in steps {
            let peer = peers[number];
            match step {
                0 | 1 => {
                    let link = if here.contains(&peer) { Link::Connected } else { Link::Disconnected };
                    table.offer(peer, home(), link, now);
                }
                2 => {
                    here.insert(peer);
                    table.linked(&peer, Link::Connected);
                }
                3 => {
                    here.remove(&peer);
                    table.linked(&peer, Link::Disconnected);
                }
                _ if number == 0 => drop(table.remove(&peer)),
                _ => now += Duration::from_secs(1),
            }
            let stays: Vec<_> = peers.iter().filter(|peer| here.contains(*peer) && table.contains(peer)).collect();
            table.replace(now);
            prop_assert!(stays.into_iter().all(|peer| table.contains(peer)));
            let mut members: Vec<_> = table.iter().map(|member| member.peer).collect();
            prop_assert_eq!(members.len(), table.len());
            members.sort();
            members.dedup();
            prop_assert_eq!(members.len(), table.len());
            for bucket in table.buckets.values() {
                prop_assert!(bucket.members.len() <= K);
                prop_assert!(bucket.candidate.is_none() || bucket.members.len() == K);
                prop_assert!(bucket.members.is_sorted_by_key(|member| member.is_connected));
            }
        }
    }
}
