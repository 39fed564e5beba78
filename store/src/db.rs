//! The database: which bytes have which digest, where they lie, and what the user shares.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `blobs` | digest | size and hash tree of a blob |
//! | `keys` | provider key | digest, for every row of `blobs`, on the network the store was opened for |
//! | `sources` | path | digest and stamp of a file in place |
//! | `owned` | digest | the bytes of a blob that lies nowhere else: a manifest or a page of one |
//! | `holders` | digest, [`Holder`] | nothing: a blob lives as long as it has a holder |
//! | `shares` | path | what was published |
//! | `downloads` | path | a folder in which a directory is being put together |
//! | `damaged` | path | the row of a share that did not decode, out of the way |
//! | `meta` | name | version of these tables; the network; how far announcing has come |

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::{Database, ReadableDatabase, WriteTransaction};
use shoal_content::NetworkName;

use crate::{disk::Damaged, files::Dir};

mod backend;
mod holder;
mod tables;
#[cfg(test)]
mod tests;

pub(crate) use backend::{DATABASE, open_named};
pub(crate) use holder::Holder;
pub(crate) use tables::{Read, Write};

/// Memory for pages of the database. What does not fit is in the system's cache anyway; more would only
/// count against this process.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Trouble with the store's own files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk failed, or is full. After that the store opens its database again by itself, and goes on.
    #[error("the store could not be read or written")]
    Io(#[source] io::Error),
    /// The disk failed earlier, and the database could not be opened again since.
    #[error("the store's database is closed after an earlier failure")]
    Failed,
    /// Its owner closed the store.
    #[error("the store is closed")]
    Closed,
    /// The tables were made by a later version of this program.
    #[error("the store's database is of a later version")]
    Newer,
    /// The bytes in the database are not what was written there.
    #[error("the store's database is damaged: {0}")]
    Damaged(String),
}

impl From<Damaged> for StoreError {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged("a row does not decode".to_owned())
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            // Not what a disk says, but what redb makes of bytes that are not its own or end too soon.
            redb::Error::Io(error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => Self::Failed,
            redb::Error::UpgradeRequired(_) => Self::Newer,
            error => Self::Damaged(error.to_string()),
        }
    }
}

/// Every operation of redb has an error of its own; to us they are all the same.
macro_rules! from_redb {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(CommitError, DatabaseError, StorageError, TableError, TransactionError);

/// Whether to believe that the bytes of the database are what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Believe,
    Check,
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Db {
    dir: Dir,
    network: NetworkName,
    /// Held while it is used, so that it is replaced only when nobody uses it: two open databases on one file
    /// would write over each other.
    current: RwLock<Current>,
    /// Transactions that were committed.
    written: AtomicU64,
}

#[derive(Debug)]
struct Current {
    /// Nothing after it was closed, or could not be opened again.
    database: Option<Database>,
    /// How often it was opened.
    generation: u64,
    /// Whether it stays closed.
    ended: bool,
}

impl Db {
    /// Opens the database in `dir`, making it if it is not there, and checks all of it if `trust` says so. Without a
    /// `network`, the provider keys stay those of the last one.
    pub(crate) fn open(dir: Dir, network: Option<&NetworkName>, trust: Trust) -> Result<Self, StoreError> {
        let database = match trust {
            Trust::Believe => backend::open(&dir)?,
            Trust::Check => open_checked(&dir)?,
        };
        let network = match network {
            Some(network) => network.clone(),
            None => tables::network(&database.begin_read()?)?.unwrap_or_default(),
        };
        let current = RwLock::new(Current { database: Some(database), generation: 0, ended: false });
        let db = Self { dir, network, current, written: AtomicU64::new(0) };
        db.prepare()?;
        Ok(db)
    }

    /// The network of the provider keys.
    pub(crate) fn network(&self) -> &NetworkName {
        &self.network
    }

    /// Says, by being another number than before, that the tables may have changed.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Closes the database for good, when nobody uses it; true for the first time.
    pub(crate) fn close(&self) -> bool {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.database = None;
        !std::mem::replace(&mut current.ended, true)
    }

    /// Makes the tables on first use, and the keys again when the network is another than last time.
    fn prepare(&self) -> Result<(), StoreError> {
        let is_ready = self.with(|database| {
            // Before the first write there are no tables to read from.
            match Read::new(&database.begin_read()?, &self.network) {
                Ok(read) => read.has_our_keys(),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })?;
        if is_ready { Ok(()) } else { self.write(|write| write.derive_keys()) }
    }

    /// Runs `f` on one state of the tables.
    pub(crate) fn read<T>(&self, f: impl Fn(&Read) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.with(|database| f(&Read::new(&database.begin_read()?, &self.network)?))
    }

    /// Runs `f` in a transaction that is durable when this returns; nothing is changed if it fails.
    pub(crate) fn write<T>(
        &self,
        f: impl FnOnce(&mut Write<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut f = Some(f);
        self.with(|database| {
            let transaction = begin_write(database)?;
            // Only the beginning is tried again on a database that failed earlier: `f` runs once.
            let f = f.take().ok_or(StoreError::Failed)?;
            let mut write = Write::new(&transaction, &self.network)?;
            let value = f(&mut write)?;
            drop(write);
            let committed = transaction.commit();
            // One that failed may be there all the same.
            self.written.fetch_add(1, Ordering::Release);
            committed?;
            Ok(value)
        })
    }

    /// Runs `f` on the database, and once more on one opened anew if a disk failed earlier.
    fn with<T>(&self, mut f: impl FnMut(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let failed = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            match current.database.as_ref().map(&mut f) {
                None | Some(Err(StoreError::Failed)) => current.generation,
                Some(done) => return done,
            }
        };
        self.open_again(failed)?;
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.database.as_ref().map_or(Err(StoreError::Failed), f)
    }

    /// Opens the database again, unless somebody else did so since it failed.
    fn open_again(&self, failed: u64) -> Result<(), StoreError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.ended {
            return Err(StoreError::Closed);
        }
        if current.generation == failed {
            // The old one must be gone before the file is opened again.
            current.database = None;
            current.database = Some(backend::open(&self.dir)?);
            current.generation += 1;
        }
        Ok(())
    }
}

/// Opens the database and checks all of it. That something had to be repaired is no loss; what cannot be is an
/// error.
fn open_checked(dir: &Dir) -> Result<Database, StoreError> {
    let open = || {
        let mut database = backend::open(dir)?;
        database.check_integrity()?;
        Ok(database)
    };
    // Opening uses what it is about to check, and panics on some of it when it has rotted.
    let opened = panic::catch_unwind(AssertUnwindSafe(open));
    opened.unwrap_or_else(|_| Err(StoreError::Damaged("it makes no sense at all".to_owned())))
}

fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    // Peers choose our keys, so a torn commit must not be able to pass for a whole one; and opening after a
    // crash must not walk the whole file.
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}
