//! The store of one home, and opening it.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use shoal_content::{Cid, Digest, NetworkName};

use crate::{
    db::{DATABASE, Db, StoreError, Trust},
    directory::Underway,
    disk::hex,
    files::{Dir, Files, Handle},
    journal::{Journal, Lost},
    lock::lock,
    partial,
    stamp::Stamp,
};

#[cfg(test)]
mod tests;

/// Held by the process that has the store open. A file of its own, because the database's may be moved aside.
const LOCK: &str = "lock";

/// The stamps that the database and the journal had when they were closed, as text. Gone while it is open.
const CLEAN: &str = "clean";

/// More than such a text has.
const MAX_CLEAN_LEN: u64 = 1024;

/// Hash trees too long for the database, each named after its digest.
pub(crate) const OUTBOARDS: &str = "outboards";

/// Records and hash trees of blobs that are still being received.
const PARTIALS: &str = "partials";

/// What this disk holds. Clones are the same store; it closes with the last one, or with [`Store::close`].
///
/// Everything that a call acknowledges is durable when it returns, so there is nothing to flush at the end.
/// When the disk fails or is full, that call fails and changes nothing; later calls open the database again.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) files: Files,
    pub(crate) network: NetworkName,
    /// The folder of the store, without symlinks.
    pub(crate) path: PathBuf,
    pub(crate) outboards: Dir,
    pub(crate) partials: Dir,
    pub(crate) db: Db,
    pub(crate) journal: Journal,
    /// What was published when an earlier database was lost, and not since.
    pub(crate) lost: Mutex<Vec<Lost>>,
    /// Blobs being received, by part file.
    pub(crate) live: Mutex<HashMap<PathBuf, Weak<partial::Shared>>>,
    /// Directories being received, by the folder in which each is put together.
    pub(crate) placed: Mutex<Underway>,
    /// What is being published: not to be taken for left-overs.
    pub(crate) publishing: Mutex<Vec<PathBuf>>,
    /// Files being hashed again because their stamp is not what it was.
    pub(crate) checking: Mutex<HashSet<PathBuf>>,
    /// Held while outboard files get their names, or lose them.
    pub(crate) outboard_names: Mutex<()>,
    /// Rows that were found not to decode when the store was last tidied.
    pub(crate) damaged: AtomicU64,
    /// The number of the next temporary file.
    next_temporary: AtomicU64,
    /// Held until the database is closed.
    lock: Mutex<Option<Handle>>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This process or another has it open.
    #[error("the store in {} is in use", .path.display())]
    InUse {
        /// The folder of the store.
        path: PathBuf,
    },
    /// It was written by a later version of this program.
    #[error("the store in {} is of a later version", .path.display())]
    Newer {
        /// The folder of the store.
        path: PathBuf,
    },
    /// The disk failed or is full, or access was denied.
    #[error("could not open the store in {}", .path.display())]
    Io {
        /// The folder of the store.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database failed.
    #[error("could not open the database of the store")]
    Database(#[source] StoreError),
}

impl Store {
    /// Opens the store in `path`, making it if it is not there, to serve `network`.
    ///
    /// Quick whatever the store holds. If it was not closed, or somebody wrote to its database, that is checked
    /// first, which takes less than a microsecond for each shared file. A database that is damaged is moved
    /// aside, and what it shared is to be published again: see [`lost`](Self::lost).
    pub fn open(path: &Path, network: &NetworkName) -> Result<Self, OpenError> {
        Self::open_on(&Files::default(), path, Some(network))
    }

    /// Opens the store to look after it, on whatever network it served last.
    pub fn open_as_it_is(path: &Path) -> Result<Self, OpenError> {
        Self::open_on(&Files::default(), path, None)
    }

    /// Without a `network`, the one that it served last stays.
    pub(crate) fn open_on(
        files: &Files,
        path: &Path,
        network: Option<&NetworkName>,
    ) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: path.to_owned(), source };
        // Paths and digests of what is shared are nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let path = &fs::canonicalize(path).map_err(io)?;
        let dir = files.dir(path).map_err(io)?;
        let lock = dir.open_private(OsStr::new(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path: path.clone() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let outboards = dir.open_or_make_dir(OsStr::new(OUTBOARDS)).map_err(io)?;
        let partials = dir.open_or_make_dir(OsStr::new(PARTIALS)).map_err(io)?;
        let (trust, noted) = noted(&dir);
        let (db, is_what_it_was) = open_database(files, path, network, trust)?;
        let noted = noted.filter(|_| is_what_it_was);
        let known = noted.map(|noted| Journal::open_noted(&dir, &noted)).transpose().map_err(io)?.flatten();
        let (journal, lost) = match known {
            Some(journal) => (journal, Vec::new()),
            None => {
                let shares = sound_shares(&db).map_err(OpenError::Database)?;
                Journal::open(&dir, &shares).map_err(io)?
            }
        };
        // The names of what was just made.
        dir.sync().map_err(io)?;
        Ok(Self {
            inner: Arc::new(Inner {
                files: files.clone(),
                network: db.network().clone(),
                path: path.clone(),
                outboards,
                partials,
                db,
                journal,
                lost: Mutex::new(lost),
                live: Mutex::default(),
                placed: Mutex::default(),
                publishing: Mutex::default(),
                checking: Mutex::default(),
                outboard_names: Mutex::default(),
                damaged: AtomicU64::new(0),
                next_temporary: AtomicU64::new(0),
                lock: Mutex::new(Some(lock)),
            }),
        })
    }

    /// Paths that were shared when an earlier database was damaged beyond use, and that the store knows
    /// nothing else about. To be published again; publishing or unpublishing one takes it off this list.
    pub fn lost(&self) -> Vec<PathBuf> {
        lock(&self.inner.lost).iter().map(|lost| lost.path.clone()).collect()
    }

    /// Closes the store for all its clones, so that it can be opened again. What needs its database after that fails with
    /// [`StoreError::Closed`]; the caller has ended what writes to files that are being received.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn close(&self) {
        // The second time, the store may be open again, and somebody else's.
        if !self.db.close() {
            return;
        }
        // Without it, the next opening checks the database.
        if let Err(error) = self.note_clean() {
            tracing::debug!(%error, "could not note that the store was closed");
        }
        drop(lock(&self.lock).take());
    }

    fn note_clean(&self) -> io::Result<()> {
        let dir = self.files.dir(&self.path)?;
        let mut note = database_stamp(&dir)?;
        // Paths that only the journal has are looked for again.
        if lock(&self.lost).is_empty() {
            note = format!("{note}\n{}", self.journal.noted()?.unwrap_or_default());
        }
        dir.create_private(OsStr::new(CLEAN))?.write_all_at(note.as_bytes(), 0)
    }

    /// A name in `partials` that nobody has, but for what a crash left behind.
    pub(crate) fn temporary_name(&self) -> OsString {
        format!("new-{}", self.next_temporary.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// Takes a path off the list of [`Store::lost`] ones.
    pub(crate) fn found(&self, path: &Path) {
        lock(&self.lost).retain(|known| known.path != path);
    }
}

/// Everything that is shared. Rows that do not decode are set aside, so that the journal tells what they were.
fn sound_shares(db: &Db) -> Result<Vec<(PathBuf, Cid)>, StoreError> {
    let rows = db.read(|read| read.shares_after(None, usize::MAX))?;
    let damaged: Vec<_> = rows.iter().filter(|(_, row)| row.is_none()).map(|(path, _)| path).collect();
    if !damaged.is_empty() {
        let count = damaged.len();
        tracing::warn!(count, "what the store knew of some shares is damaged, and set aside");
        db.write(|write| damaged.iter().try_for_each(|path| write.set_aside(path)))?;
    }
    Ok(rows.into_iter().filter_map(|(path, row)| Some((path, row?.cid))).collect())
}

/// Opens the database, or a new one if its file holds none any more; tells whether it is the old one.
fn open_database(
    files: &Files,
    path: &Path,
    network: Option<&NetworkName>,
    trust: Trust,
) -> Result<(Db, bool), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let open = || Db::open(files.dir(path).map_err(StoreError::Io)?, network, trust);
    match open() {
        Err(StoreError::Newer) => Err(OpenError::Newer { path: path.to_owned() }),
        Err(StoreError::Damaged(why)) => {
            let aside = format!("{DATABASE}.damaged");
            tracing::warn!(why, "the store's database is damaged: moving it to {aside} and starting anew");
            let dir = files.dir(path).map_err(io)?;
            dir.rename(OsStr::new(DATABASE), &dir, OsStr::new(&aside)).map_err(io)?;
            open().map(|db| (db, false)).map_err(OpenError::Database)
        }
        opened => opened.map(|db| (db, true)).map_err(OpenError::Database),
    }
}

/// Believes the database if it is what it was when it was closed, and tells what was noted of the journal then.
///
/// Nothing is lost if a power cut brings back an old stamp: commits are safe, and it is rot that is looked for.
fn noted(dir: &Dir) -> (Trust, Option<String>) {
    let noted = dir.open(OsStr::new(CLEAN)).and_then(|file| file.read_all(MAX_CLEAN_LEN));
    let noted = noted.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let (database, journal) = noted.split_once('\n').unwrap_or((&noted, ""));
    let is_clean = database_stamp(dir).is_ok_and(|stamp| stamp == database);
    if dir.remove(OsStr::new(CLEAN)).is_ok() && is_clean {
        (Trust::Believe, Some(journal.to_owned()))
    } else {
        (Trust::Check, None)
    }
}

fn database_stamp(dir: &Dir) -> io::Result<String> {
    Ok(format!("{:?}", Stamp::of(&dir.open(OsStr::new(DATABASE))?.metadata()?)))
}

/// The name of the outboard file of a blob.
pub(crate) fn outboard_name(digest: &Digest) -> OsString {
    hex(digest.as_bytes()).into()
}
