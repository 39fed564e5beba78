//! Our own keys that go to the same nodes in one message, and when they must be told again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_content::ProviderKey;

use super::JobId;
use crate::position::Node;
use crate::wire::Sealed;

/// Nodes remembered as holders of a batch, over all its renewals. The oldest are forgotten first: their
/// records expire by themselves.
pub(super) const MAX_HOLDERS: usize = 64;

/// The longest time between two tellings. However long a record lives, newcomers close to its key are to hold it too.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);

/// When to tell again what lives for `ttl`: with time left for another try.
pub(super) fn renew_after(ttl: Duration) -> Duration {
    (ttl / 2).min(RENEWAL)
}

/// A part of `range` that depends on a place alone.
pub(super) fn stagger(range: Duration, place: u64) -> Duration {
    let [first, second, ..] = place.to_be_bytes();
    range * u32::from(u16::from_be_bytes([first, second])) / (1 << u16::BITS)
}

/// Keys that go to the same nodes in one message.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) job: Option<JobId>,
    pub(super) content: Content,
    /// Who was sent this and may hold it; the latest last.
    pub(super) holders: Vec<Node>,
    /// The message while it is being sent, once it was signed; none again when the keys change.
    pub(super) sealed: Option<Arc<Sealed>>,
    /// Messages not yet answered, and how many were answered well.
    pub(super) open: usize,
    pub(super) taken: usize,
    /// When to tell it again, and whether that is under way.
    pub(super) renew: Instant,
    pub(super) is_due: bool,
    /// An earlier run of this node told it, nobody knows whom.
    pub(super) is_restored: bool,
    /// When it was opened; before the clock began when it is restored and older.
    pub(super) opened: Option<Instant>,
    /// Peers in the routing table when it was opened.
    pub(super) peers_then: usize,
}

/// What a batch says.
#[derive(Debug)]
pub(super) enum Content {
    /// So many of our keys within these places, for so long.
    Own { first: u64, last: u64, count: usize, ttl: Duration },
    /// These are ours no more.
    Withdrawn(BTreeSet<ProviderKey>),
}

impl Content {
    /// How many keys it announces; none if it takes them back.
    pub(super) fn own(&self) -> Option<usize> {
        match self {
            Self::Own { count, .. } => Some(*count),
            Self::Withdrawn(_) => None,
        }
    }
}

impl Batch {
    /// Whether some node has acknowledged that these keys are ours.
    pub(super) fn is_told(&self) -> bool {
        self.taken > 0 && self.content.own().is_some()
    }

    /// For how long it announces.
    pub(super) fn ttl(&self) -> Option<Duration> {
        match self.content {
            Content::Own { ttl, .. } => Some(ttl),
            Content::Withdrawn(_) => None,
        }
    }

    pub(super) fn add(&mut self, place: u64) {
        if let Content::Own { first, last, count, .. } = &mut self.content {
            (*first, *last, *count) = ((*first).min(place), (*last).max(place), *count + 1);
        }
    }

    /// Notes that so many of its keys are told by another batch, or not any more.
    pub(super) fn lost(&mut self, lost: usize) {
        if let Content::Own { count, .. } = &mut self.content {
            *count = count.saturating_sub(lost);
        }
        self.sealed = None;
    }
}

/// Adds nodes to a list of holders, the latest last and each once.
pub(super) fn remember<'a>(holders: &mut Vec<Node>, nodes: impl IntoIterator<Item = &'a Node>) {
    for node in nodes {
        holders.retain(|known| known.peer != node.peer);
        holders.push(node.clone());
    }
    holders.drain(..holders.len().saturating_sub(MAX_HOLDERS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_renewed_twice_a_day_all_the_same() {
        let hour = Duration::from_secs(3600);
        assert_eq!(renew_after(hour), hour / 2);
        assert_eq!(renew_after(24 * hour), 12 * hour);
        assert_eq!(renew_after(48 * hour), 12 * hour);
    }
}
