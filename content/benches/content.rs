//! What verifying and describing content costs, in one thread and with nothing to read or write.

#![expect(clippy::unwrap_used, reason = "a benchmark that goes wrong has to stop")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_content::{
    Decoder, Digest, Entry, GROUP_LEN, GroupRanges, Manifest, PARENT_LEN, RelPath, Root, Step, Tree,
    group_cv, left_groups, parent_cv,
};

/// Large enough that the tree is deep and the data is in no cache but the last.
const BLOB: usize = 16 << 20;

const FILES: u64 = 10_000;

fn verify(c: &mut Criterion) {
    let blob: Vec<u8> =
        (0..BLOB).map(|at| (at >> 3).to_le_bytes().into_iter().fold(0, u8::wrapping_add)).collect();
    let tree = Tree::new(blob.len() as u64);
    let mut pairs = vec![[0; PARENT_LEN]; usize::try_from(tree.parents()).unwrap()];
    hash(&blob, 0..tree.groups(), 0, &mut pairs, true);
    let digest = Digest::of(&blob);

    let mut group = c.benchmark_group("content");
    group.throughput(Throughput::Bytes(blob.len() as u64));
    group.bench_function("hash a blob", |b| b.iter(|| Digest::of(black_box(&blob))));
    group.bench_function("verify a blob group by group", |b| {
        b.iter(|| {
            let mut decoder = Decoder::new(digest, tree, &GroupRanges::all(tree.groups()));
            while let Some(step) = decoder.next_step() {
                match step {
                    Step::Parent { index, .. } => {
                        decoder.push_parent(&pairs[usize::try_from(index).unwrap()]).unwrap();
                    }
                    Step::Leaf { offset, len, .. } => {
                        let start = usize::try_from(offset).unwrap();
                        decoder.push_leaf(&blob[start..start + len]).unwrap();
                    }
                }
            }
            assert!(decoder.size_is_proven());
        });
    });
    group.finish();
}

/// Fills in the pairs below a node, whose own pair is number `slot`, and gives its hash.
fn hash(
    blob: &[u8],
    groups: std::ops::Range<u64>,
    slot: u64,
    pairs: &mut [[u8; PARENT_LEN]],
    is_root: bool,
) -> [u8; 32] {
    if groups.end - groups.start == 1 {
        let start = usize::try_from(groups.start * GROUP_LEN).unwrap();
        let end = blob.len().min(start + usize::try_from(GROUP_LEN).unwrap());
        return group_cv(&blob[start..end], groups.start, is_root);
    }
    let on_the_left = left_groups(groups.end - groups.start);
    let middle = groups.start + on_the_left;
    let left = hash(blob, groups.start..middle, slot + 1, pairs, false);
    let right = hash(blob, middle..groups.end, slot + on_the_left, pairs, false);
    pairs[usize::try_from(slot).unwrap()] = [left, right].concat().try_into().unwrap();
    parent_cv(&left, &right, is_root)
}

fn describe(c: &mut Criterion) {
    let entries: Vec<Entry> = (0..FILES)
        .map(|number| Entry {
            path: RelPath::parse(&format!("folder {}/{number:06}.dat", number / 1000)).unwrap(),
            size: number,
            digest: Digest::of(&number.to_le_bytes()),
            executable: false,
        })
        .collect();
    let manifest = Manifest::new(entries.clone()).unwrap();
    let encoded = manifest.encode();

    let mut group = c.benchmark_group("a directory of 10,000 files");
    group.throughput(Throughput::Elements(FILES));
    group.bench_function("check", |b| b.iter(|| Manifest::new(black_box(entries.clone())).unwrap()));
    group.bench_function("encode", |b| b.iter(|| black_box(&manifest).encode()));
    group.bench_function("decode", |b| {
        b.iter(|| match Root::decode(black_box(&encoded.root)).unwrap() {
            Root::Flat(manifest) => manifest,
            Root::Paged(pages) => pages.assemble(&encoded.pages).unwrap(),
        });
    });
    group.finish();
}

criterion_group!(benches, verify, describe);
criterion_main!(benches);
