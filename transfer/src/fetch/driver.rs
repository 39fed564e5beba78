//! Carries out what the scheduler decides.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::stream::Fuse;
use futures::{FutureExt, StreamExt, select_biased};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{GroupRanges, Tree};
use shoal_store::Partial;

use super::batch::Buffers;
use super::ended::Ended;
use super::limits::{RequestLimits, limits_at};
use super::timer::Timer;
use super::transfer::{Event, Order, Shared, Size, transfer};
use super::under_way::{News, UnderWay};
use super::{Dropped, FetchError, FetchEvent, FetchOptions, Fetched, Lines, Source, SourceStream};
use crate::Pool;
use crate::scheduler::{Action, Failure, RequestId, Scheduler, SourceId};

/// Peers remembered as unfit, so that they are not tried again when they are found again. Trying one more of a
/// thousand liars costs less than remembering them all.
const MAX_BANNED: usize = 1024;

/// Drops that are reported at the end; each is told to the observer.
pub(crate) const MAX_REPORTED: usize = 256;

/// Longest sleep of a fetch that has nothing to wait for but sources.
pub(crate) const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Driver<F> {
    shared: Arc<Shared>,
    options: FetchOptions,
    observer: F,
    scheduler: Scheduler,
    /// The shape of the content, once its size is proven.
    tree: Option<Tree>,
    peers: HashMap<PeerId, SourceId>,
    sources: BTreeMap<SourceId, (PeerId, Vec<Multiaddr>)>,
    next_source: u64,
    /// Whether there was one that is more than a guess.
    has_sources: bool,
    banned: HashSet<PeerId>,
    requests: UnderWay<RequestId, Event, Ended>,
    /// Tells the requests that wait for it what size is proven.
    prove: Option<oneshot::Sender<u64>>,
    received: HashMap<PeerId, u64>,
    /// Those sources that were asked for something and have brought nothing yet.
    silent: BTreeSet<PeerId>,
    dropped: Vec<Dropped>,
    _sync: SyncOnDrop,
}

impl<F: FnMut(FetchEvent) + Send> Driver<F> {
    pub(super) fn new(
        partial: Partial,
        lines: Arc<Lines>,
        pool: Arc<dyn Pool>,
        options: FetchOptions,
        observer: F,
    ) -> Self {
        let sync = SyncOnDrop { partial: partial.clone(), pool: pool.clone() };
        let (prove, proven) = oneshot::channel();
        let shared = Shared {
            digest: partial.digest(),
            partial,
            lines,
            pool,
            naming: options.naming,
            credential: options.credential.clone(),
            buffers: Buffers::new(),
            proven: proven.shared(),
        };
        let mut scheduler = Scheduler::new(options.salt);
        if options.alone {
            scheduler.go_alone();
        }
        let requests = UnderWay::new(options.timeout);
        Driver {
            shared: Arc::new(shared),
            scheduler,
            options,
            observer,
            tree: None,
            peers: HashMap::new(),
            sources: BTreeMap::new(),
            next_source: 0,
            has_sources: false,
            banned: HashSet::new(),
            requests,
            prove: Some(prove),
            received: HashMap::new(),
            silent: BTreeSet::new(),
            dropped: Vec::new(),
            _sync: sync,
        }
    }

    pub(super) async fn run(mut self, mut found: Fuse<SourceStream>) -> Result<Fetched, FetchError> {
        if let Some(size) = self.shared.partial.size() {
            let partial = &self.shared.partial;
            self.on_proven(size, partial.missing(), partial.received(), None);
        }
        let mut timer = Timer::new(Instant::now(), IDLE);
        loop {
            let now = Instant::now();
            let RequestLimits { requests, groups } = limits_at(self.shared.lines.rates());
            self.scheduler.limit_requests(requests, groups);
            for id in self.requests.look_for_life(self.scheduler.first_stall(), now) {
                self.scheduler.alive(id, now);
            }
            for action in self.scheduler.poll(now) {
                self.apply(action, now);
            }
            if let Some(tree) = self.tree.filter(|_| self.scheduler.is_done()) {
                let (silent, sources) = (self.silent(), self.received.into_iter().collect());
                return Ok(Fetched { size: tree.size(), sources, dropped: self.dropped, silent });
            }
            if found.is_done() && self.requests.is_empty() && !self.scheduler.has_hope() {
                return Err(self.all_failed());
            }
            let timeout = self.requests.times_out_at();
            if timeout.is_some_and(|at| at <= now) {
                let (after, silent) = (self.options.timeout, self.silent());
                return Err(FetchError::TimedOut { after, dropped: self.dropped, silent });
            }
            let wake = self.scheduler.next_wake(now).into_iter().chain(timeout).min();
            timer.set(now, wake.unwrap_or(now + IDLE));
            select_biased! {
                news = self.requests.next() => match news {
                    News::Told(event) => self.on_event(event),
                    News::Ended(id, ended) => self.on_ended(id, ended)?,
                },
                source = found.next() => self.on_source(source),
                () = (&mut timer).fuse() => {}
            }
        }
    }

    fn silent(&self) -> Vec<PeerId> {
        self.silent.iter().copied().collect()
    }

    fn all_failed(self) -> FetchError {
        if self.has_sources || !self.dropped.is_empty() {
            FetchError::AllFailed { dropped: self.dropped }
        } else {
            FetchError::NoSource
        }
    }

