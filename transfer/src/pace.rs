//! Holds streams to the rates that the user set.
//!
//! A [`Pacer`] is one direction of a node: one limit for all its streams and one for those of each peer. A [`Meter`]
//! is the place of one stream in the queues of both. Nothing that was let through waits below: a stream that waits for
//! its turn is not read from or written to, so its sender stops, and other streams of the connection go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::PeerId;

use crate::rate::{Bucket, Rate, Turn};

#[cfg(test)]
mod tests;

/// A rate that streams share. It can be changed while they run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Whether there is a limit: a stream without one takes no lock.
    limited: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    bucket: Bucket,
    /// Streams that share the rate.
    meters: usize,
    /// Those that wait, to be woken when the rate changes. Bounded by the streams there are.
    waiting: HashMap<u64, Waker>,
    next_name: u64,
}

impl Limiter {
    /// A limit, or none yet.
    pub fn new(rate: Option<Rate>) -> Self {
        let queue = Queue {
            bucket: Bucket::new(rate, Instant::now()),
            meters: 0,
            waiting: HashMap::new(),
            next_name: 0,
        };
        Limiter(Arc::new(Shared { limited: AtomicBool::new(rate.is_some()), queue: Mutex::new(queue) }))
    }

    /// Changes the rate, for those who wait too.
    pub fn set(&self, rate: Option<Rate>) {
        let mut queue = self.queue();
        queue.bucket.set_rate(rate, Instant::now());
        self.0.limited.store(rate.is_some(), Ordering::Release);
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        waiting.into_values().for_each(Waker::wake);
    }

    /// The rate now.
    pub fn rate(&self) -> Option<Rate> {
        self.queue().bucket.rate()
    }

    /// Whether streams share it, or the next one would have to wait.
    fn is_in_use(&self, now: Instant) -> bool {
        let mut queue = self.queue();
        let turn = queue.bucket.join();
        queue.meters > 0 || !queue.bucket.wait(turn, now).is_zero()
    }

    fn is_limited(&self) -> bool {
        self.0.limited.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of one direction: for everybody together, and for each peer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pacer {
    all: Limiter,
    each: Arc<Mutex<Each>>,
}

#[derive(Debug, Default)]
struct Each {
    rate: Option<Rate>,
    /// Those with streams now, and those that have not waited yet for what they moved: else a peer could have as much more
    /// as one turn brings by opening stream after stream.
    peers: HashMap<PeerId, Limiter>,
}

impl Pacer {
    /// Limits for all together and for each peer.
    pub fn new(all: Option<Rate>, each: Option<Rate>) -> Self {
        let each = Each { rate: each, peers: HashMap::new() };
        Pacer { all: Limiter::new(all), each: Arc::new(Mutex::new(each)) }
    }

    /// Changes both limits, for streams under way too.
    pub fn set(&self, all: Option<Rate>, each: Option<Rate>) {
        self.all.set(all);
        let mut of_peers = self.each();
        of_peers.rate = each;
        let limiters: Vec<Limiter> = of_peers.peers.values().cloned().collect();
        drop(of_peers);
        for limiter in limiters {
            limiter.set(each);
        }
    }

    /// The limits for all together and for each peer.
    pub fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        (self.all.rate(), self.each().rate)
    }

    /// A place for a stream of `peer`.
    pub fn meter(&self, peer: PeerId) -> Meter {
        let now = Instant::now();
        let mut each = self.each();
        each.peers.retain(|_, limiter| limiter.is_in_use(now));
        let rate = each.rate;
        let of_peer = each.peers.entry(peer).or_insert_with(|| Limiter::new(rate)).clone();
        drop(each);
        Meter::new(self.all.clone()).and(of_peer)
    }

    fn each(&self) -> MutexGuard<'_, Each> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream in the queues of the limits that hold for it.
#[derive(Debug)]
pub struct Meter {
    places: Vec<Place>,
    timer: Option<Delay>,
    held_back: bool,
}

#[derive(Debug)]
struct Place {
    limiter: Limiter,
    name: u64,
    turn: Option<Turn>,
}

impl Meter {
    fn new(limiter: Limiter) -> Self {
        Meter { places: vec![Place::new(limiter)], timer: None, held_back: false }
    }

    /// Holds the stream to one more limit.
    #[must_use]
    pub fn and(mut self, limiter: Limiter) -> Self {
        self.places.push(Place::new(limiter));
        self
    }

    /// Waits for the turn of the stream; gives how many bytes it may move.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = Instant::now();
            let mut piece = usize::MAX;
            let mut wait = Duration::ZERO;
            for place in &mut self.places {
                let (its_wait, its_piece) = place.ask(now, cx);
                wait = wait.max(its_wait);
                piece = piece.min(its_piece);
            }
            self.held_back = !wait.is_zero();
            if !self.held_back {
                return Poll::Ready(piece);
            }
            let timer = self.timer.get_or_insert_with(|| Delay::new(wait));
            timer.reset(wait);
            if timer.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// So many bytes moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let now = Instant::now();
        for place in &mut self.places {
            place.moved(bytes as u64, now);
        }
    }

    /// Whether the stream waits for its turn, so that its silence is our doing.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back
    }
}

impl Place {
    fn new(limiter: Limiter) -> Self {
        let mut queue = limiter.queue();
        queue.meters += 1;
        let name = queue.next_name;
        queue.next_name += 1;
        drop(queue);
        Place { limiter, name, turn: None }
    }

    /// How long to wait here, and how much may pass then.
    fn ask(&mut self, now: Instant, cx: &Context<'_>) -> (Duration, usize) {
        if !self.limiter.is_limited() {
            return (Duration::ZERO, usize::MAX);
        }
        let mut queue = self.limiter.queue();
        let turn = *self.turn.get_or_insert_with(|| queue.bucket.join());
        let wait = queue.bucket.wait(turn, now);
        if wait.is_zero() {
            queue.waiting.remove(&self.name);
        } else {
            queue.waiting.insert(self.name, cx.waker().clone());
        }
        (wait, queue.bucket.piece(queue.meters))
    }

    fn moved(&mut self, bytes: u64, now: Instant) {
        if self.limiter.is_limited() {
            self.turn = Some(self.limiter.queue().bucket.pass(bytes, now));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queue = self.limiter.queue();
        queue.meters = queue.meters.saturating_sub(1);
        queue.waiting.remove(&self.name);
    }
}
