//! The bytes of a blob that is being received, in memory or on disk.

use std::{
    io,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use shoal_content::{GROUP_LEN, GroupRanges, PARENT_LEN, Tree};

use super::{PartFile, PartTrouble, Place, SMALL_LEN, Shared, State, Verified, WriteError, record};
use crate::{
    blob::pair_in,
    files::Handle,
    lock::lock,
    stamp::{FileId, Stamp},
};

#[derive(Debug)]
pub(crate) enum Body {
    Memory(Memory),
    Disk(Arc<Disk>),
}

/// A small blob. Both buffers grow with what was verified, never with what was claimed.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) data: Vec<u8>,
    pub(crate) pairs: Vec<u8>,
}

/// A blob on disk, open.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) data: Handle,
    pub(super) pairs: Handle,
    pub(crate) id: FileId,
    /// Under which its record and its pairs are kept.
    pub(crate) stem: String,
    /// The number of the next record.
    pub(super) sequence: AtomicU64,
    /// Held while writing: a file takes one writer at a time, and those who wait for it in the kernel keep a core busy.
    pub(super) writer: Mutex<Writer>,
}

/// What is known of the writing to a file.
#[derive(Debug)]
pub(super) struct Writer {
    writing: Writing,
    /// What the file looked like after our last write.
    stamp: Stamp,
    /// It looked otherwise before one of our writes, or now: somebody else writes to it.
    touched: bool,
}

impl Writer {
    pub(super) fn new(stamp: Stamp) -> Mutex<Self> {
        Mutex::new(Self { writing: Writing::Open, stamp, touched: false })
    }

    /// Notes whether somebody else wrote to the file since our last write, as far as its stamp shows that.
    fn look(&mut self, file: &Handle) -> io::Result<()> {
        self.touched |= Stamp::of(&file.metadata()?) != self.stamp;
        Ok(())
    }
}

/// Whether a file is still written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    Over,
}

impl Memory {
    pub(super) fn write(&mut self, tree: Tree, items: &[Verified<'_>]) {
        for item in items {
            match item {
                Verified::Parent { index, pair } => put(&mut self.pairs, index * PARENT_LEN as u64, *pair),
                Verified::Leaf { group, bytes } => put(&mut self.data, tree.group_span(*group).start, bytes),
            }
        }
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        let bytes = self.data.get(usize::try_from(offset).ok()?..)?.get(..buffer.len())?;
        buffer.copy_from_slice(bytes);
        Some(())
    }

    pub(super) fn parent(&self, index: u64) -> Option<[u8; PARENT_LEN]> {
        pair_in(&self.pairs, index)
    }
}

impl Disk {
    /// Writes runs of neighbours at once: a batch is mostly one run of pairs and one of groups. Nothing once that is over.
    pub(super) fn write(&self, items: &[Verified<'_>]) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        if writer.writing == Writing::Over {
            return Ok(());
        }
        writer.look(&self.data)?;
        let written = self.write_items(items);
        writer.stamp = Stamp::of(&self.data.metadata()?);
        written
    }

    fn write_items(&self, items: &[Verified<'_>]) -> io::Result<()> {
        let mut pairs: Vec<u8> = Vec::new();
        let mut groups: Vec<&[u8]> = Vec::new();
        let (mut next_pair, mut next_group) = (0, 0);
        for item in items {
            match item {
                Verified::Parent { index, pair } => {
                    if *index != next_pair {
                        self.write_pairs(&mut pairs, next_pair)?;
                    }
                    pairs.extend(*pair);
                    next_pair = index + 1;
                }
                Verified::Leaf { group, bytes } => {
                    if *group != next_group {
                        self.write_groups(&mut groups, next_group)?;
                    }
                    groups.push(bytes);
                    next_group = group + 1;
                }
            }
        }
        self.write_pairs(&mut pairs, next_pair)?;
        self.write_groups(&mut groups, next_group)
    }

    /// Writes the pairs before slot `end`.
    fn write_pairs(&self, pairs: &mut Vec<u8>, end: u64) -> io::Result<()> {
        if !pairs.is_empty() {
            self.pairs.write_all_at(pairs, end * PARENT_LEN as u64 - pairs.len() as u64)?;
            pairs.clear();
        }
        Ok(())
    }

    /// Writes the groups before group `end`.
    fn write_groups(&self, groups: &mut Vec<&[u8]>, end: u64) -> io::Result<()> {
        if !groups.is_empty() {
            self.data.write_slices_at(groups, (end - groups.len() as u64) * GROUP_LEN)?;
            groups.clear();
        }
        Ok(())
    }

    /// Ends the writing to a whole blob, after waiting for who is at it. What two sources brought may come a second time
    /// while the file is stamped, gets its name and is its owner's to change.
    pub(crate) fn write_no_more(&self) {
        lock(&self.writer).writing = Writing::Over;
    }

    /// Whether somebody else wrote to the file while it was received. Metadata shows that, unless it was within the same
    /// tick of the clock of the file system as a write of ours.
    pub(crate) fn was_touched(&self) -> io::Result<bool> {
        let mut writer = lock(&self.writer);
        writer.look(&self.data)?;
        Ok(writer.touched)
    }

    /// Takes the file as it is from now on, and writes to it again.
    pub(super) fn write_again(&self) -> io::Result<()> {
        *lock(&self.writer) =
            Writer { writing: Writing::Open, stamp: Stamp::of(&self.data.metadata()?), touched: false };
        Ok(())
    }

    /// Makes all that was written durable, and tells what the file looked like after our last write; like nothing that it
    /// can be where somebody else wrote to it, before or since, so that it is read again before that is believed.
    pub(crate) fn sync(&self) -> io::Result<Stamp> {
        self.data.sync_data()?;
        self.pairs.sync_data()?;
        let mut writer = lock(&self.writer);
        writer.look(&self.data)?;
        Ok(if writer.touched { Stamp { inode: 0, ..writer.stamp } } else { writer.stamp })
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.data.read_exact_at(buffer, offset)
    }

    pub(super) fn parent(&self, index: u64) -> io::Result<[u8; PARENT_LEN]> {
        let mut pair = [0; PARENT_LEN];
        self.pairs.read_exact_at(&mut pair, index * PARENT_LEN as u64)?;
        Ok(pair)
    }
}

impl Shared {
    /// Makes the body for a blob of a claimed size, in place of an earlier one.
    pub(super) fn new_body(&self, state: &mut State, size: u64) -> Result<Body, WriteError> {
        self.discard(state)?;
        match &self.place {
            _ if size <= SMALL_LEN => Ok(Body::Memory(Memory::default())),
            Place::Memory => Err(WriteError::TooLong { size }),
            Place::File(place) => Ok(Body::Disk(Arc::new(self.create(place, size)?))),
        }
    }

