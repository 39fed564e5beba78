//! A manifest as blobs: one, or a root and its pages, cut where the paths say so.
//!
//! A page ends where a hash of the last path in it says so, so an edit moves no cut but those next to it:
//! two versions of a directory share all pages but those that changed. Where the cuts are is part of the
//! format: it decides the CID.

use super::{
    Encoded, Entry, MAX_ENTRIES, MAX_MANIFEST_LEN, MAX_PAGE_LEN, MAX_ROOT_LEN, Manifest, ManifestError, wire,
};
use crate::{Digest, RelPath};

#[cfg(test)]
mod tests;

/// Shortest page but for the last. Shorter ones cost more to ask for than to send.
const MIN_PAGE_LEN: usize = 16 * 1024;

/// The weight of entries after which a page ends on average, once it is [`MIN_PAGE_LEN`] long: 64 KiB in all.
const CUT_ONCE_IN: u64 = 48 * 1024;

/// What an entry weighs on top of its path when its chance to end a page is reckoned.
const ENTRY_OVERHEAD: usize = 48;

/// The root of a manifest, as the CID of a directory names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// All of the manifest.
    Flat(Manifest),
    /// A list of pages, to be fetched.
    Paged(Pages),
}

impl Root {
    /// Decodes the blob that the CID of a directory names.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_ROOT_LEN {
            return Err(ManifestError::TooLong);
        }
        match wire::decode(bytes)? {
            wire::Blob::Flat(entries) => {
                let manifest = Manifest::new(entries)?;
                let canonical = manifest.encode().root == bytes;
                if canonical { Ok(Self::Flat(manifest)) } else { Err(ManifestError::NotCanonical) }
            }
            wire::Blob::Paged(refs) => {
                let sorted = refs.is_sorted_by(|a, b| a.first < b.first);
                let canonical = sorted && wire::encode_paged(&refs) == bytes;
                if canonical { Ok(Self::Paged(Pages { refs })) } else { Err(ManifestError::NotCanonical) }
            }
        }
    }
}

/// The pages that make up a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    refs: Vec<PageRef>,
}

/// A page of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRef {
    /// The path of its first entry.
    pub first: RelPath,
    /// The blob that it is, of [`MAX_PAGE_LEN`] bytes at most.
    pub digest: Digest,
}

impl Pages {
    /// The pages, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &PageRef> {
        self.refs.iter()
    }

    /// Puts the manifest together from its pages, given in order.
    ///
    /// Nothing is taken on trust: the result is a manifest only if encoding it gives this very root.
    ///
    /// # Errors
    /// See [`Assembly::push`] and [`Assembly::finish`].
    pub fn assemble<P: AsRef<[u8]>>(
        &self,
        pages: impl IntoIterator<Item = P>,
    ) -> Result<Manifest, ManifestError> {
        let mut assembly = self.assembly();
        for page in pages {
            assembly.push(page.as_ref())?;
        }
        assembly.finish()
    }

    /// Puts the manifest together from pages that come one after the other.
    pub fn assembly(&self) -> Assembly<'_> {
        Assembly { pages: self, max_len: MAX_MANIFEST_LEN, taken: 0, total_len: 0, entries: Vec::new() }
    }

    /// Whether these are the pages into which `entries` are cut.
    fn lists(&self, entries: &[Entry]) -> bool {
        let refs = cut(entries).map(|(first, page)| page_ref(first, &wire::encode_flat(page)));
        flat_len(entries) > MAX_ROOT_LEN && refs.eq(self.refs.iter().cloned())
    }
}

/// A manifest whose pages are still to come, in order.
///
/// Each page is checked when it comes, so that a root which lists thousands of pages that do not belong together costs
/// its reader one of them, and not the memory for all.
#[derive(Debug)]
pub struct Assembly<'a> {
    pages: &'a Pages,
    /// Bytes of all pages, at most.
    max_len: usize,
    taken: usize,
    total_len: usize,
    entries: Vec<Entry>,
}

