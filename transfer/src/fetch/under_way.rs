//! The transfers of a fetch that are under way, be they requests for one content or bundles of many.
//!
//! Owns: their futures, how to stop them, and when any of them last brought something.
//! Tells: what they tell, how each ended, and whose silence nobody is to be blamed for.

use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::Hash;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::future::{BoxFuture, FusedFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::reins::{Bit, Reins, reins};

/// Events of transfers that wait for the driver; each transfer adds one of its own. Full means transfers wait.
const EVENT_QUEUE: usize = 16;

/// Transfers by their names.
pub(crate) struct UnderWay<Id, Event, Ended> {
    running: FuturesUnordered<BoxFuture<'static, (Id, Result<(), Ended>)>>,
    reins: HashMap<Id, Reins>,
    tell: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// When something came last, or the first of them began.
    progress_at: Option<Instant>,
    /// How long nothing may come.
    timeout: Duration,
}

/// What the driver hears of its transfers.
pub(crate) enum News<Id, Event, Ended> {
    /// One of them told this.
    Told(Event),
    /// This one ended. What it told before is still to be taken from [`UnderWay::told`].
    Ended(Id, Result<(), Ended>),
}

impl<Id: Copy + Eq + Hash + Send + 'static, Event, Ended> UnderWay<Id, Event, Ended> {
    /// None yet. When nothing has come for as long as `timeout`, their time is over.
    pub(crate) fn new(timeout: Duration) -> Self {
        let (tell, events) = mpsc::channel(EVENT_QUEUE);
        let (running, reins) = (FuturesUnordered::new(), HashMap::new());
        Self { running, reins, tell, events, progress_at: None, timeout }
    }

    /// Begins a transfer, which gets where to tell what happens and what tells it to stop.
    pub(crate) fn begin<F>(&mut self, id: Id, transfer: impl FnOnce(mpsc::Sender<Event>, Bit) -> F)
    where
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let (reins, bit) = reins();
        self.reins.insert(id, reins);
        let transfer = transfer(self.tell.clone(), bit);
        self.running.push(transfer.map(move |ended| (id, ended)).boxed());
    }

    /// Has a transfer end before this group.
    pub(crate) fn shorten(&mut self, id: Id, before: u64) {
        if let Some(reins) = self.reins.get(&id) {
            reins.shorten(before);
        }
    }

    /// Has a transfer end. How it ended is told all the same.
    pub(crate) fn stop(&mut self, id: Id) {
        if let Some(reins) = self.reins.remove(&id) {
            reins.stop();
        }
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// What happens next; never ready while nothing is under way.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub(crate) fn next(&mut self) -> impl FusedFuture<Output = News<Id, Event, Ended>> + Unpin {
        let next = poll_fn(|cx| {
            if let Poll::Ready(Some(event)) = self.events.poll_next_unpin(cx) {
                return Poll::Ready(News::Told(event));
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some((id, ended))) => {
                    self.reins.remove(&id);
                    Poll::Ready(News::Ended(id, ended))
                }
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            }
        });
        next.fuse()
    }

    /// What was told already.
    pub(crate) fn told(&mut self) -> Option<Event> {
        self.events.next().now_or_never().flatten()
    }

    /// Something came.
    pub(crate) fn came(&mut self, now: Instant) {
        self.progress_at = Some(now);
    }

    /// From now on something is to come, if that was not so already.
    pub(crate) fn expect_progress(&mut self, now: Instant) {
        self.progress_at.get_or_insert(now);
    }

    /// When their time is over, unless something comes before.
    pub(crate) fn times_out_at(&self) -> Option<Instant> {
        self.progress_at.map(|at| at + self.timeout)
    }

    /// Once one is silent for so long that it counts as stalled, gives those that live: nobody is to be blamed for their
    /// silence. And their time is not over for what a limit of ours does.
    pub(crate) fn look_for_life(&mut self, first_stall: Option<Instant>, now: Instant) -> Vec<Id> {
        let is_over = self.times_out_at().is_some_and(|at| at <= now);
        if is_over && self.reins.values().any(Reins::is_held_back) {
            self.progress_at = Some(now);
        }
        if first_stall.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.reins.iter_mut().filter_map(|(id, reins)| reins.is_alive().then_some(*id)).collect()
    }
}
