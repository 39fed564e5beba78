//! Who has it: every holder of one content that answers, and how it was found.

use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Link, Tree};
use tokio::sync::watch;

use crate::{
    hint::{Hint, Unreached},
    inner::Inner,
    job::Job,
    net::Walk,
    seek::{self, Finding, Via},
};

/// A search under way: snapshots of what was found, then the whole.
pub type Find = Job<FindSummary, FindSummary>;

/// A peer that has content, whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The peer.
    pub peer: PeerId,
    /// Where it can be dialled.
    pub addresses: Vec<Multiaddr>,
    /// How it was found.
    pub via: Via,
    /// Whether it has everything.
    pub complete: bool,
    /// Bytes that it says it has.
    pub held: u64,
    /// The size that it says the content has; a claim.
    pub size: u64,
    /// The time from the question to its answer, dialling included.
    pub round_trip: Duration,
}

/// What a search has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FindSummary {
    /// Everyone who answered that it has the content.
    pub holders: Vec<Holder>,
    /// Peers that were named as providers and did not answer, or have it no more.
    pub silent: usize,
    /// Nodes of the overlay that were asked.
    pub asked: usize,
    /// Referrals that led to the first node that knew a provider: 0 when this node did, 1 when one of its table did.
    /// When nobody knew one, those that led to the farthest answer.
    pub hops: u8,
    /// Questions that the walk through the overlay sent.
    pub messages: u32,
    /// Those of them that were not answered in time.
    pub timeouts: u32,
    /// Peers that the caller named and that cannot be used.
    pub unreached: Vec<Unreached>,
    /// From the start of the search.
    pub elapsed: Duration,
}

/// Starts a search of one round.
pub(crate) fn find(inner: &Inner, link: &Link, peers: Vec<Multiaddr>) -> Find {
    let mut hints = Hint::of(link);
    for address in peers {
        Hint::add(&mut hints, address, false);
    }
    let search = inner.seek(link.cid().digest(), hints).start();
    let working = inner.working();
    let work = |progress: watch::Sender<FindSummary>| async move {
        let _working = working;
        let start = Instant::now();
        let mut summary = FindSummary::default();
        pin_mut!(search);
        while let Some(finding) = search.next().await {
            summary.elapsed = start.elapsed();
            match finding {
                Finding::Holder(holder) => summary.add(holder),
                Finding::Unreached { peer, provider: false } => summary.unreached.push(peer),
                Finding::Unreached { .. } | Finding::Asking(_) | Finding::Without(_) => continue,
                Finding::Round(round) => {
                    summary.silent = round.named.saturating_sub(summary.holders.len());
                    let Walk { asked, hops, messages, timeouts } = round.walk;
                    (summary.asked, summary.hops) = (asked, hops);
                    (summary.messages, summary.timeouts) = (messages, timeouts);
                    break;
                }
            }
            progress.send_replace(summary.clone());
        }
        summary
    };
    Job::start(&inner.tasks, "find", FindSummary::default(), FindSummary::default, work)
}

impl FindSummary {
    /// Adds a holder, or replaces what an earlier answer of the same peer said.
    fn add(&mut self, found: seek::Holder) {
        let tree = Tree::new(found.holding.size);
        let bytes = |range: std::ops::Range<u64>| {
            range.end.saturating_mul(shoal_content::GROUP_LEN).min(tree.size())
                - range.start.saturating_mul(shoal_content::GROUP_LEN).min(tree.size())
        };
        let holder = Holder {
            peer: found.peer,
            addresses: found.addresses,
            via: found.via,
            complete: found.holding.complete,
            held: found.holding.ranges.iter().map(bytes).sum(),
            size: found.holding.size,
            round_trip: found.round_trip,
        };
        self.holders.retain(|known| known.peer != holder.peer);
        self.holders.push(holder);
    }
}
