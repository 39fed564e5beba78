//! Looks up many blobs at once, so that a file of a large directory costs its server as much as one of a small one.
//!
//! Digests say nothing about where files lie: looking one up by itself touches pages of three tables, and with many
//! files these do not fit in memory. But a peer that asks for many files mostly asks for neighbours in one
//! directory. So the rows that follow the first file's are read in their order, and yield the digests of the files
//! after it.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use shoal_content::{Digest, GROUP_LEN};

use super::{Blob, ReadError};
use crate::{
    Store, StoreError,
    db::Read,
    disk::{BlobRow, Outboard, SourceRow, SourceState},
};

/// Rows of neighbours that are looked at for each blob that is wanted. With one, a request that leaves out every other
/// file of a directory would find half; with many, one for files from everywhere would read rows for nothing.
const NEIGHBOURS: usize = 2;

/// Where a blob may be found, as the tables were when it was looked up. It proves nothing: the blob is
/// [opened](Store::blob_by) as carefully as without one.
#[derive(Debug, Default)]
pub struct Lead(Option<Known>);

#[derive(Debug)]
struct Known {
    /// How much had been written then. What was written since may have taken the blob away.
    written: u64,
    path: PathBuf,
    source: SourceRow,
    row: BlobRow,
}

impl Store {
    /// Looks up many blobs, in the order that is quickest; gives a lead for each, in the order of `digests`.
    pub fn look_up(&self, digests: &[Digest]) -> Vec<Lead> {
        let written = self.inner.db.written();
        let mut known = match self.inner.db.read(|read| places(read, digests)) {
            Ok(known) => known,
            Err(error) => {
                // Each is looked up by itself then, and who asked is told.
                tracing::debug!(%error, "could not look up many blobs at once");
                HashMap::new()
            }
        };
        let lead =
            |digest| known.remove(digest).map(|(path, source, row)| Known { written, path, source, row });
        digests.iter().map(lead).map(Lead).collect()
    }

    /// As [`blob`](Self::blob), for one that was looked up with others.
    ///
    /// # Errors
    ///
    /// Those of [`blob`](Self::blob).
    pub fn blob_by(&self, digest: &Digest, lead: Lead) -> Result<Option<Blob>, ReadError> {
        match lead.0.filter(|known| known.written == self.inner.db.written()) {
            Some(Known { path, source, row, .. }) => match self.inner.open_at(digest, row, path, &source) {
                Ok(blob) => Ok(Some(blob)),
                // It may lie elsewhere as well.
                Err(_) => self.blob(digest),
            },
            None => self.blob(digest),
        }
    }
}

/// Files in place that should have these contents, with what is known of them; without those that need a closer look.
fn places(
    read: &Read,
    digests: &[Digest],
) -> Result<HashMap<Digest, (PathBuf, SourceRow, BlobRow)>, StoreError> {
    let mut wanted: BTreeSet<Digest> = digests.iter().copied().collect();
    let mut sources = Vec::with_capacity(wanted.len());
    let first = digests.first().map(|first| read.places(first, 1)).transpose()?.unwrap_or_default();
    if let Some(path) = first.first() {
        for row in read.sources_from(path)?.take(digests.len() * NEIGHBOURS) {
            let (path, source) = row?;
            if wanted.remove(&source.digest) {
                sources.push((path, source));
            }
        }
    }
    // Each of these tables is then walked through in its own order.
    let mut elsewhere = Vec::new();
    for digest in &wanted {
        elsewhere.extend(read.places(digest, 1)?.into_iter().map(|path| (path, *digest)));
    }
    elsewhere.sort_unstable();
    for (path, digest) in elsewhere {
        let source = read.source(&path)?.filter(|source| source.digest == digest);
        sources.extend(source.map(|source| (path, source)));
    }
    sources.sort_unstable_by_key(|(_, source)| source.digest);
    let mut found = HashMap::with_capacity(sources.len());
    for (path, source) in sources {
        let row = if source.stamp.size <= GROUP_LEN {
            // One group has no tree, so there is nothing else to know.
            Some(BlobRow { size: source.stamp.size, outboard: Outboard::Inline(Vec::new()) })
        } else {
            read.blob(&source.digest)?
        };
        if let Some(row) = row.filter(|_| source.state != SourceState::Changed) {
            found.insert(source.digest, (path, source, row));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
