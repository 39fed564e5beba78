//! Reads what is shared again, and mends what can be mended.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use shoal_content::{Digest, Tree};

use crate::{
    Cancel, PublishObserver, Store, StoreError,
    blob::hash_unchanging,
    disk::{BlobRow, Outboard, SourceRow, SourceState},
    hash::HashError,
    observe::Tally,
    outboard, publish,
    stamp::Stamp,
    store::{Inner, outboard_name},
};

#[cfg(test)]
mod tests;

/// What was found by reading everything again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files whose bytes are what was published.
    pub ok: u64,
    /// Files that were modified since.
    pub changed: Vec<PathBuf>,
    /// Files that are gone, or cannot be read.
    pub missing: Vec<PathBuf>,
    /// Files that nobody modified, and whose bytes are different all the same: the disk is failing.
    pub corrupt: Vec<PathBuf>,
    /// Hash trees that were damaged and have been built again.
    pub rebuilt: u64,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Ok,
    Changed,
    Missing,
    Corrupt,
}

/// Rows changed in one transaction.
const BATCH_ROWS: usize = 10_000;

impl Store {
    /// Reads every file that is shared and compares it with its digest.
    ///
    /// Notes which have changed, so that they are not served, and which are good again. Stops when cancelled,
    /// with what was found until then.
    pub fn verify(&self, observer: &dyn PublishObserver, cancel: &Cancel) -> Result<Report, StoreError> {
        let inner = &self.inner;
        let decoded = |row: Result<(PathBuf, Option<SourceRow>), StoreError>| match row {
            Ok((path, row)) => row.map(|row| Ok((path, row))),
            Err(error) => Some(Err(error)),
        };
        let sources = inner.db.read(|read| {
            read.sources_below(Path::new("/"))?.filter_map(decoded).collect::<Result<Vec<_>, _>>()
        })?;
        observer.total(sources.iter().map(|(_, row)| row.stamp.size).sum(), sources.len() as u64);
        let tally = Tally::new(observer);
        let mut report = Report::default();
        let mut changes = Vec::new();
        for (path, row) in sources {
            if cancel.is_cancelled() {
                break;
            }
            let (finding, new) = inner.reread(&path, &row, cancel);
            tally.add(row.stamp.size, 1);
            match finding {
                Finding::Ok => {
                    report.ok += 1;
                    report.rebuilt += u64::from(inner.mend(&path, &row.digest, cancel)?);
                }
                Finding::Changed => report.changed.push(path.clone()),
                Finding::Missing => report.missing.push(path.clone()),
                Finding::Corrupt => report.corrupt.push(path.clone()),
            }
            changes.extend(new.map(|new| (path, row, new)));
            if changes.len() >= BATCH_ROWS {
                inner.note_sources(&std::mem::take(&mut changes))?;
            }
        }
        inner.note_sources(&changes)?;
        Ok(report)
    }

    /// Looks into a receiver's word that a group of a blob was bad, by reading its files again whatever their
    /// stamps say. Gives true if it is not here any more as it was published.
    ///
    /// It is for the caller to see that nobody makes us do this all the time.
    pub fn report_bad(&self, digest: &Digest) -> Result<bool, StoreError> {
        let (inner, cancel) = (&self.inner, Cancel::new());
        let mut is_broken = false;
        for (path, row) in inner.sources_of(digest)? {
            let (finding, new) = inner.reread(&path, &row, &cancel);
            let changes: Vec<_> = new.map(|new| (path.clone(), row, new)).into_iter().collect();
            inner.note_sources(&changes)?;
            match finding {
                Finding::Ok => drop(inner.mend(&path, digest, &cancel)?),
                _ => is_broken = true,
            }
        }
        Ok(is_broken)
    }
}

impl Inner {
    /// Reads a file; gives what to note about it, if that is anything new.
    fn reread(&self, path: &Path, row: &SourceRow, cancel: &Cancel) -> (Finding, Option<SourceRow>) {
        let hashed = self.files.open_source(path).and_then(|file| {
            let metadata = file.metadata()?;
            let stamp = Stamp::of(&metadata);
            let is_file = metadata.is_file();
            Ok((stamp, is_file.then(|| hash_unchanging(&file, stamp, cancel))))
        });
        let (stamp, digest) = match hashed {
            Ok((stamp, Some(Ok(digest)))) => (stamp, digest),
            Ok((_, None | Some(Err(HashError::Changed)))) => return (Finding::Changed, None),
            Ok((_, Some(Err(_)))) | Err(_) => return (Finding::Missing, None),
        };
        let (finding, state) = if digest == row.digest {
            // What is known to be good and looks as it did then is not fresh, however young it is.
            let is_known = row.state == SourceState::Good && stamp == row.stamp;
            let is_fresh = !is_known && stamp.is_fresh(SystemTime::now());
            (Finding::Ok, if is_fresh { SourceState::Fresh } else { SourceState::Good })
        } else if row.state == SourceState::Good && stamp == row.stamp {
            (Finding::Corrupt, SourceState::Changed)
        } else {
            (Finding::Changed, SourceState::Changed)
        };
        let new = SourceRow { digest: row.digest, stamp, state };
        (finding, (new != *row).then_some(new))
    }

    /// Builds the hash tree of a blob again if it is damaged, or its row, from a file that was just found to be good.
    fn mend(&self, path: &Path, digest: &Digest, cancel: &Cancel) -> Result<bool, StoreError> {
        let Some(row) = self.db.read(|read| read.blob_row(digest))? else {
            return Ok(false);
        };
        if row.is_ok_and(|row| self.has_right_tree(digest, &row)) {
            return Ok(false);
        }
        match publish::hash_again(self, path, cancel)? {
            Some(blob) if blob.digest == *digest => {
                self.commit(&[(path.to_owned(), blob)], |_| Ok(()))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn has_right_tree(&self, digest: &Digest, row: &BlobRow) -> bool {
        let tree = Tree::new(row.size);
        match &row.outboard {
            Outboard::Inline(pairs) => outboard::is_right_in_memory(digest, tree, pairs),
            Outboard::File => {
                let opened = self.outboards.open(&outboard_name(digest));
                opened.and_then(|file| outboard::is_right_in_file(digest, tree, &file)).unwrap_or(false)
            }
        }
    }
}
