//! One request: opens a stream, asks, and holds the header of the answer against what was asked for.

use std::sync::Arc;

use futures::channel::{mpsc, oneshot};
use futures::future::{self, Either, select};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, GroupRanges, Tree};
use shoal_store::Partial;

use super::Naming;
use super::batch::Buffers;
use super::ended::Ended;
use super::line::Line;
use super::lines::Lines;
use super::receiver::Receiver;
use super::reins::{Bit, Pulse};
use crate::Pool;
use crate::scheduler::{Failure, RequestId};
use crate::wire::{Body, Header, Request, Want};

/// Most bytes kept in memory to prove a size. Nothing is written before it is proven.
const MAX_PROOF_LEN: u64 = 2 * 1024 * 1024;

/// What all requests of a fetch share.
pub(super) struct Shared {
    pub(super) digest: Digest,
    pub(super) partial: Partial,
    pub(super) lines: Arc<Lines>,
    pub(super) pool: Arc<dyn Pool>,
    pub(super) naming: Naming,
    pub(super) credential: Option<Vec<u8>>,
    pub(super) buffers: Buffers,
    pub(super) proven: Proven,
}

/// The size, once a request has proven it.
pub(super) type Proven = future::Shared<oneshot::Receiver<u64>>;

/// What is known of the size when a request is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Proven(u64),
    /// Another request is to prove that it is this. What comes is kept in memory until then.
    Claimed(u64),
    /// This request is to prove it.
    Unknown,
}

/// What to ask of whom.
pub(super) struct Order {
    pub(super) id: RequestId,
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) ranges: GroupRanges,
    /// So many of them, those that the source chooses.
    pub(super) most: Option<u64>,
    pub(super) size: Size,
    /// Whether there is no other source: then it may wait behind what the same one was asked before.
    pub(super) is_only: bool,
}

/// What the driver is told while a request runs.
pub(super) enum Event {
    /// Of what was asked for, only this follows.
    Follows(RequestId, GroupRanges),
    /// The size is proven, and nothing of what proved it is written yet.
    Proven { id: RequestId, size: u64, missing: GroupRanges, received: u64 },
    /// So many groups came that match, and wait for the proof of the size.
    Heard(RequestId, u64),
    /// These groups are verified and on their way to the disk.
    Writing(RequestId, GroupRanges),
    /// These groups are written.
    Written { id: RequestId, peer: PeerId, groups: GroupRanges },
}

/// Runs one request to its end, or until it is stopped. Whatever it verified is written when it returns.
pub(super) async fn transfer(
    shared: Arc<Shared>,
    order: Order,
    events: mpsc::Sender<Event>,
    mut bit: Bit,
) -> Result<(), Ended> {
    let asking = Box::pin(ask(&shared, &order, bit.pulse()));
    let (line, size, follows) = match select(&mut bit, asking).await {
        Either::Left(_) => return Ok(()),
        Either::Right((asked, _)) => asked?,
    };
    let promise = Promise::check(&order, size, follows)?;
    if matches!(order.size, Size::Unknown) && !promise.has_proof() {
        return Ok(());
    }
    let is_news = !promise.is_whole || order.most.is_some();
    let follows = (is_news && !matches!(order.size, Size::Unknown)).then(|| promise.follows.clone());
    let mut receiver = Receiver::new(shared, &order, promise, line, events, bit);
    if let Some(follows) = follows {
        receiver.tell(Event::Follows(order.id, follows)).await;
    }
    receiver.run().await
}

/// Sends the request and reads the header.
async fn ask(
    shared: &Shared,
    order: &Order,
    pulse: Pulse,
) -> Result<(Line, u64, Option<GroupRanges>), Ended> {
    let name = shared.naming.of(&shared.digest, &order.peer);
    let want = Want { name, ranges: order.ranges.clone(), most: order.most };
    let request = Request { wants: vec![want], body: Body::Content, credential: shared.credential.clone() };
    // What its source is to choose, it chooses when it hears of it.
    let may_wait = order.is_only && matches!(order.size, Size::Proven(_)) && order.most.is_none();
    let (addresses, pulse) = (order.addresses.clone(), may_wait.then_some(pulse));
    let asking = shared.lines.ask_on_line(order.peer, addresses, &request, shared.digest, pulse);
    let (line, header) = asking.await?;
    let refusal = match header {
        Header::Follows { size, ranges } => return Ok((line, size, ranges)),
        Header::NotFound => Failure::NotFound,
        Header::Busy => Failure::Busy,
        Header::Changed => Failure::Changed,
        Header::Failed => Failure::Unreadable,
        Header::BadRequest => return Err(Failure::misbehaved("it does not understand the request").into()),
    };
    Err(refusal.into())
}

/// What the header of an answer promises.
pub(super) struct Promise {
    /// The shape of a content of the size that it names.
    pub(super) tree: Tree,
    /// The groups that follow.
    pub(super) follows: GroupRanges,
    /// Whether these are all that were asked for.
    is_whole: bool,
    /// Bytes of the encoding that follows.
    pub(super) encoded_len: u64,
}

impl Promise {
    /// What a header promises that names this `size`, and what `follows` if that is not all that was asked for.
    fn check(order: &Order, size: u64, follows: Option<GroupRanges>) -> Result<Self, Failure> {
        let tree = Tree::new(size);
        let asked = tree.clip(&order.ranges);
        let follows = follows.unwrap_or_else(|| asked.clone());
        if !follows.difference(&asked).is_empty() {
            return Err(Failure::misbehaved("it offers what was not asked for"));
        }
        if order.most.is_some_and(|most| follows.len() > most) {
            return Err(Failure::misbehaved("it sends more than was asked for"));
        }
        let encoded_len = tree.encoded_len(&follows);
        let is_wrong = match order.size {
            Size::Proven(proven) => proven != size,
            Size::Claimed(claimed) => claimed != size || encoded_len > MAX_PROOF_LEN,
            Size::Unknown => encoded_len > MAX_PROOF_LEN,
        };
        if is_wrong {
            return Err(Failure::WrongSize { claimed: size });
        }
        Ok(Self { tree, is_whole: follows == asked, follows, encoded_len })
    }

    /// Whether the last group is among what follows, without which nothing proves the size.
    fn has_proof(&self) -> bool {
        self.follows.contains(self.tree.groups() - 1)
    }
}
