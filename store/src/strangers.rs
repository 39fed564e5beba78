//! What strangers asked this node to remember, in a database of its own that can be thrown away.
//!
//! To this file they are rows of bytes. They are kept apart from the store because strangers decide what they are
//! and how many: whatever goes wrong here must not touch what the user shares. So there is no repair, and no error
//! that anybody has to act on: a file that does not make sense is removed and started again.
//!
//! One-phase commits are enough. A torn commit that passes for a complete one could at worst bring back wrong rows,
//! which do no more harm than any stranger's word. A crash loses the last seconds, which are announced again.

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use shoal_content::NetworkName;

use crate::{
    db::{StoreError, open_named},
    files::Files,
};

#[cfg(test)]
mod tests;

/// Rows kept. What does not fit is not kept, and lost at the next start. Each is worth little.
const MAX_ROWS: u64 = 100_000;

/// Bytes of all keys and rows together: three times what rows of ordinary length take. With the pages that are
/// half full or belong to the last commit, the file then takes up to 64 MiB of the disk, whatever strangers say.
const MAX_BYTES: usize = 24 << 20;

/// Length of the file, of which most is never written: redb doubles it when it needs room. Should the reckoning
/// above be wrong, writing fails here, before the disk is full.
const MAX_FILE_LEN: u64 = 80 << 20;

/// Rows written in one commit. Each may touch a page of its own, and the old pages stay until the commit.
const ROWS_PER_COMMIT: usize = 1024;

/// Bytes of a key and of a row. Ours are shorter; a longer one is not written, and not read.
const MAX_KEY_LEN: usize = 128;
const MAX_ROW_LEN: usize = 512;

/// Memory for pages. The rows are read once and then only written.
const CACHE_BYTES: usize = 2 << 20;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The row of `meta` that says what the rows are: their version and the network.
const FORM: &str = "form";

/// Version of these tables.
const VERSION: u8 = 1;

/// A key and the bytes that belong to it.
pub type Row = (Vec<u8>, Vec<u8>);

/// A bounded number of rows that may be lost.
#[derive(Debug)]
pub struct Strangers {
    database: Database,
    /// Of all keys and rows.
    bytes: usize,
}

impl Strangers {
    /// Opens the rows of `network` in the file at `path`. One that is damaged, or of another network or version,
    /// is removed, and a new one begun.
    ///
    /// # Errors
    ///
    /// The disk failed or is full, or something else has that name.
    pub fn open(path: &Path, network: &NetworkName) -> Result<Self, StoreError> {
        Self::open_on(&Files::default(), path, network)
    }

    fn open_on(files: &Files, path: &Path, network: &NetworkName) -> Result<Self, StoreError> {
        match Self::open_once(files, path, network) {
            Err(StoreError::Damaged(why)) => {
                tracing::debug!(why, path = %path.display(), "what strangers said earlier is of no use: removed");
            }
            Err(StoreError::Newer) => {
                tracing::debug!(path = %path.display(), "what strangers said is in a newer form: removed");
            }
            opened => return opened,
        }
        fs::remove_file(path).map_err(StoreError::Io)?;
        Self::open_once(files, path, network)
    }

    fn open_once(files: &Files, path: &Path, network: &NetworkName) -> Result<Self, StoreError> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StoreError::Io(std::io::ErrorKind::InvalidInput.into()));
        };
        let form = [&[VERSION], network.as_str().as_bytes()].concat();
        guarded(|| {
            let dir = files.dir(folder).map_err(StoreError::Io)?;
            let database = open_named(&dir, name, CACHE_BYTES, MAX_FILE_LEN)?;
            let mut strangers = Self { database, bytes: 0 };
            strangers.check_form(&form)?;
            strangers.bytes = strangers.count_bytes()?;
            Ok(strangers)
        })
    }

    /// Makes the tables of a new file, and refuses one with another form.
    fn check_form(&self, form: &[u8]) -> Result<(), StoreError> {
        let transaction = self.database.begin_read()?;
        match transaction.open_table(META) {
            Ok(meta) => {
                let found = meta.get(FORM)?;
                if found.is_none_or(|found| found.value() != form) {
                    return Err(StoreError::Damaged("it is of another network or version".to_owned()));
                }
                // Both tables came with one commit.
                transaction.open_table(ROWS)?;
                Ok(())
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {
                drop(transaction);
                let transaction = self.database.begin_write()?;
                transaction.open_table(META)?.insert(FORM, form)?;
                transaction.open_table(ROWS)?;
                Ok(transaction.commit()?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks at every row, and so finds most of what has rotted.
    fn count_bytes(&self) -> Result<usize, StoreError> {
        let rows = self.database.begin_read()?.open_table(ROWS)?;
        let mut bytes = 0;
        for row in rows.iter()? {
            let (key, row) = row?;
            bytes += key.value().len() + row.value().len();
        }
        Ok(bytes)
    }

    /// Up to `max` rows in the order of their keys, beginning behind `after`. No rows are the end.
    ///
    /// # Errors
    ///
    /// The disk failed, or the file is damaged. Then it is to be opened again.
    pub fn read(&self, after: Option<&[u8]>, max: usize) -> Result<Vec<Row>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        guarded(|| {
            let rows = self.database.begin_read()?.open_table(ROWS)?;
            let from = after.map_or(Unbounded, Excluded);
            let mut read = Vec::new();
            for row in rows.range::<&[u8]>((from, Unbounded))?.take(max) {
                let (key, row) = row?;
                // One that is too long is rot, and its bytes are of no use. The key is needed to go on.
                let row = row.value();
                let row = if row.len() <= MAX_ROW_LEN { row.to_vec() } else { Vec::new() };
                read.push((key.value().to_vec(), row));
            }
            Ok(read)
        })
    }

    /// Puts rows and removes those that are none, so many in each commit. A row that does not fit is left out.
    ///
    /// # Errors
    ///
    /// The disk failed or is full, or the file is damaged. Then it is to be opened again.
    pub fn write(
        &mut self,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let mut changes = changes.into_iter().peekable();
        guarded(|| {
            while changes.peek().is_some() {
                self.commit(changes.by_ref().take(ROWS_PER_COMMIT))?;
            }
            Ok(())
        })
    }

    fn commit(
        &mut self,
        changes: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let mut rows = transaction.open_table(ROWS)?;
        for (key, row) in changes {
            let key = key.as_slice();
            if let Some(old) = rows.remove(key)? {
                self.bytes = self.bytes.saturating_sub(key.len() + old.value().len());
            }
            let Some(row) = row else { continue };
            let is_short = key.len() <= MAX_KEY_LEN && row.len() <= MAX_ROW_LEN;
            if is_short && rows.len()? < MAX_ROWS && self.bytes + key.len() + row.len() <= MAX_BYTES {
                rows.insert(key, row.as_slice())?;
                self.bytes += key.len() + row.len();
            }
        }
        drop(rows);
        Ok(transaction.commit()?)
    }

    /// Removes the file at `path`, so that nothing out of date is read from it later.
    pub fn discard(path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::debug!(%error, path = %path.display(), "what strangers said could not be removed");
        }
    }
}

/// Opening and reading use what has not been checked, and panic on some of it when it has rotted.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Damaged("it makes no sense at all".to_owned())))
}
