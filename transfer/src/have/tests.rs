//! Golden bytes of questions and answers, and what strict decoding refuses.

use futures::executor::block_on;
use futures::io::Cursor;
use libp2p::request_response::Codec as _;
use proptest::prelude::*;

use super::*;
use crate::wire::decode;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn peer() -> PeerId {
    // An identity multihash of an ed25519 key of 32 equal bytes.
    PeerId::from_bytes(&[&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20], [9_u8; 32].as_slice()].concat()).unwrap()
}

fn answer() -> Answer {
    let ranges = [0..2, 5..6].into_iter().collect();
    let (name, files) = (Some("a.txt".into()), Some(GroupRanges::all(3)));
    Answer {
        holding: Some(Holding { size: 100_000, ranges, complete: false, name, files }),
        others: vec![Holder { peer: peer(), addresses: vec!["/ip4/10.0.0.1/tcp/4001".parse().unwrap()] }],
    }
}

fn write<'a>(write: impl AsyncFnOnce(&mut Codec, &mut Cursor<Vec<u8>>) -> io::Result<()> + 'a) -> Vec<u8> {
    let mut io = Cursor::new(Vec::new());
    block_on(write(&mut Codec, &mut io)).unwrap();
    io.into_inner()
}

fn check_request(request: &Request, golden: &str) {
    let protocol = protocol(&NetworkName::default(), "have/1");
    let bytes = write(async |codec, io| codec.write_request(&protocol, io, request.clone()).await);
    assert_eq!(hex(&bytes), golden);
    assert_eq!(block_on(Codec.read_request(&protocol, &mut Cursor::new(bytes))).unwrap(), *request);
}

fn check_response(response: &Response, golden: &str) {
    let protocol = protocol(&NetworkName::default(), "have/1");
    let bytes = write(async |codec, io| codec.write_response(&protocol, io, response.clone()).await);
    assert_eq!(hex(&bytes), golden);
    assert_eq!(block_on(Codec.read_response(&protocol, &mut Cursor::new(bytes))).unwrap(), *response);
}

#[test]
fn questions_are_these_bytes() {
    let bytes = "03".repeat(32);
    let key = ProviderKey::from_bytes([3; 32]);
    check_request(&Request::Have(Have { key }), &format!("0000002583005820{bytes}00"));
    let bad = Request::BadGroup { key, group: 300 };
    check_request(&bad, &format!("0000002783015820{bytes}19012c"));
}

#[test]
fn answers_are_these_bytes() {
    check_response(&Response::Ack, "000000048301f680");
    check_response(&Response::Answer(Answer::default()), "000000048300f680");
    let whole = Holding { size: 0, ranges: GroupRanges::all(1), complete: true, name: None, files: None };
    check_response(
        &Response::Answer(Answer { holding: Some(whole), others: vec![] }),
        "0000000c8300850081820001f5f6f680",
    );
    let peer = format!("002408011220{}", "09".repeat(32));
    check_response(
        &Response::Answer(answer()),
        &format!(
            "0000004e8300851a000186a082820002820501f465612e747874818200038182\
             5826{peer}8148040a000001060fa1"
        ),
    );
}

#[test]
fn lists_beyond_their_caps_are_cut_when_sent_and_refused_when_received() {
    let many = Answer {
        holding: Some(Holding {
            size: 16 * 1024 * 10_000,
            ranges: (0..2000).map(|i| i * 2..i * 2 + 1).collect(),
            complete: false,
            name: Some("n".repeat(MAX_NAME_LEN + 1)),
            files: Some((0..2000).map(|i| i * 2..i * 2 + 1).collect()),
        }),
        others: vec![
            Holder {
                peer: peer(),
                addresses: (1..20).map(|port| format!("/ip4/1.2.3.4/tcp/{port}").parse().unwrap()).collect()
            };
            20
        ],
    };
    let protocol = protocol(&NetworkName::default(), "have/1");
    let bytes =
        write(async |codec, io| codec.write_response(&protocol, io, Response::Answer(many.clone())).await);
    let Response::Answer(cut) = wire::decode_response(&bytes[4..]).unwrap() else { panic!("not an answer") };
    let holding = cut.holding.unwrap();
    assert_eq!(holding.ranges.range_count(), 1024);
    assert_eq!(holding.name, None);
    assert_eq!(holding.files.unwrap().range_count(), 1024);
    assert_eq!(cut.others.len(), MAX_OTHERS);
    assert!(cut.others.iter().all(|holder| holder.addresses.len() == MAX_ADDRESSES));

    // Nine holders of no address each: `[peer id, []]`.
    let holder = [&[0x82, 0x58, 0x26], peer().to_bytes().as_slice(), &[0x80]].concat();
    let nine = [&[0x83, 0x00, 0xf6, 0x89], holder.repeat(9).as_slice()].concat();
    assert!(wire::decode_response(&nine).is_err());
    let eight = [&[0x83, 0x00, 0xf6, 0x88], holder.repeat(8).as_slice()].concat();
    assert!(wire::decode_response(&eight).is_ok());
}

#[test]
fn holdings_that_contradict_themselves_are_refused() {
    let encode = |size, ranges: GroupRanges, complete| {
        let holding = Holding { size, ranges, complete, name: None, files: None };
        let answer = Response::Answer(Answer { holding: Some(holding), others: vec![] });
        frame(&wire::encode_response(&answer)).split_off(4)
    };
    assert!(wire::decode_response(&encode(20_000, GroupRanges::all(2), true)).is_ok());
    assert!(wire::decode_response(&encode(20_000, GroupRanges::all(1), true)).is_err(), "not complete");
    assert!(wire::decode_response(&encode(20_000, GroupRanges::all(2), false)).is_err(), "complete");
    assert!(
        wire::decode_response(&encode(20_000, GroupRanges::from(1..3), false)).is_err(),
        "beyond the end"
    );
}

proptest! {
    #[test]
    fn mutated_messages_are_refused_or_canonical(flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = frame(&wire::encode_response(&Response::Answer(answer()))).split_off(4);
        for (at, to) in flips {
            let at = at % bytes.len();
            bytes[at] = to;
        }
        if let Ok(response) = wire::decode_response(&bytes) {
            // A mutated address may be too odd to be worth sending on, but what is decoded was canonical.
            prop_assert!(decode::<wire::ResponseWire>(&bytes).is_ok());
            let again = frame(&wire::encode_response(&response)).split_off(4);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode_request(&bytes);
        let _ = wire::decode_response(&bytes);
    }
}
