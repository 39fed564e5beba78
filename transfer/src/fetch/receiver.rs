//! Receives the answer to a request: reads it, verifies what comes, and hands it to the disk in batches.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use libp2p::PeerId;
use shoal_content::{BadBytes, Decoder, Step};
use shoal_store::WriteError;

use super::batch::Batch;
use super::ended::Ended;
use super::line::Line;
use super::lines::broken;
use super::reins::Bit;
use super::transfer::{Event, Order, Promise, Proven, Shared, Size};
use crate::PoolClosed;
use crate::pool::{OnPool, on_pool};
use crate::scheduler::{Failure, RequestId};
use crate::wire::Mark;

/// Batches of one request on their way to the disk. Beyond them the network waits for the disk. One of them may be
/// long, for it syncs; the others go on.
const MAX_WRITES: usize = 3;

/// Bytes read at once: they are verified while they are in the cache.
const READ_LEN: usize = 128 * 1024;

/// Age at which a batch goes to the disk although it is not full, so that slow sources show progress.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// A response that is being received.
pub(super) struct Receiver {
    shared: Arc<Shared>,
    id: RequestId,
    peer: PeerId,
    events: mpsc::Sender<Event>,
    bit: Bit,
    /// The stream, until its answer was read to its end.
    line: Option<Line>,
    /// Bytes left of the chunk that is being read.
    chunk_left: usize,
    decoder: Decoder,
    /// The size to be proven. Until it is, everything stays in the batch.
    proof: Option<u64>,
    /// Whose proof it is, if another request is to prove it.
    proven: Option<Proven>,
    batch: Batch,
    /// When the batch was begun.
    batch_since: Instant,
    /// Bytes of encoding still to be read, as the header promised.
    needed: u64,
    /// Whether the last mark was read: the stream is good for another request.
    is_answered: bool,
    writes: FuturesUnordered<OnPool<(Batch, Result<(), WriteError>)>>,
}

/// What happened first.
enum Woken {
    Stopped,
    Wrote(Result<(Batch, Result<(), WriteError>), PoolClosed>),
    Read(io::Result<usize>),
    /// What the size is.
    Proven(Option<u64>),
    /// All is verified, and the last word is late.
    Late,
}

/// Where to read to.
enum Space<'a> {
    /// The batch, so many bytes at most.
    Batch(usize),
    Given(&'a mut [u8]),
}

impl Receiver {
    /// Begins to receive what a header promises.
    pub(super) fn new(
        shared: Arc<Shared>,
        order: &Order,
        promise: Promise,
        line: Line,
        events: mpsc::Sender<Event>,
        bit: Bit,
    ) -> Self {
        let Promise { tree, follows, encoded_len: needed, .. } = promise;
        let is_proven = matches!(order.size, Size::Proven(_));
        let buffer = match usize::try_from(needed) {
            // What cannot be written yet is kept whole.
            Ok(needed) if !is_proven => vec![0; needed],
            _ => shared.buffers.take(needed),
        };
        Self {
            id: order.id,
            peer: order.peer,
            events,
            bit,
            line: Some(line),
            chunk_left: 0,
            decoder: Decoder::new(shared.digest, tree, &follows),
            proof: (!is_proven).then_some(tree.size()),
            proven: matches!(order.size, Size::Claimed(_)).then(|| shared.proven.clone()),
            batch: Batch::new(buffer),
            batch_since: Instant::now(),
            needed,
            is_answered: false,
            writes: FuturesUnordered::new(),
            shared,
        }
    }

    /// Receives it to its end, or until the request is stopped. Whatever was verified is written when this returns.
    pub(super) async fn run(mut self) -> Result<(), Ended> {
        let received = self.receive().await;
        // First what came: a source that does not read what it is asked next must not keep it from the disk.
        self.flush().await?;
        if self.is_answered {
            self.pass_on().await;
        }
        if received.is_ok() {
            self.wait_for_proof().await;
        }
        self.flush().await?;
        while !self.writes.is_empty() {
            self.await_write().await?;
        }
        received
    }

