//! What asking costs besides the bytes: encoding requests, and deciding whom to ask for what.

#![expect(clippy::unwrap_used, reason = "a benchmark that goes wrong has to stop")]

use std::{
    fs::{self, File},
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_content::{Digest, GROUP_LEN, GroupRanges, NetworkName};
use shoal_store::{Cancel, PublishOptions, Store};
use shoal_transfer::{
    encode,
    scheduler::{Action, Scheduler, SourceId},
    wire::{Body, Name, Request, Want},
};

/// Small files that one request names.
const WANTS: u64 = 1000;

/// Bytes of the length before a frame.
const PREFIX: usize = 4;

/// A blob that is served whole.
const BLOB: usize = 16 << 20;

/// A blob of 16 GiB, from so many sources.
const GROUPS: u64 = 1 << 20;
const SOURCES: u64 = 16;

fn requests(c: &mut Criterion) {
    let want = |number: u64| Want {
        name: Name::Digest(Digest::of(&number.to_le_bytes())),
        ranges: GroupRanges::all(1),
        most: None,
    };
    let request = Request { wants: (0..WANTS).map(want).collect(), body: Body::Content, credential: None };
    let frame = request.to_frame();

    let mut group = c.benchmark_group("a request for 1,000 blobs");
    group.throughput(Throughput::Elements(WANTS));
    group.bench_function("encode", |b| b.iter(|| black_box(&request).to_frame()));
    group.bench_function("decode", |b| b.iter(|| Request::decode(black_box(&frame[PREFIX..])).unwrap()));
    group.finish();
}

fn schedule(c: &mut Criterion) {
    let mut group = c.benchmark_group("16 GiB from 16 sources");
    group.throughput(Throughput::Elements(GROUPS)).sample_size(10);
    group.bench_function("decide", |b| b.iter(|| assert!(fetch_at_once().is_done())));
    group.finish();
}

/// A fetch whose sources answer every request whole before the next is decided about.
fn fetch_at_once() -> Scheduler {
    let mut now = Instant::now();
    let mut scheduler = Scheduler::new(1);
    let all = GroupRanges::all(GROUPS);
    scheduler.size_proven(GROUPS * GROUP_LEN, all.clone(), None);
    for id in 0..SOURCES {
        scheduler.source_found(SourceId(id), Some(all.clone()), Some(GROUPS * GROUP_LEN));
    }
    while !scheduler.is_done() {
        now += Duration::from_millis(10);
        for action in scheduler.poll(now) {
            if let Action::Request { id, ranges, .. } = action {
                for range in ranges.iter() {
                    scheduler.verified(id, range.clone(), now);
                }
                scheduler.finished(id, now);
            }
        }
    }
    scheduler
}

/// The encoder of a server: reads a file and puts its bytes between their hashes.
fn serve(c: &mut Criterion) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("store"), &NetworkName::default()).unwrap();
    let path = home.path().join("blob");
    let blob: Vec<u8> =
        (0..BLOB).map(|at| (at >> 7).to_le_bytes().into_iter().fold(0, u8::wrapping_add)).collect();
    fs::write(&path, &blob).unwrap();
    // What is younger is verified again as it is sent.
    let old = SystemTime::now() - Duration::from_secs(7200);
    File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    let published = store.publish(&path, &PublishOptions::default(), &(), &Cancel::new()).unwrap();
    let ranges = GroupRanges::all(BLOB as u64 / GROUP_LEN);
    let want = Want { name: Name::Digest(published.cid.digest()), ranges, most: None };
    let request = Request { wants: vec![want], body: Body::Content, credential: None };

    let mut group = c.benchmark_group("serve");
    group.throughput(Throughput::Bytes(BLOB as u64)).sample_size(20);
    group.bench_function("encode a blob", |b| {
        b.iter(|| assert!(encode(store.clone(), request.clone()) > BLOB as u64));
    });
    group.finish();
}

criterion_group!(benches, requests, schedule, serve);
criterion_main!(benches);
