//! Lists the files of a tree, and says what was left out and why.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use shoal_content::{ParsePathError, RelPath};

use crate::{Cancel, db::DATABASE, files::Files, stamp::Stamp};

#[cfg(test)]
mod tests;

/// Ending of the files and folders in which something is still being put together.
pub(crate) const PART_SUFFIX: &str = ".shoal-part";

/// Name of the file in the home of a node that has its secret key. Who shares a folder around a home would give that away,
/// so whatever has this and a store in it is left out, whosever it is.
pub const HOME_KEY: &str = "identity";
/// Name of the folder in the home of a node that is its store.
pub const HOME_STORE: &str = "store";

/// A file or folder that was left out.
#[derive(Debug)]
pub struct Skipped {
    /// Where it is.
    pub path: PathBuf,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why a file or folder was left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// It may lead anywhere, and is never followed.
    #[error("it is a symlink")]
    Symlink,
    /// A socket, pipe or device.
    #[error("it is not a regular file but {0}")]
    Special(&'static str),
    /// Its name is not UTF-8.
    #[error("its name is not UTF-8")]
    NotUtf8,
    /// Its name or path is one that no manifest can hold.
    #[error("{0}")]
    Path(ParsePathError),
    /// The disk or the system refused to give it.
    #[error("it could not be read: {0}")]
    Unreadable(io::Error),
    /// It was modified while it was read, twice.
    #[error("it kept changing while it was read")]
    Changing,
    /// It is being put together by a download.
    #[error("it is an unfinished download")]
    Unfinished,
    /// It belongs to this node.
    #[error("it is this node's own data")]
    Own,
    /// It belongs to another node, and has the secret key of that in it.
    #[error("it is the home of a node, with its secret key")]
    Home,
}

/// A file that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it is below the root; nothing if it is the root.
    pub(crate) path: Option<RelPath>,
    pub(crate) stamp: Stamp,
    pub(crate) executable: bool,
}

impl Found {
    fn new(path: Option<RelPath>, metadata: &Metadata) -> Self {
        // Whether its owner may run it.
        let executable = metadata.mode() & 0o100 != 0;
        Self { path, stamp: Stamp::of(metadata), executable }
    }

    /// The bytes of its path below the root.
    pub(crate) fn relative(&self) -> &[u8] {
        self.path.as_ref().map_or(&[], |path| path.as_str().as_bytes())
    }

    /// Its path, given that of the root.
    pub(crate) fn path_in(&self, root: &Path) -> PathBuf {
        self.path.as_ref().map_or_else(|| root.to_owned(), |path| root.join(path.as_str()))
    }
}

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Sorted by the bytes of their paths.
    pub(crate) files: Vec<Found>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Tree {
    /// What a walk would find if the root is a file.
    pub(crate) fn lone(metadata: &Metadata) -> Self {
        Self { files: vec![Found::new(None, metadata)], skipped: Vec::new() }
    }
}

/// Says what something is that cannot be published.
pub(crate) fn special(metadata: &Metadata) -> SkipReason {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        SkipReason::Symlink
    } else if kind.is_fifo() {
        SkipReason::Special("a pipe")
    } else if kind.is_socket() {
        SkipReason::Special("a socket")
    } else {
        SkipReason::Special("a device")
    }
}

/// Whether a folder is the home of a node.
pub(crate) fn is_home(files: &Files, folder: &Path) -> bool {
    let has = |path: PathBuf| files.stat(&path).is_ok_and(|metadata| metadata.is_file());
    has(folder.join(HOME_KEY)) && has(folder.join(HOME_STORE).join(DATABASE))
}

/// Walks the folder `root` without following any symlink, and without entering any of `exclude`.
///
/// Stops early when cancelled, with whatever was found until then.
pub(crate) fn walk(files: &Files, root: &Path, exclude: &[PathBuf], cancel: &Cancel) -> io::Result<Tree> {
    let mut tree = Tree::default();
    // Folders still to list, with their paths below the root, which end in a slash.
    let mut todo = vec![(root.to_owned(), String::new())];
    let mut is_root = true;
    while let Some((folder, prefix)) = todo.pop() {
        if cancel.is_cancelled() {
            break;
        }
        let entries = match files.list(&folder) {
            Ok(entries) => entries,
            Err(error) if is_root => return Err(error),
            Err(error) => {
                tree.skipped.push(Skipped { path: folder, reason: SkipReason::Unreadable(error) });
                continue;
            }
        };
        if entries.iter().any(|(name, _)| name == HOME_KEY) && is_home(files, &folder) {
            tree.skipped.push(Skipped { path: folder, reason: SkipReason::Home });
            continue;
        }
        is_root = false;
        for (name, metadata) in entries {
            let path = folder.join(&name);
            match look(&path, name.to_str(), &prefix, metadata, exclude) {
                Ok(Look::File(found)) => tree.files.push(found),
                Ok(Look::Folder(prefix)) => todo.push((path, prefix)),
                Err(reason) => tree.skipped.push(Skipped { path, reason }),
            }
        }
    }
    tree.files.sort_unstable_by(|a, b| a.relative().cmp(b.relative()));
    Ok(tree)
}

enum Look {
    File(Found),
    Folder(String),
}

fn look(
    path: &Path,
    name: Option<&str>,
    prefix: &str,
    metadata: io::Result<Metadata>,
    exclude: &[PathBuf],
) -> Result<Look, SkipReason> {
    let name = name.ok_or(SkipReason::NotUtf8)?;
    if exclude.iter().any(|own| own == path) {
        return Err(SkipReason::Own);
    }
    if name.ends_with(PART_SUFFIX) {
        return Err(SkipReason::Unfinished);
    }
    let metadata = metadata.map_err(SkipReason::Unreadable)?;
    let relative = RelPath::parse(&format!("{prefix}{name}")).map_err(SkipReason::Path)?;
    if metadata.is_dir() {
        Ok(Look::Folder(format!("{relative}/")))
    } else if metadata.is_file() {
        Ok(Look::File(Found::new(Some(relative), &metadata)))
    } else {
        Err(special(&metadata))
    }
}
