//! Receives one bundle: reads the answers in their order, verifies each file in memory, and has them placed in batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::{SinkExt, StreamExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{BadBytes, Digest, GroupRanges, Tree};
use shoal_store::{FinishError, PartialDirectory, SmallFile};

use super::blob::Blob;
use super::inbox::{Filled, Inbox, Writes};
use super::scheduler::{Answer, BundleId};
use crate::fetch::{Answered, Bit, Lines};
use crate::pool::on_pool;
use crate::scheduler::Failure;
use crate::wire::{Body, Header, Mark, Name, Request, Want};
use crate::{Pool, PoolClosed};

/// Files and bytes placed in one job: enough to make handing them over cheap, few enough to show progress.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: usize = 512 * 1024;

/// Age at which a batch is placed although it is not full, so that slow sources show progress.
const PLACE_AFTER: Duration = Duration::from_millis(500);

/// Time after which the driver is told that more of a blob came, so that a slow source is not taken for a silent one.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// Batches of one bundle on their way to the disk. Beyond them the network waits for the disk.
const MAX_WRITES: usize = 2;

/// What all bundles of a fetch share.
pub(super) struct Shared {
    pub(super) directory: Arc<PartialDirectory>,
    /// The number of each blob in the manifest.
    pub(super) files: Vec<usize>,
    /// Whether a blob came: what two sources bring is placed once.
    pub(super) claimed: Vec<AtomicBool>,
    pub(super) lines: Arc<Lines>,
    pub(super) pool: Arc<dyn Pool>,
    pub(super) credential: Option<Vec<u8>>,
}

/// What to ask of whom.
pub(super) struct Order {
    pub(super) id: BundleId,
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) wants: Vec<usize>,
}

/// What the driver is told while a bundle is received.
pub(super) enum Event {
    /// What became of the next wants, and which blob and group does not match.
    Answered { id: BundleId, peer: PeerId, answers: Vec<(Answer, Bad)> },
    /// The bundle waits for the disk, or not any more.
    Held(BundleId, bool),
    /// Some more of a blob came and matches.
    Alive(BundleId),
    /// So many files are in their places.
    Placed { peer: PeerId, files: u64, bytes: u64 },
}

/// A blob that does not match, and in which group.
type Bad = Option<(Digest, Option<u64>)>;

/// Why a bundle ended early.
pub(super) enum Ended {
    Failure(Failure),
    Place(FinishError),
    PoolClosed(PoolClosed),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failure(failure)
    }
}

impl From<PoolClosed> for Ended {
    fn from(error: PoolClosed) -> Self {
        Ended::PoolClosed(error)
    }
}

/// Files that are verified, and who sent them.
#[derive(Default)]
pub(super) struct Batch {
    files: Vec<SmallFile>,
    count: u64,
    bytes: u64,
}

/// Receives one bundle to its end, or until it is stopped. What it verified is placed when it returns.
pub(super) async fn receive(
    shared: Arc<Shared>,
    order: Order,
    events: mpsc::Sender<Event>,
    mut bit: Bit,
) -> Result<(), Ended> {
    let request = request(&shared, &order);
    let asking = Box::pin(shared.lines.ask(order.peer, order.addresses.clone(), &request));
    let answered = match select(&mut bit, asking).await {
        Either::Left(_) => return Ok(()),
        Either::Right((answered, _)) => answered?,
    };
    let Answered { stream, header } = answered;
    let mut receiver = Receiver {
        id: order.id,
        peer: order.peer,
        events,
        inbox: Inbox::new(stream, bit),
        answers: Vec::new(),
        told_at: Instant::now(),
        batch: Batch::default(),
        batch_since: Instant::now(),
        writes: Writes::new(),
        shared,
    };
    let received = receiver.receive(&order.wants, header).await;
    receiver.report().await;
    receiver.place().await?;
    while !receiver.writes.is_empty() {
        receiver.await_write().await?;
    }
    match received? {
        Came::All => {
            if let Some(stream) = receiver.inbox.into_stream() {
                receiver.shared.lines.give_back(receiver.peer, stream);
            }
        }
        Came::Some => {}
    }
    Ok(())
}

