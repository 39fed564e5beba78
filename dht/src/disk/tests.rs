//! The bytes of a row, and what is made of bytes that are none.

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn peer(number: u8) -> PeerId {
    let digest = multihash(number);
    PeerId::from_bytes(&digest).expect("a peer id")
}

/// The bytes of an ed25519 peer id whose key is `number` everywhere.
fn multihash(number: u8) -> Vec<u8> {
    [&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20][..], &[number; 32]].concat()
}

fn kept() -> Kept {
    Kept {
        key: ProviderKey::from_bytes([7; 32]),
        provider: peer(1),
        sender: Sender::Peer(peer(2)),
        addresses: vec!["/ip4/10.0.0.1/tcp/4001".parse().expect("an address")],
        sequence: 9,
        age: Duration::from_secs(60),
        life: Duration::from_secs(3600),
        memory: Duration::from_secs(7200),
    }
}

fn encoded(kept: Kept) -> (Vec<u8>, Vec<u8>) {
    let change = RecordChange::encode(Scope::Lan, KeptChange::Put(kept), at(NOW));
    (change.key, change.row.expect("a row"))
}

#[test]
fn the_bytes_are_these() {
    let (key, row) = encoded(kept());
    assert_eq!(key, [&[0][..], &[7; 32], &multihash(1)].concat());
    let times =
        [[0x1a, 0x6b, 0x49, 0xd1, 0xc4], [0x1a, 0x6b, 0x49, 0xe0, 0x10], [0x1a, 0x6b, 0x49, 0xee, 0x20]];
    let expected = [
        &[0x87, 0x01, 0x58, 0x27, 0x00][..],
        &multihash(2),
        &[0x09],
        times.as_flattened(),
        &[0x81, 0x48, 0x04, 10, 0, 0, 1, 0x06, 0x0f, 0xa1],
    ];
    assert_eq!(row, expected.concat());
    assert_eq!(decode(&key, &row, at(NOW)), Some((Scope::Lan, kept())));
}

#[test]
fn a_sender_from_the_internet_takes_little_room() {
    let address = "/ip4/8.8.8.8/tcp/1".parse().expect("an address");
    let global = Kept { sender: Sender::of(peer(2), &address), ..kept() };
    let (key, row) = encoded(global.clone());
    assert_eq!(row[2..7], [0x44, 4, 8, 8, 8]);
    assert_eq!(decode(&key, &row, at(NOW)), Some((Scope::Lan, global)));
}

#[test]
fn time_goes_by_between_writing_and_reading() {
    let (key, row) = encoded(kept());
    let (_, later) = decode(&key, &row, at(NOW + 1800)).expect("a record");
    let minutes = |count: u64| Duration::from_secs(60 * count);
    assert_eq!((later.age, later.life, later.memory), (minutes(31), minutes(30), minutes(90)));
    let (_, late) = decode(&key, &row, at(NOW + 100_000)).expect("a record");
    assert_eq!((late.life, late.memory), (Duration::ZERO, Duration::ZERO));
    // A clock that was set back makes nothing older than it is, nor panics.
    let (_, early) = decode(&key, &row, at(0)).expect("a record");
    assert_eq!(early.age, Duration::ZERO);
}

#[test]
fn what_does_not_belong_into_the_scope_is_not_read_back() {
    let mut kept = kept();
    kept.addresses.push("/ip4/8.8.8.8/tcp/1".parse().expect("an address"));
    let (key, row) = encoded(kept.clone());
    let (_, read) = decode(&key, &row, at(NOW)).expect("a record");
    assert_eq!(read.addresses, kept.addresses[..1]);
}

#[test]
fn a_row_stays_short() {
    let mut kept = kept();
    let long = format!("/dns4/{}.lan/tcp/1", "a".repeat(100));
    kept.addresses.extend(std::iter::repeat_n(long.parse().expect("an address"), 5));
    let (_, row) = encoded(kept);
    assert!(row.len() < 2 * MAX_ADDRESS_BYTES, "{} bytes", row.len());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(key: Vec<u8>, row: Vec<u8>, at_byte: usize, bit in 0..8_u32) {
        let _ = decode(&key, &row, at(NOW));
        let (good_key, mut good_row) = encoded(kept());
        let _ = decode(&good_key, &row, at(NOW));
        let length = good_row.len();
        good_row[at_byte % length] ^= 1 << bit;
        let _ = decode(&good_key, &good_row, at(NOW));
        good_row.truncate(at_byte % length);
        prop_assert_eq!(decode(&good_key, &good_row, at(NOW)), None);
    }
}
