//! What a connection may announce over time.

use std::time::Duration;

use super::*;

#[test]
fn a_remote_may_announce_a_lot_but_not_for_ever() {
    let mut now = Instant::now();
    let mut remote = Remote::new(AddressClass::Private, now);
    assert!(remote.spend(KEYS_AT_ONCE, now));
    assert!(!remote.spend(1, now));
    now += Duration::from_secs(1);
    assert!(remote.spend(KEYS_PER_SECOND, now));
    assert!(!remote.spend(1, now));
    now += Duration::from_secs(1_000_000);
    assert!(!remote.spend(KEYS_AT_ONCE + 1, now));
    assert!(remote.spend(KEYS_AT_ONCE, now));
}
