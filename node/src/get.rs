//! Getting content: find who has it, fetch it from all of them, verify it, put it in its place.
//!
//! Owns: the search for holders, the part beside the target, what was fetched so far.
//! Hears: holders found, groups verified.
//! Tells: progress.
//! Ends: everything is in place under its final name, or the reason why it cannot be.

mod bundle;
mod crew;
mod crowd;
mod directory;
mod error;
mod file;
mod flights;
mod long;
mod others;
mod place;
mod progress;
mod target;
mod task;

use std::{
    future::{Future, IntoFuture},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use globset::GlobSet;
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, Link, safe_file_name};
use shoal_transfer::Rate;
use tokio::sync::watch;

pub(crate) use self::flights::Flights;
pub use self::{
    directory::{Contents, ContentsEntry},
    error::GetError,
    others::Awaited,
    progress::{Dropped, GetProgress, SourceStat, Stage},
    target::Replace,
};
use self::{place::place, progress::Reporter, task::Task};
use crate::{events::Event, hint::Hint, inner::Inner, job::Job, node::Node};

/// A get under way: snapshots of its progress, then what was fetched.
pub type Get = Job<GetProgress, Result<Fetched, GetError>>;

/// Content that is in its place, verified.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its name.
    pub cid: Cid,
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its number of files.
    pub files: u64,
    /// Bytes of content that came over the network for it, this time.
    pub received: u64,
    /// From the start of the get.
    pub elapsed: Duration,
    /// Who sent how much.
    pub sources: Vec<SourceStat>,
    /// Who was dropped as a source, and why.
    pub dropped: Vec<Dropped>,
    /// Who was asked, was not dropped, and had sent nothing by the time that everything was here.
    pub silent: Vec<PeerId>,
    /// It was at the target already, so nothing was done.
    pub already_there: bool,
    /// A folder had the name of the directory and was not removed: its other files are still in it.
    pub merged: bool,
}

/// A get that has not started.
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched until it is awaited or started"]
pub struct GetRequest {
    node: Node,
    job: Order,
}

/// What is to be fetched, and how.
#[derive(Debug, Clone)]
struct Order {
    cid: Cid,
    name: Option<String>,
    /// The name under which this node, or the first holder that gives one, offers it.
    offered: Arc<OnceLock<String>>,
    size: Option<u64>,
    to: PathBuf,
    include: Option<GlobSet>,
    replace: Replace,
    seed: bool,
    /// As far as it was said.
    timeout: Option<Duration>,
    hints: Vec<Hint>,
    down: Option<Rate>,
}

impl Order {
    /// The name to share it under once it is at `target`: the one that it was offered under, so that it goes on from
    /// node to node whatever each calls its copy.
    fn share_as(&self, target: &Path) -> Option<String> {
        let offered = self.name.as_deref().and_then(safe_file_name).or_else(|| self.offered.get().cloned());
        let name = offered.or_else(|| Some(target.file_name()?.to_string_lossy().into_owned()))?;
        self.seed.then_some(name)
    }
}

impl GetRequest {
    pub(crate) fn new(node: Node, link: Link) -> Self {
        let hints = Hint::of(&link);
        let (cid, name, size) = match link {
            Link::Cid(cid) => (cid, None, None),
            Link::Ticket(ticket) => (ticket.cid, ticket.name, ticket.size),
        };
        let job = Order {
            cid,
            name,
            offered: Arc::default(),
            size,
            to: PathBuf::from("./"),
            include: None,
            replace: Replace::Never,
            seed: true,
            timeout: None,
            hints,
            down: None,
        };
        Self { node, job }
    }

    /// Where to put it: a folder that exists, or a path that ends with `/`, holds it under its name; any other path
    /// is its name. The current folder, as it is when the get starts, by default.
    pub fn to(mut self, path: impl Into<PathBuf>) -> Self {
        self.job.to = path.into();
        self
    }

    /// Fetches only the files of a directory whose paths match.
    pub fn include(mut self, globs: GlobSet) -> Self {
        self.job.include = Some(globs);
        self
    }

    /// What to do when the target exists and holds something else. Nothing is replaced by default.
    pub fn replace(mut self, replace: Replace) -> Self {
        self.job.replace = replace;
        self
    }

    /// Whether this node shares the content from then on. It does by default.
    pub fn seed(mut self, seed: bool) -> Self {
        self.job.seed = seed;
        self
    }

    /// How long to wait without any verified progress. [`DEFAULT_TIMEOUT`](crate::DEFAULT_TIMEOUT) by default, which is not for the wait for another
    /// get to the same target: that one ends only if a time is given here, after no less than that without any bytes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.job.timeout = Some(timeout);
        self
    }

    /// Receives no faster than this, whatever the node may. No limit by default.
    pub fn down(mut self, rate: Option<Rate>) -> Self {
        self.job.down = rate;
        self
    }

    /// Adds the address of a peer that may have it.
    pub fn peer(mut self, address: Multiaddr) -> Self {
        Hint::add(&mut self.job.hints, address, false);
        self
    }

    /// Starts the search at once.
    pub fn start(self) -> Get {
        let Self { node, mut job } = self;
        job.to = target::absolute(&job.to);
        let working = node.inner.working();
        let inner = node.inner.clone();
        let work = move |progress| async move {
            let _working = working;
            get(inner, job, progress).await
        };
        Job::start(&node.inner.tasks, "get", GetProgress::default(), || Err(GetError::Stopped), work)
    }

    /// Lists what a directory holds, or describes a file, without fetching any file.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn contents(self) -> Result<Contents, GetError> {
        let Self { node, job } = self;
        let task = Task::new(&node.inner, &job, Reporter::silent());
        let listing = task.while_gathering(directory::contents(&task, job.cid));
        let contents = node.inner.tasks.stopping().run_until_cancelled(listing).await;
        let contents = contents.ok_or(GetError::Stopped)??;
        Ok(Contents { unreached: task.reporter.snapshot().unreached, ..contents })
    }
}

impl IntoFuture for GetRequest {
    type Output = Result<Fetched, GetError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

async fn get(
    inner: Arc<Inner>,
    order: Order,
    progress: watch::Sender<GetProgress>,
) -> Result<Fetched, GetError> {
    let start = Instant::now();
    let reporter = Reporter::new(progress, inner.traffic.received.clone());
    let task = Task::new(&inner, &order, reporter);
    let placed = task.while_gathering(place(&task, &order)).await?;
    let seen = task.reporter.snapshot();
    if !placed.already_there {
        inner.events.send(Event::Fetched(order.cid));
    }
    Ok(Fetched {
        cid: order.cid,
        path: placed.path,
        size: placed.size,
        files: placed.files,
        received: seen.received(),
        elapsed: start.elapsed(),
        silent: task.silent(&seen),
        sources: seen.sources,
        dropped: seen.dropped,
        already_there: placed.already_there,
        merged: placed.merged,
    })
}
