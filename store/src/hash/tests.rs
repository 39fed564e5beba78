//! Tests of parallel hashing against `blake3` and `bao-tree`.

use std::{fs::File, io::Write, path::Path};

use bao_tree::{BlockSize, io::outboard::PreOrderMemOutboard};
use shoal_content::SIZES;

use super::*;
use crate::files::Files;

pub(crate) fn pattern(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn open(dir: &Path, data: &[u8]) -> Handle {
    let path = dir.join("data");
    File::create(&path).unwrap().write_all(data).unwrap();
    Files::default().open_source(&path).unwrap()
}

/// Hashes with one thread and with three, and compares digest and outboard with the reference.
fn check(len: u64) {
    let dir = tempfile::tempdir().unwrap();
    let data = pattern(len);
    let file = open(dir.path(), &data);
    let reference = PreOrderMemOutboard::create(&data, BlockSize::from_chunk_log(4));
    let here = Sink::Memory(Mutex::new(Vec::new()));
    let wide = Sink::Memory(Mutex::new(Vec::new()));
    let done = AtomicU64::new(0);
    let progress = |bytes| {
        done.fetch_add(bytes, Ordering::SeqCst);
    };
    let cancel = Cancel::new();
    let threads = NonZeroUsize::new(3).unwrap();
    let digests = [
        hash_here(&file, len, &here, &mut Scratch::new(), &progress, &cancel).unwrap(),
        hash_wide(&file, len, &wide, threads, &progress, &cancel).unwrap(),
    ];
    assert_eq!(digests, [Digest::of(&data); 2], "{len}");
    assert_eq!(done.into_inner(), 2 * len);
    for sink in [here, wide] {
        let Sink::Memory(pairs) = sink else { unreachable!() };
        assert_eq!(pairs.into_inner().unwrap(), reference.data, "{len}");
    }
}

#[test]
fn digests_and_outboards_are_those_of_bao_tree() {
    SIZES.iter().for_each(|&(len, _)| check(len));
    // The top of the tree: spans that are whole, cut short, and a lone one beside a perfect half.
    for groups in [65, 127, 128, 129, 192, 193, 320, 400] {
        check(groups * GROUP_LEN);
        check(groups * GROUP_LEN - 1);
    }
}

#[test]
fn a_file_that_is_shorter_than_it_was_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = open(dir.path(), &pattern(3 * SPAN_LEN));
    let hash = |size| {
        let threads = NonZeroUsize::new(2).unwrap();
        hash_wide(&file, size, &Sink::Nowhere, threads, &|_| {}, &Cancel::new())
    };
    assert!(matches!(hash(3 * SPAN_LEN + 1), Err(HashError::Changed)));
}

#[test]
fn a_set_flag_stops_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let file = open(dir.path(), &pattern(SPAN_LEN));
    let cancel = Cancel::new();
    cancel.cancel();
    let hashed = hash_here(&file, SPAN_LEN, &Sink::Nowhere, &mut Scratch::new(), &|_| {}, &cancel);
    assert!(matches!(hashed, Err(HashError::Cancelled)));
}
