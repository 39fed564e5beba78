//! CIDs have one canonical text and byte form, and nothing else parses as one.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{SIZES, reference::blob};

const FILE: &str = "bafkr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4";
const DIRECTORY: &str = "bafyr4ihkr4ld3m4gqkjf4reryxsy2s5tkbxprqkow6fin2iiyvreuzzab4";

fn hello() -> Cid {
    Cid::file(Digest::of(b"hello"))
}

#[test]
fn golden_texts_and_bytes() {
    let dir = Cid::directory(Digest::of(b"hello"));
    assert_eq!(hello().to_string(), FILE);
    assert_eq!(dir.to_string(), DIRECTORY);
    let bytes = hello().to_bytes();
    assert_eq!(bytes[..4], [0x01, 0x55, 0x1e, 0x20]);
    assert_eq!(bytes[4..], *Digest::of(b"hello").as_bytes());
    assert_eq!(dir.to_bytes()[..4], [0x01, 0x71, 0x1e, 0x20]);
    assert_eq!((dir.kind(), dir.digest()), (Kind::Directory, Digest::of(b"hello")));
}

#[test]
fn every_pasted_form_is_the_same_cid() {
    let hex: String = hello().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let b3sum = Digest::of(b"hello").to_string();
    let forms = [
        FILE.to_owned(),
        FILE.to_uppercase(),
        format!("b{}", FILE[1..].to_uppercase()),
        format!("f{hex}"),
        format!("F{}", hex.to_uppercase()),
        b3sum.to_uppercase(),
        b3sum,
        format!("ipfs://{FILE}"),
        format!("IPFS://{FILE}/"),
        format!("/ipfs/{FILE}"),
        format!("/ipfs/{FILE}/"),
        format!("https://ipfs.io/ipfs/{FILE}"),
        format!("http://127.0.0.1:8080/ipfs/{FILE}/?filename=a/b.txt#top"),
        format!("https://{FILE}.ipfs.dweb.link"),
        format!("https://{FILE}.ipfs.dweb.link/"),
        format!("http://{FILE}.ipfs.localhost:8080/?download=true"),
    ];
    for form in forms {
        assert_eq!(form.parse(), Ok(hello()), "{form}");
    }
    assert_eq!(DIRECTORY.parse().map(|cid: Cid| cid.kind()), Ok(Kind::Directory));
}

/// The text of a CID with any codes and any digest.
fn foreign(version: u8, codec: u8, hash: u8, digest: &[u8]) -> String {
    let mut bytes = vec![version, codec, hash, u8::try_from(digest.len()).unwrap()];
    bytes.extend(digest);
    format!("b{}", BASE32_NOPAD.encode(&bytes).to_lowercase())
}

