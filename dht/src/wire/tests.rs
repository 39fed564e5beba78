//! Golden bytes of an announcement, and everything that is not one.

use proptest::prelude::*;

use super::*;
use crate::position::Node;

fn keypair(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).expect("32 bytes")
}

fn network() -> NetworkName {
    NetworkName::default()
}

fn keys(count: u8) -> BTreeSet<ProviderKey> {
    (0..count).map(|n| ProviderKey::from_bytes([n; 32])).collect()
}

fn sealed(term: Term, keys: BTreeSet<ProviderKey>) -> Sealed {
    let addresses = ["/ip4/10.0.0.1/tcp/4001".parse().expect("an address")];
    Sealed::seal(7, term, &addresses, keys, (&network(), Scope::Lan), &keypair(1)).expect("signs")
}

fn open(bytes: &[u8]) -> Result<Sealed, OpenError> {
    Sealed::open(bytes.to_vec(), &network(), Scope::Lan)
}

pub(super) fn node(seed: u8, addresses: &[&str]) -> Node {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    Node { peer: keypair(seed).public().to_peer_id(), addresses }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_announcement_has_these_bytes() {
    let bytes = hex(sealed(Term::Until(1_700_000_000), keys(1)).as_bytes());
    let expected = concat!(
        "82585e",                                                                       // [body,
        "8701636c616e",                                                                 // [1, "lan",
        "5824080112208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c", // key,
        "071a6553f100",                                                                 // 7, 1700000000,
        "8148040a000001060fa1",                                                         // [address],
        "58200000000000000000000000000000000000000000000000000000000000000000",         // keys]
        "5840",                                                                         // signature]
        "e7db26063c29706332598ac90464c2e111c0bf3ffddcc031b777ec8f9ebdefcc",
        "4ed46dd7014050773ff056e1b8a5bfd926dbcdc3121ea274259abcd5be342e0a",
    );
    assert_eq!(bytes, expected);
}

#[test]
fn a_receipt_has_these_bytes() {
    let receipt = Receipt { stored: 3, refused: 500 };
    assert_eq!(hex(&receipt.encode()), "8301031901f4");
    assert_eq!(Receipt::decode(&receipt.encode()), Ok(receipt));
    assert_eq!(Receipt::decode(&[0x83, 0x02, 0x03, 0x00]), Err(OpenError::Version(2)));
}

#[test]
fn what_was_sealed_opens() {
    for term in [Term::Until(1_700_000_000), Term::Withdrawn] {
        let sealed = sealed(term, keys(3));
        let opened = open(sealed.as_bytes()).expect("opens");
        assert_eq!(opened.announcement(), sealed.announcement());
        assert_eq!(opened.announcement().provider, keypair(1).public().to_peer_id());
    }
}

#[test]
fn the_largest_announcement_fits() {
    let all = (0..MAX_KEYS)
        .map(|n| {
            let mut key = [0xff; 32];
            key[..8].copy_from_slice(&(n as u64).to_be_bytes());
            ProviderKey::from_bytes(key)
        })
        .collect();
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(MAX_ADDRESS_LEN - 5)).parse().expect("valid");
    assert_eq!(long.len(), MAX_ADDRESS_LEN);
    let addresses = vec![long; MAX_ADDRESSES];
    let sealed =
        Sealed::seal(u64::MAX, Term::Until(u64::MAX), &addresses, all, (&network(), Scope::Wan), &keypair(1))
            .expect("signs");
    assert!(Sealed::open(sealed.as_bytes().to_vec(), &network(), Scope::Wan).is_ok());
}

#[test]
fn another_scope_network_or_version_is_refused() {
    let bytes = sealed(Term::Until(1), keys(1)).as_bytes().to_vec();
    let other = NetworkName::parse("other").expect("a name");
    assert_eq!(refusal(Sealed::open(bytes.clone(), &other, Scope::Lan)), OpenError::Forged);
    assert_eq!(refusal(Sealed::open(bytes, &network(), Scope::Wan)), OpenError::Scope);
}

