//! Getting content: find who has it, fetch it from all of them, verify it, put it in its place.
//!
//! Owns: the search for holders, the part beside the target, what was fetched so far.
//! Hears: holders found, groups verified.
//! Tells: progress.
//! Ends: everything is in place under its final name, or the reason why it cannot be.

mod bundle;
mod crowd;
mod directory;
mod error;
mod file;
mod flights;
mod progress;
mod target;

use std::{
    future::{Future, IntoFuture},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures::StreamExt;
use globset::GlobSet;
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Cid, Kind, Link, safe_file_name};
use shoal_store::{Cancel, PartialError, PublishOptions};
use shoal_transfer::{Limiter, Lines, Rate};
use tokio::sync::watch;

pub(crate) use self::flights::Flights;
use self::{
    crowd::{Crowd, crowd},
    progress::Reporter,
};
pub use self::{
    directory::{Contents, ContentsEntry},
    error::GetError,
    progress::{Dropped, GetProgress, SourceStat, Stage},
    target::Replace,
};
use crate::{
    config::DEFAULT_TIMEOUT,
    events::Event,
    hint::Hint,
    inner::Inner,
    job::{CancelOnDrop, Job},
    node::Node,
    rates::PacedOpener,
    seek::Finding,
};

/// How long a get waits for another one to let go of the same part.
const PART_IN_USE: Duration = Duration::from_secs(3);
const PART_RETRY: Duration = Duration::from_millis(20);

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
    timeout: Duration,
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
            timeout: DEFAULT_TIMEOUT,
            hints,
            down: None,
        };
        Self { node, job }
    }

    /// Where to put it: a folder that exists, or a path that ends with `/`, holds it under its name; any other path
    /// is its name. The current folder by default.
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

    /// How long to wait without any verified progress. [`DEFAULT_TIMEOUT`] by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.job.timeout = timeout;
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
        let Self { node, job } = self;
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
        let contents = task.while_gathering(directory::contents(&task, job.cid)).await?;
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

/// What every step of one get needs.
struct Task {
    inner: Arc<Inner>,
    cid: Cid,
    crowd: Crowd,
    offered: Arc<OnceLock<String>>,
    gather: std::sync::Mutex<Option<crowd::Gather>>,
    reporter: Reporter,
    /// The streams to holders, shared by all its files.
    lines: Arc<Lines>,
    timeout: Duration,
    hints: Vec<Hint>,
}

impl Task {
    fn new(inner: &Arc<Inner>, order: &Order, reporter: Reporter) -> Self {
        let (gather, crowd) = crowd();
        Self {
            inner: inner.clone(),
            cid: order.cid,
            crowd,
            offered: order.offered.clone(),
            gather: std::sync::Mutex::new(Some(gather)),
            reporter,
            lines: Lines::new(Arc::new(PacedOpener {
                opener: inner.opener.clone(),
                down: inner.pacers.down.clone(),
                own: Limiter::new(order.down),
            })),
            timeout: order.timeout,
            hints: order.hints.clone(),
        }
    }