fn request(shared: &Shared, order: &Order) -> Request {
    let wants = order.wants.iter().filter_map(|want| {
        let (digest, size) = shared.entry(*want)?;
        let name = Name::Digest(digest);
        Some(Want { name, ranges: GroupRanges::all(Tree::new(size).groups()), most: None })
    });
    Request { wants: wants.collect(), body: Body::Content, credential: shared.credential.clone() }
}

impl Shared {
    fn entry(&self, want: usize) -> Option<(Digest, u64)> {
        let entry = self.directory.manifest().entries().get(*self.files.get(want)?)?;
        Some((entry.digest, entry.size))
    }
}

/// How much of a bundle was answered.
enum Came {
    All,
    Some,
}

/// A bundle that is being received.
struct Receiver {
    shared: Arc<Shared>,
    id: BundleId,
    peer: PeerId,
    events: mpsc::Sender<Event>,
    inbox: Inbox,
    /// What the driver is to be told with the next look at the network.
    answers: Vec<(Answer, Bad)>,
    /// When it was last told something.
    told_at: Instant,
    batch: Batch,
    /// When the batch was begun.
    batch_since: Instant,
    writes: Writes,
}

impl Receiver {
    async fn receive(&mut self, wants: &[usize], first: Header) -> Result<Came, Ended> {
        let mut header = Some(first);
        let mut wants = wants.iter().peekable();
        while let Some(want) = wants.next() {
            let header = match header.take() {
                Some(header) => header,
                None => match self.header().await? {
                    Some(header) => header,
                    None => return Ok(Came::Some),
                },
            };
            let refusal = match header {
                Header::Follows { size, ranges } => {
                    if !self.blob(*want, size, ranges).await? {
                        return Ok(Came::Some);
                    }
                    continue;
                }
                Header::Busy => {
                    // Either this one is being checked, or nothing is served and the stream ends.
                    if wants.peek().is_none() || self.is_at_end().await? {
                        return Err(Failure::Busy.into());
                    }
                    Failure::Busy
                }
                Header::NotFound => Failure::NotFound,
                Header::Changed => Failure::Changed,
                Header::Failed => Failure::Unreadable,
                Header::BadRequest => {
                    return Err(Failure::misbehaved("it does not understand the request").into());
                }
            };
            self.answers.push((Answer::Refused(refusal), None));
        }
        Ok(Came::All)
    }

    /// Receives one blob. False if the bundle ends with it.
    async fn blob(&mut self, want: usize, size: u64, ranges: Option<GroupRanges>) -> Result<bool, Ended> {
        let Some((digest, listed)) = self.shared.entry(want) else { return Ok(false) };
        if size != listed {
            // Either is wrong, and receiving it by itself tells which.
            self.answers.push((Answer::Unfit, None));
            return Ok(false);
        }
        let tree = Tree::new(size);
        let all = GroupRanges::all(tree.groups());
        let follows = ranges.unwrap_or_else(|| all.clone());
        if !follows.difference(&all).is_empty() {
            return Err(Failure::misbehaved("it offers what was not asked for").into());
        }
        let mut blob = Blob::new(digest, tree, &follows);
        let Some(last) = self.body(&mut blob).await? else { return Ok(false) };
        let refusal = match (last, blob.bad) {
            (_, Some(bad)) => {
                let group = match bad {
                    BadBytes::Group { group } => Some(group),
                    _ => None,
                };
                let refused = Answer::Refused(Failure::BadBytes { group });
                self.answers.push((refused, Some((digest, group))));
                return Ok(true);
            }
            (Mark::Changed, None) => Failure::Changed,
            (Mark::Failed, None) => Failure::Unreadable,
            (_, None) if follows != all => Failure::NotFound,
            (_, None) => {
                let (bytes, pairs) = blob.into_parts();
                self.keep(want, bytes, pairs).await?;
                return Ok(true);
            }
        };
        self.answers.push((Answer::Refused(refusal), None));
        Ok(true)
    }

