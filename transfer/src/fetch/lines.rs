//! Streams to sources, kept between two requests.
//!
//! A stream carries one request at a time: what is to follow at once goes out on a second one while the first still
//! brings bytes. So a request that is stopped costs its own stream and nothing that waits behind it, and what was on its
//! way is not drained: opening another takes no round trip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::AsyncWriteExt;
use libp2p::{Multiaddr, PeerId};

use super::Open;
use crate::scheduler::Failure;
use crate::wire::{Header, Request, WireError};
use crate::{OpenError, RangeStream, Rate};

/// Streams kept for one source. It is asked for two things at a time, or a few small ones.
const MAX_IDLE_PER_PEER: usize = 4;

/// Streams kept in all, for many sources each of which is slow.
const MAX_IDLE: usize = 64;

/// Time a stream is kept. Well below what a server waits, so that few are taken up that are gone already.
const KEEP_IDLE: Duration = Duration::from_secs(5);

/// Opens streams to sources, and keeps those that can be used again. Shared by the fetches that ask the same sources.
pub struct Lines {
    opener: Arc<dyn Open>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    streams: HashMap<PeerId, Vec<(Instant, RangeStream)>>,
    count: usize,
}

/// A stream on which a request was answered with a header.
pub(crate) struct Answered {
    pub(crate) stream: RangeStream,
    pub(crate) header: Header,
}

impl Lines {
    /// Keeps no stream yet.
    pub fn new(opener: Arc<dyn Open>) -> Arc<Self> {
        Arc::new(Lines { opener, idle: Mutex::default() })
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
            match send(stream, &frame).await {
                Err(Failure::Lost) => {}
                answered => return answered,
            }
        }
        let stream = self.opener.open(peer, addresses).await.map_err(|error| match error {
            OpenError::Lost => Failure::Lost,
            other => Failure::Unreachable(other.to_string()),
        })?;
        send(stream, &frame).await
    }

    /// Keeps a stream whose last request was answered to its end.
    pub(crate) fn give_back(&self, peer: PeerId, stream: RangeStream) {
        let now = Instant::now();
        let mut idle = self.idle();
        idle.forget_old(now);
        let has_room = idle.count < MAX_IDLE;
        let of_peer = idle.streams.entry(peer).or_default();
        if has_room && of_peer.len() < MAX_IDLE_PER_PEER {
            of_peer.push((now, stream));
            idle.count += 1;
        }
    }

    fn take(&self, peer: PeerId, now: Instant) -> Option<RangeStream> {
        let mut idle = self.idle();
        idle.forget_old(now);
        let (_, stream) = idle.streams.get_mut(&peer)?.pop()?;
        idle.count -= 1;
        Some(stream)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn forget_old(&mut self, now: Instant) {
        self.streams.retain(|_, streams| {
            streams.retain(|(since, _)| now.saturating_duration_since(*since) < KEEP_IDLE);
            !streams.is_empty()
        });
        self.count = self.streams.values().map(Vec::len).sum();
    }
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
