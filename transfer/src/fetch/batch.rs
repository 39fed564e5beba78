//! Bytes on their way from a stream to the disk: read, verified in place, handed over in one piece.

use std::hint::black_box;
use std::sync::{Mutex, PoisonError};

use shoal_content::{BadBytes, Decoder, GroupRanges, PARENT_LEN, Step};
use shoal_store::{Partial, Verified, WriteError};

/// Bytes per batch: large against a system call, small against what a fetch may hold in memory.
pub(super) const BATCH_LEN: usize = 512 * 1024;

/// Full-sized buffers kept for the next request. Fresh memory costs a page fault per 4 KiB.
const MAX_SPARE: usize = 8;

/// Half of the freed memory that each thread of a fetch may keep for what comes next.
const KEPT_LEN: usize = 4 * 1024 * 1024;

/// Buffers that are used again.
#[derive(Debug)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// None yet.
    ///
    /// The C library of Linux keeps freed memory at hand, but at first only 128 KiB of it. The layers below hold more of
    /// a fast stream, and would take the same pages from the system again and again. It learns to keep twice as much as
    /// the longest piece that it saw given back.
    pub(super) fn new() -> Self {
        drop(black_box(vec![0_u8; KEPT_LEN]));
        Buffers(Mutex::default())
    }

    /// A buffer of [`BATCH_LEN`], or less if that is all that will ever be needed.
    pub(super) fn take(&self, needed: u64) -> Vec<u8> {
        match usize::try_from(needed) {
            Ok(needed) if needed < BATCH_LEN => vec![0; needed],
            _ => self.spare().pop().unwrap_or_else(|| vec![0; BATCH_LEN]),
        }
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        let mut spare = self.spare();
        if buffer.len() == BATCH_LEN && spare.len() < MAX_SPARE {
            spare.push(buffer);
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer, how far it is filled and verified, and what the verified part is.
#[derive(Debug)]
pub(super) struct Batch {
    buffer: Vec<u8>,
    filled: usize,
    verified: usize,
    items: Vec<Item>,
    groups: GroupRanges,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Parent { index: u64, at: usize },
    Leaf { group: u64, at: usize, len: usize },
}

impl Batch {
    pub(super) fn new(buffer: Vec<u8>) -> Self {
        Batch { buffer, filled: 0, verified: 0, items: Vec::new(), groups: GroupRanges::empty() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a step of `len` bytes still fits.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.buffer.len() - self.verified >= len
    }

    /// Where to read into.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes were read into [`Batch::space`].
    pub(super) fn read(&mut self, len: usize) {
        self.filled = (self.filled + len).min(self.buffer.len());
    }

    /// Verifies the whole steps that were read, up to the first group that is not wanted. Counts the groups among them.
    pub(super) fn verify(&mut self, decoder: &mut Decoder, before: u64) -> Result<u64, BadBytes> {
        let mut groups = 0;
        while let Some(step) = decoder.next_step() {
            let at = self.verified;
            let end = at + step.len();
            let Some(bytes) = self.buffer.get(at..end).filter(|_| end <= self.filled) else {
                return Ok(groups);
            };
            match step {
                Step::Parent { index, .. } => {
                    let pair = bytes.first_chunk::<PARENT_LEN>().ok_or(BadBytes::OutOfTurn)?;
                    decoder.push_parent(pair)?;
                    self.items.push(Item::Parent { index, at });
                }
                Step::Leaf { group, .. } if group >= before => return Ok(groups),
                Step::Leaf { group, len, .. } => {
                    decoder.push_leaf(bytes)?;
                    self.items.push(Item::Leaf { group, at, len });
                    self.groups.insert(group..group + 1);
                    groups += 1;
                }
            }
            self.verified = end;
        }
        Ok(groups)
    }

    /// The groups that are verified.
    pub(super) fn groups(&self) -> &GroupRanges {
        &self.groups
    }

    /// What was read and is not a whole step yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.verified..self.filled).unwrap_or_default()
    }

    /// Starts a batch with what is left over of the last.
    pub(super) fn continuing(buffer: Vec<u8>, rest: &[u8]) -> Self {
        let mut batch = Batch::new(buffer);
        if let Some(space) = batch.space().get_mut(..rest.len()) {
            space.copy_from_slice(rest);
        }
        batch.read(rest.len());
        batch
    }

    /// Writes the verified part. Blocks.
    pub(super) fn write(&self, partial: &Partial) -> Result<(), WriteError> {
        let verified: Option<Vec<Verified<'_>>> =
            self.items.iter().map(|item| self.verified(*item)).collect();
        partial.write(&verified.ok_or(WriteError::Misfit)?)
    }

    fn verified(&self, item: Item) -> Option<Verified<'_>> {
        Some(match item {
            Item::Parent { index, at } => {
                Verified::Parent { index, pair: self.buffer.get(at..)?.first_chunk()? }
            }
            Item::Leaf { group, at, len } => Verified::Leaf { group, bytes: self.buffer.get(at..at + len)? },
        })
    }

    /// Gives the buffer back.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}
