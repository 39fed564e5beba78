//! What the user published, and taking it back.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shoal_content::{Cid, Digest, Entry, Kind, Manifest, Root};

use crate::{
    Store, StoreError, blob::MAX_PLACES, db::Read, disk::ShareRow, finish::Name, journal::Lost, lock::lock,
    store::Inner,
};

#[cfg(test)]
mod tests;

/// Shares read at once. However many there are, looking at all of them takes no more memory than this many.
const ROWS_AT_ONCE: usize = 1000;

/// Something that the user published, at the path where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its name on the network.
    pub cid: Cid,
    /// Where it lies.
    pub path: PathBuf,
    /// What to call it.
    pub name: String,
    /// The bytes of all its files.
    pub size: u64,
    /// How many files it has.
    pub files: u64,
    /// When it was published.
    pub published_at: SystemTime,
    /// Whether it is still there as it was published.
    pub state: ShareState,
}

/// What a share is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// The bytes of all its files.
    pub size: u64,
}

/// Whether a share is still there as it was published. A directory is as bad as the worst of its files; the
/// others are served all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShareState {
    /// All of it is.
    Ok,
    /// A file has other bytes now.
    Changed,
    /// A file is gone, or cannot be read.
    Missing,
}

/// Which shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Those of this content, wherever it lies.
    Cid(Cid),
    /// The one at this path.
    Path(PathBuf),
}

impl Selector {
    fn matches(&self, path: &Path, cid: &Cid) -> bool {
        match self {
            Self::Cid(wanted) => cid == wanted,
            Self::Path(wanted) => path == wanted,
        }
    }
}

impl Store {
    /// Everything that is shared, by path, and whether it is still as it was published.
    ///
    /// Looks at every file. One whose stamp is not what it was, and whose size is, is read again.
    pub fn shares(&self) -> Result<Vec<Share>, StoreError> {
        let mut shares = Vec::new();
        self.inner.each_share(|path, row| {
            shares.push(self.inner.share(path, row)?);
            Ok(())
        })?;
        Ok(shares)
    }

    /// The share at `path`, if it is of this content and its files are still as they were.
    pub fn shared_as(&self, path: &Path, cid: &Cid) -> Result<Option<Share>, StoreError> {
        let Ok(Name { path, .. }) = Name::new(&self.inner.files, path) else { return Ok(None) };
        let row = self.inner.db.read(|read| read.share(&path))?;
        let Some(row) = row.filter(|row| row.cid == *cid) else { return Ok(None) };
        let share = self.inner.share(path, row)?;
        Ok(Some(share).filter(|share| share.state == ShareState::Ok))
    }

    /// How many shares there are. Looks at no file.
    pub fn share_count(&self) -> Result<u64, StoreError> {
        self.inner.db.read(Read::share_count)
    }

    /// What content is called where it is shared, if it is. Looks at no file.
    pub fn label(&self, digest: &Digest) -> Result<Option<Label>, StoreError> {
        self.inner.db.read(|read| {
            let places = read.places(digest, MAX_PLACES)?;
            for path in places.into_iter().chain(read.shared_at(digest)?) {
                if let Some(row) = read.share(&path)?
                    && row.cid.digest() == *digest
                {
                    return Ok(Some(Label { name: row.name, size: row.size }));
                }
            }
            Ok(None)
        })
    }

    /// Stops sharing; what no other share needs is forgotten. Files stay. Gives what was shared, which is
    /// nothing if the selector matches nothing. Of what is [`lost`](Self::lost) it gives the name and the path.
    pub fn unpublish(&self, selector: &Selector) -> Result<Vec<Share>, StoreError> {
        let inner = &self.inner;
        let mut chosen = Vec::new();
        inner.each_share(|path, row| {
            if selector.matches(&path, &row.cid) {
                chosen.push((path, row));
            }
            Ok(())
        })?;
        let mut gone = Vec::new();
        for (path, row) in chosen {
            // First the journal: should we stop right after, the share is still there, not back from the dead.
            inner.journal.note(&path, None).map_err(StoreError::Io)?;
            inner.unpublish(&path, &row)?;
            gone.push(Share::new(path, row, ShareState::Ok));
        }
        let lost = lock(&inner.lost).clone();
        for lost in lost.into_iter().filter(|lost| selector.matches(&lost.path, &lost.cid)) {
            inner.journal.note(&lost.path, None).map_err(StoreError::Io)?;
            inner.found(&lost.path);
            gone.push(lost.into());
        }
        Ok(gone)
    }