    fn on_source(&mut self, source: Option<Source>) {
        let Some(Source { peer, addresses, holding, is_guess }) = source else {
            return;
        };
        if self.banned.contains(&peer) || is_guess && self.peers.contains_key(&peer) {
            return;
        }
        self.has_sources |= !is_guess;
        let (holds, size) = match holding {
            Some(holding) => (Some(holding.ranges), Some(holding.size)),
            None => (None, self.options.size_hint),
        };
        if let Some(id) = self.peers.get(&peer) {
            if let Some((_, known)) = self.sources.get_mut(id).filter(|_| !addresses.is_empty()) {
                *known = addresses;
            }
            if let (Some(holds), Some(size)) = (holds, size) {
                self.scheduler.source_holds(*id, holds, size);
                if self.silent.contains(&peer) {
                    self.requests.expect_progress(Instant::now());
                }
            }
            return;
        }
        let id = SourceId(self.next_source);
        let is_asked = if is_guess {
            self.scheduler.source_guessed(id)
        } else {
            self.scheduler.source_found(id, holds, size)
        };
        if is_asked {
            self.next_source += 1;
            self.peers.insert(peer, id);
            self.sources.insert(id, (peer, addresses));
        }
    }

    fn apply(&mut self, action: Action, now: Instant) {
        match action {
            Action::Request { id, source, ranges, most, claim } => {
                let Some((peer, addresses)) = self.sources.get(&source).cloned() else {
                    return;
                };
                let size = match (self.tree, claim) {
                    (Some(tree), _) => Size::Proven(tree.size()),
                    (None, Some(claim)) => Size::Claimed(claim),
                    (None, None) => Size::Unknown,
                };
                let is_only = self.sources.len() == 1;
                let order = Order { id, peer, addresses, ranges, most, size, is_only };
                let shared = self.shared.clone();
                self.requests.begin(id, |tell, bit| transfer(shared, order, tell, bit));
                if !self.scheduler.is_guess(source) {
                    self.requests.expect_progress(now);
                    if !self.received.contains_key(&peer) {
                        self.silent.insert(peer);
                    }
                }
            }
            Action::Shorten { id, before } => self.requests.shorten(id, before),
            Action::Cancel { id } => self.requests.stop(id),
            Action::Drop { source, reason } => self.drop_source(source, reason),
            Action::Forget { source } => drop(self.forget(source)),
        }
    }

    fn forget(&mut self, source: SourceId) -> Option<PeerId> {
        let (peer, _) = self.sources.remove(&source)?;
        self.peers.remove(&peer);
        self.silent.remove(&peer);
        Some(peer)
    }

    fn drop_source(&mut self, source: SourceId, reason: Failure) {
        let Some(peer) = self.forget(source) else { return };
        tracing::debug!(%peer, %reason, digest = %self.shared.digest, "source dropped");
        if reason.is_proof() && self.banned.len() < MAX_BANNED {
            self.banned.insert(peer);
        }
        let dropped = Dropped { peer, reason };
        (self.observer)(FetchEvent::Dropped(dropped.clone()));
        if self.dropped.len() < MAX_REPORTED {
            self.dropped.push(dropped);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Follows(id, ranges) => self.scheduler.follows(id, &ranges),
            Event::Writing(id, groups) => self.scheduler.writing(id, &groups, Instant::now()),
            Event::Heard(id, groups) => {
                let now = Instant::now();
                self.requests.came(now);
                self.scheduler.heard(id, groups, now);
            }
            // Of two proofs under way the second finds nothing left to do.
            Event::Proven { id, size, missing, received } if self.tree.is_none() => {
                self.on_proven(size, missing, received, Some(id));
            }
            Event::Proven { .. } => {}
            Event::Written { id, peer, groups } => self.on_written(id, peer, &groups),
        }
    }

    fn on_proven(&mut self, size: u64, missing: GroupRanges, received: u64, by: Option<RequestId>) {
        self.tree = Some(Tree::new(size));
        self.scheduler.size_proven(size, missing, by);
        if let Some(prove) = self.prove.take() {
            // Nobody may be waiting for it.
            let _ = prove.send(size);
        }
        (self.observer)(FetchEvent::Size { size, received });
    }

    fn on_written(&mut self, id: RequestId, peer: PeerId, groups: &GroupRanges) {
        let now = Instant::now();
        self.requests.came(now);
        let mut bytes = 0;
        for range in groups.iter() {
            if let Some(tree) = self.tree {
                bytes += tree.group_span(range.end - 1).end - tree.group_span(range.start).start;
            }
            self.scheduler.verified(id, range, now);
        }
        self.silent.remove(&peer);
        let total = self.received.entry(peer).or_default();
        *total = total.saturating_add(bytes);
        (self.observer)(FetchEvent::Verified { peer, bytes });
    }

    fn on_ended(&mut self, id: RequestId, ended: Result<(), Ended>) -> Result<(), FetchError> {
        while let Some(event) = self.requests.told() {
            self.on_event(event);
        }
        let now = Instant::now();
        match ended {
            Ok(()) => self.scheduler.finished(id, now),
            Err(Ended::Failure(failure)) => self.scheduler.failed(id, failure, now),
            Err(Ended::Write(error)) => return Err(error.into()),
            Err(Ended::PoolClosed(error)) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Has the pool sync what was received, however the fetch ends, so that the next one need not hash it again.
struct SyncOnDrop {
    partial: Partial,
    pool: Arc<dyn Pool>,
}

impl Drop for SyncOnDrop {
    fn drop(&mut self) {
        // A whole one is made durable when it gets its name.
        if self.partial.is_complete() {
            return;
        }
        let partial = self.partial.clone();
        self.pool.run(Box::new(move || {
            if let Err(error) = partial.sync() {
                tracing::debug!(digest = %partial.digest(), %error, "could not sync a partial content");
            }
        }));
    }
}
