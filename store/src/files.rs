//! Every input and output of the store, through one door.
//!
//! A test can make any one call fail, or that call and all that follow, and so find out what is left on disk
//! when a disk does the same. Names are looked up relative to an open [`Dir`] wherever the store writes, and
//! the last component is never a symlink that is followed, so nothing is written where a name points today
//! but did not point a moment ago.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, Metadata, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
mod tests;

/// Most slices given to one vectored write: the least that POSIX systems must take is 16, Linux takes 1024.
const MAX_SLICES: usize = 256;

/// A lock that is in the way for longer is no look of somebody who asks whether there is one: such a look takes it too, for
/// a moment.
const LOOKED_AT: Duration = Duration::from_millis(100);

/// Time between two tries to take a lock.
const HOLD_AGAIN: Duration = Duration::from_millis(1);

/// Mode of files that only their owner is to read: what is shared is the owner's business.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// Mode of files and folders made for the user, cut by the umask as everywhere.
const FILE: Mode = Mode::from_raw_mode(0o666);
const FOLDER: Mode = Mode::from_raw_mode(0o777);

/// The door. Clones share the same faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    #[cfg(test)]
    faults: std::sync::Arc<fault::Faults>,
}

impl Files {
    #[cfg(test)]
    pub(crate) fn with_faults(faults: std::sync::Arc<fault::Faults>) -> Self {
        Self { faults }
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.faults.step()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests fail here")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    /// Waits for the disk; not in tests, which lose no power and would mostly wait.
    fn sync_step(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.step()?;
        if cfg!(test) { Ok(()) } else { sync() }
    }

    /// Opens a file to be read that others may be changing, replacing or turning into a pipe.
    pub(crate) fn open_source(&self, path: &Path) -> io::Result<Handle> {
        self.step()?;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        Ok(Handle { file, files: self.clone() })
    }

    /// Describes what is at `path`, itself even if it is a symlink.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Metadata> {
        self.step()?;
        fs::symlink_metadata(path)
    }

    /// Lists a folder, with a description of each entry if it could be had.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<(OsString, io::Result<Metadata>)>> {
        self.step()?;
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name(), self.step().and_then(|()| entry.metadata())))
            })
            .collect()
    }

    /// Opens a folder whose path is the user's own business, symlinks included.
    pub(crate) fn dir(&self, path: &Path) -> io::Result<Dir> {
        self.step()?;
        let fd = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY, Mode::empty())?;
        Ok(Dir { file: File::from(fd), files: self.clone() })
    }
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Dir {
    file: File,
    files: Files,
}

impl Dir {
    fn openat(&self, name: &OsStr, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        self.files.step()?;
        Ok(rustix::fs::openat(&self.file, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)?)
    }

    fn handle(&self, fd: OwnedFd) -> Handle {
        Handle { file: File::from(fd), files: self.files.clone() }
    }

