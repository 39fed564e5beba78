//! What a connection may announce over time.

use std::time::Duration;

use super::*;

fn remote(now: Instant) -> Remote {
    let address = "/ip4/192.168.0.1/tcp/1".parse().expect("an address");
    Remote::new(PeerId::random(), &address, Endpoint::Listener, now)
}

#[test]
fn a_remote_may_announce_a_lot_but_not_for_ever() {
    let mut now = Instant::now();
    let mut remote = remote(now);
    assert!(remote.may_announce(KEYS_AT_ONCE, now));
    assert!(!remote.may_announce(1, now));
    now += Duration::from_secs(1);
    assert!(remote.may_announce(KEYS_PER_SECOND, now));
    assert!(!remote.may_announce(1, now));
    now += Duration::from_secs(1_000_000);
    assert!(!remote.may_announce(KEYS_AT_ONCE + 1, now));
    assert!(remote.may_announce(KEYS_AT_ONCE, now));
}

#[test]
fn a_remote_that_asks_without_end_is_not_answered_any_more() {
    let now = Instant::now();
    let mut remote = remote(now);
    let answered = (0..10 * QUESTIONS_AT_ONCE).filter(|_| remote.may_ask(now)).count();
    assert_eq!(answered, QUESTIONS_AT_ONCE);
    assert!(remote.may_announce(1, now), "that is another matter");
    assert!(remote.may_ask(now + Duration::from_secs(1)));
}

#[test]
fn small_messages_are_counted_too() {
    let mut now = Instant::now();
    let mut remote = remote(now);
    let sent = |remote: &mut Remote, now| (0..10_000).filter(|_| remote.may_send(now)).count();
    assert_eq!(sent(&mut remote, now), MESSAGES_AT_ONCE);
    for _ in 0..5 {
        now += Duration::from_secs(1);
        assert_eq!(sent(&mut remote, now), MESSAGES_PER_SECOND);
    }
    assert!(remote.may_announce(1, now), "what is counted are messages, the keys are left");
}
