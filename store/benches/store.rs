//! What publishing costs: hashing with the tree that is kept, and noting files.

#![expect(clippy::unwrap_used, reason = "a benchmark that goes wrong has to stop")]

use std::{fs, path::Path};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shoal_content::NetworkName;
use shoal_store::{Cancel, PublishOptions, Store};
use tempfile::TempDir;

/// A file whose tree goes to a file of its own.
const LARGE: usize = 64 << 20;

/// Files of a directory, and the bytes of each.
const FILES: u64 = 1000;
const SMALL: usize = 1024;

fn open(home: &TempDir) -> Store {
    Store::open(&home.path().join("store"), &NetworkName::default()).unwrap()
}

fn publish(store: &Store, path: &Path) -> u64 {
    store.publish(path, &PublishOptions::default(), &(), &Cancel::new()).unwrap().hashed_bytes
}

/// Publishes for the first time, again and again: each time with a store of its own.
fn first_time(c: &mut Criterion, what: &str, throughput: Throughput, path: &Path, bytes: u64) {
    let mut group = c.benchmark_group("publish");
    group.throughput(throughput).sample_size(10);
    group.bench_function(what, |b| {
        b.iter_batched(
            || {
                let home = tempfile::tempdir().unwrap();
                (open(&home), home)
            },
            |(store, home)| {
                assert_eq!(publish(&store, path), bytes);
                (store, home)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn files(c: &mut Criterion) {
    let originals = tempfile::tempdir().unwrap();
    let large = originals.path().join("large");
    let bytes: Vec<u8> =
        (0..LARGE).map(|at| (at >> 7).to_le_bytes().into_iter().fold(0, u8::wrapping_add)).collect();
    fs::write(&large, bytes).unwrap();
    first_time(c, "a file of 64 MiB", Throughput::Bytes(LARGE as u64), &large, LARGE as u64);

    let many = originals.path().join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..FILES {
        fs::write(
            many.join(number.to_string()),
            blake3::hash(&number.to_le_bytes()).as_bytes().repeat(SMALL / 32),
        )
        .unwrap();
    }
    first_time(c, "1,000 files of 1 KiB", Throughput::Elements(FILES), &many, FILES * SMALL as u64);
}

criterion_group!(benches, files);
criterion_main!(benches);
