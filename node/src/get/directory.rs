//! A directory: its manifest first, checked as a whole, then its files, several at a time.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use shoal_content::{Cid, Digest, Entry, Kind, MAX_PAGE_LEN, Manifest, RelPath, Root};
use shoal_store::{FinishOptions, Member, PartialDirectory};
use shoal_transfer::Turns;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    GetError, Order,
    bundle::{self, Sorted},
    crew::{Crew, File},
    crowd::{Crowd, crowd},
    error, file,
    place::{self, Placed},
    progress::Stage,
    target,
    task::{Task, open_part},
};
use crate::hint::Unreached;

/// Requests to one holder at a time: fewer than the eight that it serves, since it counts each for a moment after we have
/// read its end, and being refused costs more than waiting. A small file takes one, and a large one two, the next always
/// asked for before the last has ended.
const REQUESTS_AT_ONCE: u32 = 6;
/// How many of these a long file takes.
const REQUESTS_OF_ONE: u32 = 2;
/// How many of these are for bundles of small files, as long as there are any.
const BUNDLES_AT_ONCE: u32 = 2;
/// A file up to this long is fetched in one request.
const SMALL_FILE: u64 = 1 << 20;
/// The files of directories longer than this are fetched in an order that differs between nodes, so that those who start
/// together have something to give to each other. A shorter one is over before that would help.
const SALTED_FROM: u64 = 16 << 20;
/// Files of those left among which the next one is chosen. Of very many, to look at all each time would take longer than it
/// is worth.
const LOOKED_AT: usize = 256;
/// Pages of a manifest fetched at a time.
const PAGES_AT_ONCE: usize = 8;

/// What a content holds, as far as its name and its manifest tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The content.
    pub cid: Cid,
    /// The name that a holder offers it under.
    pub name: Option<String>,
    /// Its size in bytes; of a file, a holder's claim.
    pub size: u64,
    /// The files of a directory; a file is the only entry of itself.
    pub entries: Vec<ContentsEntry>,
    /// Peers that the caller named and that cannot be used.
    pub unreached: Vec<Unreached>,
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentsEntry {
    /// Where it is in the directory.
    pub path: RelPath,
    /// Its name on the network.
    pub cid: Cid,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its owner may run it.
    pub executable: bool,
}

impl From<&Entry> for ContentsEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            path: entry.path.clone(),
            cid: Cid::file(entry.digest),
            size: entry.size,
            executable: entry.executable,
        }
    }
}

/// Describes a content without fetching any file.
pub(super) async fn contents(task: &Task, cid: Cid) -> Result<Contents, GetError> {
    if cid.kind() == Kind::File {
        let holder = place::first_holder(task).await?;
        let name = holder.holding.name;
        let size = holder.holding.size;
        let path = name.as_deref().and_then(|name| RelPath::parse(name).ok());
        let path = path.or_else(|| RelPath::parse(&cid.to_string()).ok());
        let entry = path.map(|path| ContentsEntry { path, cid, size, executable: false });
        let (entries, unreached) = (entry.into_iter().collect(), Vec::new());
        return Ok(Contents { cid, name, size, entries, unreached });
    }
    let manifest = manifest(task).await?;
    let name = match place::held_name(task, cid).await? {
        Some(name) => Some(name),
        None => task.crowd.name(),
    };
    let entries = manifest.entries().iter().map(ContentsEntry::from).collect();
    Ok(Contents { cid, name, size: manifest.total_size(), entries, unreached: Vec::new() })
}

