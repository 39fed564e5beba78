//! Whom to ask for one blob of a get.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::ready, stream};
use libp2p::PeerId;
use shoal_content::{Digest, GroupRanges, Tree};
use shoal_transfer::{Source, SourceStream, have::Holding};

use super::{
    crowd::{Crowd, Found, Spent},
    task::Task,
};
use crate::seek::{Finding, Holder};

/// How long those who hold all of a directory are left to others for what they alone have, while somebody who fetches it
/// too has the file in question. Whoever does not bring it by then is not waited for again.
const SPARED: Duration = Duration::from_secs(2);

/// Whom to ask for a blob.
#[derive(Clone, Copy)]
pub(super) enum Crew<'a> {
    /// Those who said what they hold of it.
    Holders(&'a Crowd),
    /// Those who hold the manifest that it belongs to.
    OfManifest(&'a Crowd),
    /// Those who hold the directory of which it is this file.
    OfDirectory(&'a Crowd, File),
}

impl<'a> Crew<'a> {
    pub(super) fn crowd(self) -> &'a Crowd {
        match self {
            Self::Holders(crowd) | Self::OfManifest(crowd) | Self::OfDirectory(crowd, _) => crowd,
        }
    }

    /// Those of them who are not `spent`, as they are found and have news.
    pub(super) fn sources(self, task: &Task, digest: Digest, spent: &Spent) -> SourceStream {
        match self {
            Self::Holders(crowd) => crowd.all(spent.clone()).map(source).boxed(),
            Self::OfManifest(crowd) => crowd.holders(spent.clone()).map(without_word).boxed(),
            Self::OfDirectory(crowd, file) => file.sources(task, digest, crowd, spent),
        }
    }
}

/// A file of a directory.
#[derive(Clone, Copy)]
pub(super) struct File {
    /// Its number in the manifest.
    pub(super) number: u64,
    pub(super) size: u64,
}

impl File {
    fn sources(self, task: &Task, digest: Digest, crowd: &Crowd, spent: &Spent) -> SourceStream {
        // Those who fetch the directory too: some have the file by now, and some may have parts of it.
        let spent = spent.for_file(self.number);
        let has_it = move |holder: &Holder| holder.has_file(self.number);
        let there =
            crowd.holders(spent.clone()).filter(move |holder| ready(holder.fetches() && has_it(holder)));
        let there = there.map(move |holder| Source { holding: Some(self.whole()), ..without_word(holder) });
        let others = crowd.holders(Spent::default()).filter(move |holder| ready(!has_it(holder)));
        let known = crowd.clone();
        let parts = task.inner.seek(digest, Vec::new()).among(others).filter_map(move |finding| {
            ready(match finding {
                // Nobody else is to learn of what the directory consists.
                Finding::Holder(holder) if known.is_fetching(&holder.peer) => Some(Source::from(holder)),
                _ => None,
            })
        });
        let slow = task.slow.clone();
        let is_quick =
            |peer: &PeerId, files: &GroupRanges| files.contains(self.number) && !slow.contains(peer);
        let quick = crowd.fetching().into_iter().filter(|(peer, files)| is_quick(peer, files));
        let quick: Vec<_> = quick.map(|(peer, _)| peer).collect();
        let whole = crowd.holders(spent).filter(|holder| ready(!holder.fetches())).map(without_word);
        let whole = async move {
            if !quick.is_empty() {
                tokio::time::sleep(SPARED).await;
                // They did not bring it by now, and nothing waits for them again.
                quick.into_iter().for_each(|peer| slow.add(peer));
            }
            whole
        };
        // When nobody is left who should have all of it, the search among the others is over too.
        let over = async { None }.into_stream();
        let whole = whole.flatten_stream().map(Some).chain(over);
        let all = stream::select(whole, stream::select(there, parts).map(Some));
        all.take_while(|source| ready(source.is_some())).filter_map(ready).boxed()
    }

    fn whole(self) -> Holding {
        let ranges = GroupRanges::all(Tree::new(self.size).groups());
        Holding { size: self.size, ranges, complete: true, name: None, files: None }
    }
}

fn source(found: Found) -> Source {
    match found {
        Found::Holder(holder) => holder.into(),
        Found::Guess { peer, addresses } => Source { peer, addresses, holding: None, is_guess: true },
    }
}

/// Of a holder that said nothing of this blob, but of what it is part of.
fn without_word(holder: Holder) -> Source {
    Source { holding: None, ..holder.into() }
}
