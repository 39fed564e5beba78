//! Why a blob is kept, and how that is written.

use std::{os::unix::ffi::OsStrExt, path::Path};

use shoal_content::Digest;

/// Why a blob is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder<'a> {
    /// A file in place has these bytes.
    Source(&'a Path),
    /// It is the root of the manifest of a directory that is shared at this path.
    Share(&'a Path),
    /// It is a page of this manifest.
    Manifest(&'a Digest),
    /// It is the root of the manifest of a directory that is being put together at this path.
    Download(&'a Path),
}

impl Holder<'_> {
    pub(super) fn key(&self, digest: &Digest) -> Vec<u8> {
        let (tag, bytes) = match self {
            Self::Source(path) => (b's', path.as_os_str().as_bytes()),
            Self::Share(path) => (b'd', path.as_os_str().as_bytes()),
            Self::Manifest(root) => (b'm', root.as_bytes().as_slice()),
            Self::Download(path) => (b'p', path.as_os_str().as_bytes()),
        };
        [digest.as_bytes(), [tag].as_slice(), bytes].concat()
    }
}