/// Fetches a directory to `target`.
pub(super) async fn place(task: &Task, order: &Order, target: PathBuf) -> Result<Placed, GetError> {
    // One copy, however often it is tried to open the folder: of a large directory it takes tens of megabytes.
    let manifest = Arc::new(manifest(task).await?);
    let wanted: Vec<usize> = wanted(&manifest, order);
    if wanted.is_empty() {
        return Err(GetError::NothingMatches { cid: order.cid });
    }
    let size = wanted.iter().filter_map(|index| manifest.entries().get(*index)).map(|entry| entry.size).sum();
    let files = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    task.reporter.total(size);
    task.reporter.files(files);

    let whole = wanted.len() == manifest.entries().len();
    let (store, part) = (task.inner.store.clone(), target::part_of(&target, &order.cid));
    let opening = open_part(task, move || store.partial_directory(manifest.clone(), &part));
    let directory = Arc::new(opening.await?);
    if let Some(placed) = place::put_meanwhile(task, order, &target).await? {
        task.blocking(move || directory.abandon()).await?.map_err(error::of_finish)?;
        return Ok(placed);
    }
    let turns = Semaphore::new(REQUESTS_AT_ONCE as usize);
    let Sorted { small, mut others } = bundle::sort(task, &directory, wanted).await?;
    let salt = (size > SALTED_FROM).then(|| shoal_transfer::salt(&task.inner.me));
    let alone = Turns::new(1, salt);
    others.sort_by_cached_key(|index| alone.place(*index));
    let bundles = async {
        // The semaphore is never closed.
        let _turns = if small.is_empty() { None } else { turns.acquire_many(BUNDLES_AT_ONCE).await.ok() };
        bundle::receive(task, &directory, small, salt).await
    };
    let (left, ()) = tokio::try_join!(bundles, one_by_one(task, &turns, &directory, others, salt))?;
    one_by_one(task, &turns, &directory, left, salt).await?;

    task.reporter.stage(Stage::Finishing);
    let share_as = order.share_as(&target).filter(|_| whole);
    let options = FinishOptions { replace: order.replace.of_store(), share_as };
    let (path, part) = (target.clone(), directory.clone());
    if let Err(error) = task.long(move || part.finish(&path, &options)).await? {
        let placed =
            place::put_meanwhile(task, order, &target).await?.ok_or_else(|| error::of_finish(error))?;
        task.blocking(move || directory.abandon()).await?.map_err(error::of_finish)?;
        return Ok(placed);
    }
    Ok(Placed { path: target, size, files, already_there: false, merged: false })
}

/// The entries that the caller wants, by their place in the manifest.
fn wanted(manifest: &Manifest, order: &Order) -> Vec<usize> {
    let matches =
        |entry: &Entry| order.include.as_ref().is_none_or(|globs| globs.is_match(entry.path.as_str()));
    let entries = manifest.entries().iter().enumerate();
    entries.filter(|(_, entry)| matches(entry)).map(|(index, _)| index).collect()
}

/// Receives files each by itself.
async fn one_by_one(
    task: &Task,
    turns: &Semaphore,
    directory: &Arc<PartialDirectory>,
    files: Vec<usize>,
    salt: Option<u64>,
) -> Result<(), GetError> {
    // Each is chosen when its turn has come: by then it is known what the others have.
    let fetching = futures::stream::unfold(VecDeque::from(files), |mut left| async move {
        // The semaphore is never closed.
        let turn = turns.acquire_many(REQUESTS_OF_ONE).await.ok()?;
        let next = next(&left, &task.crowd, salt);
        Some((Ok::<_, GetError>((left.remove(next)?, turn)), left))
    });
    let fetch = |(index, turn)| member(task, turn, directory.clone(), index);
    fetching.try_for_each_concurrent(REQUESTS_AT_ONCE as usize, fetch).await
}

/// Which of the files that are `left` to begin with, in view of those who fetch the directory too: one that nobody of them
/// has and that is for us to begin with, else one that somebody has, and what others will have in a moment at last.
fn next(left: &VecDeque<usize>, crowd: &Crowd, salt: Option<u64>) -> usize {
    let others = crowd.fetching();
    if salt.is_none() || others.is_empty() {
        return 0;
    }
    let mut turns = Turns::new(1, salt);
    for (number, (peer, _)) in others.iter().enumerate() {
        turns.joined(number, shoal_transfer::salt(peer));
    }
    let place = |file: usize| {
        let is_there = others.iter().any(|(_, files)| files.contains(file as u64));
        let late = match (is_there, turns.is_ours(file)) {
            (false, true) => 0,
            (true, _) => 1,
            (false, false) => 2,
        };
        (late, turns.place(file))
    };
    let near = left.iter().take(LOOKED_AT).enumerate();
    near.min_by_key(|(_, file)| place(**file)).map_or(0, |(at, _)| at)
}

