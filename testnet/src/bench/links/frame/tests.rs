//! Merged packets are counted and cut as the kernel would have done it.

use super::*;

const PAYLOAD: [u8; 25] = *b"abcdefghijklmnopqrstuvwxy";
const SEQUENCE: u32 = u32::MAX - 4;

/// A frame of packets with ten bytes each of the payload.
fn merged_frame(kind: u8, protocol: u8, above: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; BEFORE_IP];
    frame[KIND] = kind;
    frame[SEGMENT..SEGMENT + 2].copy_from_slice(&10_u16.to_ne_bytes());
    let ip = [0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, protocol, 0, 0, 10, 67, 0, 1, 10, 67, 0, 2];
    frame.extend(ip);
    frame.extend(above);
    frame.extend(PAYLOAD);
    frame
}

fn tcp() -> Vec<u8> {
    let [a, b, c, d] = SEQUENCE.to_be_bytes();
    // With twelve bytes of options, as most packets have them.
    let header =
        [0, 80, 0, 81, a, b, c, d, 0, 0, 0, 1, 0x80, REDUCED | FINISHED_PUSH | 0x10, 1, 0, 0, 0, 0, 0];
    merged_frame(TCP_V4 | CONGESTION, 6, &[&header[..], &[1; 12]].concat())
}

fn udp() -> Vec<u8> {
    merged_frame(UDP, 17, &[0, 80, 0, 81, 0, 33, 0, 0])
}

/// The payload of a cut, and its headers, checked for what all of them must be.
fn checked(cut: &[u8], header: usize) -> (&[u8], &[u8]) {
    let ip = &cut[BEFORE_IP..BEFORE_IP + 20];
    assert_eq!(usize::from(be16(ip, IP_LENGTH)), cut.len() - BEFORE_IP);
    assert_eq!(sum(ip, 0), 0xffff, "the checksum of IP is right");
    let above = &cut[BEFORE_IP + 20..];
    let (field, protocol) = if ip[9] == 6 { (TCP_CHECKSUM, 6) } else { (UDP_CHECKSUM, 17) };
    let pseudo = sum(&ip[IP_ADDRESSES], protocol + u32::try_from(above.len()).unwrap());
    assert_eq!(be16(above, field), pseudo, "the kernel finds what it goes on from");
    (&above[header..], &cut[..BEFORE_IP + 20 + header])
}

#[test]
fn packets_of_a_frame_are_counted_one_by_one() {
    for (bytes, headers) in [(tcp(), 52), (udp(), 28)] {
        let frame = Frame::new(&bytes);
        assert_eq!(frame.packets(), 3);
        assert_eq!([0, 1, 2].map(|packet| frame.len_of(packet)), [10, 10, 5].map(|len| len + headers));
        assert_eq!(frame.cut(0..3), bytes, "what nothing parts stays as it is");
    }
}

#[test]
fn a_part_of_a_tcp_frame_goes_on_where_the_one_before_ends() {
    let bytes = tcp();
    let frame = Frame::new(&bytes);
    let flags = |headers: &[u8]| headers[BEFORE_IP + 20 + TCP_FLAGS];
    let sequence = |headers: &[u8]| {
        let at = BEFORE_IP + 20 + TCP_SEQUENCE;
        u32::from(be16(headers, at)) << 16 | u32::from(be16(headers, at + 2))
    };

    let cut = frame.cut(0..2);
    let (payload, headers) = checked(&cut, 32);
    assert_eq!((payload, sequence(headers)), (&PAYLOAD[..20], SEQUENCE));
    assert_eq!((headers[KIND], flags(headers)), (TCP_V4 | CONGESTION, REDUCED | 0x10), "the end comes later");

    let cut = frame.cut(1..3);
    let (payload, headers) = checked(&cut, 32);
    assert_eq!((payload, sequence(headers)), (&PAYLOAD[10..], SEQUENCE.wrapping_add(10)));
    assert_eq!((headers[KIND], flags(headers)), (TCP_V4, FINISHED_PUSH | 0x10));
    assert_eq!(be16(headers, BEFORE_IP + IP_NUMBER), 0, "numbers of packets start again after the last");

    let cut = frame.cut(2..3);
    let (payload, headers) = checked(&cut, 32);
    assert_eq!((payload, sequence(headers)), (&PAYLOAD[20..], SEQUENCE.wrapping_add(20)));
    assert_eq!((headers[KIND], be16(headers, SEGMENT)), (NOT_MERGED, 0));
}

#[test]
fn a_part_of_a_udp_frame_has_a_length_of_its_own() {
    let bytes = udp();
    let cut = Frame::new(&bytes).cut(1..2);
    let (payload, headers) = checked(&cut, 8);
    assert_eq!(payload, &PAYLOAD[10..20]);
    assert_eq!(be16(headers, BEFORE_IP + 20 + UDP_LENGTH), 18);
}

#[test]
fn what_is_not_merged_or_not_understood_is_one_packet() {
    let mut ipv6 = tcp();
    ipv6[BEFORE_IP] = 0x60;
    let mut alone = tcp();
    alone[KIND] = NOT_MERGED;
    let mut without_size = tcp();
    without_size[SEGMENT..SEGMENT + 2].fill(0);
    let cut_off = tcp()[..BEFORE_IP + 30].to_vec();
    for bytes in [ipv6, alone, without_size, cut_off, vec![], vec![0; BEFORE_IP]] {
        let frame = Frame::new(&bytes);
        assert_eq!(frame.packets(), 1);
        assert_eq!(frame.len_of(0), bytes.len().saturating_sub(BEFORE_IP));
        assert_eq!(frame.cut(0..1), bytes);
    }
}