    /// Makes the part file. Taking over somebody's empty file loses nothing, and a crash right here leaves one; but not one
    /// that they are about to fill.
    fn create(&self, place: &PartFile, size: u64) -> Result<Disk, WriteError> {
        let io = |source| self.io(source);
        let in_use = || WriteError::InUse { path: place.path.clone() };
        // Under the lock, so that it stays empty.
        let is_empty = |found: &Handle| Ok(found.hold() && found.metadata()?.len() == 0);
        let data = place.make(is_empty).map_err(|trouble| match trouble {
            PartTrouble::Foreign if place.is_held() => in_use(),
            PartTrouble::Foreign | PartTrouble::Touched => WriteError::Foreign { path: place.path.clone() },
            PartTrouble::Io(source) => io(source),
        })?;
        if !data.hold() {
            return Err(in_use());
        }
        let partials = &self.store.inner.partials;
        let stem = record::stem(&place.path);
        let pairs = partials.create_private(&record::pairs_name(&stem)).map_err(io)?;
        let metadata = data.metadata().map_err(io)?;
        let id = FileId::of(&metadata);
        let writer = Writer::new(Stamp::of(&metadata));
        let disk = Disk { data, pairs, id, stem, sequence: AtomicU64::new(0), writer };
        // From here on a part file that is not empty has a record that says whose it is.
        record::write(self, &disk, Stamp::of(&metadata), Tree::new(size), GroupRanges::empty())
            .map_err(io)?;
        partials.sync().map_err(io)?;
        Ok(disk)
    }

    /// Removes the part file and what the store knows of it.
    pub(super) fn discard(&self, state: &mut State) -> Result<(), WriteError> {
        let body = std::mem::replace(&mut state.body, Body::Memory(Memory::default()));
        state.have = GroupRanges::empty();
        let (Body::Disk(disk), Place::File(place)) = (body, &self.place) else {
            return Ok(());
        };
        let remove = || {
            // The record goes first, so that it never speaks of what is not there.
            record::remove(&self.store.inner.partials, &disk.stem)?;
            if place.is(disk.id)? {
                place.dir.remove(&place.name)?;
            }
            Ok(())
        };
        remove().map_err(|source| self.io(source))
    }
}

/// Checks that verified bytes fit the tree; counts those of groups.
pub(super) fn check(tree: Tree, items: &[Verified<'_>]) -> Result<u64, WriteError> {
    let mut bytes_in_groups = 0;
    for item in items {
        let fits = match item {
            Verified::Parent { index, .. } => *index < tree.parents(),
            Verified::Leaf { group, bytes } => {
                let span = tree.group_span(*group);
                bytes_in_groups += bytes.len() as u64;
                *group < tree.groups() && bytes.len() as u64 == span.end - span.start
            }
        };
        if !fits {
            return Err(WriteError::Misfit);
        }
    }
    Ok(bytes_in_groups)
}

/// Puts `bytes` at `offset`, growing the buffer as far as they reach.
fn put(buffer: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(bytes.len());
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    if let Some(place) = buffer.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}
