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
    let backend = Backend(dir.open_private(OsStr::new(DATABASE)).map_err(StoreError::Io)?);
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

#[derive(Debug)]
struct Backend(Handle);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
