//! Who has it: every holder of one content that answers, and how it was found.

use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, Link, Tree};
use tokio::sync::watch;

use crate::{
    error::ErrorKind,
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
    /// Peers that were named as providers and say that they do not have it, or not any more.
    pub gone: usize,
    /// Peers that were named as providers and did not answer.
    pub silent: usize,
    /// Nodes of the overlay that answered.
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
                Finding::Guess { .. }
                | Finding::Unreached { .. }
                | Finding::Asking(_)
                | Finding::Without(_) => continue,
                Finding::Round(round) => {
                    summary.gone = round.gone;
                    summary.silent = round.named.saturating_sub(summary.holders.len() + round.gone);
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

/// Why a search found nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NobodyError {
    /// There was nobody to ask, or nobody who answers.
    #[error("nobody offers {cid}: no other node of this network {}", if *timeouts == 0 { "is known" } else { "answers" })]
    Alone {
        /// What was looked for.
        cid: Cid,
        /// Questions that were not answered in time.
        timeouts: u32,
    },
    /// None of those asked has heard of it.
    #[error("nobody offers {cid}: {}", unheard(*asked))]
    Unknown {
        /// What was looked for.
        cid: Cid,
        /// Nodes that answered.
        asked: usize,
    },
    /// Those who are said to have it do not.
    #[error("nobody offers {cid} any more: who is said to have it says that it does not")]
    Gone {
        /// What was looked for.
        cid: Cid,
    },
    /// Those who are said to have it do not answer.
    #[error("{cid} is said to be offered, and nobody who does answers")]
    Silent {
        /// What was looked for.
        cid: Cid,
    },
}

fn unheard(asked: usize) -> String {
    match asked {
        1 => "the only node that was asked has not heard of it".to_owned(),
        _ => format!("none of {asked} nodes that were asked has heard of it"),
    }
}

impl NobodyError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Silent { .. } => ErrorKind::Unreachable,
            Self::Alone { .. } | Self::Unknown { .. } | Self::Gone { .. } => ErrorKind::NotFound,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Alone { timeouts: 0, .. } => "name one with --peer, or use a ticket",
            Self::Alone { .. } => {
                "is this machine online, and the network the right one? `shoal status` shows both"
            }
            Self::Unknown { .. } => {
                "its publisher may be offline, on another --network, or not announce it: its ticket leads to it all the same"
            }
            Self::Gone { .. } => {
                "its file was changed, moved or unpublished there: ask its publisher to publish it again"
            }
            Self::Silent { .. } => "try again later: they may be offline, or cannot be reached from here",
        }
    }
}

impl FindSummary {
    /// Why nobody was found, if nobody was, in a search for `cid`.
    pub fn nobody(&self, cid: Cid) -> Option<NobodyError> {
        let Self { asked, timeouts, .. } = *self;
        Some(match self {
            Self { holders, .. } if !holders.is_empty() => return None,
            Self { silent: 1.., .. } => NobodyError::Silent { cid },
            Self { gone: 1.., .. } => NobodyError::Gone { cid },
            Self { asked: 0, .. } => NobodyError::Alone { cid, timeouts },
            _ => NobodyError::Unknown { cid, asked },
        })
    }

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

#[cfg(test)]
mod tests {
    use shoal_content::{Digest, Kind};

    use super::*;

    #[test]
    fn why_nobody_was_found_is_said_by_what_was_heard() {
        let cid = Cid::new(Kind::File, Digest::of(b"wanted"));
        let why = |gone, silent, asked, timeouts| {
            FindSummary { gone, silent, asked, timeouts, ..FindSummary::default() }.nobody(cid).unwrap()
        };
        assert_eq!(why(0, 0, 0, 0), NobodyError::Alone { cid, timeouts: 0 });
        assert_eq!(why(0, 0, 0, 3), NobodyError::Alone { cid, timeouts: 3 });
        assert_eq!(why(0, 0, 7, 3), NobodyError::Unknown { cid, asked: 7 });
        assert_eq!(why(1, 0, 7, 0), NobodyError::Gone { cid });
        assert_eq!(why(1, 1, 7, 0), NobodyError::Silent { cid }, "one of them may have it still");
        assert!(why(0, 0, 0, 0).to_string().ends_with("no other node of this network is known"));
        assert!(why(0, 0, 0, 3).to_string().ends_with("no other node of this network answers"));
    }
}