    async fn receive(&mut self) -> Result<(), Ended> {
        loop {
            let before = self.bit.before();
            let verified = self.batch.verify(&mut self.decoder, before).map_err(Self::blame)?;
            if verified > 0 && self.proof.is_some() {
                self.tell(Event::Heard(self.id, verified)).await;
            }
            match self.decoder.next_step() {
                None => return self.end().await,
                Some(Step::Leaf { group, .. }) if group >= before => return Ok(()),
                Some(_) => {}
            }
            if self.proof.is_none()
                && (!self.batch.has_room(self.decoder.next_len())
                    || self.batch_since.elapsed() >= FLUSH_AFTER)
            {
                self.flush().await?;
            }
            if self.chunk_left == 0 && !self.next_chunk().await? {
                return Ok(());
            }
            let max = self.chunk_left.min(READ_LEN);
            match self.read_into(Space::Batch(max)).await? {
                None => return Ok(()),
                Some(0) => return Err(Failure::Lost.into()),
                Some(read) => {
                    self.chunk_left -= read;
                    self.needed = self.needed.saturating_sub(read as u64);
                }
            }
        }
    }

    /// All is verified: nothing but the last word may follow.
    async fn end(&mut self) -> Result<(), Ended> {
        if self.chunk_left > 0 || !self.batch.rest().is_empty() {
            return Err(Failure::misbehaved("it sends more than was asked for").into());
        }
        match self.mark().await? {
            None => Ok(()),
            Some(Mark::Complete) => {
                self.is_answered = true;
                Ok(())
            }
            Some(Mark::Chunk(_)) => Err(Failure::misbehaved("it sends more than was asked for").into()),
            // What came is verified: that the file changed since takes nothing from it, but there will be no more.
            Some(Mark::Changed) => Err(Failure::Changed.into()),
            Some(Mark::Failed) => Err(Failure::Unreadable.into()),
        }
    }

    /// Reads the mark of the next chunk. False if the request was stopped.
    async fn next_chunk(&mut self) -> Result<bool, Ended> {
        match self.mark().await? {
            None => Ok(false),
            Some(Mark::Chunk(len)) => {
                self.chunk_left = usize::try_from(len).unwrap_or(usize::MAX);
                if self.chunk_left as u64 > self.needed {
                    return Err(Failure::misbehaved("it sends more than was asked for").into());
                }
                Ok(true)
            }
            Some(Mark::Complete) => Err(Failure::misbehaved("it ends before everything was sent").into()),
            Some(Mark::Changed) => Err(Failure::Changed.into()),
            Some(Mark::Failed) => Err(Failure::Unreadable.into()),
        }
    }

    async fn mark(&mut self) -> Result<Option<Mark>, Ended> {
        let mut word = [0; 4];
        let mut at = 0;
        while let Some(space) = word.get_mut(at..).filter(|space| !space.is_empty()) {
            match self.read_into(Space::Given(space)).await? {
                None => return Ok(None),
                Some(0) => return Err(Failure::Lost.into()),
                Some(read) => at += read,
            }
        }
        Mark::decode(word).map(Some).map_err(|error| broken(error).into())
    }

