//! A directory: its manifest first, checked as a whole, then its files, several at a time.

use std::{path::PathBuf, pin::pin, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use shoal_content::{Cid, Digest, Entry, Kind, MAX_PAGE_LEN, Manifest, Pages, RelPath, Root};
use shoal_store::FinishOptions;
use tokio::sync::Semaphore;

use super::{
    GetError, Order,
    bundle::{self, Sorted},
    crew::Crew,
    error, file, long,
    place::{self, Placed},
    progress::Stage,
    target,
    task::Task,
};
use crate::hint::Unreached;

/// How many of the requests to one holder are for bundles of small files, as long as there are any.
const BUNDLES_AT_ONCE: u32 = 2;
/// The files of directories longer than this are fetched in an order that differs between nodes, so that those who start
/// together have something to give to each other. A shorter one is over before that would help.
const SALTED_FROM: u64 = 16 << 20;
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
    let manifest = manifest(task).await?;
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
    let opened = task.long(move || store.partial_directory(manifest, &part)).await?;
    let directory = Arc::new(opened.map_err(error::of_partial)?);
    if let Some(placed) = place::put_meanwhile(task, order, &target).await? {
        task.blocking(move || directory.abandon()).await?.map_err(error::of_finish)?;
        return Ok(placed);
    }
    let turns = Semaphore::new(long::REQUESTS_AT_ONCE as usize);
    let Sorted { small, others } = bundle::sort(task, &directory, wanted).await?;
    let salt = (size > SALTED_FROM).then(|| shoal_transfer::salt(&task.inner.me));
    let bundles = async {
        // The semaphore is never closed.
        let _turns = if small.is_empty() { None } else { turns.acquire_many(BUNDLES_AT_ONCE).await.ok() };
        bundle::receive(task, &directory, small, salt).await
    };
    let (left, ()) = tokio::try_join!(bundles, long::receive(task, &turns, &directory, others, salt))?;
    long::receive(task, &turns, &directory, left, salt).await?;

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

/// The manifest, from this disk or from the holders of the directory.
pub(super) async fn manifest(task: &Task) -> Result<Manifest, GetError> {
    let root = small(task, task.cid.digest(), Crew::Holders(&task.crowd)).await?;
    match Root::decode(&root).map_err(|source| GetError::Manifest { cid: task.cid, source })? {
        Root::Flat(manifest) => Ok(manifest),
        Root::Paged(pages) => {
            assemble(task.cid, &pages, |digest| small(task, digest, Crew::OfManifest(&task.crowd))).await
        }
    }
}

/// Fetches the pages of a manifest, some at a time, and puts them together as they come: a root can list so many of them
/// that they must not all be held, or even fetched, before it is seen that they do not belong to it.
async fn assemble<F>(cid: Cid, pages: &Pages, fetch: impl Fn(Digest) -> F) -> Result<Manifest, GetError>
where
    F: Future<Output = Result<Vec<u8>, GetError>>,
{
    let malformed = |source| GetError::Manifest { cid, source };
    let digests: Vec<_> = pages.iter().map(|page| page.digest).collect();
    let mut fetched = pin!(futures::stream::iter(digests).map(fetch).buffered(PAGES_AT_ONCE));
    let mut assembly = pages.assembly();
    while let Some(page) = fetched.try_next().await? {
        assembly.push(&page).map_err(malformed)?;
    }
    assembly.finish().map_err(malformed)
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

#[cfg(test)]
mod tests;
