//! A pass depends on the content and on both peers, in their order.

use super::*;

#[test]
fn passes_are_pinned() {
    let pass = Pass::new(&Digest::of(b"hello"), b"asker", b"holder");
    let material =
        [Digest::of(b"hello").as_bytes().as_slice(), b"\0\0\0\0\0\0\0\x05asker", b"\0\0\0\0\0\0\0\x06holder"]
            .concat();
    assert_eq!(pass.as_bytes(), &blake3::derive_key("shoal pass v1", &material));
    assert_eq!(Pass::from_bytes(*pass.as_bytes()), pass);
    let hex = "6878c9574c795f3f0f1a4d26aa3afb4fce635be050b9866af44f253992ed24a1";
    assert_eq!(format!("{pass:?}"), format!("Pass({hex})"));
}

#[test]
fn passes_are_good_for_one_content_and_one_pair_of_peers() {
    let of = |content: &[u8], asker: &[u8], holder: &[u8]| Pass::new(&Digest::of(content), asker, holder);
    let passes = [
        of(b"a", b"one", b"two"),
        of(b"b", b"one", b"two"),
        of(b"a", b"two", b"one"),
        of(b"a", b"one", b"three"),
        of(b"a", b"three", b"two"),
        of(b"a", b"onet", b"wo"),
        of(b"a", b"", b"onetwo"),
    ];
    for (at, pass) in passes.iter().enumerate() {
        assert!(passes.iter().skip(at + 1).all(|other| other != pass), "{at}");
        assert_ne!(pass.as_bytes(), Digest::of(b"a").as_bytes());
    }
}