    /// Reads some bytes, while writes go on. Nothing if the request was stopped.
    async fn read_into(&mut self, mut into: Space<'_>) -> Result<Option<usize>, Ended> {
        loop {
            let woken = poll_fn(|cx| {
                if self.bit.poll_unpin(cx).is_ready() {
                    return Poll::Ready(Woken::Stopped);
                }
                if let Poll::Ready(Some(wrote)) = self.writes.poll_next_unpin(cx) {
                    return Poll::Ready(Woken::Wrote(wrote));
                }
                if let Some(Poll::Ready(size)) = self.proven.as_mut().map(|proven| proven.poll_unpin(cx)) {
                    return Poll::Ready(Woken::Proven(size.ok()));
                }
                let space = match &mut into {
                    Space::Given(space) => space,
                    Space::Batch(max) => {
                        let space = self.batch.space();
                        let len = space.len().min(*max);
                        space.get_mut(..len).unwrap_or_default()
                    }
                };
                let Some(line) = &mut self.line else { return Poll::Ready(Woken::Read(Ok(0))) };
                let polled = line.poll_read(cx, space);
                self.bit.held_back(line.is_held_back());
                match polled {
                    Poll::Ready(read) => Poll::Ready(Woken::Read(read)),
                    Poll::Pending
                        if self.decoder.is_done() && !self.batch.is_empty() && self.proven.is_none() =>
                    {
                        Poll::Ready(Woken::Late)
                    }
                    Poll::Pending => Poll::Pending,
                }
            });
            match woken.await {
                Woken::Stopped => return Ok(None),
                Woken::Late => self.flush().await?,
                Woken::Proven(size) => {
                    if !self.is_now_proven(size) {
                        return Ok(None);
                    }
                    self.flush().await?;
                }
                Woken::Wrote(wrote) => self.on_wrote(wrote).await?,
                Woken::Read(Err(_)) => return Err(Failure::Lost.into()),
                Woken::Read(Ok(read)) => {
                    self.bit.came(read);
                    if matches!(into, Space::Batch(_)) {
                        if self.batch.is_empty() && self.batch.rest().is_empty() {
                            self.batch_since = Instant::now();
                        }
                        self.batch.read(read);
                    }
                    return Ok(Some(read));
                }
            }
        }
    }

    /// Leaves the stream to the next request, unless this one is stopped while its source does not read that.
    async fn pass_on(&mut self) {
        let Some(line) = self.line.take() else { return };
        if let Either::Left((Some(stream), _)) = select(Box::pin(line.pass_on()), &mut self.bit).await {
            self.shared.lines.give_back(self.peer, stream);
        }
    }

    /// Waits until what came may be written. What may not be written will never be.
    async fn wait_for_proof(&mut self) {
        if let Some(proven) = self.proven.clone()
            && let Either::Right((size, _)) = select(&mut self.bit, proven).await
        {
            self.is_now_proven(size.ok());
        }
    }

    /// Takes in the size that another request has proven. False if it is not the one that was claimed here.
    fn is_now_proven(&mut self, size: Option<u64>) -> bool {
        self.proven = None;
        let is_right = size == self.proof;
        if is_right {
            self.proof = None;
        }
        is_right
    }

    /// Hands what is verified to the disk, waiting if the disk is behind.
    async fn flush(&mut self) -> Result<(), Ended> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if let Some(size) = self.proof {
            if !self.decoder.size_is_proven() {
                return Ok(());
            }
            let partial = self.shared.partial.clone();
            let claim = move || partial.claim_size(size).map(|()| (partial.missing(), partial.received()));
            let (missing, received) = on_pool(&*self.shared.pool, claim).await??;
            self.proof = None;
            self.tell(Event::Proven { id: self.id, size, missing, received }).await;
        }
        while self.writes.len() >= MAX_WRITES {
            self.await_write().await?;
        }
        let rest = self.batch.rest();
        let needed = self.needed.saturating_add(rest.len() as u64);
        let next = Batch::continuing(self.shared.buffers.take(needed), rest);
        let full = std::mem::replace(&mut self.batch, next);
        self.batch_since = Instant::now();
        self.tell(Event::Writing(self.id, full.groups().clone())).await;
        let partial = self.shared.partial.clone();
        self.writes.push(on_pool(&*self.shared.pool, move || {
            let written = full.write(&partial);
            (full, written)
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
        wrote: Result<(Batch, Result<(), WriteError>), PoolClosed>,
    ) -> Result<(), Ended> {
        let (batch, written) = wrote?;
        written?;
        let groups = batch.groups().clone();
        self.shared.buffers.give_back(batch.into_buffer());
        self.tell(Event::Written { id: self.id, peer: self.peer, groups }).await;
        Ok(())
    }

    pub(super) async fn tell(&mut self, event: Event) {
        // The driver outlives its transfers; without one there is nobody to tell.
        let _ = self.events.send(event).await;
    }

    fn blame(bad: BadBytes) -> Ended {
        let group = match bad {
            BadBytes::Group { group } => Some(group),
            _ => None,
        };
        Failure::BadBytes { group }.into()
    }
}
