//! The file that a blob is received to, which must be ours before anything is written to it.

use std::{ffi::OsString, io, path::PathBuf};

use crate::{
    files::{Dir, Handle},
    stamp::FileId,
};

/// A part file, by its name in an open folder.
#[derive(Debug)]
pub(crate) struct PartFile {
    pub(crate) dir: Dir,
    pub(crate) name: OsString,
    pub(crate) path: PathBuf,
    pub(crate) folder: Folder,
}

/// Whose a folder is, and so whatever is found in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folder {
    /// The user's.
    Theirs,
    /// The store made it, to put a directory together.
    Ours,
}

/// Why a part file cannot be used.
#[derive(Debug)]
pub(crate) enum PartTrouble {
    /// It is not ours.
    Foreign,
    /// It is ours, and somebody else wrote to it.
    Touched,
    Io(io::Error),
}

impl From<io::Error> for PartTrouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl PartFile {
    /// Makes the file. In a folder of ours one that is there is replaced; elsewhere it is only used if `is_ours`
    /// says that nothing in it is anybody's.
    pub(crate) fn make(&self, is_ours: impl Fn(&Handle) -> io::Result<bool>) -> Result<Handle, PartTrouble> {
        match self.dir.create(&self.name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok(made?),
        }
        if self.folder == Folder::Ours {
            self.dir.remove(&self.name)?;
            return Ok(self.dir.create(&self.name)?);
        }
        let found = self.dir.open_writable(&self.name).map_err(|_| PartTrouble::Foreign)?;
        if found.metadata()?.is_file() && is_ours(&found)? { Ok(found) } else { Err(PartTrouble::Foreign) }
    }

    /// Whether somebody else is filling the file of that name.
    pub(crate) fn is_held(&self) -> bool {
        self.dir.open(&self.name).is_ok_and(|file| file.is_held())
    }

    /// Whether the file of that name is still the one with this identity.
    pub(crate) fn is(&self, id: FileId) -> io::Result<bool> {
        match self.dir.open(&self.name).and_then(|file| file.metadata()) {
            Ok(metadata) => Ok(FileId::of(&metadata) == id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