#[test]
fn nobody_announces_for_another() {
    let Envelope(body, _) = decode(sealed(Term::Until(1), keys(1)).as_bytes()).expect("decodes");
    let signature = keypair(2).sign(&signed_bytes(&network(), &body)).expect("signs");
    let forged = encode(&Envelope(body, ByteBuf::from(signature)));
    assert_eq!(refusal(open(&forged)), OpenError::Forged);
}

#[test]
fn nobody_announces_without_a_signature_or_at_any_length() {
    let Envelope(body, signature) = decode(sealed(Term::Until(1), keys(1)).as_bytes()).expect("decodes");
    for wrong in [&[][..], &signature[..63], &[0; 64]] {
        let unsigned = encode(&Envelope(body.clone(), ByteBuf::from(wrong)));
        assert_eq!(refusal(open(&unsigned)), OpenError::Forged, "{} bytes", wrong.len());
    }
    let long = encode(&Envelope(ByteBuf::from(vec![0; MAX_REQUEST_LEN]), signature));
    assert_eq!(refusal(open(&long)), OpenError::TooLarge, "before anything of it is looked at");
}

/// Signs any body as its author would.
fn signed(body: &impl Serialize) -> Vec<u8> {
    let body = encode(body);
    let signature = keypair(1).sign(&signed_bytes(&network(), &body)).expect("signs");
    encode(&Envelope(ByteBuf::from(body), ByteBuf::from(signature)))
}

#[test]
fn a_right_signature_does_not_make_a_wrong_body_right() {
    let public_key = ByteBuf::from(keypair(1).public().encode_protobuf());
    let body = |version: u8, addresses: Vec<Vec<u8>>, keys: Vec<u8>| {
        let addresses = addresses.into_iter().map(ByteBuf::from).collect();
        signed(&Body(version, "lan".to_owned(), public_key.clone(), 1, 1, addresses, ByteBuf::from(keys)))
    };
    assert!(open(&body(1, vec![], vec![0; 32])).is_ok());
    assert_eq!(refusal(open(&body(2, vec![], vec![0; 32]))), OpenError::Version(2));
    for (what, keys) in [
        ("none", vec![]),
        ("half a key", vec![0; 48]),
        ("twice the same", vec![0; 64]),
        ("descending", {
            let mut keys = vec![1; 32];
            keys.extend([0; 32]);
            keys
        }),
    ] {
        assert_eq!(refusal(open(&body(1, vec![], keys))), OpenError::Malformed, "{what}");
    }
    assert_eq!(refusal(open(&body(1, vec![vec![0xff; 9]], vec![0; 32]))), OpenError::Malformed);
    assert_eq!(refusal(open(&body(1, vec![vec![0; 200]], vec![0; 32]))), OpenError::TooLarge);
    assert_eq!(refusal(open(&body(1, vec![vec![]; 6], vec![0; 32]))), OpenError::TooLarge);
    let too_many: Vec<u8> =
        (0..=4096_u32).flat_map(|n| [n.to_be_bytes().as_slice(), &[0; 28]].concat()).collect();
    assert_eq!(refusal(open(&body(1, vec![], too_many))), OpenError::TooLarge);
}

#[test]
fn another_form_of_the_same_values_is_refused() {
    let bytes = sealed(Term::Until(1), keys(1)).as_bytes().to_vec();
    let mut trailing = bytes.clone();
    trailing.push(0);
    assert_eq!(refusal(open(&trailing)), OpenError::Malformed);
    // The array's length in two bytes where one will do.
    let mut long_form = vec![0x98, 0x02];
    long_form.extend(&bytes[1..]);
    assert_eq!(refusal(open(&long_form)), OpenError::Malformed);
}

fn refusal(result: Result<Sealed, OpenError>) -> OpenError {
    result.expect_err("it is refused")
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes).is_err());
    }

    #[test]
    fn no_bit_can_be_changed(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut bytes = sealed(Term::Until(1_700_000_000), keys(2)).as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(open(&bytes).is_err());
    }
}
