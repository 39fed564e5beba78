//! A flood of invented neighbours.

use super::*;

fn address(port: u16) -> Multiaddr {
    format!("/ip4/10.0.0.1/tcp/{port}").parse().expect("an address")
}

fn told(neighbours: &mut Neighbours, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
    std::iter::from_fn(|| neighbours.next(now)).collect()
}

#[test]
fn a_neighbour_is_told_once_per_news() {
    let (mut neighbours, now, peer) = (Neighbours::default(), Instant::now(), PeerId::random());
    neighbours.heard(peer, &address(1));
    neighbours.heard(peer, &address(2));
    assert_eq!(told(&mut neighbours, now), [(peer, vec![address(1), address(2)])]);
    neighbours.heard(peer, &address(2));
    assert_eq!(told(&mut neighbours, now), []);
    neighbours.expired(&peer, &address(1));
    neighbours.expired(&peer, &address(2));
    neighbours.heard(peer, &address(2));
    assert_eq!(told(&mut neighbours, now), [(peer, vec![address(2)])]);
}

#[test]
fn a_neighbour_that_was_not_met_is_told_again_less_and_less_often() {
    let (mut neighbours, start, peer) = (Neighbours::default(), Instant::now(), PeerId::random());
    let mut now = start;
    neighbours.heard(peer, &address(1));
    let mut times = Vec::new();
    for _ in 0..3600 {
        neighbours.tick(now);
        times.extend(told(&mut neighbours, now).iter().map(|_| (now - start).as_secs()));
        now += Duration::from_secs(1);
    }
    assert_eq!(times[..5], [0, 15, 45, 105, 225]);
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert_eq!(longest, Some(LATEST_AGAIN.as_secs()));
    neighbours.met(&peer);
    neighbours.tick(now + 2 * LATEST_AGAIN);
    assert_eq!(told(&mut neighbours, now + 2 * LATEST_AGAIN), []);
}

#[test]
fn a_flood_is_cut_in_memory_and_in_pace() {
    let (mut neighbours, mut now) = (Neighbours::default(), Instant::now());
    for _ in 0..20_000 {
        neighbours.heard(PeerId::random(), &address(1));
    }
    assert_eq!(neighbours.known.len(), MAX_KNOWN);
    let mut seconds = 0;
    loop {
        let count = told(&mut neighbours, now).len();
        assert!(count <= PER_SECOND as usize);
        if count == 0 {
            break;
        }
        seconds += 1;
        now += Duration::from_secs(1);
    }
    assert_eq!(seconds, MAX_KNOWN / PER_SECOND as usize);
}

#[test]
fn what_cannot_be_dialled_from_here_is_no_neighbour() {
    let (mut neighbours, now) = (Neighbours::default(), Instant::now());
    for text in ["/ip4/0.0.0.0/tcp/1", "/ip4/127.0.0.1/tcp/1", "/dns4/printer/tcp/1"] {
        neighbours.heard(PeerId::random(), &text.parse().expect("an address"));
    }
    assert_eq!(told(&mut neighbours, now), []);
    assert!(neighbours.known.is_empty());
}

#[test]
fn after_a_flood_the_real_ones_are_heard() {
    let (mut neighbours, now) = (Neighbours::default(), Instant::now());
    for _ in 0..MAX_KNOWN {
        neighbours.heard(PeerId::random(), &address(1));
    }
    let real = PeerId::random();
    neighbours.heard(real, &address(2));
    neighbours.forget();
    assert_eq!(told(&mut neighbours, now), [], "whoever waited was most likely invented");
    neighbours.heard(real, &address(2));
    assert_eq!(told(&mut neighbours, now), [(real, vec![address(2)])]);
}
