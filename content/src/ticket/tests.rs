//! Tickets survive paste and case, and refuse what is damaged, oversized or unsafe.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{Digest, Kind, Link, ParseLinkError};

const GOLDEN: &str = "shoal1qrmciakvdyqovdywhwzynauslzcjdrpfrvf3gudo7dau5n4kq3uqrrlcjjtsadyfnfugk3dmn4xhi6duqj3s62lqg\
    qxtcojsfyyc4mrogexxiy3qf42dambrpaqs62lqgyxtembqge5giyryhi5dcl3vmryc6nbqgays64lvnfrs25rrgx3qsay";

fn cid() -> Cid {
    Cid::file(Digest::of(b"hello"))
}

fn ticket() -> Ticket {
    let addresses = ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1"].map(str::to_owned);
    Ticket::new(cid(), Some(5), Some("hello.txt".to_owned()), addresses.to_vec()).unwrap()
}

/// Writes a ticket of any bytes, with the right checksum.
fn forge(bytes: &[u8]) -> String {
    let bytes = [bytes, &checksum(bytes)].concat();
    format!("shoal1{}", BASE32_NOPAD.encode(&bytes).to_lowercase())
}

#[test]
fn golden_ticket() {
    assert_eq!(ticket().to_string(), GOLDEN);
    assert_eq!(GOLDEN.parse(), Ok(ticket()));
    let bytes = ticket().to_bytes();
    assert_eq!(bytes[..3], [0x84, 0x58, 36]);
    assert_eq!(bytes[3..39], cid().to_bytes());
    assert_eq!(bytes[39..50], *b"\x05\x69hello.txt");
}

#[test]
fn case_does_not_matter() {
    assert_eq!(GOLDEN.to_uppercase().parse(), Ok(ticket()));
    assert_eq!(GOLDEN.replacen("shoal", "Shoal", 1).parse(), Ok(ticket()));
}

#[test]
fn one_wrong_character_is_noticed() {
    for at in 6..GOLDEN.len() {
        let mut text = GOLDEN.as_bytes().to_vec();
        text[at] = if text[at] == b'a' { b'b' } else { b'a' };
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.parse::<Ticket>(), Err(TicketError::Mistyped), "{at}");
    }
    for len in 6..GOLDEN.len() {
        assert_eq!(GOLDEN[..len].parse::<Ticket>(), Err(TicketError::Mistyped), "{len}");
    }
}

#[test]
fn what_is_not_a_ticket_says_why() {
    let check = |text: &str, error| assert_eq!(text.parse::<Ticket>(), Err(error), "{text}");
    check("", TicketError::Prefix);
    check("shoal", TicketError::Prefix);
    check("shoal2aaaa", TicketError::Prefix);
    check(&cid().to_string(), TicketError::Prefix);
    check("shoalé", TicketError::Prefix);
    check(&format!("shoal1{}", "a".repeat(MAX_TICKET_LEN)), TicketError::TooLong);
    check(&forge(b""), TicketError::Malformed);
    check(&forge(b"\x80"), TicketError::Malformed);
    check(&forge(&[0x9f; 64]), TicketError::Malformed);
    // An array that claims four billion addresses.
    let good = ticket().to_bytes();
    check(&forge(&[&good[..50], &[0x9a, 0xff, 0xff, 0xff, 0xff]].concat()), TicketError::Malformed);
    // The size 5 in two bytes where one does, and something after the end.
    let fields = &good[..good.len() - CHECKSUM_LEN];
    check(&forge(&[&good[..39], &[0x18, 0x05], &fields[40..]].concat()), TicketError::Malformed);
    check(&forge(&[fields, &[0]].concat()), TicketError::Malformed);
    let mut foreign = fields.to_vec();
    foreign[4] = 0x70;
    check(&forge(&foreign), TicketError::Cid(ParseCidError::Codec { codec: 0x70 }));
    let mut hidden = fields.to_vec();
    hidden[41] = b'.';
    check(&forge(&hidden), TicketError::Name);
}

#[test]
fn limits_are_exact_and_fit_the_text() {
    let make = |count, len: usize| {
        Ticket::new(cid(), Some(u64::MAX), Some("n".repeat(255)), vec!["/".repeat(len); count])
    };
    let largest = make(MAX_TICKET_ADDRESSES, MAX_ADDRESS_LEN).unwrap();
    assert!(largest.to_string().len() <= MAX_TICKET_LEN);
    assert_eq!(largest.to_string().parse(), Ok(largest));
    assert_eq!(make(MAX_TICKET_ADDRESSES + 1, 1), Err(TicketError::TooManyAddresses));
    assert_eq!(make(1, MAX_ADDRESS_LEN + 1), Err(TicketError::Address));
    assert_eq!(make(1, 0), Err(TicketError::Address));
    for bad in ["/dns/a b", "/dns/é", "/dns/\u{1b}[2J"] {
        assert_eq!(Ticket::new(cid(), None, None, vec![bad.to_owned()]), Err(TicketError::Address));
    }
    for bad in ["", "../x", ".bashrc", "a/b"] {
        assert_eq!(Ticket::new(cid(), None, Some(bad.to_owned()), Vec::new()), Err(TicketError::Name));
    }
}

#[test]
fn a_link_is_a_cid_or_a_ticket() {
    assert_eq!(GOLDEN.parse(), Ok(Link::Ticket(ticket())));
    assert_eq!(format!("ipfs://{}", cid()).parse(), Ok(Link::Cid(cid())));
    assert_eq!(GOLDEN.parse::<Link>().map(|link| link.cid()), Ok(cid()));
    assert_eq!("SHOAL1aa".parse::<Link>(), Err(ParseLinkError::Ticket(TicketError::Mistyped)));
    assert_eq!("".parse::<Link>(), Err(ParseLinkError::Cid(ParseCidError::Empty)));
    assert_eq!("sho".parse::<Link>(), Err(ParseLinkError::Cid(ParseCidError::Unrecognised)));
}

proptest! {
    #[test]
    fn what_is_printed_parses(
        digest: [u8; 32],
        size in option::of(any::<u64>()),
        name in option::of("[a-z]{1,20}(\\.[a-z]{1,3}x)?"),
        addresses in vec("/[!-~]{1,60}", 0..=MAX_TICKET_ADDRESSES),
    ) {
        // Few random names are reserved, but some are.
        prop_assume!(name.as_deref().is_none_or(|n| safe_file_name(n).is_some()));
        let cid = Cid::new(Kind::Directory, Digest::from_bytes(digest));
        let ticket = Ticket::new(cid, size, name, addresses).unwrap();
        prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }

    #[test]
    fn bytes_are_refused_or_are_the_one_way_to_write_a_ticket(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let good = ticket().to_bytes();
        let mut fields = good[..good.len() - CHECKSUM_LEN].to_vec();
        for (at, byte) in changes {
            let at = at.index(fields.len());
            fields[at] = byte;
        }
        for len in [fields.len(), keep.index(fields.len())] {
            let text = forge(&fields[..len]);
            if let Ok(ticket) = text.parse::<Ticket>() {
                prop_assert_eq!(ticket.to_string(), text);
            }
        }
    }
}
