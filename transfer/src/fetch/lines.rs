//! Streams to sources, kept between two requests.
//!
//! A stream carries one request at a time; a request that is to follow at once goes out on a second stream while the
//! first still delivers. So stopping a request costs only its own stream and nothing queued behind it, and what is
//! in flight need not be drained: opening another stream takes no round trip.
//!
//! Over a long distance a stream is worth as much as its window has grown, and all windows of a connection share a
//! common limit to their growth: once one window has used it up, the others stay at a size that is only enough for a
//! round trip of a millisecond. So there the next request to a sole source goes out on the stream that has brought
//! the most, behind the request that is being answered on it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use libp2p::{Multiaddr, PeerId};
use shoal_content::Digest;

use super::Open;
use super::line::{Line, Place, Waiting};
use super::reins::Pulse;
use crate::scheduler::Failure;
use crate::wire::{Header, Request, WireError};
use crate::{OpenError, RangeStream, Rate};

/// Streams kept for one source. It is asked for two things at a time, or a few small ones.
const MAX_IDLE_PER_PEER: usize = 4;

/// Streams kept in all, for many sources each of which is slow.
const MAX_IDLE: usize = 64;

/// Time a stream is kept. Well below what a server waits, so that few are taken up that are gone already.
const KEEP_IDLE: Duration = Duration::from_secs(5);

/// Time in which a source answers that is near. Windows are no limit there, and what comes on two streams is verified on
/// two processors.
const NEAR: Duration = Duration::from_millis(10);

/// Bytes that a stream has brought when its window has grown well beyond that of a new one. What is behind a stream that
/// has not come as far would wait for it in vain.
const GROWN: u64 = 4 * 1024 * 1024;

/// Sources of which is known how fast they answer. Of more than a fetch can have it may be forgotten.
const MAX_KNOWN: usize = 256;

/// Opens streams to sources, and keeps those that can be used again. Shared by the fetches that ask the same sources.
pub struct Lines {
    opener: Arc<dyn Open>,
    idle: Mutex<Idle>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Idle {
    streams: HashMap<PeerId, Vec<(Instant, RangeStream)>>,
    count: usize,
}

/// What is known of the streams that are in use.
#[derive(Default)]
struct Used {
    /// The places at the end of all lines, of those on which the same source brings the same content.
    places: HashMap<(PeerId, Digest), Vec<Place>>,
    /// The least time that a source took to answer.
    answers: HashMap<PeerId, Duration>,
}

/// A stream on which a request was answered with a header.
pub(crate) struct Answered {
    pub(crate) stream: RangeStream,
    pub(crate) header: Header,
}

impl Lines {
    /// Keeps no stream yet.
    pub fn new(opener: Arc<dyn Open>) -> Arc<Self> {
        Arc::new(Lines { opener, idle: Mutex::default(), used: Mutex::default() })
    }

    /// The rates that its streams share: all, and those to each peer.
    pub(crate) fn rates(&self) -> (Option<Rate>, Option<Rate>) {
        self.opener.rates()
    }

    /// Sends a request and reads the first header of its response.
    ///
    /// A kept stream that turns out to be gone is no failure: there was nothing to lose on it, so a new one is opened.
    pub(crate) async fn ask(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: &Request,
    ) -> Result<Answered, Failure> {
        let frame = request.to_frame();
        while let Some(stream) = self.take(peer, Instant::now()) {
            match self.send(peer, stream, &frame).await {
                Err(Failure::Lost) => {}
                answered => return answered,
            }
        }
        let stream = self.opener.open(peer, addresses).await.map_err(|error| match error {
            OpenError::Lost => Failure::Lost,
            other => Failure::Unreachable(other.to_string()),
        })?;
        self.send(peer, stream, &frame).await
    }

