//! What a file or a tree holds, to compare it with another.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use shoal_content::Digest;

/// Everything that a CID promises about a file or a tree: paths, bytes and which files are programs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, Found>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    size: u64,
    executable: bool,
    digest: Digest,
}

impl Snapshot {
    /// Reads all of the file or tree at `path`. A file alone has the empty path, whatever its name.
    ///
    /// # Errors
    ///
    /// Something cannot be read, or is neither a file nor a folder.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut snapshot = Self::default();
        snapshot.add(path, Path::new(""))?;
        Ok(snapshot)
    }

    fn add(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        let metadata = path.symlink_metadata()?;
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                self.add(&entry.path(), &name.join(entry.file_name()))?;
            }
            return Ok(());
        }
        if !metadata.is_file() {
            return Err(io::Error::other(format!("{} is neither file nor folder", path.display())));
        }
        // A file alone carries no permissions; in a tree, the manifest does.
        let in_tree = !name.as_os_str().is_empty();
        let executable = in_tree && metadata.permissions().mode() & 0o100 != 0;
        let found = Found { size: metadata.len(), executable, digest: digest(path)? };
        self.files.insert(name.to_owned(), found);
        Ok(())
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.values().map(|found| found.size).sum()
    }

    /// The first thing in which `other` is not the same, in words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        for (name, ours) in &self.files {
            match other.files.get(name) {
                None => return Some(format!("{name:?} is missing")),
                Some(theirs) if theirs != ours => {
                    return Some(format!("{name:?} is {theirs:?} and not {ours:?}"));
                }
                Some(_) => {}
            }
        }
        let added = other.files.keys().find(|name| !self.files.contains_key(*name));
        added.map(|name| format!("{name:?} is there and should not be"))
    }
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(Digest::from_bytes(*hasher.finalize().as_bytes()))
}
