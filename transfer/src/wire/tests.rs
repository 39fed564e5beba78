//! Golden bytes of every message, and what strict decoding refuses.

use futures::executor::block_on;
use futures::io::Cursor;
use proptest::prelude::*;

use super::*;

fn want() -> Want {
    let ranges = [0..3, 8..9].into_iter().collect();
    Want { name: Name::Digest(Digest::from_bytes([7; 32])), ranges, most: None }
}

fn by_key() -> Name {
    Name::Key { key: ProviderKey::from_bytes([8; 32]), pass: Pass::from_bytes([9; 32]) }
}

fn request() -> Request {
    Request { wants: vec![want()], body: Body::Content, credential: None }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks the bytes of a frame and that decoding its content gives the message back.
fn check<T: PartialEq + std::fmt::Debug>(
    message: &T,
    frame: &[u8],
    golden: &str,
    decode: impl Fn(&[u8]) -> Result<T, WireError>,
) {
    assert_eq!(hex(frame), golden);
    assert_eq!(decode(&frame[4..]).unwrap(), *message);
}

#[test]
fn requests_are_these_bytes() {
    let digest = "07".repeat(32);
    let plain = request();
    check(
        &plain,
        &plain.to_frame(),
        &format!("000000308381845820{digest}82820003820801{}", "f6f600f6"),
        Request::decode,
    );
    let rich = Request {
        wants: vec![
            Want { ranges: GroupRanges::all(u64::MAX), most: Some(24), ..want() },
            Want { ranges: GroupRanges::empty(), most: Some(0), name: by_key() },
        ],
        body: Body::HashesOnly,
        credential: Some(b"hi".to_vec()),
    };
    let golden = format!(
        "0000007f8382845820{digest}8182001bffffffffffffffff1818f6845820{}80005820{}{}",
        "08".repeat(32),
        "09".repeat(32),
        "01426869"
    );
    check(&rich, &rich.to_frame(), &golden, Request::decode);
}

#[test]
fn headers_are_these_bytes() {
    let all = Header::Follows { size: 1000, ranges: None };
    check(&all, &all.to_frame(), "0000000683001903e8f6", Header::decode);
    let some = Header::Follows { size: 0, ranges: Some(GroupRanges::from(2..5)) };
    check(&some, &some.to_frame(), "0000000783000081820203", Header::decode);
    let refusals = [
        (Header::NotFound, "01"),
        (Header::Busy, "02"),
        (Header::Changed, "03"),
        (Header::BadRequest, "04"),
        (Header::Failed, "05"),
    ];
    for (header, status) in refusals {
        check(&header, &header.to_frame(), &format!("0000000483{status}00f6"), Header::decode);
    }
}

#[test]
fn marks_are_these_bytes() {
    let marks = [
        (Mark::Chunk(1), "00000001"),
        (Mark::Chunk(MAX_CHUNK_LEN), "00100000"),
        (Mark::Complete, "00000000"),
        (Mark::Changed, "ffffffff"),
        (Mark::Failed, "fffffffe"),
    ];
    for (mark, golden) in marks {
        assert_eq!(hex(&mark.to_bytes()), golden);
        assert_eq!(Mark::decode(mark.to_bytes()).unwrap(), mark);
    }
    assert!(Mark::decode((MAX_CHUNK_LEN + 1).to_be_bytes()).is_err());
}

#[test]
fn protocol_ids_name_the_network() {
    let network = NetworkName::parse("demo").unwrap();
    assert_eq!(range_protocol(&network).as_ref(), "/shoal/demo/range/1");
}

/// Each is one change to a good message.
#[test]
fn strict_decoding_refuses() {
    let digest = [0x58, 0x20].iter().copied().chain([7; 32]).collect::<Vec<u8>>();
    let with = |tail: &[u8]| [&[0x83, 0x81, 0x84], digest.as_slice(), tail].concat();
    let pass =
        |len: u8| [&[0x81, 0x82, 0, 3, 0xf6, 0x58, len], vec![9; len.into()].as_slice(), &[0, 0xf6]].concat();
    assert!(Request::decode(&with(&[0x81, 0x82, 0, 3, 0xf6, 0xf6, 0, 0xf6])).is_ok());
    assert!(Request::decode(&with(&pass(32))).is_ok());
    let bad: &[(&str, Vec<u8>)] = &[
        ("a short pass", with(&pass(31))),
        ("a long pass", with(&pass(33))),
        ("no word on a pass", with(&[0x81, 0x82, 0, 3, 0xf6, 0, 0xf6])),
        ("empty", vec![]),
        ("no want", vec![0x83, 0x80, 0, 0xf6]),
        ("unknown flag", with(&[0x81, 0x82, 0, 3, 0xf6, 0xf6, 2, 0xf6])),
        ("empty range", with(&[0x81, 0x82, 0, 0, 0xf6, 0xf6, 0, 0xf6])),
        ("ranges that touch", with(&[0x82, 0x82, 0, 3, 0x82, 3, 1, 0xf6, 0xf6, 0, 0xf6])),
        ("unsorted ranges", with(&[0x82, 0x82, 9, 3, 0x82, 3, 1, 0xf6, 0xf6, 0, 0xf6])),
        ("number in two bytes that fits one", with(&[0x81, 0x82, 0, 0x18, 3, 0xf6, 0xf6, 0, 0xf6])),
        ("indefinite array", with(&[0x9f, 0x82, 0, 3, 0xff, 0xf6, 0xf6, 0, 0xf6])),
        ("trailing byte", with(&[0x81, 0x82, 0, 3, 0xf6, 0xf6, 0, 0xf6, 0])),
        ("missing field", with(&[0x81, 0x82, 0, 3, 0xf6, 0xf6, 0])),
        ("array length in the millions", with(&[0x9a, 0xff, 0xff, 0xff, 0xff, 0x82, 0, 3])),
        ("wants in the millions", vec![0x83, 0x9a, 0xff, 0xff, 0xff, 0xff]),
        ("float", with(&[0x81, 0x82, 0, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0, 0xf6, 0xf6, 0, 0xf6])),
        ("a number of groups below nothing", with(&[0x81, 0x82, 0, 3, 0x20, 0xf6, 0, 0xf6])),
    ];
    for (what, bytes) in bad {
        assert!(Request::decode(bytes).is_err(), "{what}");
    }
    assert!(Header::decode(&[0x83, 1, 1, 0xf6]).is_err(), "a refusal with a size");
    assert!(Header::decode(&[0x83, 6, 0, 0xf6]).is_err(), "an unknown status");
}

#[test]
fn a_request_with_more_ranges_than_allowed_is_refused() {
    let ranges = |count: u64| (0..count).map(|i| i * 2..i * 2 + 1).collect::<GroupRanges>();
    let one = |ranges| Request { wants: vec![Want { ranges, ..want() }], ..request() };
    let full = one(ranges(1024));
    assert_eq!(Request::decode(&full.to_frame()[4..]).unwrap(), full);
    assert!(Request::decode(&one(ranges(1025)).to_frame()[4..]).is_err());
    let many = |count| Request { wants: vec![want(); count], ..request() };
    assert_eq!(Request::decode(&many(1024).to_frame()[4..]).unwrap(), many(1024));
    assert!(Request::decode(&many(1025).to_frame()[4..]).is_err());
}

#[test]
fn the_largest_honest_messages_fit_their_caps() {
    let ranges: GroupRanges =
        (0..1024).map(|i| (u64::MAX >> 1) + i * 2..(u64::MAX >> 1) + i * 2 + 1).collect();
    let credential = Some(vec![0; MAX_CREDENTIAL_LEN]);
    let wants = vec![Want { ranges: ranges.clone(), name: by_key(), ..want() }];
    let one = Request { wants, credential: credential.clone(), ..request() };
    assert!(one.to_frame().len() <= MAX_REQUEST_LEN);
    let whole = Want { ranges: GroupRanges::all(u64::MAX), most: Some(u64::MAX), name: by_key() };
    let many = Request { wants: vec![whole; MAX_WANTS], credential, ..request() };
    assert!(many.to_frame().len() <= MAX_REQUEST_LEN);
    assert!(Header::Follows { size: u64::MAX, ranges: Some(ranges) }.to_frame().len() <= MAX_HEADER_LEN);
}

#[test]
fn lengths_are_checked_before_reading_and_truncation_is_an_error() {
    for length in [0, u32::MAX, 256 * 1024 + 1] {
        let mut io = Cursor::new(length.to_be_bytes().to_vec());
        assert!(matches!(block_on(Request::read(&mut io)), Err(WireError::TooLong(len)) if len == length));
    }
    let frame = request().to_frame();
    assert_eq!(block_on(Request::read(&mut Cursor::new(&frame))).unwrap(), Some(request()));
    assert_eq!(block_on(Request::read(&mut Cursor::new([]))).unwrap(), None, "the end is no request");
    for cut in 1..frame.len() {
        assert!(matches!(block_on(Request::read(&mut Cursor::new(&frame[..cut]))), Err(WireError::Io(_))));
    }
}

proptest! {
    /// Whatever a mutation makes of a message, it is refused or is itself canonical.
    #[test]
    fn mutated_messages_are_refused_or_canonical(flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4), cut in 0_usize..4) {
        let wants = vec![want(), Want { name: by_key(), ..want() }];
        let mut request = Request { wants, ..request() }.to_frame()[4..].to_vec();
        let ranges = Some(GroupRanges::from(3..70_000));
        let mut header = Header::Follows { size: 99_999, ranges }.to_frame()[4..].to_vec();
        for bytes in [&mut request, &mut header] {
            for (at, to) in &flips {
                let at = at % bytes.len();
                bytes[at] = *to;
            }
            bytes.truncate(bytes.len() - cut);
        }
        if let Ok(decoded) = Request::decode(&request) {
            prop_assert_eq!(&decoded.to_frame()[4..], &request[..]);
        }
        if let Ok(decoded) = Header::decode(&header) {
            prop_assert_eq!(&decoded.to_frame()[4..], &header[..]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Header::decode(&bytes);
    }
}
