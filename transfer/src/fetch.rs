//! Fetches one content from several peers at once.
//!
//! Owns: the requests under way and who the sources are. Decisions are the [`Scheduler`]'s.
//! Hears: sources found, groups verified and written, requests ended, the time.
//! Tells: the caller how it goes; the [`Partial`] every verified group.
//! Ends: all verified and written, nobody left to ask, no progress for too long, or the disk failed.

mod batch;
mod driver;
mod ended;
mod limits;
mod line;
mod lines;
mod receiver;
mod reins;
mod timer;
mod transfer;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, ProviderKey};
use shoal_store::{Partial, WriteError};

use self::driver::Driver;
pub(crate) use self::driver::{IDLE, MAX_REPORTED};
pub(crate) use self::limits::{RequestLimits, limits_at};
pub use self::lines::Lines;
pub(crate) use self::lines::{Answered, broken};
pub(crate) use self::reins::Bit;
pub(crate) use self::timer::Timer;
pub(crate) use self::under_way::{News, UnderWay};
use crate::have::Holding;
use crate::scheduler::Failure;
use crate::wire::Name;
use crate::{OpenError, Opener, Pool, PoolClosed, RangeStream, Rate};

#[cfg(doc)]
use crate::scheduler::Scheduler;

/// Opens a stream to a source. Implemented by [`Opener`]; tests and other kinds of sources bring their own.
pub trait Open: Send + Sync {
    /// Opens a stream, within a deadline.
    fn open(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> BoxFuture<'static, Result<RangeStream, OpenError>>;

    /// The rate that all its streams share, and the one that those to each peer share, if they are held to any.
    fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        (None, None)
    }
}

impl Open for Opener {
    fn open(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
    ) -> BoxFuture<'static, Result<RangeStream, OpenError>> {
        let opener = self.clone();
        async move { Opener::open(&opener, peer, addresses).await }.boxed()
    }
}

/// A peer that may hold the content, or news of one.
#[derive(Clone, Debug)]
pub struct Source {
    /// Who.
    pub peer: PeerId,
    /// Where to reach it, if it is not connected.
    pub addresses: Vec<Multiaddr>,
    /// What it says it holds, if it was asked. Say it again when that grows.
    pub holding: Option<Holding>,
    /// Whether it is merely likely to hold something, and asked for a little before it has said so. Of one that does not
    /// hold it nobody hears, and nobody waits for it.
    pub is_guess: bool,
}

/// How a fetch names its content to sources.
#[derive(Clone, Copy, Debug, Default)]
pub enum Naming {
    /// By the digest: to those who hold the directory that lists it, and so know it.
    #[default]
    Digest,
    /// By the key under which it is announced, with a [`Pass`](shoal_content::Pass): whoever does not have it learns
    /// nothing from being asked, whatever it said.
    Key {
        /// Of the content.
        key: ProviderKey,
        /// Who asks.
        asker: PeerId,
    },
}

impl Naming {
    fn of(self, digest: &Digest, holder: &PeerId) -> Name {
        match self {
            Naming::Digest => Name::Digest(*digest),
            Naming::Key { key, asker } => Name::hidden(key, digest, &asker, holder),
        }
    }
}

/// Sources as they are found. Its end means that no more will come.
pub type SourceStream = BoxStream<'static, Source>;

/// What to fetch and with what.
pub struct FetchJob {
    /// Where verified groups go; it names the content. What it has already is not asked for again.
    pub partial: Partial,
    /// How to reach sources. What is fetched at the same time from the same sources should share it.
    pub lines: Arc<Lines>,
    /// Where disk writes run.
    pub pool: Arc<dyn Pool>,
    /// Whom to ask.
    pub sources: SourceStream,
    /// How.
    pub options: FetchOptions,
}

/// A number that differs between nodes, and that others can tell too.
pub fn salt(node: &PeerId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *Digest::of(&node.to_bytes()).as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// How to fetch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Time without a verified group after which the fetch ends, counted from the first request.
    pub timeout: Duration,
    /// The size that a manifest or a ticket gives: a claim that saves a round trip for small contents.
    pub size_hint: Option<u64>,
    /// What the content is called.
    pub naming: Naming,
    /// A number that differs between nodes, so that those who start together start at different places: their [`salt()`].
    pub salt: u64,
    /// Sent with every request.
    pub credential: Option<Vec<u8>>,
    /// Whether no other fetch asks the same sources at the same time. Then more is asked of one of them at once while its
    /// connection becomes faster; several that did so would be refused.
    pub alone: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(60);
        FetchOptions {
            timeout,
            size_hint: None,
            naming: Naming::Digest,
            salt: 0,
            credential: None,
            alone: false,
        }
    }
}

/// How a fetch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent {
    /// The size is proven. `received` bytes are here already.
    Size {
        /// Of the whole content.
        size: u64,
        /// What is here already, from before.
        received: u64,
    },
    /// These bytes of the content are verified and written.
    Verified {
        /// Who sent them.
        peer: PeerId,
        /// How many.
        bytes: u64,
    },
    /// A source is asked no more. If it sent a bad group it should be told: it may not know that its file changed.
    Dropped(Dropped),
}

/// A source that is asked no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Who.
    pub peer: PeerId,
    /// Why.
    pub reason: Failure,
}

/// A fetch that has everything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// How long the content is.
    pub size: u64,
    /// Verified bytes from each source; those that were here before are not among them.
    pub sources: Vec<(PeerId, u64)>,
    /// Who was dropped on the way.
    pub dropped: Vec<Dropped>,
    /// Who was asked, was not dropped, and brought nothing by the time all was here.
    pub silent: Vec<PeerId>,
}

/// Why a fetch ended without everything. What is verified stays in the [`Partial`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No source was found.
    #[error("nobody offers it")]
    NoSource,
    /// Sources were found, and none is left that could bring the rest.
    #[error("none of its providers could deliver it")]
    AllFailed {
        /// Who was dropped, in order.
        dropped: Vec<Dropped>,
    },
    /// Nothing was verified for [`FetchOptions::timeout`].
    #[error("no progress for {} s", .after.as_secs())]
    TimedOut {
        /// How long.
        after: Duration,
        /// Who was dropped, in order.
        dropped: Vec<Dropped>,
        /// Who was asked, was not dropped, and brought nothing.
        silent: Vec<PeerId>,
    },
    /// Verified bytes could not be written.
    #[error("could not write what was received")]
    Write(#[from] WriteError),
    /// The node is shutting down.
    #[error(transparent)]
    PoolClosed(#[from] PoolClosed),
}

/// Fetches what is missing of a content, telling `observer` how it goes.
///
/// A source that is busy, slow or lost is asked again later; one that is proven to send bad bytes is dropped.
///
/// # Errors
/// See [`FetchError`]. Whatever it is, another fetch into the same [`Partial`] continues.
///
/// # Cancel safety
/// Dropping the future resets every stream and has the pool sync the partial; verified groups are kept, except those
/// of the batches that were not handed to the disk yet.
pub async fn fetch(job: FetchJob, observer: impl FnMut(FetchEvent) + Send) -> Result<Fetched, FetchError> {
    let sources = job.sources.fuse();
    Driver::new(job.partial, job.lines, job.pool, job.options, observer).run(sources).await
}
