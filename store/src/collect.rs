//! Removes what nobody needs: what was left by a publish or a download that was killed, or whose part is gone.

use std::{
    collections::{BTreeSet, HashSet},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use shoal_content::Digest;

use crate::{
    Store, StoreError,
    db::{Holder, Read},
    disk::Outboard,
    lock::lock,
    partial::record,
    stamp::FileId,
    store::Inner,
};

#[cfg(test)]
mod tests;

impl Store {
    /// Removes what nobody needs. Gives how many things that was.
    ///
    /// Looks at every row and file of the store, so it is not part of opening it; now and then is enough. A row that does
    /// not decode stays, with whatever may belong to it: of a blob it is written again when its file is
    /// [verified](Self::verify).
    pub fn collect(&self) -> Result<u64, StoreError> {
        let inner = &self.inner;
        let mut damaged = 0;
        let mut collected = inner.collect_downloads(&mut damaged)?;
        collected += inner.collect_sources()?;
        collected += inner.collect_partials().map_err(StoreError::Io)?;
        collected += inner.collect_outboards()?;
        damaged += inner.db.read(damaged_blobs)?;
        if inner.is_news(damaged) {
            tracing::warn!(
                damaged,
                "rows of the store are damaged: verify what is shared, and publish what fails"
            );
        }
        Ok(collected)
    }
}

impl Inner {
    /// Whether there are rows that do not decode, and others than were told of.
    fn is_news(&self, damaged: u64) -> bool {
        self.damaged.swap(damaged, Ordering::Relaxed) != damaged && damaged > 0
    }

    /// Forgets the folders of downloads that somebody has removed.
    fn collect_downloads(&self, damaged: &mut u64) -> Result<u64, StoreError> {
        let mut collected = 0;
        for (path, row) in self.db.read(Read::downloads)? {
            let Some(row) = row else {
                *damaged += 1;
                continue;
            };
            let is_ours = self.files.stat(&path).is_ok_and(|metadata| FileId::of(&metadata) == row.id);
            if !is_ours {
                self.commit(&[], |change| {
                    change.write.remove_download(&path)?;
                    change.release_manifest(&row.cid.digest(), Holder::Download(&path))
                })?;
                collected += 1;
            }
        }
        Ok(collected)
    }

    /// Forgets files in place that belong to no share and no download.
    fn collect_sources(&self) -> Result<u64, StoreError> {
        let paths_of = |read: &Read| {
            // However much is shared, only what is left over is held in memory.
            let publishing: HashSet<PathBuf> = lock(&self.publishing).iter().cloned().collect();
            let mut left_over = Vec::new();
            for row in read.sources_below(Path::new("/"))? {
                let path = row?.0;
                let mut is_needed = false;
                for ancestor in path.ancestors() {
                    is_needed |= publishing.contains(ancestor) || read.is_kept(ancestor)?;
                    if is_needed {
                        break;
                    }
                }
                if !is_needed {
                    left_over.push(path);
                }
            }
            Ok(left_over)
        };
        let paths = self.db.read(paths_of)?;
        if !paths.is_empty() {
            self.commit(&[], |change| change.remove_sources(&paths, None))?;
        }
        Ok(paths.len() as u64)
    }

    /// Removes records and hash trees whose part file is gone, and temporary files.
    fn collect_partials(&self) -> io::Result<u64> {
        let mut collected = 0;
        let mut stems = BTreeSet::new();
        for name in self.partials.names()? {
            if let Some(stem) = record::stem_of(&name) {
                stems.insert(stem.to_owned());
            } else if lock(&self.publishing).is_empty() {
                self.partials.remove(&name)?;
                collected += 1;
            }
        }
        for stem in stems {
            // Held until all of it is gone, so that whoever begins there meanwhile does not lose what he has just made.
            let live = lock(&self.live);
            let is_live = live.keys().any(|path| record::stem(path) == stem);
            if !is_live && !self.has_part(&stem)? {
                record::remove(&self.partials, &stem)?;
                collected += 1;
            }
        }
        Ok(collected)
    }

    fn has_part(&self, stem: &str) -> io::Result<bool> {
        let Some(record) = record::read(&self.partials, stem)? else {
            return Ok(false);
        };
        let part = Path::new(OsStr::from_bytes(&record.part));
        Ok(self.files.stat(part).is_ok_and(|metadata| FileId::of(&metadata) == record.id))
    }

    /// Removes outboard files that no row speaks of.
    fn collect_outboards(&self) -> Result<u64, StoreError> {
        let names = self.outboards.names().map_err(StoreError::Io)?;
        let mut collected = 0;
        for name in names {
            let _names = lock(&self.outboard_names);
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            let row = digest.map(|digest| self.db.read(|read| read.blob_row(&digest))).transpose()?.flatten();
            // Of one whose row does not decode nobody knows.
            if row.is_none_or(|row| row.is_ok_and(|row| row.outboard != Outboard::File)) {
                self.outboards.remove(&name).map_err(StoreError::Io)?;
                collected += 1;
            }
        }
        Ok(collected)
    }
}

/// How many rows of blobs do not decode.
fn damaged_blobs(read: &Read) -> Result<u64, StoreError> {
    let mut damaged = 0;
    for row in read.blobs()? {
        damaged += u64::from(row?.1.is_none());
    }
    Ok(damaged)
}
