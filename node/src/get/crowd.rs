//! Everyone who was found to hold the root of a get, shared by all its files.

use std::pin::pin;

use futures::{Stream, StreamExt};
use shoal_content::Cid;
use tokio::sync::watch;

use super::GetError;
use crate::seek::{Finding, Holder, Round};

/// Holders remembered. A get cannot use more of them, and they are what peers say they are.
const MAX_HOLDERS: usize = 128;

/// What the search has found so far.
#[derive(Debug, Default)]
struct Seen {
    holders: Vec<Holder>,
    last_round: Option<Round>,
}

impl Seen {
    /// A whole round went by and nobody has it.
    fn hopeless(&self) -> bool {
        self.holders.is_empty() && self.last_round.is_some()
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
                Finding::Holder(holder) if seen.holders.len() < MAX_HOLDERS => seen.holders.push(holder),
                Finding::Holder(_) => {}
                Finding::Round(round) => seen.last_round = Some(round),
            });
        }
    }
}

impl Crowd {
    /// Waits for the first holder; `None` when a whole round found nobody.
    pub(crate) async fn first(&self) -> Option<Holder> {
        let mut seen = self.0.clone();
        let seen = seen.wait_for(|seen| !seen.holders.is_empty() || seen.hopeless()).await;
        seen.ok()?.holders.first().cloned()
    }

    /// Every holder, those found already and those to come; a peer that is found again is told again, perhaps with
    /// other addresses. Ends when a whole round found nobody.
    pub(crate) fn holders(&self) -> impl Stream<Item = Holder> + Send + use<> {
        futures::stream::unfold((self.0.clone(), 0_usize), |(mut seen, next)| async move {
            let holder = {
                let now = seen.wait_for(|now| now.holders.len() > next || now.hopeless()).await.ok()?;
                now.holders.get(next).cloned()?
            };
            Some((holder, (seen, next + 1)))
        })
    }

    /// Why nobody was found.
    pub(crate) fn nobody(&self, cid: Cid) -> GetError {
        let round = self.0.borrow().last_round.unwrap_or_default();
        match round.named {
            0 => GetError::NoProvider { cid, asked: round.walked },
            named => GetError::Unreachable { cid, named, dropped: Vec::new() },
        }
    }

    /// The name under which a holder offers it.
    pub(crate) fn name(&self) -> Option<String> {
        self.0.borrow().holders.iter().find_map(|holder| holder.holding.name.clone())
    }

    /// How many holders were found.
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().holders.len()
    }
}
