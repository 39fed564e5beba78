//! Getting content: to a path, to the caller, or only the list of its files; and asking who has it.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{extract::State, response::Response};
use bytes::Bytes;
use futures::StreamExt;
use globset::{Glob, GlobSet, GlobSetBuilder};
use shoal_node::{Cid, ErrorKind, Fetched, Get, GetRequest, Kind, Link, Multiaddr, Node};
use tokio::io::AsyncReadExt;

use super::job::{Pace, link, path, peers};
use crate::{
    answer::{Asked, Out, lines, lines_and_bytes},
    json::{self, Event, Failure, PeerNamed, Progress},
};

/// How long whoever asks who has a directory waits to be told also what is in it.
const LISTING: Duration = Duration::from_secs(5);

/// Content read at once on its way to a caller.
const PIECE: usize = 256 * 1024;

pub(crate) async fn get(
    State(node): State<Node>,
    Asked(request): Asked<json::Get>,
) -> Result<Response, Failure> {
    let include = globs(&request.include)?;
    let cid = link(&request.link)?.cid();
    if include.is_some() && cid.kind() == Kind::File {
        return Err(not_a_directory(&cid));
    }
    let mut work = prepare(&node, &request.link, request.timeout_ms, &request.peers)?
        .to(path(&request.to)?)
        .replace(request.replace.into())
        .seed(request.seed)
        .down(json::rate(request.down)?);
    if let Some(include) = include {
        work = work.include(include);
    }
    Ok(lines(|out| async move {
        let fetched = follow(work.start(), &out).await?;
        out.event(Event::Fetched(fetched.into())).await;
        Ok(())
    }))
}

pub(crate) async fn cat(
    State(node): State<Node>,
    Asked(request): Asked<json::Cat>,
) -> Result<Response, Failure> {
    let cid = link(&request.link)?.cid();
    if cid.kind() == Kind::Directory {
        let failure = Failure::new(ErrorKind::Usage, format!("{cid} is a directory and not one file"));
        return Err(failure.hint("name one of its files by the CID that its list of files gives"));
    }
    let work = prepare(&node, &request.link, request.timeout_ms, &request.peers)?
        .seed(false)
        .down(json::rate(request.down)?);
    Ok(lines_and_bytes(|out| async move {
        let folder = Temporary::new(&node.paths().temporary)?;
        let file = folder.0.join("content");
        let fetched = follow(work.to(&file).start(), &out).await?;
        out.event(Event::Fetched(json::Fetched { path: None, ..fetched.clone().into() })).await;
        out.event(Event::Bytes(json::Bytes { size: fetched.size })).await;
        send(&file, fetched.size, &out).await.map_err(|error| unreadable(&file, &error))
    }))
}

pub(crate) async fn contents(
    State(node): State<Node>,
    Asked(request): Asked<json::Contents>,
) -> Result<Response, Failure> {
    let work = prepare(&node, &request.link, request.timeout_ms, &request.peers)?;
    Ok(lines(|out| async move {
        let contents = work.contents().await?;
        for peer in &contents.unreached {
            out.event(Event::Warning(peer.into())).await;
        }
        for entry in contents.entries {
            out.event(Event::Entry(entry.into())).await;
        }
        Ok(())
    }))
}

pub(crate) async fn find(
    State(node): State<Node>,
    Asked(request): Asked<json::Find>,
) -> Result<Response, Failure> {
    let link = link(&request.link)?;
    let peers = peers(&request.peers)?;
    Ok(lines(|out| look(node, link, peers, out)))
}

