//! Whom to ask for one blob of a get.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::ready, stream};
use shoal_content::{GroupRanges, Tree};
use shoal_store::Partial;
use shoal_transfer::{Source, SourceStream, have::Holding};
use tokio::sync::watch;

use super::{
    crowd::{Crowd, Found, Spent},
    task::Task,
};
use crate::seek::{Finding, Holder};

/// How long those who hold all of a directory are left to others for what they alone have, at the least, while a file comes
/// from those who fetch the directory too; and how often it is looked whether it does.
const SPARED: Duration = Duration::from_secs(2);

/// They are spared no longer when the rest of the file would take more than so many times that, as it comes.
const MOST_SPARED: u64 = 4;

/// How often it is looked when nothing else is left to begin.
const AT_THE_END: Duration = Duration::from_millis(500);

/// Whoever brings less than this of a file in that time is not waited for again.
const SLOW: u64 = 256 * 1024;

/// Whom to ask for a blob.
#[derive(Clone, Copy)]
pub(super) enum Crew<'a> {
    /// Those who said what they hold of it.
    Holders(&'a Crowd),
    /// Those who hold the manifest that it belongs to.
    OfManifest(&'a Crowd),
    /// Those who hold the directory of which it is this file.
    OfDirectory(&'a Crowd, &'a File),
}

impl<'a> Crew<'a> {
    pub(super) fn crowd(self) -> &'a Crowd {
        match self {
            Self::Holders(crowd) | Self::OfManifest(crowd) | Self::OfDirectory(crowd, _) => crowd,
        }
    }

    /// Those of them who are not `spent`, as they are found and have news.
    pub(super) fn sources(self, task: &Task, partial: &Partial, spent: &Spent) -> SourceStream {
        match self {
            Self::Holders(crowd) => crowd.all(spent.clone()).map(source).boxed(),
            Self::OfManifest(crowd) => crowd.holders(spent.clone()).map(without_word).boxed(),
            Self::OfDirectory(crowd, file) => file.sources(task, partial, crowd, spent),
        }
    }
}

/// A file of a directory.
pub(super) struct File {
    /// Its number in the manifest.
    pub(super) number: u64,
    pub(super) size: u64,
    /// Whether nothing else is left to begin, if it is to come from those who fetch the directory too.
    pub(super) spare: Option<watch::Receiver<bool>>,
}

impl File {
    fn sources(&self, task: &Task, partial: &Partial, crowd: &Crowd, spent: &Spent) -> SourceStream {
        // Those who fetch the directory too: some have the file by now, and some may have parts of it.
        let (number, is_whole) = (self.number, self.whole());
        let spent = spent.for_file(number);
        let has_it = move |holder: &Holder| holder.has_file(number);
        let there =
            crowd.holders(spent.clone()).filter(move |holder| ready(holder.fetches() && has_it(holder)));
        let there =
            there.map(move |holder| Source { holding: Some(is_whole.clone()), ..without_word(holder) });
        let others = crowd.holders(Spent::default()).filter(move |holder| ready(!has_it(holder)));
        let known = crowd.clone();
        let parts = task.inner.seek(partial.digest(), Vec::new()).among(others).filter_map(move |finding| {
            ready(match finding {
                // Nobody else is to learn of what the directory consists.
                Finding::Holder(holder) if known.is_fetching(&holder.peer) => Some(Source::from(holder)),
                _ => None,
            })
        });
        let whole = crowd.holders(spent).filter(|holder| ready(!holder.fetches())).map(without_word);
        let spared = self.spare.clone().map(|over| {
            let fellows = crowd.fetching().into_iter().filter(|(_, files)| files.contains(number));
            let fellows: Vec<_> = fellows.map(|(peer, _)| peer).collect();
            (spared(partial.clone(), self.size, over), fellows, task.slow.clone())
        });
        let whole = async move {
            if let Some((spared, fellows, slow)) = spared
                && spared.await == Spared::Slow
            {
                fellows.into_iter().for_each(|peer| slow.add(peer));
            }
            whole
        };
        // When nobody is left who should have all of it, the search among the others is over too.
        let over = async { None }.into_stream();
        let whole = whole.flatten_stream().map(Some).chain(over);
        let all = stream::select(whole, stream::select(there, parts).map(Some));
        all.take_while(|source| ready(source.is_some())).filter_map(ready).boxed()
    }

    fn whole(&self) -> Holding {
        let ranges = GroupRanges::all(Tree::new(self.size).groups());
        Holding { size: self.size, ranges, complete: true, name: None, files: None }
    }
}

/// Why those who hold all of a directory are spared no longer.
#[derive(PartialEq, Eq)]
enum Spared {
    /// They have nothing else to bring, or all of it would take long without them.
    Enough,
    /// Next to nothing came from others.
    Slow,
}

/// Waits for as long as they are to be spared for a file, which comes from others meanwhile.
async fn spared(partial: Partial, size: u64, mut over: watch::Receiver<bool>) -> Spared {
    let mut had = partial.received();
    // Once nothing else is left to begin, it is looked more often.
    while tokio::time::timeout(SPARED, over.wait_for(|over| *over)).await.is_err() {
        let brought = partial.received().saturating_sub(had);
        had += brought;
        let left = size.saturating_sub(had);
        if brought < SLOW.min(left) {
            return Spared::Slow;
        }
        if brought.saturating_mul(MOST_SPARED) < left {
            return Spared::Enough;
        }
    }
    loop {
        tokio::time::sleep(AT_THE_END).await;
        let brought = partial.received().saturating_sub(had);
        had += brought;
        if brought.saturating_mul(MOST_SPARED) < size.saturating_sub(had) {
            return Spared::Enough;
        }
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
