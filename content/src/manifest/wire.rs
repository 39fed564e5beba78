//! The bytes of manifests: canonical DAG-CBOR.
//!
//! A flat manifest, and a page, is `[1, [[path, size, digest, flags], …]]`; the root of a paged one is
//! `[2, [[first path, digest], …]]`. Bit 0 of `flags` is "executable"; the others are 0. The decoders here
//! check each value; that the whole is canonical is for their callers to check by encoding it again.

use serde::Serialize;
use serde_bytes::ByteArray;

use super::{Entry, ManifestError, PageRef};
use crate::{Digest, RelPath};

const FLAT: u8 = 1;
const PAGED: u8 = 2;

/// A CBOR array of two starts with this byte.
const PAIR: u8 = 0x82;

/// A digest as a CBOR byte string: two bytes of head.
const DIGEST_LEN: usize = 2 + 32;

const EXECUTABLE: u64 = 1;

/// The two kinds of bytes a manifest is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blob {
    Flat(Vec<Entry>),
    Paged(Vec<PageRef>),
}

pub(super) fn decode(bytes: &[u8]) -> Result<Blob, ManifestError> {
    match bytes {
        [PAIR, FLAT, ..] => decode_flat(bytes).map(Blob::Flat),
        [PAIR, PAGED, ..] => decode_paged(bytes).map(Blob::Paged),
        // Small CBOR integers are one byte, so a version to come can be told from noise.
        [PAIR, version @ 0..=0x17, ..] => Err(ManifestError::Version { version: *version }),
        _ => Err(ManifestError::Malformed),
    }
}

fn decode_flat(bytes: &[u8]) -> Result<Vec<Entry>, ManifestError> {
    type Wire<'a> = (u8, Vec<(&'a str, u64, ByteArray<32>, u64)>);
    let (_, entries): Wire<'_> =
        serde_ipld_dagcbor::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
    let entry = |(path, size, digest, flags): (&str, u64, ByteArray<32>, u64)| {
        let path = parse_path(path)?;
        if flags & !EXECUTABLE != 0 {
            return Err(ManifestError::Flags { path });
        }
        let digest = Digest::from_bytes(digest.into_array());
        Ok(Entry { path, size, digest, executable: flags == EXECUTABLE })
    };
    entries.into_iter().map(entry).collect()
}

fn decode_paged(bytes: &[u8]) -> Result<Vec<PageRef>, ManifestError> {
    type Wire<'a> = (u8, Vec<(&'a str, ByteArray<32>)>);
    let (_, refs): Wire<'_> = serde_ipld_dagcbor::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
    let page_ref = |(first, digest): (&str, ByteArray<32>)| {
        let (first, digest) = (parse_path(first)?, Digest::from_bytes(digest.into_array()));
        Ok(PageRef { first, digest })
    };
    refs.into_iter().map(page_ref).collect()
}

fn parse_path(text: &str) -> Result<RelPath, ManifestError> {
    RelPath::parse(text).map_err(|source| ManifestError::Path { text: text.to_owned(), source })
}

pub(super) fn encode_flat(entries: &[Entry]) -> Vec<u8> {
    fn wire(entry: &Entry) -> (&str, u64, ByteArray<32>, u64) {
        let flags = if entry.executable { EXECUTABLE } else { 0 };
        (entry.path.as_str(), entry.size, ByteArray::new(*entry.digest.as_bytes()), flags)
    }
    encode(&(FLAT, entries.iter().map(wire).collect::<Vec<_>>()))
}

pub(super) fn encode_paged(refs: &[PageRef]) -> Vec<u8> {
    fn wire(page: &PageRef) -> (&str, ByteArray<32>) {
        (page.first.as_str(), ByteArray::new(*page.digest.as_bytes()))
    }
    encode(&(PAGED, refs.iter().map(wire).collect::<Vec<_>>()))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "numbers, text and bytes all have an encoding, and memory grows")]
    serde_ipld_dagcbor::to_vec(value).expect("plain values encode")
}

/// The length of `count` items in a version and list, whose own lengths sum to `items_len`.
pub(super) const fn list_len(count: usize, items_len: usize) -> usize {
    2 + head_len(count as u64) + items_len
}

pub(super) fn entry_len(entry: &Entry) -> usize {
    1 + path_len(&entry.path) + head_len(entry.size) + DIGEST_LEN + 1
}

pub(super) fn page_ref_len(first: &RelPath) -> usize {
    1 + path_len(first) + DIGEST_LEN
}

fn path_len(path: &RelPath) -> usize {
    head_len(path.as_str().len() as u64) + path.as_str().len()
}

/// The length of what comes before the content of a CBOR value: its kind, and its value or length.
const fn head_len(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}
