//! Where a get puts what it fetches, and where that grows until it is whole.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use shoal_content::{Cid, Kind, Manifest};
use shoal_store::{Cancel, PublishObserver, PublishOptions, hash_only};

use super::{GetError, place::Placed};

/// Longest name of one file on the systems that this runs on, in bytes.
const MAX_NAME_LEN: usize = 255;
/// Ends the name of what is not whole yet.
const PART_SUFFIX: &str = ".shoal-part";
/// Characters of the CID that tell shortened names apart.
const CID_PIECE: usize = 12;
/// Numbers tried for a free name; a folder with more copies of one name has another problem.
const MAX_COPIES: u32 = 10_000;

/// What to do when the target exists and holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    /// Fail and leave it alone.
    #[default]
    Never,
    /// Put the fetched content in its place, in one step.
    Overwrite,
    /// Choose another name, as in `photo (1).jpg`.
    Rename,
}

impl Replace {
    /// What is left to the store: a free name was chosen before.
    pub(crate) fn of_store(self) -> shoal_store::Replace {
        match self {
            Self::Never | Self::Rename => shoal_store::Replace::Never,
            Self::Overwrite => shoal_store::Replace::Overwrite,
        }
    }
}

/// What `to` is now, should the program change its directory while the get runs.
pub(crate) fn absolute(to: &Path) -> PathBuf {
    let to = if to.as_os_str().is_empty() { Path::new("./") } else { to };
    std::path::absolute(to).unwrap_or_else(|_| to.to_owned())
}

/// The path that content of that name gets when the caller said `to`: a folder holds it, anything else is its name.
pub(crate) fn resolve(to: &Path, name: &str) -> PathBuf {
    let says_folder = to.as_os_str().as_bytes().ends_with(b"/");
    if says_folder || to.is_dir() { to.join(name) } else { to.to_owned() }
}

/// Where the content of `target` grows: beside it, so that the last step is a rename on one file system.
pub(crate) fn part_of(target: &Path, cid: &Cid) -> PathBuf {
    let name = target.file_name().unwrap_or_default();
    let room = MAX_NAME_LEN - PART_SUFFIX.len() - 1;
    let mut part = OsString::from(".");
    if name.len() <= room {
        part.push(name);
    } else {
        let name = name.to_string_lossy();
        let piece: String = cid.to_string().chars().rev().take(CID_PIECE).collect();
        part.push(&name[..name.floor_char_boundary(room.saturating_sub(CID_PIECE + 1))]);
        part.push("-");
        part.push(piece);
    }
    part.push(PART_SUFFIX);
    target.with_file_name(part)
}

/// The first of `name (1).ext`, `name (2).ext`, … that nothing has.
pub(crate) fn free_name(target: &Path) -> Option<PathBuf> {
    other_names(target).find(|name| !is_taken(name))
}

/// The names before the [`free_name`], at which earlier gets may have saved.
pub(crate) fn taken_names(target: &Path) -> impl Iterator<Item = PathBuf> {
    other_names(target).take_while(|name| is_taken(name))
}

fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// `name (1).ext`, `name (2).ext`, …
fn other_names(target: &Path) -> impl Iterator<Item = PathBuf> {
    let stem = target.file_stem().unwrap_or_default();
    (1..MAX_COPIES).map(move |copy| {
        let mut name = stem.to_owned();
        name.push(format!(" ({copy})"));
        if let Some(extension) = target.extension() {
            name.push(".");
            name.push(extension);
        }
        target.with_file_name(name)
    })
}

/// Whether what stands at the target is of the kind that may be replaced: never a device, and no folder by a file.
pub(crate) fn replaceable(target: &Path, kind: Kind) -> bool {
    target.symlink_metadata().is_ok_and(|metadata| match kind {
        Kind::File => metadata.is_file() || metadata.is_symlink(),
        Kind::Directory => metadata.is_dir(),
    })
}

/// Makes the folder to save in.
pub(crate) fn make_folder(folder: &Path) -> Result<(), GetError> {
    let in_the_way = folder.ancestors().find(|path| path.symlink_metadata().is_ok());
    match in_the_way {
        Some(path) if !path.is_dir() => Err(GetError::NoFolder { path: path.to_owned() }),
        _ => std::fs::create_dir_all(folder)
            .map_err(|source| GetError::Disk { path: folder.to_owned(), source }),
    }
}

/// Whether a folder may be the directory, going by the names and sizes of files: quick, and mostly the answer is no.
pub(crate) fn looks_like(folder: &Path, manifest: &Manifest) -> bool {
    manifest.entries().iter().all(|entry| {
        let found = folder.join(entry.path.as_str()).symlink_metadata();
        found.is_ok_and(|found| found.is_file() && found.len() == entry.size)
    })
}

/// Reads what stands at `path`, and gives it if it is `cid`. A symlink is followed: the user put it there. Stops when it
/// turns out to have other than the `expected` bytes and files.
pub(crate) fn compare(
    path: &Path,
    cid: &Cid,
    expected: Option<(u64, u64)>,
    cancel: &Cancel,
) -> Option<Placed> {
    let metadata = path.metadata().ok()?;
    let fits = match cid.kind() {
        Kind::File => metadata.is_file(),
        Kind::Directory => metadata.is_dir(),
    };
    if !fits {
        return None;
    }
    let found = hash_only(path, &PublishOptions::default(), &Expecting { expected, cancel }, cancel).ok()?;
    let placed = Placed {
        path: path.to_owned(),
        size: found.size,
        files: found.files,
        already_there: true,
        merged: false,
    };
    (found.cid == *cid).then_some(placed)
}

/// Cancels a comparison that cannot come out well.
struct Expecting<'a> {
    expected: Option<(u64, u64)>,
    cancel: &'a Cancel,
}

impl PublishObserver for Expecting<'_> {
    fn total(&self, bytes: u64, files: u64) {
        if self.expected.is_some_and(|expected| expected != (bytes, files)) {
            self.cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cid() -> Cid {
        Cid::file(shoal_content::Digest::of(b"x"))
    }

    #[test]
    fn a_folder_holds_it_and_anything_else_is_its_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(resolve(folder.path(), "a.txt"), folder.path().join("a.txt"));
        assert_eq!(resolve(Path::new("out/"), "a.txt"), Path::new("out/a.txt"));
        assert_eq!(resolve(Path::new("out"), "a.txt"), Path::new("out"));
    }

    #[test]
    fn the_part_lies_beside_the_target() {
        assert_eq!(part_of(Path::new("/d/a.txt"), &cid()), Path::new("/d/.a.txt.shoal-part"));
    }

    #[test]
    fn a_long_name_is_shortened_between_characters() {
        let name = "é".repeat(127);
        let part = part_of(&Path::new("/d").join(&name), &cid());
        let part = part.file_name().unwrap().to_str().unwrap();
        assert!(part.len() <= MAX_NAME_LEN, "{} bytes", part.len());
        assert!(part.starts_with(".éé") && part.ends_with(PART_SUFFIX));
    }

    #[test]
    fn a_copy_gets_the_next_free_number() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.txt");
        std::fs::write(folder.path().join("a (1).txt"), "").unwrap();
        assert_eq!(free_name(&target).unwrap(), folder.path().join("a (2).txt"));
    }
}