    /// The same for content of which more may be asked: what it is answered on is a line, behind which the next request
    /// may wait. So may this one, if there is a `pulse`, which is told of what comes until then.
    pub(super) async fn ask_on_line(
        &self,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        request: &Request,
        digest: Digest,
        pulse: Option<Pulse>,
    ) -> Result<(Line, Header), Failure> {
        if let Some(waiting) = pulse.and_then(|pulse| self.queue(peer, digest, request, pulse))
            && let Some(mut line) = waiting.turn().await
            && let Ok(header) = Header::read(line.stream()).await
        {
            return Ok((line, header));
        }
        let Answered { stream, header } = self.ask(peer, addresses, request).await?;
        let (line, place) = Line::new(stream);
        self.used().add(peer, digest, place);
        Ok((line, header))
    }

    /// Queues a request behind another, where that is better than a stream of its own.
    fn queue(&self, peer: PeerId, digest: Digest, request: &Request, pulse: Pulse) -> Option<Waiting> {
        let free = self.idle().most_brought(peer);
        let mut used = self.used();
        if used.answers.get(&peer).is_none_or(|took| *took < NEAR) {
            return None;
        }
        let places = used.places.get_mut(&(peer, digest))?;
        places.retain(Place::is_there);
        let best = places.iter_mut().max_by_key(|place| place.brought())?;
        (best.brought() >= GROWN.max(free)).then(|| best.take(request.to_frame(), pulse))
    }

    async fn send(&self, peer: PeerId, stream: RangeStream, frame: &[u8]) -> Result<Answered, Failure> {
        let start = Instant::now();
        let answered = send(stream, frame).await?;
        let took = start.elapsed();
        let answers = &mut self.used().answers;
        if answers.len() >= MAX_KNOWN && !answers.contains_key(&peer) {
            answers.clear();
        }
        answers.entry(peer).and_modify(|least| *least = took.min(*least)).or_insert(took);
        Ok(answered)
    }

    /// Keeps a stream whose last request was answered to its end.
    pub(crate) fn give_back(&self, peer: PeerId, stream: RangeStream) {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.forget_old(now);
        let has_room = idle.count < MAX_IDLE && !stream.outdone().is();
        let of_peer = idle.streams.entry(peer).or_default();
        if has_room && of_peer.len() < MAX_IDLE_PER_PEER {
            of_peer.push((now, stream));
            idle.count += 1;
        }
    }

    fn take(&self, peer: PeerId, now: Instant) -> Option<RangeStream> {
        let mut idle = self.idle();
        idle.forget_old(now);
        let streams = idle.streams.get_mut(&peer)?;
        let (best, _) = streams.iter().enumerate().max_by_key(|(_, (_, stream))| brought(stream))?;
        let (_, stream) = streams.swap_remove(best);
        idle.count -= 1;
        Some(stream)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn add(&mut self, peer: PeerId, digest: Digest, place: Place) {
        self.places.retain(|_, places| {
            places.retain(Place::is_there);
            !places.is_empty()
        });
        self.places.entry((peer, digest)).or_default().push(place);
    }
}

impl Idle {
    /// What the best stream to this peer has brought.
    fn most_brought(&self, peer: PeerId) -> u64 {
        let streams = self.streams.get(&peer).into_iter().flatten();
        streams.map(|(_, stream)| brought(stream)).max().unwrap_or(0)
    }

    /// Lets those go that are old, or on a connection that is not the best one any more.
    fn forget_old(&mut self, now: Instant) {
        self.streams.retain(|_, streams| {
            streams.retain(|(since, stream)| {
                now.saturating_duration_since(*since) < KEEP_IDLE && !stream.outdone().is()
            });
            !streams.is_empty()
        });
        self.count = self.streams.values().map(Vec::len).sum();
    }
}

fn brought(stream: &RangeStream) -> u64 {
    stream.brought().load(Ordering::Relaxed)
}

async fn send(mut stream: RangeStream, frame: &[u8]) -> Result<Answered, Failure> {
    let sent = async {
        stream.write_all(frame).await?;
        stream.flush().await
    };
    sent.await.map_err(|_: std::io::Error| Failure::Lost)?;
    let header = Header::read(&mut stream).await.map_err(broken)?;
    Ok(Answered { stream, header })
}

/// What it means for a source that its bytes are no message of ours.
pub(crate) fn broken(error: WireError) -> Failure {
    match error {
        WireError::Io(_) => Failure::Lost,
        other => Failure::Misbehaved(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