    /// Opens a folder in this one, and makes it first if it is not there.
    pub(crate) fn open_or_make_dir(&self, name: &OsStr) -> io::Result<Self> {
        match self.open_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.make_dir(name) {
                    // Another thread was faster, which is as good.
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                    _ => self.open_dir(name),
                }
            }
            opened => opened,
        }
    }

    /// Opens a folder in this one.
    pub(crate) fn open_dir(&self, name: &OsStr) -> io::Result<Self> {
        let fd = self.openat(name, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())?;
        Ok(Self { file: File::from(fd), files: self.files.clone() })
    }

    /// Makes a folder; one that is already there is an error.
    pub(crate) fn make_dir(&self, name: &OsStr) -> io::Result<()> {
        self.files.step()?;
        Ok(rustix::fs::mkdirat(&self.file, name, FOLDER)?)
    }

    /// Opens a file to be read.
    pub(crate) fn open(&self, name: &OsStr) -> io::Result<Handle> {
        Ok(self.handle(self.openat(name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?))
    }

    /// Opens a file to be read and written.
    pub(crate) fn open_writable(&self, name: &OsStr) -> io::Result<Handle> {
        Ok(self.handle(self.openat(name, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty())?))
    }

    /// Opens a private file to be read and written, and makes it first if it is not there.
    pub(crate) fn open_private(&self, name: &OsStr) -> io::Result<Handle> {
        Ok(self.handle(self.openat(name, OFlags::RDWR | OFlags::CREATE, PRIVATE)?))
    }

    /// Makes a file of the user's; one that is already there is an error.
    pub(crate) fn create(&self, name: &OsStr) -> io::Result<Handle> {
        Ok(self.handle(self.openat(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, FILE)?))
    }

    /// Makes an empty private file in place of whatever had the name.
    pub(crate) fn create_private(&self, name: &OsStr) -> io::Result<Handle> {
        Ok(self.handle(self.openat(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC, PRIVATE)?))
    }

    /// Whether what has the name is a folder; that nothing has it is an error.
    pub(crate) fn is_dir(&self, name: &OsStr) -> io::Result<bool> {
        self.files.step()?;
        let stat = rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
    }

    /// Names the files in this folder.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        self.files.step()?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.file)? {
            let name = entry?.file_name().to_owned();
            let name = OsString::from(String::from_utf8_lossy(name.to_bytes()).into_owned());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes a file; that it is not there is no error.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.files.step()?;
        match rustix::fs::unlinkat(&self.file, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes an empty folder.
    pub(crate) fn remove_dir(&self, name: &OsStr) -> io::Result<()> {
        self.files.step()?;
        Ok(rustix::fs::unlinkat(&self.file, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames over whatever has the new name.
    pub(crate) fn rename(&self, from: &OsStr, to_dir: &Self, to: &OsStr) -> io::Result<()> {
        self.files.step()?;
        Ok(rustix::fs::renameat(&self.file, from, &to_dir.file, to)?)
    }

    /// Renames unless something has the new name, which is the error `AlreadyExists`.
    pub(crate) fn rename_new(&self, from: &OsStr, to_dir: &Self, to: &OsStr) -> io::Result<()> {
        self.files.step()?;
        match rustix::fs::renameat_with(&self.file, from, &to_dir.file, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => self.rename_new_by_hand(from, to_dir, to),
            done => Ok(done?),
        }
    }

    /// For file systems without a rename that refuses to replace: a hard link refuses just as well, and
    /// where there are none (FAT) or for a folder a look before the rename must do.
    fn rename_new_by_hand(&self, from: &OsStr, to_dir: &Self, to: &OsStr) -> io::Result<()> {
        match rustix::fs::linkat(&self.file, from, &to_dir.file, to, AtFlags::empty()) {
            Ok(()) => return Ok(rustix::fs::unlinkat(&self.file, from, AtFlags::empty())?),
            Err(Errno::EXIST) => return Err(Errno::EXIST.into()),
            Err(_) => {}
        }
        match rustix::fs::statat(&to_dir.file, to, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(Errno::NOENT) => Ok(rustix::fs::renameat(&self.file, from, &to_dir.file, to)?),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the names in this folder durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files.sync_step(|| self.file.sync_all())
    }

    /// Makes everything written so far to the file system of this folder durable, at the price of one call.
    /// Gives false where there is no such call, and nothing was done.
    #[cfg(target_os = "linux")]
    pub(crate) fn sync_filesystem(&self) -> io::Result<bool> {
        self.files.sync_step(|| Ok(rustix::fs::syncfs(&self.file)?)).map(|()| true)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn sync_filesystem(&self) -> io::Result<bool> {
        self.files.step().map(|()| false)
    }

    /// How many bytes the file system of this folder has left for us.
    pub(crate) fn space(&self) -> io::Result<u64> {
        self.files.step()?;
        let stat = rustix::fs::fstatvfs(&self.file)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Shows other processes that the folder is being filled, for as long as it is open. Gives false where one of them fills
    /// it. Where the file system has no locks nobody is shown anything, and nothing else is lost.
    pub(crate) fn hold(&self) -> bool {
        hold(&self.file)
    }

    /// Describes the folder itself.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.files.step()?;
        self.file.metadata()
    }
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Handle {
    file: File,
    files: Files,
}

impl Handle {
    /// Fills `buffer` from `offset`; the end of the file before that is the error `UnexpectedEof`.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.files.step()?;
        self.file.read_exact_at(buffer, offset)
    }

    /// Fills `slices` one after the other from `offset` on, with as few calls as it takes.
    pub(crate) fn read_slices_at(&self, slices: &mut [&mut [u8]], mut offset: u64) -> io::Result<()> {
        for batch in slices.chunks_mut(MAX_SLICES) {
            self.files.step()?;
            #[cfg(not(target_vendor = "apple"))]
            let mut read = {
                let mut vectors: Vec<_> = batch.iter_mut().map(|slice| IoSliceMut::new(slice)).collect();
                rustix::io::preadv(&self.file, &mut vectors, offset)?
            };
            #[cfg(target_vendor = "apple")]
            let mut read = 0;
            // A call that read less than all is rare: a signal, or the end of a file that was cut.
            for slice in batch {
                let done = read.min(slice.len());
                read -= done;
                self.file.read_exact_at(slice.get_mut(done..).unwrap_or_default(), offset + done as u64)?;
                offset += slice.len() as u64;
            }
        }
        Ok(())
    }

    /// Whether there is anything at `offset`.
    pub(crate) fn has_byte_at(&self, offset: u64) -> io::Result<bool> {
        self.files.step()?;
        Ok(self.file.read_at(&mut [0], offset)? > 0)
    }

    /// Reads all of a file that should be short; a longer one is cut off after `limit` bytes.
    pub(crate) fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        self.files.step()?;
        let len = self.file.metadata()?.len().min(limit);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.files.step()?;
        self.file.write_all_at(bytes, offset)
    }

    /// Writes `slices` one after the other from `offset` on, with as few calls as it takes.
    pub(crate) fn write_slices_at(&self, slices: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for batch in slices.chunks(MAX_SLICES) {
            self.files.step()?;
            let vectors: Vec<_> = batch.iter().map(|slice| IoSlice::new(slice)).collect();
            #[cfg(not(target_vendor = "apple"))]
            let mut written = rustix::io::pwritev(&self.file, &vectors, offset)?;
            #[cfg(target_vendor = "apple")]
            let mut written = 0;
            // A call that wrote less than all is rare: a signal, or a disk about to be full.
            for slice in batch {
                let done = written.min(slice.len());
                written -= done;
                self.file.write_all_at(slice.get(done..).unwrap_or_default(), offset + done as u64)?;
                offset += slice.len() as u64;
            }
        }
        Ok(())
    }

    /// Cuts the file, or extends it with zeros.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.files.step()?;
        self.file.set_len(len)
    }

    /// Makes the bytes durable, and the size.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.files.sync_step(|| self.file.sync_data())
    }

    /// Describes the file.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.files.step()?;
        self.file.metadata()
    }

    /// Lets everybody run the file who may read it.
    pub(crate) fn make_executable(&self) -> io::Result<()> {
        self.files.step()?;
        let mut permissions = self.file.metadata()?.permissions();
        let mode = permissions.mode();
        permissions.set_mode(mode | ((mode & 0o444) >> 2));
        self.file.set_permissions(permissions)
    }

    /// Shows other processes that the file is being filled, as [`Dir::hold`] does.
    pub(crate) fn hold(&self) -> bool {
        hold(&self.file)
    }

    /// Whether somebody else shows that it is being filled.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
    }

    /// Takes the file for this process alone, unless another has it.
    pub(crate) fn try_lock(&self) -> Result<(), fs::TryLockError> {
        self.files.step().map_err(fs::TryLockError::Error)?;
        self.file.try_lock()
    }
}

fn hold(file: &File) -> bool {
    let start = Instant::now();
    while matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        if start.elapsed() >= LOOKED_AT {
            return false;
        }
        thread::sleep(HOLD_AGAIN);
    }
    true
}

impl AsFd for Handle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}
