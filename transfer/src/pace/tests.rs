//! Meters: who waits for whom, who is woken, and what is left behind.

use std::sync::atomic::AtomicUsize;

use futures::task::{ArcWake, waker};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl ArcWake for Count {
    fn wake_by_ref(count: &Arc<Self>) {
        count.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn slow() -> Option<Rate> {
    Rate::per_second(Rate::MIN)
}

/// Polls once, and counts the wakes from then on.
fn poll(meter: &mut Meter) -> (Poll<usize>, Arc<Count>) {
    let count = Arc::new(Count::default());
    let waker = waker(count.clone());
    (meter.poll_turn(&mut Context::from_waker(&waker)), count)
}

/// An hour's worth at the lowest rate.
const HOUR: usize = 3_600_000;

#[test]
fn without_a_limit_nothing_waits() {
    let mut meter = Pacer::new(None, None).meter(PeerId::random());
    for _ in 0..3 {
        assert_eq!(poll(&mut meter).0, Poll::Ready(usize::MAX));
        meter.moved(HOUR);
    }
    assert!(!meter.is_held_back());
}

#[test]
fn a_change_wakes_those_who_wait() {
    let pacer = Pacer::new(slow(), None);
    let mut meter = pacer.meter(PeerId::random());
    assert!(poll(&mut meter).0.is_ready());
    meter.moved(HOUR);
    let (turn, wakes) = poll(&mut meter);
    assert!(turn.is_pending() && meter.is_held_back());
    pacer.set(None, None);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert_eq!(poll(&mut meter).0, Poll::Ready(usize::MAX));
    assert!(!meter.is_held_back());
}

#[test]
fn one_peer_at_its_limit_does_not_hold_up_another() {
    let pacer = Pacer::new(None, slow());
    let (greedy, modest) = (PeerId::random(), PeerId::random());
    let mut first = pacer.meter(greedy);
    assert!(poll(&mut first).0.is_ready());
    first.moved(HOUR);
    assert!(poll(&mut pacer.meter(greedy)).0.is_pending(), "another stream of the same peer");
    assert!(poll(&mut pacer.meter(modest)).0.is_ready());
    pacer.set(None, None);
    assert!(poll(&mut first).0.is_ready());
}

#[test]
fn one_more_limit_holds_for_its_streams_alone() {
    let pacer = Pacer::new(None, None);
    let limiter = Limiter::new(slow());
    let mut limited = pacer.meter(PeerId::random()).and(limiter);
    assert!(poll(&mut limited).0.is_ready());
    limited.moved(HOUR);
    assert!(poll(&mut limited).0.is_pending());
    assert!(poll(&mut pacer.meter(PeerId::random())).0.is_ready());
}

#[test]
fn stream_after_stream_gets_no_more_than_one() {
    let pacer = Pacer::new(None, slow());
    let (greedy, modest) = (PeerId::random(), PeerId::random());
    let mut first = pacer.meter(greedy);
    assert!(poll(&mut first).0.is_ready());
    first.moved(HOUR);
    drop(first);
    assert!(poll(&mut pacer.meter(modest)).0.is_ready());
    assert!(poll(&mut pacer.meter(greedy)).0.is_pending(), "it has not waited for what it had");
    pacer.set(None, None);
    assert!(poll(&mut pacer.meter(greedy)).0.is_ready());
}

#[test]
fn a_stream_that_is_gone_leaves_nothing() {
    let pacer = Pacer::new(slow(), None);
    for _ in 0..10 {
        let mut meter = pacer.meter(PeerId::random());
        meter.moved(HOUR);
        assert!(poll(&mut meter).0.is_pending());
    }
    let queue = pacer.all.queue();
    assert!(queue.meters == 0 && queue.waiting.is_empty());
    drop(queue);
    drop(pacer.meter(PeerId::random()));
    assert_eq!(pacer.each().peers.len(), 1, "only the last, until the next comes");
}