/// Receives one file of the directory.
async fn member(
    task: &Task,
    mut turn: SemaphorePermit<'_>,
    directory: Arc<PartialDirectory>,
    index: usize,
) -> Result<(), GetError> {
    let opened = directory.clone();
    let member = task.blocking(move || opened.member(index)).await?.map_err(error::of_partial)?;
    let partial = match member {
        Member::Done { size } => {
            task.reporter.had(size);
            task.reporter.files_done(1);
            return Ok(());
        }
        Member::Wanted(partial) => partial,
    };
    let size = directory.manifest().entries().get(index).map(|entry| entry.size).unwrap_or_default();
    if size <= SMALL_FILE {
        drop(turn.split(1));
    }
    let file = File { number: index as u64, size };
    receive(task, &partial, file).await.map_err(|error| of_file(&directory, index, error))?;
    task.blocking(move || directory.place(index, &partial)).await?.map_err(error::of_finish)?;
    task.reporter.files_done(1);
    Ok(())
}

/// Receives a file from those who hold the directory, or from those who hold just that.
async fn receive(task: &Task, partial: &shoal_store::Partial, file: File) -> Result<(), GetError> {
    let (crew, hint) = (Crew::OfDirectory(&task.crowd, file), Some(file.size));
    let error = match file::receive(task, partial, hint, crew, &task.reporter).await {
        // Whoever has the directory may have lost this file, and somebody else may share just that.
        Err(
            error @ (GetError::Unreachable { .. }
            | GetError::Gone { .. }
            | GetError::NoProvider { .. }
            | GetError::Mismatch { .. }),
        ) => error,
        received => return received.map(drop),
    };
    match elsewhere(task, partial, hint).await {
        // What became of those who should have it says more.
        Err(GetError::NoProvider { .. } | GetError::Gone { .. } | GetError::Unreachable { .. }) => Err(error),
        received => received.map(drop),
    }
}

/// Says which file of the directory a failure is about.
fn of_file(directory: &PartialDirectory, index: usize, error: GetError) -> GetError {
    match (directory.manifest().entries().get(index), error) {
        (Some(entry), error) if !matches!(error, GetError::Stopped) => {
            GetError::File { path: entry.path.clone(), source: Box::new(error) }
        }
        (_, error) => error,
    }
}

/// Receives a file from holders of its own.
async fn elsewhere(task: &Task, partial: &shoal_store::Partial, hint: Option<u64>) -> Result<u64, GetError> {
    let (gather, others) = crowd();
    let search = task.inner.seek(partial.digest(), task.hints.clone()).start();
    tokio::select! {
        received = file::receive(task, partial, hint, Crew::Holders(&others), &task.reporter) => received,
        () = gather.run(search) => Err(GetError::Stopped),
    }
}

/// The manifest, from this disk or from the holders of the directory.
pub(super) async fn manifest(task: &Task) -> Result<Manifest, GetError> {
    let malformed = |source| GetError::Manifest { cid: task.cid, source };
    let root = small(task, task.cid.digest(), Crew::Holders(&task.crowd)).await?;
    let pages = match Root::decode(&root).map_err(malformed)? {
        Root::Flat(manifest) => return Ok(manifest),
        Root::Paged(pages) => pages,
    };
    let digests: Vec<_> = pages.iter().map(|page| page.digest).collect();
    let fetching = futures::stream::iter(digests)
        .map(|digest| small(task, digest, Crew::OfManifest(&task.crowd)))
        .buffered(PAGES_AT_ONCE);
    let encoded: Vec<_> = fetching.try_collect().await?;
    pages.assemble(encoded).map_err(malformed)
}

/// A manifest, or a page of one, as bytes.
async fn small(task: &Task, digest: Digest, crew: Crew<'_>) -> Result<Vec<u8>, GetError> {
    let store = task.inner.store.clone();
    let held = task.blocking(move || store.small(&digest)).await?;
    if let Ok(Some(bytes)) = held {
        return Ok(bytes);
    }
    let partial = task.inner.store.partial_small(&digest);
    let aside = task.reporter.aside();
    let received = file::receive(task, &partial, None, crew, &aside).await;
    task.reporter.adopt(&aside);
    received?;
    let bytes = task.blocking(move || partial.into_small()).await?.map_err(error::of_write)?;
    if bytes.len() > MAX_PAGE_LEN {
        return Err(GetError::Manifest { cid: task.cid, source: shoal_content::ManifestError::TooLong });
    }
    Ok(bytes)
}
