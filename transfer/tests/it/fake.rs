//! Peers at the end of in-memory pipes that send what a test tells them to.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};
use libp2p::{Multiaddr, PeerId};
use shoal_content::{Digest, GroupRanges, NetworkName, ProviderKey, Step, Tree};
use shoal_store::Partial;
use shoal_transfer::wire::{Header, Mark, Name, Request, Want};
use shoal_transfer::{
    FetchError, FetchEvent, FetchJob, FetchOptions, Fetched, Lines, Open, OpenError, Pool, RangeStream,
    Source, fetch,
};
use tokio::task::JoinSet;
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::content::encode;

/// Bytes a pipe holds.
const PIPE: usize = 64 * 1024;

/// How a peer answers. The default is what an honest one does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Refuses with this instead, the first so many times.
    pub(crate) refuses: Option<(Header, usize)>,
    /// Never answers.
    pub(crate) mute: bool,
    /// Claims this size.
    pub(crate) claims: Option<u64>,
    /// Holds only these groups.
    pub(crate) holds: Option<GroupRanges>,
    /// Flips a bit of this group.
    pub(crate) flips: Option<u64>,
    /// Stops after so many bytes of the body, and then…
    pub(crate) stops: Option<(u64, Stop)>,
    /// The last mark, if it is not the right one.
    pub(crate) ends: Option<Mark>,
    /// Sends so many bytes more than were asked for.
    pub(crate) tail: u32,
    /// Damages the response on its way.
    pub(crate) damage: Option<Damage>,
}

/// Damage to the bytes of a response, whatever they mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Damage {
    /// At which byte.
    pub(crate) at: u64,
    /// What is flipped there; nothing means that the stream is cut there.
    pub(crate) flips: u8,
    /// Most bytes that go through at once.
    pub(crate) split: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// …is silent.
    Hang,
    /// …breaks the stream.
    Cut,
    /// …says that it is complete, or what else.
    Say(Mark),
}

/// What comes after an answer.
#[derive(PartialEq)]
enum Next {
    Request,
    End,
}

struct Peer {
    blobs: HashMap<Digest, Arc<Vec<u8>>>,
    script: Script,
    /// Requests so far.
    asked: AtomicUsize,
    /// Wants that told it a digest.
    told: AtomicUsize,
    /// Times it did something wrong.
    faults: AtomicUsize,
}

/// All peers of a test.
#[derive(Default)]
pub(crate) struct Peers {
    peers: Mutex<HashMap<PeerId, Arc<Peer>>>,
    tasks: Mutex<JoinSet<()>>,
    /// Bytes that came out of all pipes.
    pub(crate) received: Arc<AtomicU64>,
    /// Times that something was said to a peer after listening to it, or first: round trips, if nothing is said at once.
    turns: Arc<AtomicUsize>,
}

impl Peers {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn add(&self, data: &Arc<Vec<u8>>, script: Script) -> Source {
        self.add_holder(std::slice::from_ref(data), script)
    }

    /// A peer with several blobs.
    pub(crate) fn add_holder(&self, blobs: &[Arc<Vec<u8>>], script: Script) -> Source {
        let peer = PeerId::random();
        let (asked, told, faults) = Default::default();
        let blobs = blobs.iter().map(|data| (Digest::of(data), data.clone())).collect();
        self.peers.lock().unwrap().insert(peer, Arc::new(Peer { blobs, script, asked, told, faults }));
        Source { peer, addresses: vec![], holding: None, is_guess: false }
    }

