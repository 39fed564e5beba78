//! What one sender may announce and ask over time.

use std::time::Duration;

use libp2p::PeerId;

use super::*;

fn sender() -> Sender {
    Sender::Peer(PeerId::random())
}

#[test]
fn a_sender_may_announce_a_lot_but_not_for_ever() {
    let (mut purses, one, mut now) = (Purses::default(), sender(), Instant::now());
    assert!(purses.may_announce(one, KEYS_AT_ONCE, now));
    assert!(!purses.may_announce(one, 1, now));
    now += Duration::from_secs(1);
    assert!(purses.may_announce(one, KEYS_PER_SECOND, now));
    assert!(!purses.may_announce(one, 1, now));
    now += Duration::from_secs(1_000_000);
    assert!(!purses.may_announce(one, KEYS_AT_ONCE + 1, now));
    assert!(purses.may_announce(one, KEYS_AT_ONCE, now));
}

#[test]
fn a_sender_that_asks_without_end_is_not_answered_any_more() {
    let (mut purses, one, now) = (Purses::default(), sender(), Instant::now());
    let answered = (0..10 * QUESTIONS_AT_ONCE).filter(|_| purses.may_ask(one, now)).count();
    assert_eq!(answered, QUESTIONS_AT_ONCE);
    assert!(purses.may_announce(one, 1, now), "that is another matter");
    assert!(purses.may_ask(one, now + Duration::from_secs(1)));
    assert!(purses.may_ask(sender(), now), "others have their own");
}

#[test]
fn small_messages_are_counted_too() {
    let (mut purses, one, mut now) = (Purses::default(), sender(), Instant::now());
    let sent = |purses: &mut Purses, now| (0..10_000).filter(|_| purses.may_send(one, now)).count();
    assert_eq!(sent(&mut purses, now), MESSAGES_AT_ONCE);
    for _ in 0..5 {
        now += Duration::from_secs(1);
        assert_eq!(sent(&mut purses, now), MESSAGES_PER_SECOND);
    }
    assert!(purses.may_announce(one, 1, now), "what is counted are messages, the keys are left");
}

#[test]
fn identities_do_not_fill_memory_and_do_not_bring_a_full_purse_back() {
    let (mut purses, busy, mut now) = (Purses::default(), sender(), Instant::now());
    while purses.may_send(busy, now) {}
    for _ in 0..2 * MAX_SENDERS {
        now += Duration::from_micros(1);
        assert!(purses.may_send(sender(), now));
        assert!(!purses.may_send(busy, now), "it was not silent");
    }
    assert_eq!(purses.of.len(), MAX_SENDERS);
}
