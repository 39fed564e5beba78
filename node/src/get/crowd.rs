//! Everyone who was found to hold the root of a get, shared by all its files.

mod seen;

use std::{
    collections::{BTreeMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, GroupRanges};
use tokio::sync::watch;

use self::seen::{Heard, Seen};
use super::GetError;
use crate::{
    hint::Unreached,
    seek::{Finding, Holder},
};

/// Those who are said to have it and were asked later than this before the end are not called silent: their answer may be
/// on its way.
const ANSWERING: Duration = Duration::from_secs(1);

/// Somebody who may be asked.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// It said that it has it.
    Holder(Holder),
    /// It may well have it.
    Guess { peer: PeerId, addresses: Vec<Multiaddr> },
}

/// The holders that proved to be of no use for one blob.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spent {
    peers: Arc<Mutex<HashSet<PeerId>>>,
    /// Of which file of a directory, if it is one.
    file: Option<u64>,
}

impl Spent {
    /// The same, where the blob is the file with this number.
    pub(crate) fn for_file(&self, file: u64) -> Self {
        Self { file: Some(file), ..self.clone() }
    }

    pub(crate) fn add(&self, peer: PeerId) {
        self.lock().insert(peer);
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.lock().contains(peer)
    }

    /// Whether none of these can be of use. Those who fetch the directory too are of none for what they do not have.
    fn are_all(&self, holders: &BTreeMap<u64, Holder>) -> bool {
        let spent = self.lock();
        let has_it = |holder: &Holder| self.file.is_none_or(|file| holder.has_file(file));
        holders.values().all(|holder| !has_it(holder) || spent.contains(&holder.peer))
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PeerId>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading side; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Crowd(watch::Receiver<Seen>);

/// The writing side: runs the search for as long as the get goes on.
pub(crate) struct Gather(watch::Sender<Seen>);

pub(crate) fn crowd() -> (Gather, Crowd) {
    let (sender, receiver) = watch::channel(Seen::default());
    (Gather(sender), Crowd(receiver))
}

impl Gather {
    /// Takes in all that the search finds; ends only with the search.
    pub(crate) async fn run(self, search: impl Stream<Item = Finding>) {
        let mut search = pin!(search);
        while let Some(finding) = search.next().await {
            self.0.send_modify(|seen| match finding {
                Finding::Guess { peer, addresses } => seen.guesses.push((peer, addresses)),
                Finding::Holder(holder) => {
                    seen.unanswered.remove(&holder.peer);
                    seen.add(holder);
                }
                Finding::Asking(peer) => seen.asking(peer, Instant::now()),
                Finding::Without(peer) => {
                    seen.unanswered.remove(&peer);
                }
                Finding::Unreached { peer, .. } => seen.unreached.push(peer),
                Finding::Round(round) => {
                    seen.last_round = round;
                    seen.rounds += 1;
                }
            });
        }
    }
}

impl Crowd {
    /// Waits for the first holder; `None` when a whole round found nobody.
    pub(crate) async fn first(&self) -> Option<Holder> {
        let mut seen = self.0.clone();
        let seen = seen.wait_for(|seen| !seen.holders.is_empty() || seen.hopeless()).await;
        seen.ok()?.holders.values().next().cloned()
    }

    /// Every holder, those found already and those to come; a peer that is found again is told again.
    ///
    /// Ends when a whole round found nobody, or nobody but those who are spent.
    pub(crate) fn holders(&self, spent: Spent) -> impl Stream<Item = Holder> + Send + use<> {
        self.all(spent).filter_map(|found| {
            std::future::ready(match found {
                Found::Holder(holder) => Some(holder),
                Found::Guess { .. } => None,
            })
        })
    }

    /// The same with those who may well have it and have not answered yet.
    pub(crate) fn all(&self, spent: Spent) -> impl Stream<Item = Found> + Send + use<> {
        let start = (self.0.clone(), Heard::default(), spent);
        futures::stream::unfold(start, |(mut seen, mut heard, spent)| async move {
            loop {
                let found = seen.borrow_and_update().tell(&mut heard, &spent);
                match found {
                    Poll::Ready(found) => return Some((found?, (seen, heard, spent))),
                    Poll::Pending => seen.changed().await.ok()?,
                }
            }
        })
    }

    /// Those who fetch the directory too, and which of its files they have.
    pub(crate) fn fetching(&self) -> Vec<(PeerId, GroupRanges)> {
        let seen = self.0.borrow();
        let fetching = |holder: &Holder| Some((holder.peer, holder.holding.files.clone()?));
        seen.holders.values().filter_map(fetching).collect()
    }

    /// Waits until there is news since the last time.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody searches any more.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn is_fetching(&self, peer: &PeerId) -> bool {
        let seen = self.0.borrow();
        seen.holders.values().any(|holder| holder.peer == *peer && holder.fetches())
    }

    /// Why nobody was found.
    pub(crate) fn nobody(&self, cid: Cid) -> GetError {
        let seen = self.0.borrow();
        let unreached = seen.unreached.clone();
        match seen.last_round.named {
            0 => GetError::NoProvider { cid, asked: seen.last_round.walk.asked, unreached },
            named if named <= seen.last_round.gone => GetError::Gone { cid, dropped: Vec::new() },
            named => GetError::Unreachable { cid, named, dropped: Vec::new(), unreached },
        }
    }

    /// Those who are said to have it, were asked a while ago, and say nothing.
    pub(crate) fn silent(&self, now: Instant) -> Vec<PeerId> {
        let seen = self.0.borrow();
        let old = |since: &Instant| now.saturating_duration_since(*since) >= ANSWERING;
        seen.unanswered.iter().filter(|(_, since)| old(since)).map(|(peer, _)| *peer).collect()
    }

    /// The peers that were named and cannot be used.
    pub(crate) fn unreached(&self) -> Vec<Unreached> {
        self.0.borrow().unreached.clone()
    }

    /// The name under which a holder offers it.
    pub(crate) fn name(&self) -> Option<String> {
        self.0.borrow().holders.values().find_map(|holder| holder.holding.name.clone())
    }

    /// How many holders were found.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().holders.len()
    }
}

#[cfg(test)]
mod tests;