    /// Runs `work` while the search for holders goes on beside it.
    async fn while_gathering<T>(&self, work: impl Future<Output = T>) -> T {
        let gather = self.gather.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let search = self.inner.seek(self.cid.digest(), self.hints.clone()).start();
        let told = search.inspect(|finding| match finding {
            Finding::Unreached { peer, provider: false } => self.reporter.unreached(peer.clone()),
            Finding::Holder(holder) => {
                if let Some(name) = holder.holding.name.as_deref().and_then(safe_file_name) {
                    let _ = self.offered.set(name);
                }
            }
            _ => {}
        });
        let gathering = async {
            if let Some(gather) = gather {
                gather.run(told).await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        tokio::select! {
            done = work => done,
            never = gathering => match never {},
        }
    }

    /// Everyone who was asked for content, or whether they have it, and had time to say something and did not.
    fn silent(&self, seen: &GetProgress) -> Vec<PeerId> {
        let unanswered = self.crowd.silent(Instant::now());
        let mut silent = seen.silent();
        silent.extend(unanswered.into_iter().filter(|peer| !seen.mentions(peer)));
        silent
    }

    /// Runs a blocking piece of work that may take long.
    async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GetError> {
        self.inner.tasks.long(work).await.ok_or(GetError::Stopped)
    }

    /// What stands at `path`, if that is the content; `expected` are its bytes and files, if they are known.
    async fn compare(&self, path: &Path, expected: Option<(u64, u64)>) -> Result<Option<Placed>, GetError> {
        let (path, cid, cancel) = (path.to_owned(), self.cid, Cancel::new());
        let _cancel = CancelOnDrop(cancel.clone());
        self.long(move || target::compare(&path, &cid, expected, &cancel)).await
    }

    /// Runs a short blocking piece of work.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, GetError> {
        self.inner.tasks.blocking(work).await.ok_or(GetError::Stopped)
    }
}

/// Opens a part. A get that was dropped a moment ago may still be bringing its own to disk, so one in use gets a while.
async fn open_part<T: Send + 'static>(
    task: &Task,
    open: impl Fn() -> Result<T, PartialError> + Clone + Send + 'static,
) -> Result<T, GetError> {
    let patience = Instant::now() + PART_IN_USE;
    loop {
        match task.long(open.clone()).await? {
            Err(PartialError::InUse { .. }) if Instant::now() < patience => {
                tokio::time::sleep(PART_RETRY).await;
            }
            opened => return opened.map_err(error::of_partial),
        }
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

/// Content under its final name.
struct Placed {
    path: PathBuf,
    size: u64,
    files: u64,
    already_there: bool,
    merged: bool,
}

async fn place(task: &Task, order: &Order) -> Result<Placed, GetError> {
    let mut target = choose_target(task, order).await?;
    if order.include.is_none()
        && let Some(placed) = already_there(task, order, &target).await?
    {
        if order.seed {
            share(task, order, &placed.path).await?;
        }
        return Ok(placed);
    }
    let mut merged = false;
    if target.symlink_metadata().is_ok() {
        target = match order.replace {
            Replace::Never => return Err(GetError::Exists { path: target }),
            Replace::Overwrite if target::replaceable(&target, order.cid.kind()) => target,
            Replace::Overwrite => return Err(GetError::Exists { path: target }),
            Replace::Rename => target::free_name(&target).ok_or(GetError::Exists { path: target })?,
        };
        merged = target.is_dir();
    }
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let folder = folder.to_owned();
        task.blocking(move || target::make_folder(&folder)).await??;
    }
    let placed = match order.cid.kind() {
        Kind::File => file::place(task, order, target).await?,
        Kind::Directory => directory::place(task, order, target).await?,
    };
    if order.seed {
        announce(task, order.cid).await;
    }
    Ok(Placed { merged, ..placed })
}

/// Shares what was there already, as what is fetched is. What is shared there is not read again.
async fn share(task: &Task, order: &Order, path: &Path) -> Result<(), GetError> {
    let (store, path, cancel) = (task.inner.store.clone(), path.to_owned(), Cancel::new());
    let _cancel = CancelOnDrop(cancel.clone());
    let options = PublishOptions {
        name: order.share_as(&path),
        exclude: vec![task.inner.paths.home.clone()],
        ..PublishOptions::default()
    };
    match task.long(move || store.publish(&path, &options, &(), &cancel)).await? {
        Ok(published) => announce(task, published.cid).await,
        // It is where it was wanted, and that was the work.
        Err(error) => tracing::warn!(%error, "what is there already cannot be shared"),
    }
    Ok(())
}

/// What stands at the target, if that is the content already. Where a folder was named to save a directory in, that may
/// be the directory itself: a get that is repeated must not save a second copy in the first.
async fn already_there(task: &Task, order: &Order, target: &Path) -> Result<Option<Placed>, GetError> {
    if target.symlink_metadata().is_ok()
        && let Some(placed) = task.compare(target, None).await?
    {
        return Ok(Some(placed));
    }
    if order.cid.kind() == Kind::File || target == order.to || !order.to.is_dir() {
        return Ok(None);
    }
    let manifest = directory::manifest(task).await?;
    let (size, files) = (manifest.total_size(), u64::try_from(manifest.entries().len()).unwrap_or(u64::MAX));
    let folder = order.to.clone();
    if task.blocking(move || target::looks_like(&folder, &manifest)).await? {
        task.compare(&order.to, Some((size, files))).await
    } else {
        Ok(None)
    }
}

/// Announces what was fetched, in its own time: the caller has its content already.
async fn announce(task: &Task, cid: Cid) {
    if task.inner.config.transient {
        return;
    }
    drop(task.inner.announcer.announce_share(cid).await);
}

/// The final path. Only a name that nobody gave is worth waiting for a holder that knows one.
async fn choose_target(task: &Task, order: &Order) -> Result<PathBuf, GetError> {
    let held = held_name(task, order.cid).await?;
    if let Some(name) = held.as_deref().and_then(safe_file_name) {
        let _ = order.offered.set(name);
    }
    let exact = target::resolve(&order.to, "\0");
    if exact == order.to {
        return Ok(exact);
    }
    let name = match (&order.name, order.offered.get()) {
        (Some(name), _) => safe_file_name(name),
        (None, Some(name)) => Some(name.clone()),
        (None, None) if held.is_some() => None,
        (None, None) => first_holder(task).await?.holding.name.and_then(|name| safe_file_name(&name)),
    };
    Ok(target::resolve(&order.to, &name.unwrap_or_else(|| order.cid.to_string())))
}

/// The name under which this node shares the content itself.
async fn held_name(task: &Task, cid: Cid) -> Result<Option<String>, GetError> {
    let store = task.inner.store.clone();
    let label = task.blocking(move || store.label(&cid.digest())).await?;
    Ok(label.ok().flatten().map(|label| label.name))
}

async fn first_holder(task: &Task) -> Result<crate::seek::Holder, GetError> {
    task.crowd.first().await.ok_or_else(|| task.crowd.nobody(task.cid))
}
