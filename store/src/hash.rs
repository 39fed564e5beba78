//! Hashes files and builds their outboards, on several threads, in constant memory.
//!
//! The tree of a large blob is cut into *spans*, each the whole subtree over up to [`SPAN_GROUPS`] groups that
//! start at a multiple of that number. Spans are hashed in any order by any thread, and the pairs of a span
//! are one run in the outboard, since that is in pre-order. What remains is the top of the tree.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use shoal_content::{Digest, GROUP_LEN, PARENT_LEN, Tree, group_cv, left_groups, parent_cv};

use crate::{Cancel, files::Handle};

#[cfg(test)]
mod tests;

/// Groups of a span, a power of two. 1 MiB is long enough for the disk, short enough for a core's cache,
/// and the outboard of a single span fits in a row of the database.
pub(crate) const SPAN_GROUPS: u64 = 64;

const SPAN_LEN: u64 = SPAN_GROUPS * GROUP_LEN;

/// Why a file could not be hashed.
#[derive(Debug)]
pub(crate) enum HashError {
    /// It could not be read.
    Read(io::Error),
    /// Its outboard could not be written.
    Write(io::Error),
    /// It is shorter than it was a moment ago.
    Changed,
    /// The caller asked to stop.
    Cancelled,
}

/// Where the pairs of a tree go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Nowhere: only the digest is wanted.
    Nowhere,
    /// Into memory; for blobs whose outboard is kept in the database.
    Memory(Mutex<Vec<u8>>),
    /// Into a file.
    File(Handle),
}

impl Sink {
    fn put(&self, slot: u64, pairs: &[u8]) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                let start = index(slot * PARENT_LEN as u64);
                let end = start + pairs.len();
                if memory.len() < end {
                    memory.resize(end, 0);
                }
                memory[start..end].copy_from_slice(pairs);
                Ok(())
            }
            Self::File(file) => file.write_all_at(pairs, slot * PARENT_LEN as u64),
        }
    }
}

/// The buffers of one thread, to be used for one file after the other.
#[derive(Debug)]
pub(crate) struct Scratch {
    data: Vec<u8>,
    pairs: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { data: Vec::new(), pairs: Vec::new() }
    }
}

/// Hashes `size` bytes of `file` on this thread.
///
/// `progress` hears of bytes as they are done.
pub(crate) fn hash_here(
    file: &Handle,
    size: u64,
    sink: &Sink,
    scratch: &mut Scratch,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &Cancel,
) -> Result<Digest, HashError> {
    let job = Job { file, tree: Tree::new(size), sink, progress, cancel };
    let spans = (0..job.spans()).map(|span| job.hash_span(span, scratch));
    job.join(&spans.collect::<Result<Vec<_>, _>>()?)
}

/// Hashes `size` bytes of `file` on `threads` threads.
pub(crate) fn hash_wide(
    file: &Handle,
    size: u64,
    sink: &Sink,
    threads: NonZeroUsize,
    progress: &(dyn Fn(u64) + Sync),
    cancel: &Cancel,
) -> Result<Digest, HashError> {
    let job = Job { file, tree: Tree::new(size), sink, progress, cancel };
    let next = AtomicU64::new(0);
    let work = || {
        let mut scratch = Scratch::new();
        let mut done = Vec::new();
        loop {
            let span = next.fetch_add(1, Ordering::Relaxed);
            if span >= job.spans() {
                return Ok(done);
            }
            // The others need not go on after an error.
            let cv = job.hash_span(span, &mut scratch).inspect_err(|_| {
                next.store(job.spans(), Ordering::Relaxed);
            })?;
            done.push((span, cv));
        }
    };
    let helpers = u64::try_from(threads.get() - 1).unwrap_or(0).min(job.spans() - 1);
    let mut spans = thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
        let mut spans = work()?;
        for helper in helpers {
            spans.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(spans)
    })?;
    spans.sort_unstable_by_key(|&(span, _)| span);
    job.join(&spans.into_iter().map(|(_, cv)| cv).collect::<Vec<_>>())
}

