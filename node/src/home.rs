//! The directory that holds a node's identity, store and socket, and the lock that makes it one node's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use libp2p::identity::{DecodingError, Keypair};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::Serialize;

use crate::error::ErrorKind;

/// A configuration is what a user may put into a folder before it is a home.
const CONFIG: &str = "config.toml";
/// An identity file is a 68-byte key; more than this is some other file.
const MAX_IDENTITY_LEN: u64 = 4096;
/// How often a taken lock is tried again, and the pause before each try.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Where everything in a home is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The home itself.
    pub home: PathBuf,
    /// The node's secret key.
    pub identity: PathBuf,
    /// Shares, outboards and partial blobs.
    pub store: PathBuf,
    /// Peers known from earlier runs.
    pub peers: PathBuf,
    /// Who had what was looked for before.
    pub holders: PathBuf,
    /// What strangers made this node remember. It may be removed while the node is stopped.
    pub records: PathBuf,
    /// Held by the process that runs the node.
    pub lock: PathBuf,
    /// The control API, or a pointer to it where this path is too long for a socket.
    pub socket: PathBuf,
    /// Files on their way to a caller that wants bytes instead of a file.
    pub temporary: PathBuf,
}

impl Paths {
    /// The layout of the home at `home`; touches nothing.
    pub fn of(home: impl Into<PathBuf>) -> Self {
        let home = home.into();
        Self {
            identity: home.join(shoal_store::HOME_KEY),
            store: home.join(shoal_store::HOME_STORE),
            peers: home.join("peers"),
            holders: home.join("holders"),
            records: home.join("records.redb"),
            lock: home.join("lock"),
            socket: home.join("api.sock"),
            temporary: home.join("tmp"),
            home,
        }
    }
}

/// A home that this process holds: nobody else can run a node on it until this value is dropped.
#[derive(Debug)]
pub struct Home {
    paths: Paths,
    _lock: File,
}

impl Home {
    /// Creates the home where needed, private to its owner, and takes its lock.
    ///
    /// # Errors
    ///
    /// [`HomeError::InUse`] names the process that holds the lock.
    pub fn open(home: impl Into<PathBuf>) -> Result<Self, HomeError> {
        let home = home.into();
        // The program may change its directory while the node runs, and the node writes here until its end.
        let home = std::path::absolute(&home).map_err(|source| HomeError::Io { path: home, source })?;
        let paths = Paths::of(home);
        let fail = |source| HomeError::Io { path: paths.home.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&paths.home).map_err(fail)?;
        if !is_home(&paths).map_err(fail)? {
            return Err(HomeError::NoHome { path: paths.home });
        }
        fs::set_permissions(&paths.home, fs::Permissions::from_mode(0o700)).map_err(fail)?;
        let lock = take_lock(&paths)?;
        Ok(Self { paths, _lock: lock })
    }

    /// Where everything in this home is.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Reads the node's secret key, or makes one at the first start.
    ///
    /// # Errors
    ///
    /// An identity that cannot be read is never replaced: it is the node's name.
    pub fn identity(&self) -> Result<Keypair, HomeError> {
        let path = &self.paths.identity;
        let fail = |source| HomeError::Io { path: path.clone(), source };
        match File::open(path) {
            Ok(file) => {
                check_private(&file, path)?;
                let mut bytes = Vec::new();
                file.take(MAX_IDENTITY_LEN).read_to_end(&mut bytes).map_err(fail)?;
                Keypair::from_protobuf_encoding(&bytes)
                    .map_err(|source| HomeError::Identity { path: path.clone(), source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Keypair::generate_ed25519();
                let bytes = key
                    .to_protobuf_encoding()
                    .map_err(|source| HomeError::Identity { path: path.clone(), source })?;
                write_durably(path, &bytes).map_err(fail)?;
                Ok(key)
            }
            Err(error) => Err(fail(error)),
        }
    }
}

/// The process that holds the home at `home`, if any does now.
pub fn holder(home: &Path) -> Option<u32> {
    let paths = Paths::of(home);
    let mut file = File::open(&paths.lock).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => None,
        Err(_) => Some(read_pid(&mut file)),
    }
}

/// Whether a folder is a home, or may become one: any other is not ours to close to others.
fn is_home(paths: &Paths) -> io::Result<bool> {
    if [&paths.lock, &paths.identity, &paths.store].iter().any(|path| path.exists()) {
        return Ok(true);
    }
    for entry in fs::read_dir(&paths.home)? {
        if entry?.file_name() != CONFIG {
            return Ok(false);
        }
    }
    Ok(true)
}

fn take_lock(paths: &Paths) -> Result<File, HomeError> {
    let fail = |source| HomeError::Io { path: paths.lock.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&paths.lock)
        .map_err(fail)?;
    if let Err(error) = lock_patiently(&file) {
        return Err(if error == Errno::WOULDBLOCK {
            HomeError::InUse { home: paths.home.clone(), pid: read_pid(&mut file) }
        } else {
            fail(error.into())
        });
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(fail)?;
    Ok(file)
}

/// Takes the lock. Whoever only looks at it ([`holder`]) has it for an instant, which is not worth failing for.
fn lock_patiently(file: &File) -> rustix::io::Result<()> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if tries < LOCK_TRIES => tries += 1,
            taken => return taken,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// The number in a lock file, 0 while its holder has not written it yet.
fn read_pid(file: &mut File) -> u32 {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(16).read_to_string(&mut text));
    read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
}

fn check_private(file: &File, path: &Path) -> Result<(), HomeError> {
    let fail = |source| HomeError::Io { path: path.to_owned(), source };
    let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(HomeError::Exposed { path: path.to_owned(), mode }) }
}

/// Writes a file that did not exist, so that it is there whole after a crash or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    // A draft left by a crash was never anybody's identity.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::hard_link(&draft, path).and_then(|()| fs::remove_file(&draft))?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Another process runs a node here.
    #[error("already running (pid {pid}) on {}", home.display())]
    InUse {
        /// The home.
        home: PathBuf,
        /// Its holder; 0 in the instant before the holder has written it.
        pid: u32,
    },
    /// The folder is something else.
    #[error("{} is not a home: it holds other files", path.display())]
    NoHome {
        /// The folder.
        path: PathBuf,
    },
    /// A file of the home cannot be read or written.
    #[error("could not use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The identity file holds no key.
    #[error("{} is not a readable identity", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodingError,
    },
    /// Others on this machine can read the secret key.
    #[error("{} can be read by others (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl HomeError {
    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::InUse,
            Self::Io { .. } => ErrorKind::Disk,
            Self::NoHome { .. } => ErrorKind::Usage,
            Self::Identity { .. } | Self::Exposed { .. } => ErrorKind::Other,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("use another --home, or stop it with `shoal stop`".into()),
            Self::NoHome { .. } => Some("name a new folder, or an empty one, with --home".into()),
            Self::Io { .. } => None,
            Self::Identity { path, .. } => Some(format!(
                "restore it from a backup, or move {} away to become a new node",
                path.display()
            )),
            Self::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
        }
    }
}

/// Replaces a small file of what can be learnt again, in one step. Blocking.
pub(crate) fn replace(path: &Path, page: &impl Serialize) -> io::Result<()> {
    let bytes = serde_ipld_dagcbor::to_vec(page).map_err(io::Error::other)?;
    let draft = path.with_extension("new");
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests;