    /// Reads an encoding, and how it ended; nothing if the bundle was stopped.
    async fn body(&mut self, blob: &mut Blob) -> Result<Option<Mark>, Ended> {
        loop {
            let Some(mark) = self.mark().await? else { return Ok(None) };
            let Mark::Chunk(chunk) = mark else {
                return match mark {
                    Mark::Complete if blob.left() > 0 => {
                        Err(Failure::misbehaved("it ends before everything was sent").into())
                    }
                    last => Ok(Some(last)),
                };
            };
            let mut chunk = usize::try_from(chunk).unwrap_or(usize::MAX);
            if chunk > blob.left() {
                return Err(Failure::misbehaved("it sends more than was asked for").into());
            }
            while chunk > 0 {
                let ready = self.inbox.ready();
                let ready = ready.get(..chunk).unwrap_or(ready);
                let taken = ready.len();
                let verified = blob.take(ready);
                self.inbox.used(taken);
                chunk -= taken;
                if verified && self.told_at.elapsed() >= TELL_AFTER {
                    self.tell(Event::Alive(self.id)).await;
                }
                if chunk > 0 && !self.fill().await? {
                    return Ok(None);
                }
            }
        }
    }

    async fn header(&mut self) -> Result<Option<Header>, Ended> {
        loop {
            if let Some(header) = self.inbox.header()? {
                return Ok(Some(header));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn mark(&mut self) -> Result<Option<Mark>, Ended> {
        loop {
            if let Some(mark) = self.inbox.mark()? {
                return Ok(Some(mark));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Whether the stream ends where the next answer should begin.
    async fn is_at_end(&mut self) -> Result<bool, Ended> {
        while self.inbox.ready().is_empty() {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(Ended::Failure(Failure::Lost)) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Waits for bytes, while writes go on. False if the bundle was stopped.
    async fn fill(&mut self) -> Result<bool, Ended> {
        self.report().await;
        if self.batch_since.elapsed() >= PLACE_AFTER {
            self.place().await?;
        }
        loop {
            match self.inbox.fill(&mut self.writes).await? {
                Filled::Read => return Ok(true),
                Filled::Stopped => return Ok(false),
                Filled::Wrote(wrote) => self.on_wrote(wrote).await?,
            }
        }
    }

    /// Puts a verified file with those that are to be placed, unless another source brought it before.
    async fn keep(&mut self, want: usize, bytes: Vec<u8>, pairs: Vec<u8>) -> Result<(), Ended> {
        self.answers.push((Answer::Came, None));
        let is_first =
            self.shared.claimed.get(want).is_some_and(|claimed| !claimed.swap(true, Ordering::AcqRel));
        let Some(index) = self.shared.files.get(want).copied().filter(|_| is_first) else { return Ok(()) };
        if self.batch.files.is_empty() {
            self.batch_since = Instant::now();
        }
        self.batch.count += 1;
        self.batch.bytes += bytes.len() as u64;
        self.batch.files.push(SmallFile { index, bytes, pairs });
        if self.batch.files.len() >= BATCH_FILES || self.batch.bytes >= BATCH_BYTES as u64 {
            self.report().await;
            self.place().await?;
        }
        Ok(())
    }

    /// Hands what is verified to the disk, waiting if the disk is behind.
    async fn place(&mut self) -> Result<(), Ended> {
        if self.batch.files.is_empty() {
            return Ok(());
        }
        if self.writes.len() >= MAX_WRITES {
            self.tell(Event::Held(self.id, true)).await;
            while self.writes.len() >= MAX_WRITES {
                self.await_write().await?;
            }
            self.tell(Event::Held(self.id, false)).await;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let directory = self.shared.directory.clone();
        self.writes.push(on_pool(&*self.shared.pool, move || {
            let placed = directory.place_small(std::mem::take(&mut batch.files));
            (batch, placed)
        }));
        Ok(())
    }

    async fn await_write(&mut self) -> Result<(), Ended> {
        if let Some(wrote) = self.writes.next().await {
            self.on_wrote(wrote).await?;
        }
        Ok(())
    }

    async fn on_wrote(
        &mut self,
        wrote: Result<(Batch, Result<(), FinishError>), PoolClosed>,
    ) -> Result<(), Ended> {
        let (batch, placed) = wrote?;
        placed.map_err(Ended::Place)?;
        self.tell(Event::Placed { peer: self.peer, files: batch.count, bytes: batch.bytes }).await;
        Ok(())
    }

    /// Tells the driver what was answered.
    async fn report(&mut self) {
        if !self.answers.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            self.tell(Event::Answered { id: self.id, peer: self.peer, answers }).await;
        }
    }

    async fn tell(&mut self, event: Event) {
        self.told_at = Instant::now();
        // The driver outlives its bundles; without one there is nobody to tell.
        let _ = self.events.send(event).await;
    }
}
