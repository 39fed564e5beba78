//! What asking costs besides the bytes: encoding requests, and deciding whom to ask for what.

#![expect(clippy::unwrap_used, reason = "a benchmark that goes wrong has to stop")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shoal_content::{Digest, GroupRanges};
use shoal_transfer::{
    scheduler::{Action, Scheduler, SourceId},
    wire::{Body, Request, Want},
};

/// Small files that one request names.
const WANTS: u64 = 1000;

/// Bytes of the length before a frame.
const PREFIX: usize = 4;

/// A blob of 16 GiB, from so many sources.
const GROUPS: u64 = 1 << 20;
const SOURCES: u64 = 16;

fn requests(c: &mut Criterion) {
    let want = |number: u64| Want {
        digest: Digest::of(&number.to_le_bytes()),
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
    scheduler.size_proven(GROUPS * shoal_content::GROUP_LEN, all.clone(), None);
    for id in 0..SOURCES {
        scheduler.source_found(SourceId(id), Some(all.clone()), Some(GROUPS * shoal_content::GROUP_LEN));
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

criterion_group!(benches, requests, schedule);
criterion_main!(benches);
