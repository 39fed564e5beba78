//! Every error, as the sentence that a person reads.

use shoal_content::{
    BadBytes, ManifestError, NetworkName, ParseCidError, ParsePathError, RangePairsError, RelPath,
    TicketError,
};

fn sentences<E: std::error::Error>(errors: impl IntoIterator<Item = E>) -> String {
    let lines: Vec<String> = errors.into_iter().map(|e| e.to_string()).collect();
    for line in &lines {
        assert!(!line.ends_with('.') && !line.contains("Error"), "{line}");
    }
    lines.join("\n")
}

#[test]
fn cid_errors() {
    use ParseCidError::*;
    insta::assert_snapshot!(sentences([
        Empty,
        Version0,
        Unrecognised,
        Mistyped,
        ChecksumLength { digits: 40 },
        Malformed,
        Codec { codec: 0x70 },
        Hash { code: 0x12 },
        DigestLength { len: 20 },
        Mutable,
        Url,
        Inside,
    ]), @r#"
    the CID is empty
    this is a CIDv0 of IPFS, which names content by SHA-256; here it is named by BLAKE3
    not a CID (bafkr4i… or bafyr4i…) and not a BLAKE3 checksum (64 hexadecimal digits)
    the CID is mistyped or cut short
    a BLAKE3 checksum has 64 hexadecimal digits, not 40
    the bytes are not a CID
    the CID names content of codec 0x70; files are 0x55 (raw), directories 0x71 (dag-cbor)
    the CID has a hash of type 0x12; content is named by 0x1e (BLAKE3)
    the CID has a hash of 20 bytes instead of 32
    this is an IPNS name, which can point to anything; a CID is needed
    the URL has no CID in it: expected ipfs://CID, https://gateway/ipfs/CID or https://CID.ipfs.gateway/
    the path after the CID names a part of it; give the CID alone
    "#);
}

#[test]
fn name_errors() {
    use ParsePathError::*;
    insta::assert_snapshot!(sentences([
        Empty,
        TooLong,
        TooDeep,
        Absolute,
        EmptyComponent,
        ComponentTooLong,
        Dots,
        Drive,
        Backslash,
        Control,
    ]), @r#"
    the path is empty
    the path is longer than 1024 bytes
    the path is deeper than 32 folders
    the path is absolute
    the path has an empty name in it
    a name in the path is longer than 255 bytes
    the path has "." or ".." in it
    the path has a drive letter in it
    the path has a backslash in it
    the path has a control character in it
    "#);
    insta::assert_snapshot!(sentences(NetworkName::parse("Not this").err()), @"a network name is 1 to 32 of the characters a-z, 0-9 and -");
}

#[test]
fn manifest_errors() {
    use ManifestError::*;
    let path = RelPath::parse("a/\u{202e}b").unwrap();
    insta::assert_snapshot!(sentences([
        TooManyEntries,
        TooLong,
        Duplicate { path: path.clone() },
        FileAndFolder { path: path.clone() },
        TotalSize,
        Path {
            text: "../\u{1b}[2J".to_owned(),
            source: ParsePathError::Dots
        },
        Flags { path },
        Version { version: 3 },
        Malformed,
        NotCanonical,
        WrongPage { index: 7 },
        PageCount,
    ]), @r#"
    a directory can have 1000000 files, and this one has more
    the paths of the directory are too long for its manifest
    "a/\u{202e}b" is in the directory twice
    "a/\u{202e}b" is both a file and a folder
    the sizes of the files add up to more than any disk holds
    the manifest has the unsafe path "../\u{1b}[2J"
    "a/\u{202e}b" has flags that this version does not know
    the manifest is of version 3, which this version cannot read
    this is not the manifest of a directory
    the manifest is not in its one canonical form
    page 7 of the manifest is not the one that its root lists
    the manifest has more or fewer pages than its root lists
    "#);
}

#[test]
fn ticket_errors() {
    use TicketError::*;
    insta::assert_snapshot!(sentences([
        Prefix,
        TooLong,
        Mistyped,
        Malformed,
        Cid(ParseCidError::Malformed),
        Name,
        Address,
        TooManyAddresses,
    ]), @r#"
    a ticket starts with shoal1
    a ticket is not longer than 4096 characters
    the ticket is mistyped or cut short
    the ticket was made by a program that does not follow the format
    the ticket has a bad CID
    the ticket suggests an unsafe file name
    the ticket has a malformed address
    a ticket has at most 8 addresses
    "#);
}

#[test]
fn range_errors() {
    use RangePairsError::*;
    insta::assert_snapshot!(sentences([TooMany, Empty, Order, Overflow]), @r#"
    more than 1024 ranges
    a range is empty
    the ranges are not sorted and apart
    a range ends beyond any file
    "#);
    insta::assert_snapshot!(sentences([
        BadBytes::Parent { index: 3 },
        BadBytes::Group { group: 5 },
        BadBytes::OutOfTurn,
    ]), @r#"
    hash pair 3 does not match the digest
    group 5 does not match the digest
    these bytes are not what comes next
    "#);
}
