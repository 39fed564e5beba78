//! A request: what it was made for, what it brought, and how it is made and taken back.

use std::time::{Duration, Instant};

use shoal_content::{GROUP_LEN, GroupRanges};

use super::{Action, RequestId, Scheduler, SourceId};

#[derive(Debug)]
pub(super) struct Request {
    pub(super) source: SourceId,
    /// What its source has yet to choose from.
    pub(super) offer: Option<Offer>,
    /// What it is still expected to bring.
    pub(super) todo: GroupRanges,
    /// The size that is to be proven before any of it is kept, if this request does not prove it itself.
    pub(super) claim: Option<u64>,
    /// What it brought and the disk has yet to take.
    pub(super) writing: GroupRanges,
    /// When it was made, or last brought a group.
    pub(super) progress_at: Instant,
    /// Whether it brought a group at all.
    pub(super) heard: bool,
    /// Bytes that were credited to its source when they came, and are yet to be kept.
    pub(super) credited: u64,
}

/// Groups of which a source is to choose some.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) of: GroupRanges,
    pub(super) most: u64,
}

impl Request {
    /// How long its source brought nothing that we waited for.
    pub(super) fn quiet(&self, now: Instant) -> Duration {
        if self.is_awaited() { now.saturating_duration_since(self.progress_at) } else { Duration::ZERO }
    }

    /// Whether its source is to bring something, and not the disk or the proof of a size.
    pub(super) fn is_awaited(&self) -> bool {
        let came_whole = self.claim.is_some() && self.credited >= self.todo.len().saturating_mul(GROUP_LEN);
        self.writing.is_empty() && !came_whole
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_needless(&self) -> bool {
        self.offer.is_none() && self.todo.is_empty() && self.writing.is_empty()
    }

    /// Groups that are still to come.
    pub(super) fn expected(&self) -> u64 {
        self.offer.as_ref().map_or_else(|| self.todo.len(), |offer| offer.most)
    }
}

impl Scheduler {
    /// Asks a source for these groups, or for so many of them.
    pub(super) fn request(&mut self, source: SourceId, ranges: GroupRanges, most: Option<u64>, now: Instant) {
        self.request_on(None, source, ranges, most, now);
    }

    /// The same, on the claim that the size is this.
    pub(super) fn request_on(
        &mut self,
        claim: Option<u64>,
        source: SourceId,
        ranges: GroupRanges,
        most: Option<u64>,
        now: Instant,
    ) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        if let Some(source) = self.sources.get_mut(&source) {
            source.started(now);
        }
        self.requests.insert(
            id,
            Request {
                source,
                todo: if most.is_none() { ranges.clone() } else { GroupRanges::empty() },
                offer: most.map(|most| Offer { of: ranges.clone(), most }),
                claim,
                writing: GroupRanges::empty(),
                progress_at: now,
                heard: false,
                credited: 0,
            },
        );
        self.actions.push(Action::Request { id, source, ranges, most, claim });
    }

    /// A request is over.
    pub(super) fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.requests.remove(&id)?;
        if let Some(source) = self.sources.get_mut(&request.source) {
            source.active = source.active.saturating_sub(1);
        }
        Some(request)
    }

    pub(super) fn cancel(&mut self, id: RequestId) {
        if self.remove(id).is_some() {
            self.actions.push(Action::Cancel { id });
        }
    }

    /// Cancels requests whose groups were all brought or taken over by others.
    pub(super) fn cancel_needless(&mut self) {
        if self.tree.is_none() {
            return;
        }
        let needless: Vec<RequestId> =
            self.requests.iter().filter(|(_, request)| request.is_needless()).map(|(id, _)| *id).collect();
        for id in needless {
            self.cancel(id);
        }
    }
}
