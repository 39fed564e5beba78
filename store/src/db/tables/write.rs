//! What changes the tables.

use std::{os::unix::ffi::OsStrExt, path::Path};

use shoal_content::{Digest, ProviderKey};

use super::{PROGRESS, Write};
use crate::{
    db::{Holder, StoreError},
    disk::{BlobRow, DownloadRow, Outboard, ShareRow, SourceRow},
};

impl Write<'_> {
    /// Notes how far announcing has come.
    pub(crate) fn set_progress(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.meta.insert(PROGRESS, bytes)?;
        Ok(())
    }

    /// Takes the row of a share that does not decode out of the way, and keeps it for whoever wants to know.
    pub(crate) fn set_aside(&mut self, path: &Path) -> Result<(), StoreError> {
        let path = path.as_os_str().as_bytes();
        if let Some(row) = self.shares.remove(path)? {
            self.damaged.insert(path, row.value())?;
        }
        Ok(())
    }

    /// Writes over the row of a blob.
    #[cfg(test)]
    pub(crate) fn damage_blob(&mut self, digest: &Digest) -> Result<(), StoreError> {
        self.blobs.insert(digest.as_bytes().as_slice(), b"rot".as_slice())?;
        Ok(())
    }

    /// Writes over the row of a folder in which a directory is being put together.
    #[cfg(test)]
    pub(crate) fn damage_download(&mut self, path: &Path) -> Result<(), StoreError> {
        self.downloads.insert(path.as_os_str().as_bytes(), b"rot".as_slice())?;
        Ok(())
    }

    /// Writes over the rows of a share and of a file in place.
    #[cfg(test)]
    pub(crate) fn damage(&mut self, share: Option<&Path>, source: Option<&Path>) -> Result<(), StoreError> {
        if let Some(path) = share {
            self.shares.insert(path.as_os_str().as_bytes(), b"rot".as_slice())?;
        }
        if let Some(path) = source {
            self.sources.insert(path.as_os_str().as_bytes(), b"rot".as_slice())?;
        }
        Ok(())
    }

    /// Notes that a blob is here because of `holder`.
    pub(crate) fn hold(
        &mut self,
        digest: &Digest,
        row: &BlobRow,
        holder: Holder<'_>,
    ) -> Result<(), StoreError> {
        if self.set_blob(digest, row, holder)? {
            self.set_keys(&[*digest])?;
        }
        Ok(())
    }

    /// As [`hold`](Self::hold). Gives true for a blob that was not here: then its [key](Self::set_keys) is still to be
    /// noted.
    pub(crate) fn set_blob(
        &mut self,
        digest: &Digest,
        row: &BlobRow,
        holder: Holder<'_>,
    ) -> Result<bool, StoreError> {
        let is_new = self.blobs.insert(digest.as_bytes().as_slice(), row.encode().as_slice())?.is_none();
        self.holders.insert(holder.key(digest).as_slice(), [].as_slice())?;
        Ok(is_new)
    }

    /// Notes the provider keys of blobs.
    pub(crate) fn set_keys(&mut self, digests: &[Digest]) -> Result<(), StoreError> {
        let derive = |digest: &Digest| (*ProviderKey::derive(&self.network, digest).as_bytes(), *digest);
        let mut keys: Vec<_> = digests.iter().map(derive).collect();
        keys.sort_unstable();
        for (key, digest) in keys {
            self.keys.insert(key.as_slice(), digest.as_bytes().as_slice())?;
        }
        Ok(())
    }

    /// Keeps a blob for another reason than before.
    pub(crate) fn move_holder(
        &mut self,
        digest: &Digest,
        from: Holder<'_>,
        to: Holder<'_>,
    ) -> Result<(), StoreError> {
        self.holders.insert(to.key(digest).as_slice(), [].as_slice())?;
        self.holders.remove(from.key(digest).as_slice())?;
        Ok(())
    }

    /// Drops a reason to keep a blob, and the blob with the last one.
    ///
    /// Gives true if the blob had an outboard file, which is then to be removed once this is durable.
    pub(crate) fn release(&mut self, digest: &Digest, holder: Holder<'_>) -> Result<bool, StoreError> {
        self.holders.remove(holder.key(digest).as_slice())?;
        if self.is_held(digest)? {
            return Ok(false);
        }
        self.forget_blob(digest)
    }

    /// Drops a blob; the answer is that of [`release`](Self::release).
    pub(crate) fn forget_blob(&mut self, digest: &Digest) -> Result<bool, StoreError> {
        let bytes = digest.as_bytes().as_slice();
        let key = ProviderKey::derive(&self.network, digest);
        self.keys.remove(key.as_bytes().as_slice())?;
        self.owned.remove(bytes)?;
        let Some(row) = self.blobs.remove(bytes)? else {
            return Ok(false);
        };
        // Of one that does not decode nobody knows.
        Ok(BlobRow::decode(row.value()).map_or(true, |row| row.outboard == Outboard::File))
    }

    /// Keeps the bytes of a blob in the database itself.
    pub(crate) fn own(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.owned.insert(digest.as_bytes().as_slice(), bytes)?;
        Ok(())
    }

    /// Notes the content of a file in place, whose blob is [held](Self::hold) for it; gives what it was before.
    pub(crate) fn set_source(
        &mut self,
        path: &Path,
        row: &SourceRow,
    ) -> Result<Option<SourceRow>, StoreError> {
        let old = self.sources.insert(path.as_os_str().as_bytes(), row.encode().as_slice())?;
        Ok(old.and_then(|row| SourceRow::decode(row.value()).ok()))
    }

    /// Forgets a file in place, without releasing its blob.
    pub(crate) fn remove_source(&mut self, path: &Path) -> Result<Option<SourceRow>, StoreError> {
        let row = self.sources.remove(path.as_os_str().as_bytes())?;
        Ok(row.and_then(|row| SourceRow::decode(row.value()).ok()))
    }

    /// Notes what was published at `path`; gives what was published there before.
    pub(crate) fn set_share(&mut self, path: &Path, row: &ShareRow) -> Result<Option<ShareRow>, StoreError> {
        let old = self.shares.insert(path.as_os_str().as_bytes(), row.encode().as_slice())?;
        Ok(old.and_then(|row| ShareRow::decode(row.value()).ok()))
    }

    /// Forgets what was published at `path`.
    pub(crate) fn remove_share(&mut self, path: &Path) -> Result<(), StoreError> {
        self.shares.remove(path.as_os_str().as_bytes())?;
        Ok(())
    }

    /// Notes a folder in which a directory is being put together.
    pub(crate) fn set_download(&mut self, path: &Path, row: &DownloadRow) -> Result<(), StoreError> {
        self.downloads.insert(path.as_os_str().as_bytes(), row.encode().as_slice())?;
        Ok(())
    }

    /// Forgets such a folder.
    pub(crate) fn remove_download(&mut self, path: &Path) -> Result<(), StoreError> {
        self.downloads.remove(path.as_os_str().as_bytes())?;
        Ok(())
    }
}
