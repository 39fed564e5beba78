//! What the user published, and taking it back.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use shoal_content::{Cid, Digest, Kind, Manifest, Root};

use crate::{Store, StoreError, blob::MAX_PLACES, db::Read, disk::ShareRow, store::Inner};

#[cfg(test)]
mod tests;

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
        let rows = self.inner.db.read(Read::shares)?;
        rows.into_iter().map(|(path, row)| self.inner.share(path, row)).collect()
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
    /// nothing if the selector matches nothing.
    pub fn unpublish(&self, selector: &Selector) -> Result<Vec<Share>, StoreError> {
        let inner = &self.inner;
        let mut gone = Vec::new();
        for (path, row) in inner.db.read(Read::shares)? {
            if !selector.matches(&path, &row.cid) {
                continue;
            }
            // First the journal: should we stop right after, the share is still there, not back from the dead.
            inner.journal.note(&path, None).map_err(StoreError::Io)?;
            inner.unpublish(&path, &row)?;
            gone.push(Share::new(path, row, ShareState::Ok));
        }
        if let Selector::Path(path) = selector
            && inner.found(path)
        {
            inner.journal.note(path, None).map_err(StoreError::Io)?;
        }
        Ok(gone)
    }

    /// What to announce: everything that is shared and still there, then up to `max_files` files of each
    /// directory.
    ///
    /// A directory whose files are all gone is left out, and so is each file that is gone or has changed.
    pub fn announceable(&self, max_files: usize) -> Result<Vec<Digest>, StoreError> {
        self.announceable_where(max_files, |_, _| true)
    }

    /// As [`announceable`](Self::announceable), of these shares only.
    pub fn announceable_of(&self, selector: &Selector, max_files: usize) -> Result<Vec<Digest>, StoreError> {
        self.announceable_where(max_files, |path, cid| selector.matches(path, cid))
    }

    fn announceable_where(
        &self,
        max_files: usize,
        wanted: impl Fn(&Path, &Cid) -> bool,
    ) -> Result<Vec<Digest>, StoreError> {
        let (mut roots, mut files) = (Vec::new(), Vec::new());
        for (path, row) in self.inner.db.read(Read::shares)? {
            if !wanted(&path, &row.cid) {
                continue;
            }
            match row.cid.kind() {
                Kind::File if self.inner.state_of(&path, &row.cid.digest())? == ShareState::Ok => {
                    roots.push(row.cid.digest());
                }
                Kind::File => {}
                Kind::Directory => {
                    let manifest = self.inner.manifest(&row.cid)?;
                    let entries = manifest.iter().flat_map(Manifest::entries).enumerate();
                    let mut has_any = false;
                    for (at, entry) in entries {
                        if at >= max_files && has_any {
                            break;
                        }
                        let path = path.join(entry.path.as_str());
                        if self.inner.state_of(&path, &entry.digest)? == ShareState::Ok {
                            has_any = true;
                            files.extend((at < max_files).then_some(entry.digest));
                        }
                    }
                    roots.extend(has_any.then_some(row.cid.digest()));
                }
            }
        }
        let mut known = HashSet::new();
        Ok(roots.into_iter().chain(files).filter(|digest| known.insert(*digest)).collect())
    }
}

impl Inner {
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

/// Seconds since 1970; a clock before that is as wrong as one that stands at it.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