    pub(crate) fn faults(&self) -> usize {
        self.peers.lock().unwrap().values().map(|peer| peer.faults.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn asked(&self, peer: PeerId) -> usize {
        self.peers.lock().unwrap()[&peer].asked.load(Ordering::Relaxed)
    }

    /// How often a peer was told a digest.
    pub(crate) fn told(&self, peer: PeerId) -> usize {
        self.peers.lock().unwrap()[&peer].told.load(Ordering::Relaxed)
    }

    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Open for Peers {
    fn open(&self, peer: PeerId, _: Vec<Multiaddr>) -> BoxFuture<'static, Result<RangeStream, OpenError>> {
        let Some(peer) = self.peers.lock().unwrap().get(&peer).cloned() else {
            return async { Err(OpenError::Lost) }.boxed();
        };
        let (ours, theirs) = tokio::io::duplex(PIPE);
        self.tasks.lock().unwrap().spawn(async move {
            // The fetcher may leave at any time.
            let _ = peer.answer(RangeStream::new(theirs.compat())).await;
        });
        let (count, turns) = (self.received.clone(), self.turns.clone());
        let counted = Counted { io: ours.compat(), count, turns, listens: true };
        async { Ok(RangeStream::new(counted)) }.boxed()
    }
}

impl Peer {
    /// What it has of that name. Who asks, it does not know, and so believes every pass.
    fn find(&self, name: &Name) -> Option<&Arc<Vec<u8>>> {
        match name {
            Name::Digest(digest) => self.blobs.get(digest),
            Name::Key { key, .. } => {
                let has_key = |digest: &Digest| ProviderKey::derive(&NetworkName::default(), digest) == *key;
                self.blobs.iter().find(|(digest, _)| has_key(digest)).map(|(_, data)| data)
            }
        }
    }

    fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers until the fetcher has no more, or one answer ended the stream.
    async fn answer(self: Arc<Self>, mut stream: RangeStream) -> io::Result<()> {
        while let Some(request) = Request::read(&mut stream).await.unwrap() {
            let asked = self.asked.fetch_add(1, Ordering::Relaxed);
            if let Some(damage) = self.script.damage {
                let peer = self.clone();
                stream = RangeStream::new(Damaged { io: stream, damage, sent: 0, peer });
            }
            for want in &request.wants {
                let tells = matches!(want.name, Name::Digest(_));
                self.told.fetch_add(tells.into(), Ordering::Relaxed);
                if self.answer_one(&mut stream, want, asked).await? == Next::End {
                    return stream.close().await;
                }
            }
            if self.script.damage.is_some() {
                break;
            }
        }
        stream.close().await
    }

    async fn answer_one(
        self: &Arc<Self>,
        stream: &mut RangeStream,
        want: &Want,
        asked: usize,
    ) -> io::Result<Next> {
        let script = &self.script;
        if script.mute {
            self.fault();
            return std::future::pending().await;
        }
        if let Some((header, _)) = script.refuses.as_ref().filter(|(_, times)| asked < *times) {
            self.fault();
            stream.write_all(&header.to_frame()).await?;
            return Ok(Next::End);
        }
        let Some(data) = self.find(&want.name) else {
            stream.write_all(&Header::NotFound.to_frame()).await?;
            return Ok(Next::Request);
        };
        let tree = Tree::new(data.len() as u64);
        let wanted = tree.clip(&want.ranges);
        let follows = script.holds.as_ref().map_or(wanted.clone(), |holds| holds.intersection(&wanted));
        if script.claims.is_some() {
            self.fault();
        }
        let size = script.claims.unwrap_or(tree.size());
        let ranges = script.holds.is_some().then(|| follows.clone());
        stream.write_all(&Header::Follows { size, ranges }.to_frame()).await?;

        let mut sent = 0;
        for (step, mut bytes) in encode(data, &follows) {
            if let Some((after, stop)) = script.stops
                && sent + bytes.len() as u64 > after
            {
                self.fault();
                match stop {
                    Stop::Hang => {
                        stream.flush().await?;
                        return std::future::pending().await;
                    }
                    Stop::Cut => return Err(io::ErrorKind::BrokenPipe.into()),
                    Stop::Say(mark) => {
                        stream.write_all(&mark.to_bytes()).await?;
                        return Ok(Next::End);
                    }
                }
            }
            if let Step::Leaf { group, .. } = step
                && script.flips == Some(group)
            {
                self.fault();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
            }
            sent += bytes.len() as u64;
            if !bytes.is_empty() {
                stream.write_all(&Mark::Chunk(bytes.len() as u32).to_bytes()).await?;
            }
            stream.write_all(&bytes).await?;
        }
        if script.tail > 0 {
            self.fault();
            stream.write_all(&Mark::Chunk(script.tail).to_bytes()).await?;
            stream.write_all(&vec![0; script.tail as usize]).await?;
        }
        if script.ends.is_some() {
            self.fault();
        }
        stream.write_all(&script.ends.unwrap_or(Mark::Complete).to_bytes()).await?;
        stream.flush().await?;
        Ok(Next::Request)
    }
}

/// Does the [`Damage`].
struct Damaged {
    io: RangeStream,
    damage: Damage,
    sent: u64,
    peer: Arc<Peer>,
}

impl AsyncRead for Damaged {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Damaged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Damage { at, flips, split } = self.damage;
        let mut bytes = buf[..buf.len().min(split)].to_vec();
        let hit = at.checked_sub(self.sent).filter(|hit| *hit < bytes.len() as u64);
        match hit {
            Some(_) if flips == 0 => {
                self.peer.fault();
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(hit) => bytes[hit as usize] ^= flips,
            None => {}
        }
        let poll = Pin::new(&mut self.io).poll_write(cx, &bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            if hit.is_some_and(|hit| hit < *written as u64) {
                self.peer.fault();
            }
            self.sent += *written as u64;
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Counts what is read, and the turns.
struct Counted<T> {
    io: T,
    count: Arc<AtomicU64>,
    turns: Arc<AtomicUsize>,
    listens: bool,
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(read)) = &poll {
            self.count.fetch_add(*read as u64, Ordering::Relaxed);
            self.listens = true;
        }
        poll
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.listens) {
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// A fetch from sources that are all known at the start, and what it said on the way.
pub(crate) async fn get(
    partial: &Partial,
    opener: Arc<dyn Open>,
    pool: &Arc<dyn Pool>,
    sources: Vec<Source>,
    options: FetchOptions,
) -> (Result<Fetched, FetchError>, Vec<FetchEvent>) {
    let job = FetchJob {
        partial: partial.clone(),
        lines: Lines::new(opener),
        pool: pool.clone(),
        sources: stream::iter(sources).boxed(),
        options,
    };
    let mut events = Vec::new();
    let result = fetch(job, |event| events.push(event)).await;
    (result, events)
}
