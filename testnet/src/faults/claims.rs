//! What a liar pretends to have: one content, or a directory that it claims to be fetching.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use shoal_content::{Digest, Encoded, Entry, GroupRanges, Manifest, NetworkName, ProviderKey, RelPath};

use super::blob::Blob;

/// As many ranges as an answer may name.
const MOST_RANGES: u64 = 1024;

/// Which files of its directory a liar says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// All of them.
    All,
    /// All of them, and all others that there can be a number for.
    Beyond,
    /// Every other one, in as many ranges as an answer may name, most of them beyond the directory.
    Scattered,
    /// More and fewer of them, and others each time that it is asked.
    Changing,
}

impl Claim {
    /// What it claims of so many files when it has claimed something so often.
    fn files(self, files: u64, before: u64) -> GroupRanges {
        match self {
            Self::All => GroupRanges::all(files),
            Self::Beyond => GroupRanges::all(u64::MAX),
            Self::Scattered => (0..MOST_RANGES).map(|number| 2 * number..2 * number + 1).collect(),
            Self::Changing if before.is_multiple_of(2) => GroupRanges::all(files),
            Self::Changing => GroupRanges::all(1 + before % files.max(1)),
        }
    }
}

/// The files of a directory, in memory.
pub(super) struct Directory {
    manifest: Manifest,
    contents: Vec<Vec<u8>>,
}

impl Directory {
    pub(super) fn read(tree: &Path) -> Result<Self> {
        let mut found = Vec::new();
        walk(tree, &mut found)?;
        let (mut entries, mut contents) = (Vec::new(), Vec::new());
        for path in found {
            let content = fs::read(&path)?;
            let name = path.strip_prefix(tree)?.to_str().context("a name that is not UTF-8")?;
            entries.push(Entry {
                path: RelPath::parse(name)?,
                size: content.len() as u64,
                digest: Digest::of(&content),
                executable: fs::metadata(&path)?.permissions().mode() & 0o100 != 0,
            });
            contents.push(content);
        }
        Ok(Self { manifest: Manifest::new(entries)?, contents })
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// All that a liar seems to have. What it is about comes first.
pub(super) struct Pretence {
    blobs: Vec<(ProviderKey, Blob)>,
    /// The root and the pages of a manifest at the beginning of these; none if it is about one content.
    of_manifest: usize,
    claim: Option<(Claim, u64)>,
}

impl Pretence {
    pub(super) fn of_blob(network: &NetworkName, content: &[u8]) -> Self {
        Self { blobs: named(network, [content]), of_manifest: 0, claim: None }
    }

    pub(super) fn of_directory(network: &NetworkName, directory: &Directory, claim: Claim) -> Self {
        let Encoded { root, pages } = directory.manifest.encode();
        let manifest = std::iter::once(&root).chain(&pages);
        let all = manifest.chain(&directory.contents).map(Vec::as_slice);
        let files = directory.manifest.entries().len() as u64;
        Self { blobs: named(network, all), of_manifest: 1 + pages.len(), claim: Some((claim, files)) }
    }

    /// Of what it is about.
    pub(super) fn key(&self) -> ProviderKey {
        self.blobs[0].0
    }

    pub(super) fn by_key(&self, key: &ProviderKey) -> Option<(&Blob, Part)> {
        self.find(|(known, _)| known == key)
    }

    pub(super) fn by_digest(&self, digest: &Digest) -> Option<(&Blob, Part)> {
        self.find(|(_, blob)| blob.digest() == *digest)
    }

    fn find(&self, is_it: impl Fn(&(ProviderKey, Blob)) -> bool) -> Option<(&Blob, Part)> {
        let index = self.blobs.iter().position(is_it)?;
        let part = match index {
            0 if self.of_manifest > 0 => Part::Root,
            index if index < self.of_manifest => Part::Page,
            _ => Part::Content,
        };
        Some((&self.blobs[index].1, part))
    }

    /// The files that it claims to have, when it has claimed something so often.
    pub(super) fn files(&self, before: u64) -> Option<GroupRanges> {
        self.claim.map(|(claim, files)| claim.files(files, before))
    }
}

/// What a blob is to the liar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Root,
    Page,
    Content,
}

fn named<'a>(
    network: &NetworkName,
    contents: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<(ProviderKey, Blob)> {
    let blobs = contents.into_iter().map(Blob::new);
    blobs.map(|blob| (ProviderKey::derive(network, &blob.digest()), blob)).collect()
}