#[test]
fn nothing_else_is_one_of_our_cids() {
    use ParseCidError::*;
    let check = |text: &str, error| assert_eq!(text.parse::<Cid>(), Err(error), "{text:?}");
    let digest = *Digest::of(b"hello").as_bytes();
    check("", Empty);
    check("ipfs://", Empty);
    check("/ipfs/", Empty);
    check("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", Version0);
    check(&foreign(1, 0x70, 0x1e, &digest), Codec { codec: 0x70 });
    check(&foreign(1, 0x00, 0x1e, &digest), Codec { codec: 0 });
    check("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", Codec { codec: 0x70 });
    check(&foreign(1, 0x55, 0x12, &digest), Hash { code: 0x12 });
    check(&foreign(1, 0x55, 0x00, b"inline data"), Hash { code: 0 });
    check(&foreign(1, 0x55, 0x1e, &digest[..20]), DigestLength { len: 20 });
    check(&foreign(1, 0x55, 0x1e, &[7; 64]), DigestLength { len: 64 });
    check(&foreign(0, 0x55, 0x1e, &digest), Mistyped);
    check(&foreign(2, 0x55, 0x1e, &digest), Mistyped);
    check(&foreign(1, 0x55, 0x1e, &[7; 100]), Mistyped);
    check(&FILE[..FILE.len() - 1], Mistyped);
    check(&format!("{FILE}a"), Mistyped);
    check(&FILE.replace('k', "1"), Mistyped);
    check(&format!("{FILE}="), Mistyped);
    // The last character has two bits that no byte needs.
    check(&format!("{}b", &FILE[..FILE.len() - 1]), Mistyped);
    check("b", Mistyped);
    check("f01551e", Mistyped);
    check(&"a".repeat(63), ChecksumLength { digits: 63 });
    check(&"0".repeat(40), ChecksumLength { digits: 40 });
    check("zb2rhk6GMPQF3hfzwXTaNYFLKomMeC6UXdUt6jZKPpeVirLtV", Unrecognised);
    check("hello", Unrecognised);
    check("é", Unrecognised);
    check(&format!(" {FILE}"), Unrecognised);
    check(&format!("/{FILE}"), Unrecognised);
    check(&format!("{FILE}/"), Mistyped);
    check("/ipns/example.org", Mutable);
    check("ipns://example.org", Mutable);
    check("https://gateway/ipns/example.org", Mutable);
    check("https://example-org.ipns.dweb.link/", Mutable);
    check("https://example.org/", Url);
    check("https://example.org", Url);
    check("https://", Url);
    check(&format!("ftp://example.org/ipfs/{FILE}"), Url);
    check(&format!("https://example.org/files/ipfs/{FILE}"), Url);
    check("https://example.org/ipfs/", Empty);
    check(&format!("ipfs://{DIRECTORY}/readme.txt"), Inside);
    check(&format!("/ipfs/{DIRECTORY}//"), Inside);
    check(&format!("https://gateway/ipfs/{DIRECTORY}/readme.txt"), Inside);
    check(&format!("https://{DIRECTORY}.ipfs.dweb.link/readme.txt"), Inside);
}

#[test]
fn there_is_one_binary_form() {
    use ParseCidError::*;
    let bytes = hello().to_bytes();
    assert_eq!(Cid::from_bytes(&bytes), Ok(hello()));
    let check = |bytes: &[u8], error| assert_eq!(Cid::from_bytes(bytes), Err(error), "{bytes:02x?}");
    check(&[], Malformed);
    check(&bytes[..35], Malformed);
    check(&[bytes.as_slice(), &[0]].concat(), Malformed);
    // The same codes, in more bytes than they need.
    check(&[&[0x81, 0x00], &bytes[1..]].concat(), Malformed);
    check(&[&[0x01, 0xd5, 0x00], &bytes[2..]].concat(), Malformed);
    check(&[&[0x12, 0x20], Digest::of(b"").as_bytes().as_slice()].concat(), Version0);
}

#[test]
fn digests_are_those_of_blake3_for_every_size() {
    for &(size, why) in SIZES {
        let data = blob(size);
        let cid = Cid::file(Digest::of(&data));
        assert_eq!(blake3::hash(&data).to_hex().parse(), Ok(cid), "{why}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses(digest: [u8; 32], is_file: bool) {
        let kind = if is_file { Kind::File } else { Kind::Directory };
        let cid = Cid::new(kind, Digest::from_bytes(digest));
        prop_assert_eq!(cid.to_string().parse(), Ok(cid));
        prop_assert_eq!(cid.to_string().len(), 59);
        prop_assert_eq!(Cid::from_bytes(&cid.to_bytes()), Ok(cid));
    }

    #[test]
    fn bytes_that_are_accepted_are_the_canonical_ones(
        mut bytes in vec(any::<u8>(), 0..40),
        change in vec((0..36usize, any::<u8>()), 0..3),
    ) {
        prop_assert!(Cid::from_bytes(&bytes).map_or(true, |cid| cid.to_bytes() == bytes));
        bytes = hello().to_bytes();
        for (at, byte) in change {
            bytes[at] = byte;
        }
        prop_assert!(Cid::from_bytes(&bytes).map_or(true, |cid| cid.to_bytes() == bytes));
    }

    #[test]
    fn text_of_any_kind_is_refused_or_means_what_it_prints(text in "(ipfs://|/ipfs/|https://[a-z.]{0,5}/|[bfQ])?\\PC{0,70}") {
        if let Ok(cid) = text.parse::<Cid>() {
            prop_assert_eq!(cid.to_string().parse(), Ok(cid));
        }
    }
}
