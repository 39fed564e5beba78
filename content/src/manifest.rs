//! What a directory is: the paths, sizes and digests of its files.

use crate::{Cid, Digest, ParsePathError, RelPath};

mod pages;
mod wire;

#[cfg(test)]
mod tests;

pub use pages::{Assembly, PageRef, Pages, Root};

/// Most files in a directory. Each takes some 150 bytes of memory in whoever reads the manifest.
pub const MAX_ENTRIES: usize = 1_000_000;

/// Longest root, and so longest manifest that needs no pages. It is fetched before anything is known about
/// the directory, so a stranger can make us fetch this much.
pub const MAX_ROOT_LEN: usize = 1024 * 1024;

/// Longest page. Pages are cut long before; this is what a stranger can make us fetch for one.
pub const MAX_PAGE_LEN: usize = 1024 * 1024;

/// Longest manifest with all its pages. A million of the longest paths is a gigabyte, and all of them are
/// held in memory; a million of ordinary ones is half of this.
pub const MAX_MANIFEST_LEN: usize = 256 * 1024 * 1024;

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in the directory.
    pub path: RelPath,
    /// Its length in bytes: a claim of the publisher until its content is verified.
    pub size: u64,
    /// Its content.
    pub digest: Digest,
    /// Whether its owner may run it.
    pub executable: bool,
}

/// The files of a directory: sorted, each path once, and none that would be both a file and a folder.
///
/// The same files make the same manifest on every machine, so its root names the directory.
///
/// ```
/// use shoal_content::{Digest, Entry, Manifest, RelPath, Root};
///
/// let path = RelPath::parse("docs/readme.txt")?;
/// let entry = Entry { path, size: 5, digest: Digest::of(b"hello"), executable: false };
/// let manifest = Manifest::new(vec![entry])?;
/// let encoded = manifest.encode();
/// assert_eq!(Root::decode(&encoded.root)?, Root::Flat(manifest));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
    total_size: u64,
}

impl Manifest {
    /// Makes a manifest of files in any order.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, ManifestError> {
        if entries.len() > MAX_ENTRIES {
            return Err(ManifestError::TooManyEntries);
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        check_paths(&entries)?;
        let total_size = entries.iter().try_fold(0, |sum: u64, entry| sum.checked_add(entry.size));
        let total_size = total_size.ok_or(ManifestError::TotalSize)?;
        pages::check_len(&entries)?;
        // It is kept for long, and what the list grew by in advance is as long as itself.
        entries.shrink_to_fit();
        Ok(Self { entries, total_size })
    }

    /// The files, sorted by the bytes of their paths.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The sum of the sizes of all files.
    pub fn total_size(&self) -> u64 {
        self.total_size
    }

    /// Gives the one encoding of this manifest.
    pub fn encode(&self) -> Encoded {
        pages::encode(&self.entries)
    }
}

/// The blobs that describe a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The blob that the CID of the directory names.
    pub root: Vec<u8>,
    /// The blobs that the root lists, in order; none if everything is in the root.
    pub pages: Vec<Vec<u8>>,
}

impl Encoded {
    /// Names the directory.
    pub fn cid(&self) -> Cid {
        Cid::directory(Digest::of(&self.root))
    }
}

/// Checks that sorted entries can all exist at once.
fn check_paths(entries: &[Entry]) -> Result<(), ManifestError> {
    let mut previous: Option<&RelPath> = None;
    for Entry { path, .. } in entries {
        if previous == Some(path) {
            return Err(ManifestError::Duplicate { path: path.clone() });
        }
        for folder in path.ancestors() {
            // The neighbour before has mostly been asked the same question.
            let known = previous.and_then(|p| p.as_str().strip_prefix(folder));
            let is_known = known.is_some_and(|rest| rest.starts_with('/'));
            let find = || entries.binary_search_by(|e| e.path.as_str().cmp(folder));
            if !is_known && let Some(file) = find().ok().and_then(|at| entries.get(at)) {
                return Err(ManifestError::FileAndFolder { path: file.path.clone() });
            }
        }
        previous = Some(path);
    }
    Ok(())
}

/// Why some files make no manifest, or some bytes are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More than [`MAX_ENTRIES`].
    #[error("a directory can have {MAX_ENTRIES} files, and this one has more")]
    TooManyEntries,
    /// Longer than [`MAX_ROOT_LEN`], [`MAX_PAGE_LEN`] or [`MAX_MANIFEST_LEN`].
    #[error("the paths of the directory are too long for its manifest")]
    TooLong,
    /// Two files have the same path.
    #[error("{path:?} is in the directory twice")]
    Duplicate {
        /// The path of both.
        path: RelPath,
    },
    /// A path is a file, and another leads through it.
    #[error("{path:?} is both a file and a folder")]
    FileAndFolder {
        /// The path of the file.
        path: RelPath,
    },
    /// The sizes add up to more than there can be.
    #[error("the sizes of the files add up to more than any disk holds")]
    TotalSize,
    /// A path that could lead out of the directory.
    #[error("the manifest has the unsafe path {text:?}")]
    Path {
        /// The path as it came: escape it before showing it.
        text: String,
        /// What is wrong with it.
        source: ParsePathError,
    },
    /// Flags whose meaning this version does not know.
    #[error("{path:?} has flags that this version does not know")]
    Flags {
        /// The path of the file.
        path: RelPath,
    },
    /// A manifest of a later version.
    #[error("the manifest is of version {version}, which this version cannot read")]
    Version {
        /// Its version.
        version: u8,
    },
    /// Bytes that are no manifest.
    #[error("this is not the manifest of a directory")]
    Malformed,
    /// A manifest written in another way than the one in which everybody writes it.
    #[error("the manifest is not in its one canonical form")]
    NotCanonical,
    /// A page that is not the one the root lists there.
    #[error("page {index} of the manifest is not the one that its root lists")]
    WrongPage {
        /// Which page.
        index: usize,
    },
    /// More or fewer pages than the root lists.
    #[error("the manifest has more or fewer pages than its root lists")]
    PageCount,
}
