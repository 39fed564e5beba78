//! Golden bytes of a question and its answer, and everything that is neither.

use proptest::prelude::*;

use super::*;
use crate::wire::tests::{hex, node};

#[test]
fn a_question_has_these_bytes() {
    let target = Position::from_bytes([7; 32]);
    let seven = "0707070707070707070707070707070707070707070707070707070707070707";
    let nodes = Question { target, key: None };
    assert_eq!(hex(&nodes.encode()), format!("83015820{seven}f6"));
    let providers = Question { target, key: Some(ProviderKey::from_bytes([9; 32])) };
    let nine = "09".repeat(32);
    assert_eq!(hex(&providers.encode()), format!("83015820{seven}5820{nine}"));
    for question in [nodes, providers] {
        assert_eq!(Question::decode(&question.encode()), Ok(question));
        assert!(question.encode().len() <= MAX_QUESTION_LEN);
    }
}

#[test]
fn an_answer_has_these_bytes() {
    let answer = Reply { closer: vec![node(1, &["/ip4/10.0.0.1/tcp/4001"])], providers: vec![node(2, &[])] };
    let expected = concat!(
        "8301",
        "8182582600240801122",
        "08a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
        "8148040a000001060fa1",
        "8182582600240801122",
        "08139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
        "80",
    );
    assert_eq!(hex(&answer.encode()), expected);
    assert_eq!(Reply::decode(&answer.encode()), Ok(answer));
}

#[test]
fn the_fullest_answer_fits() {
    let long: Multiaddr = format!("/dns4/{}/tcp/1", "a".repeat(MAX_ADDRESS_LEN - 5)).parse().expect("valid");
    let full = Node { peer: PeerId::random(), addresses: vec![long; MAX_ADDRESSES_TOLD + 3] };
    let answer =
        Reply { closer: vec![full.clone(); MAX_CLOSER + 3], providers: vec![full; MAX_PROVIDERS + 3] };
    let bytes = answer.encode();
    assert!(bytes.len() <= MAX_REPLY_LEN, "{} bytes", bytes.len());
    let decoded = Reply::decode(&bytes).expect("decodes");
    assert_eq!((decoded.closer.len(), decoded.providers.len()), (MAX_CLOSER, MAX_PROVIDERS));
}

#[test]
fn more_than_an_answer_may_hold_is_refused() {
    let row = |peer: usize, addresses: usize, len: usize| {
        NodeRow(ByteBuf::from(vec![0; peer]), vec![ByteBuf::from(vec![0; len]); addresses])
    };
    let rows = |count, of: fn() -> NodeRow| (0..count).map(|_| of()).collect::<Vec<_>>();
    let good = || NodeRow::of(&node(1, &[]));
    let refused = |answer: &ReplyRow| Reply::decode(&encode(answer)).expect_err("it is refused");
    assert_eq!(refused(&ReplyRow(1, rows(MAX_CLOSER + 1, good), vec![])), OpenError::TooLarge);
    assert_eq!(refused(&ReplyRow(1, vec![], rows(MAX_PROVIDERS + 1, good))), OpenError::TooLarge);
    assert_eq!(refused(&ReplyRow(2, vec![], vec![])), OpenError::Version(2));
    for (peer, addresses, len) in [(65, 0, 0), (38, 5, 1), (38, 1, 129)] {
        assert_eq!(refused(&ReplyRow(1, vec![row(peer, addresses, len)], vec![])), OpenError::TooLarge);
    }
    assert_eq!(refused(&ReplyRow(1, vec![row(3, 0, 0)], vec![])), OpenError::Malformed);
    let short = QuestionRow(1, ByteBuf::from(vec![0; 31]), None);
    assert_eq!(Question::decode(&encode(&short)), Err(OpenError::Malformed));
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Question::decode(&bytes).is_err());
        prop_assert!(Reply::decode(&bytes).is_err() || bytes == [0x83, 1, 0x80, 0x80]);
    }
}
