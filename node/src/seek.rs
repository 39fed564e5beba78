//! Finds out who has one blob, asking everyone at once.
//!
//! Owns: what the rounds of a search share, and the pauses between them.
//! Hears: providers that the walk names, answers of peers, holders that they introduce (`round.rs`).
//! Tells: every holder as it answers, and the end of every round.
//! Ends: when its caller drops it; rounds go on, further and further apart, for holders that come later. Between them,
//! those found are asked again (`again.rs`): what others hold grows while they fetch it too.

mod again;
mod among;
mod asking;
mod former;
mod guess;
mod roll;
mod round;
mod watch;

use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::ProviderKey;
use shoal_transfer::{Source, have::Holding};
use tokio::sync::mpsc;

pub(crate) use self::former::Former;
use self::{again::Again, asking::Candidate, round::Shared};
use crate::{
    hint::{Hint, Unreached},
    net::{Net, Walk},
    tasks::Tasks,
};

/// Findings that wait for the caller. It takes them as they come; a search that is ahead of it waits.
const FINDINGS: usize = 32;
/// A node this young may not have met its network yet, so a round that finds nobody proves nothing.
const SETTLING: Duration = Duration::from_secs(5);
/// The pauses between rounds start here and double up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a holder came to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// It was connected, or is a neighbour in the overlay.
    Neighbour,
    /// The caller named its address.
    Hint,
    /// The overlay holds its announcement.
    Dht,
    /// Another holder introduced it.
    Introduced,
    /// It had the content when that was looked for before.
    Former,
}

impl Via {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Neighbour => "neighbour",
            Self::Hint => "hint",
            Self::Dht => "dht",
            Self::Introduced => "introduced",
            Self::Former => "former",
        }
    }
}

/// A peer that holds the blob, whole or in part.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) holding: Holding,
    pub(crate) via: Via,
    pub(crate) round_trip: Duration,
}

impl From<Holder> for Source {
    fn from(Holder { peer, addresses, holding, .. }: Holder) -> Self {
        Self { peer, addresses, holding: Some(holding), is_guess: false }
    }
}

impl Holder {
    fn new(Candidate { peer, addresses, via }: Candidate, holding: Holding, round_trip: Duration) -> Self {
        Self { peer, addresses, holding, via, round_trip }
    }

    /// Whether what it holds is a part of a directory that it fetches itself.
    pub(crate) fn fetches(&self) -> bool {
        self.holding.files.is_some()
    }

    /// Whether it says that it has this file of a directory.
    pub(crate) fn has_file(&self, number: u64) -> bool {
        self.holding.files.as_ref().is_none_or(|files| files.contains(number))
    }
}

/// What a search tells.
#[derive(Debug, Clone)]
pub(crate) enum Finding {
    /// Somebody who is connected may well have it, and has not said so yet.
    Guess {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    },
    Holder(Holder),
    /// Somebody who is said to have it is asked.
    Asking(PeerId),
    /// Somebody who was asked says that it does not have it, or is gone.
    Without(PeerId),
    /// A peer that was named by its addresses is of no use; told once.
    Unreached {
        peer: Unreached,
        /// It was named as one who has the content.
        provider: bool,
    },
    Round(Round),
}

/// How one round ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    /// Peers that were named as providers.
    pub(crate) named: usize,
    /// Those of them that say that they do not have it.
    pub(crate) gone: usize,
    /// What the walk through the overlay took.
    pub(crate) walk: Walk,
}

/// One search.
#[derive(Debug, Clone)]
pub(crate) struct Seek {
    pub(crate) net: Net,
    pub(crate) me: PeerId,
    pub(crate) key: ProviderKey,
    /// Addresses that the caller was given together with the name of the content.
    pub(crate) hints: Vec<Hint>,
    /// Who had what was looked for before.
    pub(crate) former: Former,
    pub(crate) tasks: Tasks,
    /// When the node started.
    pub(crate) started: Instant,
}

/// The caller of a search has dropped it.
struct Gone;

impl From<mpsc::error::SendError<Finding>> for Gone {
    fn from(_: mpsc::error::SendError<Finding>) -> Self {
        Self
    }
}

/// What `work` tells, while it goes on.
fn findings<F>(work: impl FnOnce(mpsc::Sender<Finding>) -> F) -> impl Stream<Item = Finding> + Send
where
    F: Future<Output = Result<(), Gone>> + Send,
{
    let (tell, findings) = mpsc::channel(FINDINGS);
    let findings = futures::stream::unfold(findings, |mut findings| async move {
        let finding = findings.recv().await?;
        Some((Some(finding), findings))
    });
    let work = work(tell).map(|_| None).into_stream();
    futures::stream::select(findings, work).filter_map(futures::future::ready)
}

impl Seek {
    /// Starts the search.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream ends the walk and forgets every question.
    pub(crate) fn start(self) -> impl Stream<Item = Finding> + Send {
        findings(|tell| async move {
            let again = Again::default();
            let asker = self.clone();
            tokio::select! {
                end = self.run(&tell, &again) => end,
                end = asker.ask_again(&tell, &again) => end,
            }
        })
    }

    async fn run(mut self, tell: &mpsc::Sender<Finding>, again: &Again) -> Result<(), Gone> {
        let mut pause = FIRST_PAUSE;
        let mut shared = Shared::default();
        loop {
            let round = self.round(tell, again, &mut shared).await?;
            let age = self.started.elapsed();
            // A young node that found nobody asks again soon instead of giving its caller a wrong "nobody".
            if age < SETTLING && !shared.found_any {
                self.wait_for_change(SETTLING.saturating_sub(age).min(FIRST_PAUSE)).await;
                continue;
            }
            tell.send(Finding::Round(round)).await?;
            self.wait_for_change(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn wait_for_change(&mut self, at_most: Duration) {
        self.net.changes.mark_unchanged();
        drop(tokio::time::timeout(at_most, self.net.changes.changed()).await);
    }
}

#[cfg(test)]
mod tests;
