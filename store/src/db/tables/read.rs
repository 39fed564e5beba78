//! What the tables tell.

use std::{
    ffi::OsStr,
    ops::Bound,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use redb::{AccessGuard, ReadableTable};
use shoal_content::{Digest, ProviderKey};

use super::{Bytes, PROGRESS, Tables, digest_of};
use crate::{
    db::{Holder, StoreError},
    disk::{BlobRow, Damaged, DownloadRow, ShareRow, SourceRow},
};

impl<T: ReadableTable<Bytes, Bytes>> Tables<T> {
    /// What is known of a blob.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<BlobRow>, StoreError> {
        Ok(self.blob_row(digest)?.transpose()?)
    }

    /// The same, where a row that does not decode is no failure.
    pub(crate) fn blob_row(&self, digest: &Digest) -> Result<Option<Result<BlobRow, Damaged>>, StoreError> {
        let row = self.blobs.get(digest.as_bytes().as_slice())?;
        Ok(row.map(|row| BlobRow::decode(row.value())))
    }

    /// The blob whose providers are recorded under `key`.
    pub(crate) fn digest_for(&self, key: &ProviderKey) -> Result<Option<Digest>, StoreError> {
        let row = self.keys.get(key.as_bytes().as_slice())?;
        Ok(row.map(|row| digest_of(row.value())).transpose()?)
    }

    /// The content of a file in place. A row that does not decode says nothing of it, and goes when it is published again.
    pub(crate) fn source(&self, path: &Path) -> Result<Option<SourceRow>, StoreError> {
        let row = self.sources.get(path.as_os_str().as_bytes())?;
        Ok(row.and_then(|row| SourceRow::decode(row.value()).ok()))
    }

    /// The files in place at `path` itself and below it, in the order of their bytes; without a row where that does not
    /// decode.
    pub(crate) fn sources_below(
        &self,
        path: &Path,
    ) -> Result<impl Iterator<Item = Result<(PathBuf, Option<SourceRow>), StoreError>>, StoreError> {
        let (start, end) = below(path);
        let own = self.sources.get(path.as_os_str().as_bytes())?;
        let own = own.map(|row| Ok((path.to_owned(), SourceRow::decode(row.value()).ok())));
        let rows = self.sources.range::<&[u8]>(start.as_slice()..end.as_slice())?;
        Ok(own.into_iter().chain(rows.map(|row| {
            let (key, value) = row?;
            Ok((path_of(key.value()), SourceRow::decode(value.value()).ok()))
        })))
    }

    /// The files in place at `path` and after it, in the order of their bytes, but for rows that do not decode.
    pub(crate) fn sources_from(
        &self,
        path: &Path,
    ) -> Result<impl Iterator<Item = Result<(PathBuf, SourceRow), StoreError>>, StoreError> {
        let rows = self.sources.range::<&[u8]>(path.as_os_str().as_bytes()..)?;
        let decoded = |(key, value): (AccessGuard<'_, Bytes>, AccessGuard<'_, Bytes>)| {
            Some((path_of(key.value()), SourceRow::decode(value.value()).ok()?))
        };
        Ok(rows.filter_map(move |row| row.map(decoded).map_err(StoreError::from).transpose()))
    }

    /// The bytes of a blob that lies in the database.
    pub(crate) fn owned(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.owned.get(digest.as_bytes().as_slice())?.map(|row| row.value().to_vec()))
    }

    /// Whether these bytes of a blob lie in the database.
    pub(crate) fn owns(&self, digest: &Digest, bytes: &[u8]) -> Result<bool, StoreError> {
        let row = self.owned.get(digest.as_bytes().as_slice())?;
        Ok(row.is_some_and(|row| row.value() == bytes))
    }

    /// The files in place that have the bytes of a blob, as far as is known; at most `limit`.
    pub(crate) fn places(&self, digest: &Digest, limit: usize) -> Result<Vec<PathBuf>, StoreError> {
        self.kept_for(digest, Holder::Source(Path::new("")), limit)
    }

    /// Where a manifest is shared.
    pub(crate) fn shared_at(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        Ok(self.kept_for(digest, Holder::Share(Path::new("")), 1)?.pop())
    }

    /// Where a directory with this manifest is being put together.
    pub(crate) fn download_at(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        Ok(self.kept_for(digest, Holder::Download(Path::new("")), 1)?.pop())
    }

    /// The paths for which a blob is kept as it is for this holder, whose own path is empty; at most `limit`.
    fn kept_for(
        &self,
        digest: &Digest,
        holder: Holder<'_>,
        limit: usize,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let prefix = holder.key(digest);
        let rows = self.holders.range::<&[u8]>(prefix.as_slice()..)?;
        let mut paths = Vec::new();
        for row in rows.take(limit) {
            let key = row?.0;
            let Some(path) = key.value().strip_prefix(prefix.as_slice()) else {
                break;
            };
            paths.push(path_of(path));
        }
        Ok(paths)
    }

    /// Whether anything still needs a blob.
    pub(crate) fn is_held(&self, digest: &Digest) -> Result<bool, StoreError> {
        let mut rows = self.holders.range::<&[u8]>(digest.as_bytes().as_slice()..)?;
        Ok(rows.next().transpose()?.is_some_and(|(key, _)| key.value().starts_with(digest.as_bytes())))
    }

    /// What the user published at `path`, unless its row does not decode.
    pub(crate) fn share(&self, path: &Path) -> Result<Option<ShareRow>, StoreError> {
        let row = self.shares.get(path.as_os_str().as_bytes())?;
        Ok(row.and_then(|row| ShareRow::decode(row.value()).ok()))
    }

    /// How much the user published.
    pub(crate) fn share_count(&self) -> Result<u64, StoreError> {
        Ok(self.shares.len()?)
    }

    /// Up to `max` of what the user published, by path, from the one after `after` on; without a row where that does
    /// not decode.
    pub(crate) fn shares_after(
        &self,
        after: Option<&Path>,
        max: usize,
    ) -> Result<Vec<(PathBuf, Option<ShareRow>)>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |path| Bound::Excluded(path.as_os_str().as_bytes()));
        let rows = self.shares.range::<&[u8]>((from, Bound::Unbounded))?;
        let decoded = rows.take(max).map(|row| {
            let (key, value) = row?;
            Ok((path_of(key.value()), ShareRow::decode(value.value()).ok()))
        });
        decoded.collect()
    }

    /// Everywhere that the user published something.
    pub(crate) fn shared_paths(
        &self,
    ) -> Result<impl Iterator<Item = Result<PathBuf, StoreError>>, StoreError> {
        Ok(self.shares.iter()?.map(|row| Ok(path_of(row?.0.value()))))
    }

    /// Whether something is shared or being put together at `path`.
    pub(crate) fn is_kept(&self, path: &Path) -> Result<bool, StoreError> {
        let path = path.as_os_str().as_bytes();
        Ok(self.shares.get(path)?.is_some() || self.downloads.get(path)?.is_some())
    }

    /// What was noted with [`set_progress`](Write::set_progress) last.
    pub(crate) fn progress(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.meta.get(PROGRESS)?.map(|row| row.value().to_vec()))
    }

    /// The folders in which directories are being put together; without a row where that does not decode.
    pub(crate) fn downloads(&self) -> Result<Vec<(PathBuf, Option<DownloadRow>)>, StoreError> {
        let rows = self.downloads.iter()?;
        rows.map(|row| {
            let (key, value) = row?;
            Ok((path_of(key.value()), DownloadRow::decode(value.value()).ok()))
        })
        .collect()
    }

    /// Which directory is being put together at `path`.
    pub(crate) fn download(&self, path: &Path) -> Result<Option<DownloadRow>, StoreError> {
        let row = self.downloads.get(path.as_os_str().as_bytes())?;
        Ok(row.map(|row| DownloadRow::decode(row.value())).transpose()?)
    }

    /// Every blob, by digest; without a row where that does not decode.
    pub(crate) fn blobs(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Digest, Option<BlobRow>), StoreError>>, StoreError> {
        Ok(self.blobs.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((digest_of(key.value())?, BlobRow::decode(value.value()).ok()))
        }))
    }

    #[cfg(test)]
    pub(crate) fn aside(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.damaged.get(path.as_os_str().as_bytes())?.map(|row| row.value().to_vec()))
    }
}

/// The keys of everything below a folder: from its path and a slash up to what sorts right after all of those.
fn below(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut start = path.as_os_str().as_bytes().to_vec();
    if start.last() == Some(&b'/') {
        start.pop();
    }
    let mut end = start.clone();
    start.push(b'/');
    end.push(b'/' + 1);
    (start, end)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}