impl Assembly<'_> {
    /// Takes the next page.
    ///
    /// # Errors
    /// It is not the one that the root lists here, or makes the manifest too long. Nothing can come of the manifest then.
    pub fn push(&mut self, page: &[u8]) -> Result<(), ManifestError> {
        let index = self.taken;
        let page_ref = self.pages.refs.get(index).ok_or(ManifestError::PageCount)?;
        self.taken += 1;
        self.total_len = self.total_len.saturating_add(page.len());
        if page.len() > MAX_PAGE_LEN || self.total_len > self.max_len {
            return Err(ManifestError::TooLong);
        }
        match wire::decode(page)? {
            wire::Blob::Flat(page) if page.first().map(|e| &e.path) == Some(&page_ref.first) => {
                self.entries.extend(page);
            }
            _ => return Err(ManifestError::WrongPage { index }),
        }
        if self.entries.len() > MAX_ENTRIES {
            return Err(ManifestError::TooManyEntries);
        }
        Ok(())
    }

    /// Gives the manifest, once all pages have come.
    ///
    /// # Errors
    /// Pages are missing, or encoding what they list does not give the root that they came with.
    pub fn finish(self) -> Result<Manifest, ManifestError> {
        if self.taken < self.pages.refs.len() {
            return Err(ManifestError::PageCount);
        }
        let manifest = Manifest::new(self.entries)?;
        if self.pages.lists(&manifest.entries) { Ok(manifest) } else { Err(ManifestError::NotCanonical) }
    }
}

/// Checks that sorted entries have an encoding within the limits.
pub(super) fn check_len(entries: &[Entry]) -> Result<(), ManifestError> {
    let flat_len = flat_len(entries);
    if flat_len <= MAX_ROOT_LEN {
        return Ok(());
    }
    let (count, refs_len) =
        cut(entries).fold((0, 0), |(count, len), (first, _)| (count + 1, len + wire::page_ref_len(first)));
    if flat_len > MAX_MANIFEST_LEN || wire::list_len(count, refs_len) > MAX_ROOT_LEN {
        return Err(ManifestError::TooLong);
    }
    Ok(())
}

/// Encodes sorted entries whose length was checked.
pub(super) fn encode(entries: &[Entry]) -> Encoded {
    if flat_len(entries) <= MAX_ROOT_LEN {
        return Encoded { root: wire::encode_flat(entries), pages: Vec::new() };
    }
    let (refs, pages): (Vec<PageRef>, Vec<Vec<u8>>) = cut(entries)
        .map(|(first, page)| (first, wire::encode_flat(page)))
        .map(|(first, page)| (page_ref(first, &page), page))
        .unzip();
    Encoded { root: wire::encode_paged(&refs), pages }
}

fn page_ref(first: &RelPath, page: &[u8]) -> PageRef {
    PageRef { first: first.clone(), digest: Digest::of(page) }
}

/// The length of all entries in one blob.
fn flat_len(entries: &[Entry]) -> usize {
    wire::list_len(entries.len(), entries.iter().map(wire::entry_len).sum())
}

/// Cuts sorted entries into pages, each with its first path.
fn cut(mut rest: &[Entry]) -> impl Iterator<Item = (&RelPath, &[Entry])> {
    std::iter::from_fn(move || {
        let first = &rest.first()?.path;
        let (page, after) = rest.split_at(page_end(rest));
        rest = after;
        Some((first, page))
    })
}

/// Counts the entries in the first page of some entries, at least one.
fn page_end(entries: &[Entry]) -> usize {
    let mut items_len = 0;
    for (index, entry) in entries.iter().enumerate() {
        items_len += wire::entry_len(entry);
        if wire::list_len(index + 1, items_len) > MAX_PAGE_LEN {
            return index;
        }
        if items_len >= MIN_PAGE_LEN && ends_page(&entry.path) {
            return index + 1;
        }
    }
    entries.len()
}

/// Whether a page that is long enough ends after `path`.
///
/// A path is as likely to end a page as it is long, so that pages are as long on average whatever the paths.
fn ends_page(path: &RelPath) -> bool {
    let hash = blake3::hash(path.as_str().as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    let weight = (path.as_str().len() + ENTRY_OVERHEAD) as u64;
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) < weight * (u64::MAX / CUT_ONCE_IN)
}
