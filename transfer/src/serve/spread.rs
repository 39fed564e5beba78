//! Counts how often each group of a blob was sent, so that peers that fetch it at the same time get different ones.
//!
//! A peer that is not alone leaves the choice to its server. The server chooses first, in order, what it never sent,
//! and then what it sent least often: peers that already have a group pass it on by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_content::{Digest, GroupRanges, Tree};

#[cfg(test)]
mod tests;

/// Blobs of which it is known what was sent. The one that was asked for longest ago makes room for the next.
const MAX_BLOBS: usize = 64;

/// Blobs of fewer groups are sent as they are asked for: they are over before anybody could pass them on.
const MIN_GROUPS: u64 = 256;

/// Times that are told apart. What was sent more often needs nobody's care any more.
const TIMES: usize = 8;

/// Ranges in which a blob may fall apart before it is forgotten what was sent of it. Without it strange requests for a
/// huge blob would take memory without end.
const MAX_RANGES: usize = 4096;

/// What was sent of each blob, to whomever. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread(Arc<Mutex<Blobs>>);

#[derive(Debug, Default)]
struct Blobs {
    of: HashMap<Digest, Sent>,
    clock: u64,
}

/// What was sent of one blob.
#[derive(Debug)]
struct Sent {
    groups: u64,
    /// The groups that were sent never, at most once, at most twice, …
    at_most: [GroupRanges; TIMES],
    used: u64,
}

/// Groups that are on their way to a peer. Those that it did not get are taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Sending {
    spread: Spread,
    digest: Digest,
    left: GroupRanges,
}

impl Spread {
    /// Chooses up to `most` of the groups that a peer asks for and that are here, all of them without a `most`.
    pub(crate) fn choose(
        &self,
        digest: Digest,
        tree: Tree,
        held: GroupRanges,
        most: Option<u64>,
    ) -> (GroupRanges, Option<Sending>) {
        if tree.groups() < MIN_GROUPS {
            return (most.map_or_else(|| held.clone(), |most| held.first_groups(most)), None);
        }
        let mut blobs = self.blobs();
        let sent = blobs.sent(digest, tree.groups());
        let chosen = match most {
            Some(most) => sent.choose(&held, most),
            None => held,
        };
        sent.begin(&chosen);
        drop(blobs);
        let sending = Sending { spread: self.clone(), digest, left: chosen.clone() };
        (chosen, Some(sending))
    }

    fn blobs(&self) -> MutexGuard<'_, Blobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs {
    fn sent(&mut self, digest: Digest, groups: u64) -> &mut Sent {
        self.clock += 1;
        if self.of.len() >= MAX_BLOBS
            && !self.of.contains_key(&digest)
            && let Some(oldest) = self.of.iter().min_by_key(|(_, sent)| sent.used).map(|(digest, _)| *digest)
        {
            self.of.remove(&oldest);
        }
        let sent = self.of.entry(digest).or_insert_with(|| Sent::new(groups));
        sent.used = self.clock;
        sent
    }
}

impl Sent {
    fn new(groups: u64) -> Self {
        Sent { groups, at_most: std::array::from_fn(|_| GroupRanges::all(groups)), used: 0 }
    }

    fn choose(&self, held: &GroupRanges, most: u64) -> GroupRanges {
        let wanted =
            self.at_most.iter().map(|sent| sent.intersection(held)).find(|wanted| !wanted.is_empty());
        wanted.as_ref().unwrap_or(held).first_groups(most)
    }

    /// These groups are about to be sent.
    fn begin(&mut self, chosen: &GroupRanges) {
        let mut rest = chosen.clone();
        for sent in &mut self.at_most {
            let once_more = sent.intersection(&rest);
            *sent = sent.difference(&once_more);
            rest = rest.difference(&once_more);
        }
        if self.at_most.iter().any(|sent| sent.range_count() > MAX_RANGES) {
            *self = Sent { used: self.used, ..Sent::new(self.groups) };
        }
    }

    /// These groups were not sent after all.
    fn take_back(&mut self, left: &GroupRanges) {
        let mut rest = left.intersection(&GroupRanges::all(self.groups));
        for sent in self.at_most.iter_mut().rev() {
            let once_less = rest.difference(sent);
            *sent = sent.union(&once_less);
            rest = rest.difference(&once_less);
        }
    }
}

impl Sending {
    /// The groups before this one are sent.
    pub(crate) fn sent_before(&mut self, group: u64) {
        self.left.remove(0..group);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.left.is_empty()
            && let Some(sent) = self.spread.blobs().of.get_mut(&self.digest)
        {
            sent.take_back(&self.left);
        }
    }
}