/// A blob that is being hashed.
struct Job<'a> {
    file: &'a Handle,
    tree: Tree,
    sink: &'a Sink,
    progress: &'a (dyn Fn(u64) + Sync),
    cancel: &'a Cancel,
}

impl Job<'_> {
    fn spans(&self) -> u64 {
        self.tree.groups().div_ceil(SPAN_GROUPS)
    }

    fn hash_span(&self, span: u64, scratch: &mut Scratch) -> Result<[u8; 32], HashError> {
        if self.cancel.is_cancelled() {
            return Err(HashError::Cancelled);
        }
        let first = span * SPAN_GROUPS;
        let groups = SPAN_GROUPS.min(self.tree.groups() - first);
        let start = first * GROUP_LEN;
        let len = SPAN_LEN.min(self.tree.size() - start);
        let data = room(&mut scratch.data, index(len));
        let pairs = room(&mut scratch.pairs, index((groups - 1) * PARENT_LEN as u64));
        if len > 0 {
            self.file.read_exact_at(data, start).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => HashError::Changed,
                _ => HashError::Read(error),
            })?;
        }
        let is_root = groups == self.tree.groups();
        let cv = hash_node(data, first, groups, is_root, pairs);
        if !pairs.is_empty() {
            self.sink.put(slot_of_span(&self.tree, first), pairs).map_err(HashError::Write)?;
        }
        (self.progress)(len);
        Ok(cv)
    }

    /// Builds the top of the tree on the values of all spans.
    fn join(&self, spans: &[[u8; 32]]) -> Result<Digest, HashError> {
        let root = self.join_node(spans, self.tree.groups(), 0)?;
        Ok(Digest::from_bytes(root))
    }

    fn join_node(&self, spans: &[[u8; 32]], groups: u64, slot: u64) -> Result<[u8; 32], HashError> {
        if let [cv] = spans {
            return Ok(*cv);
        }
        let left = left_groups(groups);
        let (left_spans, right_spans) = spans.split_at(index(left / SPAN_GROUPS));
        let left_cv = self.join_node(left_spans, left, slot + 1)?;
        let right_cv = self.join_node(right_spans, groups - left, slot + left)?;
        let mut pair = [0; PARENT_LEN];
        let (pair_left, pair_right) = pair.split_at_mut(PARENT_LEN / 2);
        pair_left.copy_from_slice(&left_cv);
        pair_right.copy_from_slice(&right_cv);
        self.sink.put(slot, &pair).map_err(HashError::Write)?;
        Ok(parent_cv(&left_cv, &right_cv, groups == self.tree.groups()))
    }
}

/// Hashes a subtree of which all bytes are in `data`, and fills in its pairs.
pub(crate) fn hash_node(data: &[u8], first: u64, groups: u64, is_root: bool, pairs: &mut [u8]) -> [u8; 32] {
    let Some((pair, below)) = pairs.split_first_chunk_mut::<PARENT_LEN>() else {
        return group_cv(data, first, is_root);
    };
    let left = left_groups(groups);
    let (left_pairs, right_pairs) = below.split_at_mut(index(left - 1) * PARENT_LEN);
    let (left_data, right_data) = data.split_at(index(left * GROUP_LEN));
    let left_cv = hash_node(left_data, first, left, false, left_pairs);
    let right_cv = hash_node(right_data, first + left, groups - left, false, right_pairs);
    let (pair_left, pair_right) = pair.split_at_mut(PARENT_LEN / 2);
    pair_left.copy_from_slice(&left_cv);
    pair_right.copy_from_slice(&right_cv);
    parent_cv(&left_cv, &right_cv, is_root)
}

/// The slot at which the pairs of the span that starts with group `first` begin.
fn slot_of_span(tree: &Tree, first: u64) -> u64 {
    let (mut start, mut groups, mut slot) = (0, tree.groups(), 0);
    while groups > SPAN_GROUPS {
        let left = left_groups(groups);
        if first < start + left {
            (groups, slot) = (left, slot + 1);
        } else {
            (start, groups, slot) = (start + left, groups - left, slot + left);
        }
    }
    slot
}

/// The first `len` bytes of a buffer, which grows and never shrinks.
fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

/// A length or position in memory. One that does not fit is beyond the end of every buffer.
fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
