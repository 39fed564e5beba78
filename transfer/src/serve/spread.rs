//! Which groups of a blob were sent how often, so that those who fetch it at the same time get different ones.
//!
//! A peer that is not alone leaves the choice to its server. What was never sent is chosen first, in order, and then
//! what was sent least: nobody needs it more, since those who have something already pass it on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shoal_content::{Digest, GroupRanges, Tree};

#[cfg(test)]
mod tests;

/// Blobs of which it is known what was sent. The one that was asked for longest ago makes room for the next.
const MAX_BLOBS: usize = 64;

/// Blobs of fewer groups are sent as they are asked for: they are over before anybody could pass them on.
const MIN_GROUPS: u64 = 256;

/// Groups of a piece, the unit in which repetitions are counted: 1 MiB.
const PIECE: u64 = 64;

/// Pieces of a blob. Those of a huge one are longer, so that no blob takes much memory.
const MAX_PIECES: u64 = 16 * 1024;

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
    never: GroupRanges,
    piece: u64,
    /// Groups sent of each piece, repetitions counted.
    counts: Vec<u64>,
    used: u64,
}

/// Groups that are on their way to a peer. Those that it did not get are taken back when it is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    spread: Spread,
    digest: Digest,
    left: GroupRanges,
    /// Those of them that nobody had been sent before.
    first: GroupRanges,
}

impl Spread {
    /// Chooses up to `most` of the groups that a peer asks for and that are here, all of them without a `most`.
    pub(super) fn choose(
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
        let first = sent.begin(&chosen);
        drop(blobs);
        let sending = Sending { spread: self.clone(), digest, left: chosen.clone(), first };
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
        let piece = PIECE.max(groups.div_ceil(MAX_PIECES));
        let pieces = usize::try_from(groups.div_ceil(piece)).unwrap_or(0);
        Sent { never: GroupRanges::all(groups), piece, counts: vec![0; pieces], used: 0 }
    }

    fn choose(&self, held: &GroupRanges, most: u64) -> GroupRanges {
        let never = held.intersection(&self.never);
        if !never.is_empty() {
            return never.first_groups(most);
        }
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for range in held.iter() {
            for piece in range.start / self.piece..=(range.end - 1) / self.piece {
                if pieces.last().is_none_or(|(_, last)| *last != piece) {
                    pieces.push((self.times(piece), piece));
                }
            }
        }
        pieces.sort_unstable();
        let mut chosen = GroupRanges::empty();
        for (_, piece) in pieces {
            let of_piece = GroupRanges::from(piece * self.piece..(piece + 1) * self.piece);
            let wanted = held.intersection(&of_piece);
            chosen = chosen.union(&wanted.first_groups(most.saturating_sub(chosen.len())));
            if chosen.len() >= most {
                break;
            }
        }
        chosen
    }

    /// How often a piece was sent, on average over its groups.
    fn times(&self, piece: u64) -> u64 {
        let count = usize::try_from(piece).ok().and_then(|piece| self.counts.get(piece));
        count.copied().unwrap_or(0) / self.piece
    }

    /// These groups are about to be sent. Gives those that never were.
    fn begin(&mut self, chosen: &GroupRanges) -> GroupRanges {
        let first = chosen.intersection(&self.never);
        self.never = self.never.difference(chosen);
        self.count(chosen, u64::saturating_add);
        first
    }

    /// These groups were not sent after all.
    fn take_back(&mut self, left: &GroupRanges, first: &GroupRanges) {
        self.never = self.never.union(&left.intersection(first));
        self.count(left, u64::saturating_sub);
    }

    fn count(&mut self, groups: &GroupRanges, change: fn(u64, u64) -> u64) {
        for range in groups.iter() {
            for piece in range.start / self.piece..=(range.end - 1) / self.piece {
                let start = range.start.max(piece * self.piece);
                let end = range.end.min((piece + 1) * self.piece);
                let count = usize::try_from(piece).ok().and_then(|piece| self.counts.get_mut(piece));
                if let Some(count) = count {
                    *count = change(*count, end - start);
                }
            }
        }
    }
}

impl Sending {
    /// The groups before this one are sent.
    pub(super) fn sent_before(&mut self, group: u64) {
        self.left.remove(0..group);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.left.is_empty()
            && let Some(sent) = self.spread.blobs().of.get_mut(&self.digest)
        {
            sent.take_back(&self.left, &self.first);
        }
    }
}
