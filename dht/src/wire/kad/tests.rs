//! Golden bytes of questions and answers, and everything that is neither.

use proptest::prelude::*;

use super::*;
use crate::scope::MAX_ADDRESS_LEN;
use crate::wire::find::{MAX_ADDRESSES_TOLD, MAX_CLOSER, MAX_PROVIDERS};
use crate::wire::tests::{hex, node};

#[test]
fn questions_are_told_apart_by_their_kind() {
    let key = || b"key".to_vec();
    let about = |subject| Request::About(subject, key());
    for (kind, request) in [
        (0, Request::PutValue),
        (1, about(Subject::Value)),
        (2, Request::AddProvider),
        (3, about(Subject::Providers)),
        (4, about(Subject::Nodes)),
        (5, Request::Ping),
    ] {
        // Kind, key, and a cluster level, which nobody uses.
        assert_eq!(Request::decode(&[8, kind, 0x12, 3, b'k', b'e', b'y', 0x50, 10]), Ok(request));
    }
    assert_eq!(Request::decode(&[]), Ok(Request::PutValue), "what is not said is zero");
    assert_eq!(Request::decode(&[8, 6]), Err(OpenError::Malformed));
}

#[test]
fn what_is_not_looked_at_does_not_matter() {
    let peers = [0x42, 4, 0x0a, 2, 1, 2].repeat(600);
    let question = [[8, 4, 0x12, 1, 7].as_slice(), &peers].concat();
    assert_eq!(Request::decode(&question), Ok(Request::About(Subject::Nodes, vec![7])));
}

#[test]
fn an_answer_has_these_bytes() {
    let reply = Reply { closer: vec![node(1, &["/ip4/10.0.0.1/tcp/4001"])], providers: vec![node(2, &[])] };
    let (closer, provider) = (reply.closer[0].peer, reply.providers[0].peer);
    let expected = format!(
        "{}0803{}0a26{}1208040a000001060fa1{}0a26{}1801",
        "62",
        "4232",
        hex(&closer.to_bytes()),
        "4a2a",
        hex(&provider.to_bytes())
    );
    assert_eq!(hex(&answer(Subject::Providers, &reply, |peer| *peer == provider)), expected);
    assert_eq!(hex(&answer(Subject::Nodes, &Reply::default(), |_| false)), "020804");
    assert_eq!(hex(&pong()), "020805");
}

#[test]
fn the_fullest_answer_fits_and_names_every_nearer_node() {
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(MAX_ADDRESS_LEN - 5)).parse().expect("valid");
    let full = Node { peer: PeerId::random(), addresses: vec![long; MAX_ADDRESSES_TOLD] };
    let reply = Reply { closer: vec![full.clone(); MAX_CLOSER], providers: vec![full; MAX_PROVIDERS] };
    let bytes = answer(Subject::Providers, &reply, |_| true);
    let answer = Answer::decode_length_delimited(bytes.as_slice()).expect("decodes");
    let len = answer.encoded_len();
    assert!(len <= MAX_ANSWER_LEN, "{len} bytes");
    assert_eq!(answer.closer.len(), MAX_CLOSER);
    assert!((5..MAX_PROVIDERS).contains(&answer.providers.len()), "{}", answer.providers.len());
}

proptest! {
    #[test]
    fn garbage_does_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Request::About(_, key)) = Request::decode(&bytes) {
            prop_assert!(key.len() <= bytes.len());
        }
    }

    #[test]
    fn damage_does_no_harm(at in 0..60_usize, to in any::<u8>(), len in 0..60_usize) {
        let mut bytes = [[8, 3, 0x12, 32].as_slice(), &[7; 32], &[0x4a, 4, 0x0a, 2, 1, 2].repeat(4)].concat();
        bytes[at] = to;
        bytes.truncate(len);
        if let Ok(Request::About(_, key)) = Request::decode(&bytes) {
            prop_assert!(key.len() <= bytes.len());
        }
    }
}
