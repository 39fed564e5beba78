//! The database's file, read and written through the same door as every other file of the store.

use std::{ffi::OsStr, io};

use redb::{Database, StorageBackend};

use super::{CACHE_BYTES, StoreError};
use crate::files::{Dir, Handle};

/// Name of the database in the store's folder.
pub(crate) const DATABASE: &str = "store.redb";

/// Opens the database in `dir`, making it if it is not there.
///
/// That no other process has it open is the business of the store's lock file.
pub(super) fn open(dir: &Dir) -> Result<Database, StoreError> {
    open_named(dir, OsStr::new(DATABASE), CACHE_BYTES, u64::MAX)
}

/// Opens a database in `dir` that never gets longer than `max_len`: what would make it so fails.
pub(crate) fn open_named(
    dir: &Dir,
    name: &OsStr,
    cache_bytes: usize,
    max_len: u64,
) -> Result<Database, StoreError> {
    let file = dir.open_private(name).map_err(StoreError::Io)?;
    Ok(Database::builder().set_cache_size(cache_bytes).create_with_backend(Backend { file, max_len })?)
}

#[derive(Debug)]
struct Backend {
    file: Handle,
    max_len: u64,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.max_len {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the database would be too long"));
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
