//! CIDs have one canonical text and byte form, and nothing else parses as one.

use super::*;

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
    assert_eq!(
        (dir.kind(), dir.digest()),
        (Kind::Directory, Digest::of(b"hello"))
    );
}