    /// What to announce of the shares behind `after`, by path: each that is still there, and up to `max_files` files of
    /// a directory. Looks at a thousand shares and their files; none when there are no more.
    ///
    /// A directory whose files are all gone is left out, and so is each file that is gone or has changed.
    pub fn announceable(
        &self,
        after: Option<&Path>,
        max_files: usize,
    ) -> Result<Option<Announceable>, StoreError> {
        let (rows, last) = self.inner.shares_after(after)?;
        let Some(last) = last else { return Ok(None) };
        let mut contents = Vec::new();
        for (path, row) in rows {
            let since = row.published_at;
            let digests = self.inner.announceable(&path, &row, max_files)?;
            contents.extend(digests.into_iter().map(|digest| (digest, since)));
        }
        Ok(Some(Announceable { contents, last }))
    }

    /// As [`announceable`](Self::announceable), of these shares only and all of them, each digest once.
    pub fn announceable_of(&self, selector: &Selector, max_files: usize) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        self.inner.each_share(|path, row| {
            if selector.matches(&path, &row.cid) {
                digests.extend(self.inner.announceable(&path, &row, max_files)?);
            }
            Ok(())
        })?;
        let mut known = HashSet::new();
        digests.retain(|digest| known.insert(*digest));
        Ok(digests)
    }

    /// How far announcing has come, as it was noted last.
    pub fn progress(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.db.read(Read::progress)
    }

    /// Notes how far announcing has come, durably. Each time costs a commit, so it is not to be done often.
    pub fn set_progress(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.db.write(|write| write.set_progress(bytes))
    }
}

/// Some of what is to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announceable {
    /// Digests, and the second of the Unix epoch since when each is shared.
    pub contents: Vec<(Digest, u64)>,
    /// The share to go on behind.
    pub last: PathBuf,
}

/// A share and its path.
type SharedAt = (PathBuf, ShareRow);

