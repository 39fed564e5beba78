//! The tables of the database, and the rules that hold between them.

use std::{
    ffi::OsStr,
    ops::Bound,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use redb::{
    AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};
use shoal_content::{Digest, NetworkName, ProviderKey};

use super::{Holder, StoreError};
use crate::disk::{BlobRow, Damaged, DownloadRow, Outboard, ShareRow, SourceRow};

type Bytes = &'static [u8];

const BLOBS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("blobs");
const KEYS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("keys");
const SOURCES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("sources");
const OWNED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("owned");
const HOLDERS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("holders");
const SHARES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("shares");
const DOWNLOADS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("downloads");
const DAMAGED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("damaged");
const META: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("meta");

/// Row of `meta` that names the network of the provider keys.
const NETWORK: Bytes = b"network";

/// Row of `meta` with the version of the tables, and that version: raised when an older program would
/// misunderstand them.
const VERSION: Bytes = b"version";
const THIS_VERSION: u8 = 1;

/// Row of `meta` in which whoever announces what is here keeps how far that has come.
const PROGRESS: Bytes = b"progress";

/// All tables in one state, to be read ([`Read`]) or changed ([`Write`]).
#[derive(Debug)]
pub(crate) struct Tables<T> {
    blobs: T,
    keys: T,
    sources: T,
    owned: T,
    holders: T,
    shares: T,
    downloads: T,
    damaged: T,
    meta: T,
    /// The network whose provider keys are in `keys`.
    network: NetworkName,
}

pub(crate) type Read = Tables<ReadOnlyTable<Bytes, Bytes>>;
pub(crate) type Write<'txn> = Tables<Table<'txn, Bytes, Bytes>>;

impl<T> Tables<T> {
    fn open(
        network: &NetworkName,
        open: impl Fn(TableDefinition<'static, Bytes, Bytes>) -> Result<T, TableError>,
    ) -> Result<Self, TableError> {
        Ok(Self {
            network: network.clone(),
            blobs: open(BLOBS)?,
            keys: open(KEYS)?,
            sources: open(SOURCES)?,
            owned: open(OWNED)?,
            holders: open(HOLDERS)?,
            shares: open(SHARES)?,
            downloads: open(DOWNLOADS)?,
            damaged: open(DAMAGED)?,
            meta: open(META)?,
        })
    }
}

/// The network whose provider keys the tables hold; nothing if there are no tables yet.
pub(super) fn network(transaction: &ReadTransaction) -> Result<Option<NetworkName>, StoreError> {
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let name = meta.get(NETWORK)?;
    let name = name.as_ref().and_then(|name| std::str::from_utf8(name.value()).ok());
    name.map(|name| name.parse().map_err(|_| Damaged.into())).transpose()
}

impl Read {
    pub(super) fn new(transaction: &ReadTransaction, network: &NetworkName) -> Result<Self, TableError> {
        Self::open(network, |table| transaction.open_table(table))
    }
}

impl<T: ReadableTable<Bytes, Bytes>> Tables<T> {
    /// Whether the provider keys are those of the network of this transaction.
    pub(super) fn has_our_keys(&self) -> Result<bool, StoreError> {
        match self.meta.get(VERSION)?.as_ref().map(AccessGuard::value) {
            Some([THIS_VERSION]) => {}
            Some([later]) if *later > THIS_VERSION => return Err(StoreError::Newer),
            _ => return Err(Damaged.into()),
        }
        let known = self.meta.get(NETWORK)?;
        Ok(known.is_some_and(|known| known.value() == self.network.as_str().as_bytes()))
    }

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
        let prefix = Holder::Source(Path::new("")).key(digest);
        let rows = self.holders.range::<&[u8]>(prefix.as_slice()..)?;
        let mut places = Vec::new();
        for row in rows.take(limit) {
            let key = row?.0;
            let Some(path) = key.value().strip_prefix(prefix.as_slice()) else {
                break;
            };
            places.push(path_of(path));
        }
        Ok(places)
    }

    /// Where a manifest is shared.
    pub(crate) fn shared_at(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        self.first_of(digest, Holder::Share(Path::new("")))
    }

    /// Where a directory with this manifest is being put together.
    pub(crate) fn download_at(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        self.first_of(digest, Holder::Download(Path::new("")))
    }

    /// The first path that keeps a blob in the same way as this holder, whose path is empty.
    fn first_of(&self, digest: &Digest, holder: Holder<'_>) -> Result<Option<PathBuf>, StoreError> {
        let prefix = holder.key(digest);
        let mut rows = self.holders.range::<&[u8]>(prefix.as_slice()..)?;
        let Some((key, _)) = rows.next().transpose()? else {
            return Ok(None);
        };
        Ok(key.value().strip_prefix(prefix.as_slice()).map(path_of))
    }

    /// Whether a blob was put there to be found.
    pub(crate) fn is_cached(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.holders.get(Holder::Cache.key(digest).as_slice())?.is_some())
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
}

impl<'txn> Write<'txn> {
    pub(super) fn new(
        transaction: &'txn WriteTransaction,
        network: &NetworkName,
    ) -> Result<Self, TableError> {
        Self::open(network, |table| transaction.open_table(table))
    }

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

    /// What was set aside at `path`.
    #[cfg(test)]
    pub(crate) fn aside(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.damaged.get(path.as_os_str().as_bytes())?.map(|row| row.value().to_vec()))
    }

    #[cfg(test)]
    pub(crate) fn set_version(&mut self, version: u8) -> Result<(), StoreError> {
        self.meta.insert(VERSION, [version].as_slice())?;
        Ok(())
    }

    /// Derives every provider key anew, for the network of this transaction.
    pub(super) fn derive_keys(&mut self) -> Result<(), StoreError> {
        self.keys.retain(|_, _| false)?;
        for row in self.blobs.iter()? {
            let digest = digest_of(row?.0.value())?;
            let key = ProviderKey::derive(&self.network, &digest);
            self.keys.insert(key.as_bytes().as_slice(), digest.as_bytes().as_slice())?;
        }
        self.meta.insert(VERSION, [THIS_VERSION].as_slice())?;
        self.meta.insert(NETWORK, self.network.as_str().as_bytes())?;
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

fn digest_of(bytes: &[u8]) -> Result<Digest, Damaged> {
    Ok(Digest::from_bytes(bytes.try_into().map_err(|_| Damaged)?))
}