async fn look(node: Node, link: Link, peers: Vec<Multiaddr>, out: Out) -> Result<(), Failure> {
    let cid = link.cid();
    let mut job = node.find(link.clone(), peers.clone());
    let mut told = HashSet::new();
    let mut warned = 0;
    while let Some(summary) = job.next().await {
        for peer in summary.unreached.iter().skip(warned) {
            out.event(Event::Warning(peer.into())).await;
        }
        warned = summary.unreached.len();
        for holder in summary.holders {
            if told.insert(holder.peer) {
                out.event(Event::Holder(holder.into())).await;
            }
        }
    }
    let summary = job.await;
    let mut looked = json::Looked::from(&summary);
    if cid.kind() == Kind::Directory && !summary.holders.is_empty() {
        let list = peers.into_iter().fold(node.get(link), GetRequest::peer).timeout(LISTING).contents();
        let listed = tokio::time::timeout(LISTING, list).await;
        looked.directory = listed.ok().and_then(Result::ok).as_ref().map(Into::into);
    }
    out.event(Event::Looked(looked)).await;
    match summary.nobody(cid) {
        None => Ok(()),
        Some(_) if summary.silent == 0 && node.holds(&cid).await => {
            let message = format!("nobody else offers {cid}: this node has it itself");
            Err(Failure::new(ErrorKind::NotFound, message))
        }
        Some(why) => Err(Failure::new(why.kind(), why.to_string()).hint(why.hint())),
    }
}

fn prepare(
    node: &Node,
    text: &str,
    timeout_ms: Option<u64>,
    hints: &[String],
) -> Result<GetRequest, Failure> {
    let mut work = node.get(link(text)?);
    if let Some(timeout) = timeout_ms {
        work = work.timeout(Duration::from_millis(timeout));
    }
    Ok(peers(hints)?.into_iter().fold(work, GetRequest::peer))
}

/// Tells what a get does until it is done.
async fn follow(mut job: Get, out: &Out) -> Result<Fetched, Failure> {
    let mut pace = Pace::default();
    let mut senders = HashSet::new();
    let mut dropped = 0;
    let mut warned = 0;
    let mut awaited = 0;
    while let Some(now) = job.next().await {
        for source in &now.sources {
            if senders.insert(source.peer) {
                out.event(Event::Source(PeerNamed { peer: source.peer.to_string() })).await;
            }
        }
        for peer in now.dropped.iter().skip(dropped) {
            out.event(Event::Dropped(peer.into())).await;
        }
        dropped = now.dropped.len();
        for peer in now.unreached.iter().skip(warned) {
            out.event(Event::Warning(peer.into())).await;
        }
        warned = now.unreached.len();
        for other in now.awaited.iter().skip(awaited) {
            out.event(Event::Waiting(other.into())).await;
        }
        awaited = now.awaited.len();
        let progress = Progress::from(now);
        if pace.due(progress.stage) {
            out.event(Event::Progress(progress)).await;
        }
    }
    Ok(job.await?)
}

async fn send(file: &Path, size: u64, out: &Out) -> io::Result<()> {
    let mut content = tokio::fs::File::open(file).await?.take(size);
    let mut left = size;
    while left > 0 {
        let mut piece = Vec::with_capacity(PIECE);
        let read =
            (&mut content).take(u64::try_from(PIECE).unwrap_or(u64::MAX)).read_to_end(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        out.content(Bytes::from(piece)).await;
    }
    Ok(())
}

fn not_a_directory(cid: &Cid) -> Failure {
    Failure::new(ErrorKind::Usage, format!("{cid} is one file: there is nothing in it to include"))
        .hint("leave out --include; it chooses among the files of a directory")
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(ErrorKind::Disk, format!("could not read {}", file.display())).because(error)
}

/// The patterns, `None` for none.
fn globs(patterns: &[String]) -> Result<Option<GlobSet>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let wrong = |error: globset::Error| {
        Failure::new(ErrorKind::Usage, "could not read the pattern of --include").because(&error)
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map(Some).map_err(wrong)
}

/// A directory of one job, removed with all that is in it when the job ends in any way.
struct Temporary(PathBuf);

impl Temporary {
    fn new(parent: &Path) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| {
            Failure::new(ErrorKind::Disk, format!("could not create {}", path.display())).because(&error)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "could not remove temporary files");
        }
    }
}