impl Inner {
    /// Hands every share to `f`, by path.
    fn each_share(
        &self,
        mut f: impl FnMut(PathBuf, ShareRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let (rows, last) = self.shares_after(after.as_deref())?;
            rows.into_iter().try_for_each(|(path, row)| f(path, row))?;
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    /// Some shares behind `after`, and the last path that was looked at; none when there are no more. A row that does not
    /// decode is set aside, so that it does harm once: its share is as lost as if the whole database were, and what was
    /// published is published again.
    pub(crate) fn shares_after(
        &self,
        after: Option<&Path>,
    ) -> Result<(Vec<SharedAt>, Option<PathBuf>), StoreError> {
        let rows = self.db.read(|read| read.shares_after(after, ROWS_AT_ONCE))?;
        let last = rows.last().map(|(path, _)| path.clone());
        let mut damaged = Vec::new();
        let mut sound = Vec::with_capacity(rows.len());
        for (path, row) in rows {
            match row {
                Some(row) => sound.push((path, row)),
                None => damaged.push(path),
            }
        }
        if !damaged.is_empty() {
            self.set_aside(&damaged);
        }
        Ok((sound, last))
    }

    fn set_aside(&self, paths: &[PathBuf]) {
        for path in paths {
            tracing::warn!(path = %path.display(), "what the store knew of a share is damaged, and set aside");
        }
        if let Err(error) = self.db.write(|write| paths.iter().try_for_each(|path| write.set_aside(path))) {
            tracing::warn!(%error, "damaged rows could not be set aside, and are passed over");
            return;
        }
        // The journal has what they were.
        match self.journal.shared(paths) {
            Ok(shared) => lock(&self.lost).extend(shared),
            Err(error) => tracing::warn!(%error, "the journal of what is shared could not be read"),
        }
    }

    /// What to announce of one share: itself, if anything of it is still there, and up to `max_files` of its files.
    fn announceable(&self, path: &Path, row: &ShareRow, max_files: usize) -> Result<Vec<Digest>, StoreError> {
        let digest = row.cid.digest();
        if row.cid.kind() == Kind::File {
            let is_here = self.state_of(path, &digest)? == ShareState::Ok;
            return Ok(is_here.then_some(digest).into_iter().collect());
        }
        let mut files = Vec::new();
        let mut has_any = false;
        let mut at = 0;
        self.each_file(&digest, |entry| {
            if at >= max_files && has_any {
                return Ok(ControlFlow::Break(()));
            }
            if self.state_of(&path.join(entry.path.as_str()), &entry.digest)? == ShareState::Ok {
                has_any = true;
                files.extend((at < max_files).then_some(entry.digest));
            }
            at += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(has_any.then_some(digest).into_iter().chain(files).collect())
    }

    /// Hands the files of a directory to `f` in their order, until that has enough, or its manifest turns out to be
    /// damaged. One page of it is in memory at a time: a large directory takes hundreds.
    fn each_file(
        &self,
        root: &Digest,
        mut f: impl FnMut(&Entry) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let decoded = |digest: &Digest| {
            let bytes = self.db.read(|read| read.owned(digest))?;
            Ok::<_, StoreError>(bytes.and_then(|bytes| Root::decode(&bytes).ok()))
        };
        let mut each = |manifest: &Manifest| {
            for entry in manifest.entries() {
                if f(entry)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        };
        match decoded(root)? {
            Some(Root::Flat(manifest)) => drop(each(&manifest)?),
            Some(Root::Paged(pages)) => {
                for page in pages.iter() {
                    // A page is what a short manifest is.
                    let Some(Root::Flat(page)) = decoded(&page.digest)? else { break };
                    if each(&page)?.is_break() {
                        break;
                    }
                }
            }
            None => {}
        }
        Ok(())
    }

    fn share(&self, path: PathBuf, row: ShareRow) -> Result<Share, StoreError> {
        let mut state = ShareState::Ok;
        match row.cid.kind() {
            Kind::File => state = self.state_of(&path, &row.cid.digest())?,
            Kind::Directory => match self.manifest(&row.cid)? {
                Some(manifest) => {
                    for entry in manifest.entries() {
                        let path = path.join(entry.path.as_str());
                        state = state.max(self.state_of(&path, &entry.digest)?);
                    }
                }
                None => state = ShareState::Missing,
            },
        }
        Ok(Share::new(path, row, state))
    }

    fn unpublish(&self, path: &Path, row: &ShareRow) -> Result<(), StoreError> {
        let sources = self.db.read(|read| {
            read.sources_below(path)?.map(|row| Ok(row?.0)).collect::<Result<Vec<_>, StoreError>>()
        })?;
        self.commit(&[], |change| {
            change.remove_share(path, row)?;
            change.remove_sources(&sources, None)
        })
    }

    /// The manifest of a shared directory; nothing if the disk has damaged it, which publishing again heals.
    fn manifest(&self, cid: &Cid) -> Result<Option<Manifest>, StoreError> {
        let Some(root) = self.db.read(|read| read.owned(&cid.digest()))? else { return Ok(None) };
        Ok(match Root::decode(&root) {
            Ok(Root::Flat(manifest)) => Some(manifest),
            Ok(Root::Paged(pages)) => {
                let pages_in = |read: &Read| {
                    let pages = pages.iter().map(|page| read.owned(&page.digest));
                    pages.collect::<Result<Option<Vec<_>>, StoreError>>()
                };
                self.db.read(pages_in)?.and_then(|encoded| pages.assemble(encoded).ok())
            }
            Err(_) => None,
        })
    }
}

impl Share {
    pub(crate) fn new(path: PathBuf, row: ShareRow, state: ShareState) -> Self {
        let published_at = UNIX_EPOCH + Duration::from_secs(row.published_at);
        let ShareRow { cid, name, size, files, .. } = row;
        Self { cid, path, name, size, files, published_at, state }
    }
}

/// Only the journal knows of it.
impl From<Lost> for Share {
    fn from(Lost { path, cid }: Lost) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let state = ShareState::Missing;
        Self { cid, path, name, size: 0, files: 0, published_at: UNIX_EPOCH, state }
    }
}

/// Seconds since 1970; a clock before that is as wrong as one that stands at it.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
